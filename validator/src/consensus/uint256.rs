//! 256-bit unsigned integers with the operations that difficulty needs: compact form, scaling by a word, shifts, order.
//!
//! `bitcoin` has such a type but keeps it private. Nothing here wraps: an overflow is returned as a carry or `None`, because
//! a wrapped target could be too easy.

use bitcoin::{Target, Work};

/// A 256-bit unsigned integer; limbs of 64 bits, least significant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Uint256([u64; 4]);

/// A decoded compact target with its two error flags.
///
/// Source: Bitcoin Core, `arith_uint256::SetCompact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compact {
    /// The magnitude, modulo 2^256.
    pub(crate) value: Uint256,
    /// The sign bit is set on a number that is not zero.
    pub(crate) negative: bool,
    /// The magnitude does not fit 256 bits.
    pub(crate) overflow: bool,
}

impl Uint256 {
    pub(crate) const ONE: Uint256 = Uint256([1, 0, 0, 0]);

    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; 4]
    }

    /// Decodes a compact encoding: the length in bytes in 8 bits, a sign bit, and 23 bits of mantissa.
    pub(crate) fn from_compact(bits: u32) -> Compact {
        let size = bits >> 24;
        let mantissa = u64::from(bits & 0x007f_ffff);
        let (mantissa, value) = if size <= 3 {
            let small = mantissa >> (8 * (3 - size));
            (small, Uint256([small, 0, 0, 0]))
        } else {
            (mantissa, Uint256([mantissa, 0, 0, 0]).shl_lossy(8 * (size - 3)))
        };
        Compact {
            value,
            negative: mantissa != 0 && bits & 0x0080_0000 != 0,
            overflow: mantissa != 0
                && (size > 34 || (mantissa > 0xff && size > 33) || (mantissa > 0xffff && size > 32)),
        }
    }

    /// The compact encoding, rounded down to the bits that fit.
    ///
    /// Source: Bitcoin Core, `arith_uint256::GetCompact`.
    pub(crate) fn to_compact(self) -> u32 {
        let mut size = self.bit_length().div_ceil(8);
        let mut mantissa = if size <= 3 { self.0[0] << (8 * (3 - size)) } else { self.shr(8 * (size - 3)).0[0] };
        // The mantissa's top bit is the sign: a number that would set it is shifted down by a byte.
        if mantissa & 0x0080_0000 != 0 {
            mantissa >>= 8;
            size += 1;
        }
        let mantissa = u32::try_from(mantissa).expect("three bytes fit");
        mantissa | size << 24
    }

    /// `self * factor`: the low 256 bits, and the word above them.
    pub(crate) fn mul_wide(self, factor: u64) -> (Uint256, u64) {
        let mut out = [0; 4];
        let mut carry = 0_u64;
        for (to, from) in out.iter_mut().zip(self.0) {
            let product = u128::from(from) * u128::from(factor) + u128::from(carry);
            *to = product as u64;
            carry = (product >> 64) as u64;
        }
        (Uint256(out), carry)
    }

    /// `self * numerator / denominator` rounded down; `None` on overflow. The denominator is not zero.
    pub(crate) fn mul_div(self, numerator: u64, denominator: u32) -> Option<Uint256> {
        let (product, carry) = self.mul_wide(numerator);
        let denominator = u128::from(denominator);
        let mut remainder = u128::from(carry);
        if remainder >= denominator {
            return None;
        }
        let mut out = product.0;
        for limb in out.iter_mut().rev() {
            let dividend = remainder << 64 | u128::from(*limb);
            *limb = (dividend / denominator) as u64;
            remainder = dividend % denominator;
        }
        Some(Uint256(out))
    }

    /// `self << count`; `None` if bits would be lost.
    pub(crate) fn shl(self, count: u32) -> Option<Uint256> {
        (self.is_zero() || self.bit_length() + count <= 256).then(|| self.shl_lossy(count))
    }

    /// `self << count` modulo 2^256.
    fn shl_lossy(self, count: u32) -> Uint256 {
        let (limbs, bits) = ((count / 64) as usize, count % 64);
        let limb = |i: Option<usize>| i.map_or(0, |i| u128::from(self.0[i]));
        Uint256(std::array::from_fn(|i| {
            let pair = limb(i.checked_sub(limbs)) << 64 | limb(i.checked_sub(limbs + 1));
            (pair << bits >> 64) as u64
        }))
    }

    /// `self >> count`.
    pub(crate) fn shr(self, count: u32) -> Uint256 {
        let (limbs, bits) = ((count / 64) as usize, count % 64);
        let limb = |i: usize| self.0.get(i).map_or(0, |&limb| u128::from(limb));
        Uint256(std::array::from_fn(|i| {
            let pair = limb(i + limbs + 1) << 64 | limb(i + limbs);
            (pair >> bits) as u64
        }))
    }

    /// The sum; `None` on overflow.
    pub(crate) fn checked_add(self, other: Uint256) -> Option<Uint256> {
        let mut out = [0; 4];
        let mut carry = false;
        for (i, to) in out.iter_mut().enumerate() {
            let (sum, one) = self.0[i].overflowing_add(other.0[i]);
            let (sum, two) = sum.overflowing_add(u64::from(carry));
            *to = sum;
            carry = one | two;
        }
        (!carry).then_some(Uint256(out))
    }

    fn bit_length(self) -> u32 {
        let highest = (1..5).zip(self.0).rev().find(|&(_, limb)| limb != 0);
        highest.map_or(0, |(limbs, limb)| 64 * limbs - limb.leading_zeros())
    }
}

impl From<u64> for Uint256 {
    fn from(small: u64) -> Self {
        Uint256([small, 0, 0, 0])
    }
}

impl From<Target> for Uint256 {
    fn from(target: Target) -> Self {
        let bytes = target.to_le_bytes();
        let mut limbs = [0; 4];
        for (limb, eight) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*eight);
        }
        Uint256(limbs)
    }
}

impl From<Work> for Uint256 {
    fn from(work: Work) -> Self {
        Target::from_le_bytes(work.to_le_bytes()).into()
    }
}

impl From<Uint256> for Target {
    fn from(number: Uint256) -> Self {
        let mut bytes = [0; 32];
        for (eight, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(number.0) {
            *eight = limb.to_le_bytes();
        }
        Target::from_le_bytes(bytes)
    }
}

impl Ord for Uint256 {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Uint256 {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bitcoin Core's own cases: `test/arith_uint256_tests.cpp`, `bignum_SetCompact`: encoding, value, encoding of the
    /// value, negative, overflow.
    #[test]
    fn compact_encodings_mean_what_they_mean_to_core() {
        for (bits, value, back, negative, overflow) in [
            (0x0000_0000, 0, 0x0000_0000, false, false),
            (0x0012_3456, 0, 0x0000_0000, false, false),
            (0x0100_3456, 0, 0x0000_0000, false, false),
            (0x0200_0056, 0, 0x0000_0000, false, false),
            (0x0300_0000, 0, 0x0000_0000, false, false),
            (0x0400_0000, 0, 0x0000_0000, false, false),
            (0x0092_3456, 0, 0x0000_0000, false, false),
            (0x0180_3456, 0, 0x0000_0000, false, false),
            (0x0280_0056, 0, 0x0000_0000, false, false),
            (0x0380_0000, 0, 0x0000_0000, false, false),
            (0x0480_0000, 0, 0x0000_0000, false, false),
            (0x0112_3456, 0x12, 0x0112_0000, false, false),
            (0x0212_3456, 0x1234, 0x0212_3400, false, false),
            (0x0312_3456, 0x12_3456, 0x0312_3456, false, false),
            (0x0412_3456, 0x1234_5600, 0x0412_3456, false, false),
            (0x01fe_dcba, 0x7e, 0x017e_0000, true, false),
            (0x0492_3456, 0x1234_5600, 0x0412_3456, true, false),
            (0x0500_9234, 0x9234_0000, 0x0500_9234, false, false),
        ] {
            let compact = Uint256::from_compact(bits);
            assert_eq!(compact.value, Uint256::from(value), "{bits:08x}");
            assert_eq!(compact.value.to_compact(), back, "{bits:08x}");
            assert_eq!((compact.negative, compact.overflow), (negative, overflow), "{bits:08x}");
        }
        assert_eq!(Uint256::from(0x80).to_compact(), 0x0200_8000);
        let large = Uint256::from_compact(0x2012_3456);
        assert_eq!(large.value, Uint256::from(0x12_3456).shl(8 * 0x1d).unwrap());
        assert_eq!(large.value.to_compact(), 0x2012_3456);
        assert!(Uint256::from_compact(0xff12_3456).overflow);
        // The edges of overflow: the mantissa's highest byte may stand in the number's highest, and no higher.
        for (bits, overflow) in [
            (0x2200_00ff, false),
            (0x2300_00ff, true),
            (0x2200_0100, true),
            (0x2100_ffff, false),
            (0x2101_0000, true),
            (0x207f_ffff, false),
            (0x2300_0000, false),
        ] {
            assert_eq!(Uint256::from_compact(bits).overflow, overflow, "{bits:08x}");
        }
    }

    fn any_number() -> impl Strategy<Value = Uint256> {
        (any::<[u64; 4]>(), 0..=256_u32).prop_map(|(limbs, shift)| Uint256(limbs).shr(shift))
    }

    proptest! {
        #[test]
        fn agrees_with_128_bit_arithmetic(a: u64, b: u32, c in 1..=u32::MAX, shift in 0..128_u32) {
            let product = u128::from(a) * u128::from(b);
            let wide = |x: u128| Uint256([x as u64, (x >> 64) as u64, 0, 0]);
            prop_assert_eq!(Uint256::from(a).mul_wide(u64::from(b)), (wide(product), 0));
            prop_assert_eq!(Uint256::from(a).mul_div(u64::from(b), c), Some(wide(product / u128::from(c))));
            prop_assert_eq!(wide(product).shr(shift), wide(product >> shift));
            prop_assert_eq!(wide(product >> shift).shl(shift).unwrap(), wide(product >> shift << shift));
        }

        #[test]
        fn scaling_up_and_down_again_changes_nothing_or_does_not_fit(a in any_number(), n in 1..=u32::MAX) {
            match a.mul_div(u64::from(n), 1) {
                Some(product) => prop_assert_eq!(product.mul_div(1, n), Some(a)),
                None => prop_assert_ne!(a.mul_wide(u64::from(n)).1, 0),
            }
        }

        #[test]
        fn shifts_undo_each_other(a in any_number(), count in 0..=300_u32) {
            if let Some(shifted) = a.shl(count) {
                prop_assert_eq!(shifted.shr(count), a);
            } else {
                prop_assert!(a.bit_length() + count > 256);
            }
        }

        #[test]
        fn order_and_encoding_are_those_of_bitcoin(a in any_number(), b in any_number()) {
            let (x, y) = (Target::from(a), Target::from(b));
            prop_assert_eq!(Uint256::from(x), a);
            prop_assert_eq!(a.cmp(&b), x.cmp(&y));
            prop_assert_eq!(a.to_compact(), x.to_compact_lossy().to_consensus());
        }
    }
}
