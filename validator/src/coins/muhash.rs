//! MuHash3072: a hash of a set that does not depend on the order in which members are added and removed.
//!
//! Each member becomes a number modulo a 3,072-bit prime; the set is their product, and a member is removed by
//! division. So two coin sets are compared without sorting, and the hash is that of Core's `gettxoutsetinfo muhash`
//! (`crypto/muhash.cpp`). The numbers have 48 limbs of 64 bits, least significant first.

use bitcoin::hashes::{Hash, sha256};

const LIMBS: usize = 48;

/// 2^3072 minus the prime.
const PRIME_GAP: u64 = 1_103_717;

/// A number below 2^3072, not always reduced below the prime.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Number([u64; LIMBS]);

impl Number {
    const ONE: Self = {
        let mut limbs = [0; LIMBS];
        limbs[0] = 1;
        Self(limbs)
    };

    /// The number of a member: 384 bytes of the ChaCha20 key stream with SHA-256 of the member as key.
    fn of_member(member: &[u8]) -> Self {
        let key = sha256::Hash::hash(member).to_byte_array();
        let mut limbs = [0; LIMBS];
        for (block, limbs) in limbs.chunks_exact_mut(8).enumerate() {
            let words = chacha20_block(&key, block as u32);
            for (limb, pair) in limbs.iter_mut().zip(words.chunks_exact(2)) {
                *limb = u64::from(pair[0]) | u64::from(pair[1]) << 32;
            }
        }
        Self(limbs)
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = [0_u64; 2 * LIMBS];
        for (shift, limb) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (at, factor) in other.0.iter().enumerate() {
                let sum = u128::from(*limb) * u128::from(*factor) + u128::from(product[shift + at]) + u128::from(carry);
                product[shift + at] = sum as u64;
                carry = (sum >> 64) as u64;
            }
            product[shift + LIMBS] = carry;
        }
        // 2^3072 is PRIME_GAP modulo the prime, so the upper half is multiplied by it and added to the lower.
        let (low, high) = product.split_at(LIMBS);
        let mut sum = [0; LIMBS];
        let mut carry = 0_u128;
        for (sum, (low, high)) in sum.iter_mut().zip(low.iter().zip(high)) {
            carry += u128::from(*low) + u128::from(*high) * u128::from(PRIME_GAP);
            *sum = carry as u64;
            carry >>= 64;
        }
        // The carry has 22 bits; adding it back carries at most 1, and adding that carries nothing.
        let mut number = Self(sum);
        while carry != 0 {
            carry = u128::from(number.add_small(carry as u64 * PRIME_GAP));
        }
        number
    }

    /// Adds `summand` and returns whether the sum overflowed 2^3072.
    fn add_small(&mut self, summand: u64) -> bool {
        let mut carry = summand;
        for limb in &mut self.0 {
            let (sum, passed) = limb.overflowing_add(carry);
            *limb = sum;
            carry = u64::from(passed);
            if carry == 0 {
                return false;
            }
        }
        true
    }

    /// The inverse by Fermat's little theorem: `self` to the power of the prime minus two. It is slower than Euclid's
    /// algorithm, and needed at most once for each hash.
    fn inverse(&self) -> Self {
        let exponent = |limb: usize| if limb == 0 { u64::MAX - PRIME_GAP - 1 } else { u64::MAX };
        let mut power = Self::ONE;
        for limb in (0..LIMBS).rev() {
            for bit in (0..64).rev() {
                power = power.times(&power);
                if exponent(limb) >> bit & 1 == 1 {
                    power = power.times(self);
                }
            }
        }
        power
    }

    /// The reduced number, little-endian.
    fn to_bytes(mut self) -> [u8; 8 * LIMBS] {
        let is_reduced = self.0[0] <= u64::MAX - PRIME_GAP || self.0[1..].iter().any(|limb| *limb != u64::MAX);
        if !is_reduced {
            self.add_small(PRIME_GAP);
        }
        let mut bytes = [0; 8 * LIMBS];
        for (bytes, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }
}

/// The block `counter` of the ChaCha20 key stream (RFC 8439) with a nonce of zero.
fn chacha20_block(key: &[u8; 32], counter: u32) -> [u32; 16] {
    let mut start = [0; 16];
    start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    for (word, bytes) in start[4..12].iter_mut().zip(key.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    start[12] = counter;
    let mut state = start;
    for _ in 0..10 {
        for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
            quarter_round(&mut state, a, b, c, d);
        }
        for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
            quarter_round(&mut state, a, b, c, d);
        }
    }
    std::array::from_fn(|at| state[at].wrapping_add(start[at]))
}

fn quarter_round(state: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (sum, summand, turned, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[sum] = state[sum].wrapping_add(state[summand]);
        state[turned] = (state[turned] ^ state[sum]).rotate_left(by);
    }
}

/// The hash of a multiset of byte strings: a member added twice counts twice.
#[derive(Clone)]
pub struct MuHash {
    members: Number,
    removed: Number,
}

impl MuHash {
    /// The hash of the empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Number::ONE, removed: Number::ONE }
    }

    /// Adds a member.
    pub fn insert(&mut self, member: &[u8]) {
        self.members = self.members.times(&Number::of_member(member));
    }

    /// Removes a member, which may also be added after its removal. An index that follows the chain removes spent coins,
    /// as Core's `coinstatsindex` does. It costs as much as [`Self::insert`].
    pub fn remove(&mut self, member: &[u8]) {
        self.removed = self.removed.times(&Number::of_member(member));
    }

    /// The hash, in the byte order of SHA-256. Core prints it reversed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let quotient =
            if self.removed == Number::ONE { self.members } else { self.members.times(&self.removed.inverse()) };
        sha256::Hash::hash(&quotient.to_bytes()).to_byte_array()
    }
}

impl Default for MuHash {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MuHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MuHash").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8) -> [u8; 32] {
        let mut member = [0; 32];
        member[0] = number;
        member
    }

    fn printed(hash: &MuHash) -> String {
        hex::encode(hash.digest().into_iter().rev().collect::<Vec<u8>>())
    }

    /// `muhash_tests` of Core's `crypto_tests.cpp`.
    #[test]
    fn the_hash_is_that_of_core() {
        let mut hash = MuHash::new();
        hash.insert(&member(0));
        hash.insert(&member(1));
        hash.remove(&member(2));
        assert_eq!(printed(&hash), "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863");
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let (mut one, mut other) = (MuHash::new(), MuHash::new());
        for number in [1, 2, 3] {
            one.insert(&member(number));
        }
        for number in [3, 1, 4, 2] {
            other.insert(&member(number));
        }
        assert_ne!(one.digest(), other.digest());
        other.remove(&member(4));
        assert_eq!(one.digest(), other.digest());
    }

    /// RFC 8439, 2.3.2 has a nonce; its appendix A.1 has this block: key and nonce zero, counter 0.
    #[test]
    fn the_key_stream_is_chacha20() {
        let words = chacha20_block(&[0; 32], 0);
        let bytes: Vec<u8> = words[..4].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(hex::encode(bytes), "76b8e0ada0f13d90405d6ae55386bd28");
    }

    #[test]
    fn numbers_at_the_edge_are_reduced() {
        // The prime itself is zero, and the prime plus one is one.
        let mut prime = Number([u64::MAX; LIMBS]);
        prime.0[0] = u64::MAX - PRIME_GAP + 1;
        assert_eq!(prime.to_bytes(), [0; 8 * LIMBS]);
        let mut next = prime;
        next.0[0] += 1;
        assert_eq!(next.to_bytes(), Number::ONE.to_bytes());
        // (-1) * (-1)
        let mut minus_one = prime;
        minus_one.0[0] -= 1;
        assert_eq!(minus_one.times(&minus_one).to_bytes(), Number::ONE.to_bytes());
        let largest = Number([u64::MAX; LIMBS]);
        assert_eq!(largest.times(&largest.inverse()).to_bytes(), Number::ONE.to_bytes());
    }
}
