//! The buffers of a kernel as the host sees them: the uniform buffer field by field, and the list of candidates.
//!
//! `struct KernelInput` of `search.wgsl` is the same in WGSL. `tests/layout.rs` compares name, order, offset and size of
//! every field, as naga lays the WGSL out.

use bytemuck::{Pod, Zeroable};

/// The binding of the uniform buffer, which holds a [`KernelInput`].
pub const INPUT_BINDING: u32 = 0;

/// The binding of the storage buffer, which holds the candidates.
pub const CANDIDATES_BINDING: u32 = 1;

/// The size in bytes of a storage buffer with room for `capacity` candidates: a count of 32 bits, then a nonce of 32 bits
/// for each. Both are little-endian. The count goes on beyond the capacity.
#[must_use]
pub const fn candidates_size(capacity: u32) -> u64 {
    4 * (1 + capacity as u64)
}

/// A field of [`KernelInput`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name, in Rust and in WGSL.
    pub name: &'static str,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
}

/// Defines a struct and the table of its fields.
macro_rules! layout {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// The fields, in order.
            pub const FIELDS: &[Field] = &[
                $(Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    size: size_of::<$type>(),
                },)*
            ];
        }
    };
}

layout! {
    /// Everything that a kernel needs and that does not depend on the nonce. Words are SHA-256's: sums are modulo 2^32.
    ///
    /// `K` are the round constants and `W` the message schedule (FIPS 180-4). The first hash is that of the header's second
    /// block, whose `W[3]` is the nonce with its bytes swapped; the second hash is that of the first one's digest.
    pub struct KernelInput {
        /// The state after the header's first 64 bytes.
        pub midstate: [u32; 8],
        /// The state after round 3 of the first hash: `a` and `e` without `W[3]`, `h` with `K[4] + W[4]`.
        pub state: [u32; 8],
        /// `W[0]` of the first hash: the end of the Merkle root.
        pub tail0: u32,
        /// `W[1]` of the first hash: the time.
        pub tail1: u32,
        /// `W[2]` of the first hash: the bits.
        pub tail2: u32,
        /// `g` after round 3, plus `K[5]`.
        pub g_k05: u32,
        /// `f` after round 3, plus `K[6]`.
        pub f_k06: u32,
        /// `K[16] + W[16]` of the first hash.
        pub k16_w16: u32,
        /// `K[17] + W[17]` of the first hash.
        pub k17_w17: u32,
        /// `W[16]` of the first hash.
        pub w16: u32,
        /// `W[17]` of the first hash.
        pub w17: u32,
        /// `W[18]` of the first hash without `s0(W[3])`.
        pub w18: u32,
        /// `W[19]` of the first hash without `W[3]`.
        pub w19: u32,
        /// `W[31]` of the first hash without `W[24] + s1(W[29])`.
        pub w31: u32,
        /// `W[32]` of the first hash without `W[25] + s1(W[30])`.
        pub w32: u32,
        /// `a` after round 0 of the second hash, with the midstate's part of its `W[0]`.
        pub second_a: u32,
        /// `e` after round 0 of the second hash, with the midstate's part of its `W[0]`.
        pub second_e: u32,
        /// `H[6] + K[1]` with the midstate's part of the second hash's `W[1]`.
        pub h6_k01: u32,
        /// `H[5] + K[2]` with the midstate's part of the second hash's `W[2]`.
        pub h5_k02: u32,
        /// `H[4] + K[3]` with the midstate's part of the second hash's `W[3]`.
        pub h4_k03: u32,
        /// `H[0]` of the initial state.
        pub h0: u32,
        /// `H[1]` of the initial state.
        pub h1: u32,
        /// `H[2]` of the initial state.
        pub h2: u32,
        /// The padding's first word, `0x80000000`.
        pub padding: u32,
        /// The message length of the first hash, 640 bits.
        pub bits1: u32,
        /// The message length of the second hash, 256 bits.
        pub bits2: u32,
        /// `s0(padding)`.
        pub small_sigma0_padding: u32,
        /// `s0(bits1)`.
        pub small_sigma0_bits1: u32,
        /// `s0(bits2)`.
        pub small_sigma0_bits2: u32,
        /// `s1(bits2)`.
        pub small_sigma1_bits2: u32,
        /// The target's most significant 32 bits.
        pub target_top: u32,
        /// The first nonce.
        pub first: u32,
        /// The number of nonces, which wrap at 2^32.
        pub count: u32,
        /// The threads of a row of workgroups.
        pub row: u32,
    }
}
