//! What a nonce scan takes: a header prepared once, a range of nonces, a target.

use crate::sha256::{IV, compress, words};
use crate::{Digest, Header};

/// The largest hash that counts as a hit: a 256-bit number, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target([u8; 32]);

impl Target {
    /// Every digest meets it.
    pub const MAX: Target = Target([0xff; 32]);

    /// Takes the number's 32 bytes, least significant first.
    #[must_use]
    pub const fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The number's 32 bytes, least significant first.
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether `digest`, read as a little-endian number, is not above the target.
    #[must_use]
    pub fn is_met_by(&self, digest: &Digest) -> bool {
        digest.iter().rev().le(self.0.iter().rev())
    }

    /// The most significant 32 bits. A digest whose own are above them cannot meet the target; kernels test that alone.
    #[must_use]
    pub const fn top(&self) -> u32 {
        u32::from_le_bytes([self.0[28], self.0[29], self.0[30], self.0[31]])
    }
}

/// Consecutive nonces: `count` of them from `first`, wrapping from `u32::MAX` to 0.
///
/// A nonce is the number in the header, which is stored little-endian in its bytes 76..80.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonceRange {
    /// The first nonce.
    pub first: u32,
    /// How many nonces, 0 to 2^32.
    pub count: u64,
}

impl NonceRange {
    /// Every nonce there is, from 0.
    pub const ALL: NonceRange = NonceRange { first: 0, count: 1 << 32 };

    /// `count` nonces from `first`. Counts above 2^32 mean 2^32: a nonce is never searched twice.
    #[must_use]
    pub const fn new(first: u32, count: u64) -> Self {
        Self { first, count: if count > 1 << 32 { 1 << 32 } else { count } }
    }
}

/// A header prepared for a nonce scan: all that does not depend on the nonce, computed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanJob {
    header: Header,
    /// The state after the header's first 64 bytes.
    pub(crate) midstate: [u32; 8],
    /// The three words before the nonce: the end of the Merkle root, time, bits.
    pub(crate) tail: [u32; 3],
}

impl ScanJob {
    /// Prepares `header`; what its nonce field holds does not matter.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let midstate = compress(IV, words(&header[..64]));
        Self { header: *header, midstate, tail: words(&header[64..76]) }
    }

    /// The header with `nonce` in place.
    #[must_use]
    pub fn header(&self, nonce: u32) -> Header {
        let mut header = self.header;
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        header
    }

    /// The state after the header's first 64 bytes, as eight words.
    #[must_use]
    pub fn midstate(&self) -> [u32; 8] {
        self.midstate
    }

    /// Header bytes 64..76 as three big-endian words: the end of the Merkle root, time, bits.
    #[must_use]
    pub fn tail(&self) -> [u32; 3] {
        self.tail
    }
}
