//! SHA-256d for proof of work: nonce scans, whole headers and Merkle levels, on the fastest kernel that the CPU has.
//!
//! Each instruction set has a module with the same functions, and [`Backend`] dispatches to them. Three jobs cover everything
//! that mining and validation hash in bulk: [`Backend::scan`] (one header, a range of nonces, a target),
//! [`Backend::hash_headers`] (many whole headers) and [`Backend::hash_pairs`] (many 64-byte pairs, a level of a Merkle tree).
//! Every digest is in the order in which SHA-256 gives its bytes. Read as a little-endian 256-bit number, it is what a target
//! is compared with; explorers print it reversed.

#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
mod known_answers;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod merkle;
mod portable;
mod scan;
mod sha256;
mod sha2_crate;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

pub use backend::{Backend, UnknownBackend};
pub use known_answers::{GENESIS, GENESIS_NONCE, GENESIS_TARGET, KnownAnswer, SelfTestError, known_answers, self_test};
pub use merkle::{MerkleRoot, merkle_root};
pub use scan::{NonceRange, ScanJob, ScanTarget, ScheduleWords};

/// The forms of each job, for this crate's own tests: a CPU runs only one of them. Not for users; it may change at any time.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
pub use sha_ni::{Variant, variants};

/// The length of a block header in bytes.
pub const HEADER_LEN: usize = 80;

/// A serialized block header: version, previous hash, Merkle root, time, bits, nonce.
pub type HeaderBytes = [u8; HEADER_LEN];

/// A SHA-256d digest in SHA-256's byte order. Read as a little-endian number, it is compared with a target.
pub type HashBytes = [u8; 32];

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
