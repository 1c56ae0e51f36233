//! aserti3-2d, the difficulty rule of private chains: the target is an exponential of the lag behind a schedule.
//!
//! Source: the specification of the Bitcoin Cash upgrade of 15 November 2020, "ASERT Difficulty Adjustment Algorithm
//! (aserti3-2d)", with its integer arithmetic bit for bit: truncation towards zero in the exponent, and 2^x between 0 and
//! 1 by the cubic polynomial with the coefficients 195766423245049, 971821376 and 5127 over 2^48.

use bitcoin::{CompactTarget, Target};

use crate::consensus::uint256::Uint256;

/// The schedule of a chain, and the speed at which the target follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The anchor block's target.
    pub(super) anchor_bits: CompactTarget,
    /// The time of the anchor's parent, or the time that is used instead, in seconds since 1970.
    pub(super) anchor_parent_time: i64,
    /// The wanted time between blocks, in seconds.
    pub(super) pow_target_spacing: u32,
    /// The lag that doubles the target, in seconds.
    pub(super) half_life: u32,
    /// The easiest target.
    pub(super) limit: Target,
}

impl Schedule {
    /// The target of the block after the one that is `blocks_since_anchor` blocks above the anchor and has `time`.
    pub(super) fn target_after(&self, blocks_since_anchor: u32, time: u32) -> CompactTarget {
        let anchor = Uint256::from_compact(self.anchor_bits.to_consensus()).value;
        let (shifts, fraction) = self.exponent(blocks_since_anchor, time);
        let (product, carry) = anchor.mul_wide(two_to_the(fraction));
        let target = match scale(product, carry, shifts - 16) {
            Some(target) if target.is_zero() => Uint256::ONE,
            Some(target) => target.min(self.limit.into()),
            None => self.limit.into(),
        };
        CompactTarget::from_consensus(target.to_compact())
    }

    /// The exponent of two in units of 1/65,536: its integer part, rounded down, and its fraction, 0 to 65,535.
    fn exponent(&self, blocks_since_anchor: u32, time: u32) -> (i64, u64) {
        // 128 bits, because a height and a spacing of 32 bits each, times 65,536, overflow 64.
        let elapsed = i128::from(time) - i128::from(self.anchor_parent_time);
        let scheduled = i128::from(self.pow_target_spacing) * (i128::from(blocks_since_anchor) + 1);
        let exponent = (elapsed - scheduled) * 65536 / i128::from(self.half_life);
        // A thousand doublings or halvings move every 256-bit number out of range, so the exponent is clamped.
        ((exponent >> 16).clamp(-1000, 1000) as i64, (exponent & 0xffff) as u64)
    }
}

/// 65,536 times two to the power of `fraction` / 65,536.
fn two_to_the(fraction: u64) -> u64 {
    let x = u128::from(fraction);
    let cubic = 195_766_423_245_049 * x + 971_821_376 * x * x + 5127 * x * x * x + (1 << 47);
    (cubic >> 48) as u64 + 65536
}

/// `carry:low` times two to the power of `shifts`, rounded down; `None` on overflow.
fn scale(low: Uint256, carry: u64, shifts: i64) -> Option<Uint256> {
    let high = Uint256::from(carry);
    if let Ok(left) = u32::try_from(shifts) {
        return if carry == 0 { low.shl(left.min(256)) } else { None };
    }
    let right = u32::try_from(shifts.unsigned_abs()).unwrap_or(u32::MAX);
    // The two halves do not overlap: the low one ends below bit `256 - right`, where the high one begins.
    let high = if right <= 256 { high.shl(256 - right)? } else { high.shr(right - 256) };
    high.checked_add(low.shr(right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::ChainParams;

    /// A second implementation, from the specification's text, with numbers of any length in base 2^8.
    mod reference {
        /// Little-endian bytes without an upper limit.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub(super) struct Big(pub(super) Vec<u8>);

        impl Big {
            pub(super) fn times(&self, factor: u64) -> Big {
                let mut out = Vec::new();
                let mut carry = 0_u128;
                for &byte in &self.0 {
                    carry += u128::from(byte) * u128::from(factor);
                    out.push(carry as u8);
                    carry >>= 8;
                }
                while carry > 0 {
                    out.push(carry as u8);
                    carry >>= 8;
                }
                Big(out)
            }

            /// Doubles `count` times.
            pub(super) fn left(mut self, count: u64) -> Big {
                for _ in 0..count {
                    self = self.times(2);
                }
                self
            }

            /// Halves `count` times, each time rounding down.
            pub(super) fn right(mut self, count: u64) -> Big {
                for _ in 0..count {
                    let mut carry = 0;
                    for byte in self.0.iter_mut().rev() {
                        let low = *byte & 1;
                        *byte = *byte >> 1 | carry << 7;
                        carry = low;
                    }
                }
                self
            }

            /// The number, cut to 256 bits; `None` if it has more.
            pub(super) fn to_32_bytes(&self) -> Option<[u8; 32]> {
                let mut out = [0; 32];
                for (i, &byte) in self.0.iter().enumerate() {
                    match out.get_mut(i) {
                        Some(to) => *to = byte,
                        None if byte == 0 => {}
                        None => return None,
                    }
                }
                Some(out)
            }
        }
    }

    /// The specification's Python, line by line; numbers small enough for `i128` are kept there.
    fn by_the_book(schedule: &Schedule, height_delta: u32, time: u32) -> u32 {
        let time_delta = i128::from(time) - i128::from(schedule.anchor_parent_time);
        let difference = time_delta - i128::from(schedule.pow_target_spacing) * (i128::from(height_delta) + 1);
        let exponent = difference * 65536 / i128::from(schedule.half_life);
        let num_shifts = exponent.div_euclid(65536);
        let exponent = exponent - num_shifts * 65536;
        let factor =
            ((195766423245049 * exponent + 971821376 * exponent.pow(2) + 5127 * exponent.pow(3) + 2_i128.pow(47))
                >> 48)
                + 65536;
        let anchor = Target::from_compact(schedule.anchor_bits);
        let mut next = reference::Big(anchor.to_le_bytes().to_vec()).times(u64::try_from(factor).unwrap());
        let shifts = u64::try_from(num_shifts.unsigned_abs().min(2000)).unwrap();
        next = if num_shifts < 0 { next.right(shifts) } else { next.left(shifts) };
        next = next.right(16);
        let target = match next.to_32_bytes() {
            Some(bytes) if bytes == [0; 32] => return 0x0101_0000,
            Some(bytes) => Target::from_le_bytes(bytes).min(schedule.limit),
            None => schedule.limit,
        };
        target.to_compact_lossy().to_consensus()
    }

    fn bch() -> Schedule {
        Schedule {
            anchor_bits: CompactTarget::from_consensus(0x1804_dafe),
            anchor_parent_time: 1_605_447_844,
            pow_target_spacing: 600,
            half_life: 172_800,
            limit: ChainParams::main().consensus.pow_limit,
        }
    }

    #[test]
    fn on_schedule_the_target_stays() {
        let schedule = bch();
        for n in [0, 1, 100, 100_000] {
            let time = 1_605_447_844 + 600 * (n + 1);
            assert_eq!(schedule.target_after(n, time), schedule.anchor_bits, "{n} blocks");
        }
    }

    #[test]
    fn a_half_life_of_lag_doubles_and_of_lead_halves() {
        let schedule = bch();
        let anchor = Target::from_compact(schedule.anchor_bits);
        let on_time = 1_605_447_844 + 600 * 1001;
        let double: Target = Uint256::from(anchor).shl(1).unwrap().into();
        let half: Target = Uint256::from(anchor).shr(1).into();
        assert_eq!(schedule.target_after(1000, on_time + 172_800), double.to_compact_lossy());
        assert_eq!(schedule.target_after(1000, on_time - 172_800), half.to_compact_lossy());
    }

    #[test]
    fn the_target_stays_between_one_and_the_limit() {
        let schedule = bch();
        assert_eq!(schedule.target_after(0, u32::MAX).to_consensus(), 0x1d00_ffff);
        assert_eq!(schedule.target_after(u32::MAX, 0).to_consensus(), 0x0101_0000);
    }

    /// The approximation of 2^x is exact at 0, within 0.013 % in between (the specification's bound), and rises.
    #[test]
    fn the_cubic_is_close_to_the_exponential() {
        assert_eq!(two_to_the(0), 65536);
        let mut last = 0;
        for fraction in 0..65536_u64 {
            let value = two_to_the(fraction);
            let exact = 65536.0 * (fraction as f64 / 65536.0).exp2();
            assert!((value as f64 / exact - 1.0).abs() < 0.000_13 + 1.0 / exact, "at {fraction}");
            assert!(value >= last, "at {fraction}");
            last = value;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_the_specification_done_in_big_numbers(
            exponent in 1..=32_u32,
            mantissa in 0x8000..=0x7f_ffff_u32,
            blocks in prop_oneof![0..100_u32, any::<u32>()],
            lag in prop_oneof![-4000..4000_i64, -10_000_000..10_000_000_i64],
            half_life in prop_oneof![Just(172_800_u32), Just(600), 1..1_000_000_u32],
            spacing in 1..1000_u32,
            regtest: bool,
        ) {
            let limit = if regtest { ChainParams::regtest().consensus.pow_limit } else { ChainParams::dev().consensus.pow_limit };
            let anchor_parent_time = 1_795_392_000;
            let on_time = anchor_parent_time + i64::from(spacing) * (i64::from(blocks) + 1);
            let time = u32::try_from((on_time + lag).clamp(0, i64::from(u32::MAX))).unwrap();
            let anchor_bits = CompactTarget::from_consensus(exponent << 24 | mantissa);
            prop_assume!(Target::from_compact(anchor_bits) <= limit);
            let schedule = Schedule { anchor_bits, anchor_parent_time, pow_target_spacing: spacing, half_life, limit };
            prop_assert_eq!(schedule.target_after(blocks, time).to_consensus(), by_the_book(&schedule, blocks, time));
        }
    }
}
