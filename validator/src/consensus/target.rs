//! Decodes the compact target of a header.

use bitcoin::{CompactTarget, Target};

use super::uint256::Uint256;

/// The reason why a compact target is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetFault {
    /// The sign bit is set.
    #[error("negative")]
    Negative,
    /// It is zero.
    #[error("zero")]
    Zero,
    /// It does not fit 256 bits.
    #[error("above 256 bits")]
    Overflow,
    /// It is above the chain's limit.
    #[error("above the limit")]
    AboveLimit,
}

/// The target that `bits` encode, from 1 to `limit`.
///
/// `bitcoin`'s own conversion is not used: it reads a negative target as zero and wraps on overflow.
///
/// # Errors
/// The encoding is negative, zero, longer than 256 bits or above `limit`.
///
/// Source: Bitcoin Core, `pow.cpp`, `DeriveTarget`.
pub fn derive_target(bits: CompactTarget, limit: Target) -> Result<Target, TargetFault> {
    let compact = Uint256::from_compact(bits.to_consensus());
    if compact.negative {
        Err(TargetFault::Negative)
    } else if compact.value.is_zero() && !compact.overflow {
        Err(TargetFault::Zero)
    } else if compact.overflow {
        Err(TargetFault::Overflow)
    } else if compact.value > limit.into() {
        Err(TargetFault::AboveLimit)
    } else {
        Ok(compact.value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit of main.
    fn limit() -> Target {
        Target::MAX_ATTAINABLE_MAINNET
    }

    fn derive(bits: u32, limit: Target) -> Result<Target, TargetFault> {
        derive_target(CompactTarget::from_consensus(bits), limit)
    }

    #[test]
    fn targets_in_range_are_accepted() {
        assert!(derive(0x1d00_ffff, limit()).is_ok());
        assert!(derive(0x0101_0000, limit()).is_ok(), "a target of one");
        assert!(derive(0x207f_ffff, Target::MAX_ATTAINABLE_REGTEST).is_ok());
        let target = derive(0x1b04_04cb, limit()).unwrap();
        assert_eq!(format!("{target:x}"), "00000000000404cb000000000000000000000000000000000000000000000000");
    }

    #[test]
    fn targets_out_of_range_are_refused() {
        for (bits, fault) in [
            (0x1d80_ffff, TargetFault::Negative),
            (0x1d00_0000, TargetFault::Zero),
            // Minus zero, and a mantissa that is shifted out.
            (0x1d80_0000, TargetFault::Zero),
            (0x0000_ffff, TargetFault::Zero),
            (0xff00_ffff, TargetFault::Overflow),
            (0x2100_ffff, TargetFault::AboveLimit),
            (0x1d01_0000, TargetFault::AboveLimit),
        ] {
            assert_eq!(derive(bits, limit()), Err(fault), "{bits:08x}");
        }
    }
}
