//! The input of a nonce scan: a header prepared once, a range of nonces, a target.

use crate::sha256::{
    HEADER_BITS, IV, K, PADDING_BIT, bytes, compress, round, second_hash, small_sigma0, small_sigma1, words,
};
use crate::{HashBytes, HeaderBytes};

/// The largest hash that counts as a hit: a 256-bit number, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanTarget([u8; 32]);

impl ScanTarget {
    /// Every digest meets it.
    pub const MAX: ScanTarget = ScanTarget([0xff; 32]);

    /// Takes the number's 32 bytes, least significant first.
    #[must_use]
    pub const fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The easiest target whose most significant 32 bits are `top`: one hash in `2^32 / (top + 1)` meets it.
    #[must_use]
    pub const fn from_top(top: u32) -> Self {
        let mut bytes = [0xff; 32];
        [bytes[28], bytes[29], bytes[30], bytes[31]] = top.to_le_bytes();
        Self(bytes)
    }

    /// The number's 32 bytes, least significant first.
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether `digest`, read as a little-endian number, is not above the target.
    #[must_use]
    pub fn is_met_by(&self, digest: &HashBytes) -> bool {
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
#[non_exhaustive]
pub struct NonceRange {
    /// The first nonce.
    pub first: u32,
    /// How many nonces, 0 to 2^32.
    pub count: u64,
}

impl NonceRange {
    /// All 2^32 nonces, from 0.
    pub const ALL: NonceRange = NonceRange { first: 0, count: 1 << 32 };

    /// `count` nonces from `first`. Counts above 2^32 mean 2^32: a nonce is never searched twice.
    #[must_use]
    pub const fn new(first: u32, count: u64) -> Self {
        Self { first, count: if count > 1 << 32 { 1 << 32 } else { count } }
    }

    /// The range in groups of `lanes` nonces, in order: each group's first nonce, and which of its nonces the range holds,
    /// one bit each (all of them in every group but the last).
    #[inline(always)]
    pub(crate) fn groups(self, lanes: u32) -> impl Iterator<Item = (u32, u64)> {
        debug_assert!(lanes < 64, "a mask holds 64 nonces");
        (0..self.count.div_ceil(lanes.into())).map(move |group| {
            let done = group * u64::from(lanes);
            let mask = (1 << (self.count - done).min(lanes.into())) - 1;
            (self.first.wrapping_add(done as u32), mask)
        })
    }
}

/// The words of the first hash's message schedule that do not depend on the nonce, and the parts of other words that do not.
///
/// The second block of a header holds the nonce in word 3, padding in words 4 to 15 (`0x80000000`, zeros, 640), so most
/// terms of `W[i] = W[i-16] + s0(W[i-15]) + W[i-7] + s1(W[i-2])` are zero or constant up to `W[33]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleWords {
    /// `W[16]`, whole.
    pub w16: u32,
    /// `W[17]`, whole.
    pub w17: u32,
    /// `W[18]` less `s0(W[3])`.
    pub w18: u32,
    /// `W[19]` less `W[3]`.
    pub w19: u32,
    /// `W[31]` less `W[24] + s1(W[29])`.
    pub w31: u32,
    /// `W[32]` less `W[25] + s1(W[30])`.
    pub w32: u32,
}

/// A header prepared for a nonce scan: everything that does not depend on the nonce, computed once.
///
/// A kernel elsewhere, such as a GPU's, begins at round 4 of the first hash with what the getters return.
/// The nonce enters as `W[3]`, the nonce with its bytes swapped: a header stores it little-endian, SHA-256 reads words
/// big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanJob {
    header: HeaderBytes,
    midstate: [u32; 8],
    tail: [u32; 3],
    round_3: [u32; 8],
    schedule: ScheduleWords,
}

impl ScanJob {
    /// Prepares `header`. Its nonce field is ignored.
    #[must_use]
    pub fn new(header: &HeaderBytes) -> Self {
        let midstate = compress(IV, words(&header[..64]));
        let tail = words(&header[64..76]);
        let [w0, w1, w2] = tail;
        let before_nonce = [w0, w1, w2].iter().zip(K).fold(midstate, |state, (&w, k)| round(state, k.wrapping_add(w)));
        let w16 = w0.wrapping_add(small_sigma0(w1));
        let w17 = w1.wrapping_add(small_sigma0(w2)).wrapping_add(small_sigma1(HEADER_BITS));
        let schedule = ScheduleWords {
            w16,
            w17,
            w18: w2.wrapping_add(small_sigma1(w16)),
            w19: small_sigma0(PADDING_BIT).wrapping_add(small_sigma1(w17)),
            w31: HEADER_BITS.wrapping_add(small_sigma0(w16)),
            w32: w16.wrapping_add(small_sigma0(w17)),
        };
        Self { header: *header, midstate, tail, round_3: round(before_nonce, K[3]), schedule }
    }

    /// The header with `nonce` in place.
    #[must_use]
    pub fn header(&self, nonce: u32) -> HeaderBytes {
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

    /// The state `a..h` after round 3, less `W[3]` in `a` and `e`: add it to these two and go on with round 4.
    #[must_use]
    pub fn state_after_round_3(&self) -> [u32; 8] {
        self.round_3
    }

    /// The first hash's schedule as far as it does not depend on the nonce.
    #[must_use]
    pub fn schedule(&self) -> ScheduleWords {
        self.schedule
    }

    /// Appends to `hits` the nonces `first + i` whose bit `i` is set in `candidates` and whose whole digest meets `target`.
    /// Kernels call it for digests whose top word is not above the target's.
    #[cold]
    #[inline(never)]
    pub(crate) fn confirm(&self, first: u32, mut candidates: u64, target: &ScanTarget, hits: &mut Vec<u32>) {
        while candidates != 0 {
            let nonce = first.wrapping_add(candidates.trailing_zeros());
            let [w0, w1, w2] = self.tail;
            let block = [w0, w1, w2, nonce.swap_bytes(), PADDING_BIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, HEADER_BITS];
            if target.is_met_by(&bytes(second_hash(compress(self.midstate, block)))) {
                hits.push(nonce);
            }
            candidates &= candidates - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_all_nonces_once() {
        for lanes in [1, 4, 16, 32] {
            let range = NonceRange { first: 5, ..NonceRange::ALL };
            let (mut groups, mut next) = (0, 5u32);
            for (first, mask) in range.groups(lanes) {
                assert!(first == next && mask.count_ones() == lanes);
                next = next.wrapping_add(lanes);
                groups += 1;
            }
            assert_eq!(groups * u64::from(lanes), 1 << 32);
        }
    }

    #[test]
    fn the_last_group_ends_with_the_range() {
        let groups = |count| NonceRange::new(u32::MAX - 3, count).groups(4).collect::<Vec<_>>();
        assert_eq!(groups(0), []);
        assert_eq!(groups(1), [(u32::MAX - 3, 0b1)]);
        assert_eq!(groups(4), [(u32::MAX - 3, 0b1111)]);
        assert_eq!(groups(6), [(u32::MAX - 3, 0b1111), (0, 0b11)]);
        assert_eq!(NonceRange::new(7, u64::MAX).count, 1 << 32);
        let odd = NonceRange::new(0, (1 << 32) - 1).groups(16).last();
        assert_eq!(odd, Some((u32::MAX - 15, 0x7fff)));
    }

    #[test]
    fn targets_compare_as_little_endian_numbers() {
        let mut bytes = [7; 32];
        bytes[31] = 1;
        let target = ScanTarget::from_le_bytes(bytes);
        assert_eq!(target.top(), 0x01070707);
        assert!(target.is_met_by(&bytes));
        for i in 0..32 {
            let (mut above, mut below) = (bytes, bytes);
            above[i] += 1;
            below[i] -= 1;
            below[..i].fill(0xff);
            assert!(!target.is_met_by(&above) && target.is_met_by(&below), "byte {i}");
        }
        assert!(ScanTarget::MAX.is_met_by(&[0xff; 32]));
        assert_eq!(ScanTarget::from_top(u32::MAX), ScanTarget::MAX);
        let easiest = ScanTarget::from_top(0x0102_0304);
        assert_eq!((easiest.top(), easiest.to_le_bytes()[27]), (0x0102_0304, 0xff));
    }
}
