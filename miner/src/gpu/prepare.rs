//! The input of the kernels: everything about a header that does not depend on the nonce, computed once a dispatch.
//!
//! The hash crate computes most of it with the job. Here constants are added, and all is put into the shader's layout.

use adit_hash::{NonceRange, ScanJob, ScanTarget};
use adit_shaders::KernelInput;

/// The round constants that are added here.
const K01: u32 = 0x71374491;
const K02: u32 = 0xb5c0fbcf;
const K03: u32 = 0xe9b5dba5;
const K04: u32 = 0x3956c25b;
const K05: u32 = 0x59f111f1;
const K06: u32 = 0x923f82a4;
const K16: u32 = 0xe49b69c1;
const K17: u32 = 0xefbe4786;

/// The words of the initial state that are added here.
const H0: u32 = 0x6a09e667;
const H1: u32 = 0xbb67ae85;
const H2: u32 = 0x3c6ef372;
const H4: u32 = 0x510e527f;
const H5: u32 = 0x9b05688c;
const H6: u32 = 0x1f83d9ab;

/// `a` and `e` after round 0 from the initial state, without schedule word 0.
const A1_LESS_W0: u32 = 0xfc08884d;
const E1_LESS_W0: u32 = 0x98c7e2a2;

/// The padding's first bit: schedule word 4 of the header's second block, and 8 of the second hash.
const PADDING: u32 = 1 << 31;

/// The message lengths of the first and the second hash, in bits.
const BITS1: u32 = 640;
const BITS2: u32 = 256;

const fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

const fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// The input of a dispatch that searches `range`, of fewer than 2^32 nonces, of the header of `scan`. A row of workgroups has `row`
/// threads. For programs that run the kernels of [`adit_shaders`] by themselves.
///
/// ```
/// use adit_miner::adit_hash::{GENESIS, GENESIS_NONCE, GENESIS_TARGET, NonceRange, ScanJob};
/// use adit_miner::adit_shaders::bytemuck;
///
/// let range = NonceRange::new(GENESIS_NONCE - 100, 200);
/// let input = adit_miner::kernel_input(&ScanJob::new(&GENESIS), &GENESIS_TARGET, range, 64);
/// assert_eq!((input.first, input.count, input.target_top, input.row), (range.first, 200, 0, 64));
/// // What the uniform buffer takes.
/// assert_eq!(bytemuck::bytes_of(&input).len(), 192);
/// ```
#[must_use]
pub fn kernel_input(scan: &ScanJob, target: &ScanTarget, range: NonceRange, row: u32) -> KernelInput {
    let midstate = scan.midstate();
    let [m0, m1, m2, m3, ..] = midstate;
    let [a, b, c, d, e, f, g, h] = scan.state_after_round_3();
    let [tail0, tail1, tail2] = scan.tail();
    let words = scan.schedule();
    KernelInput {
        midstate,
        state: [a, b, c, d, e, f, g, h.wrapping_add(K04).wrapping_add(PADDING)],
        tail0,
        tail1,
        tail2,
        g_k05: g.wrapping_add(K05),
        f_k06: f.wrapping_add(K06),
        k16_w16: K16.wrapping_add(words.w16),
        k17_w17: K17.wrapping_add(words.w17),
        w16: words.w16,
        w17: words.w17,
        w18: words.w18,
        w19: words.w19,
        w31: words.w31,
        w32: words.w32,
        second_a: m0.wrapping_add(A1_LESS_W0),
        second_e: m0.wrapping_add(E1_LESS_W0),
        h6_k01: m1.wrapping_add(H6).wrapping_add(K01),
        h5_k02: m2.wrapping_add(H5).wrapping_add(K02),
        h4_k03: m3.wrapping_add(H4).wrapping_add(K03),
        h0: H0,
        h1: H1,
        h2: H2,
        padding: PADDING,
        bits1: BITS1,
        bits2: BITS2,
        small_sigma0_padding: small_sigma0(PADDING),
        small_sigma0_bits1: small_sigma0(BITS1),
        small_sigma0_bits2: small_sigma0(BITS2),
        small_sigma1_bits2: small_sigma1(BITS2),
        target_top: target.top(),
        first: range.first,
        count: range.count as u32,
        row,
    }
}
