//! Proof of work: the range of targets, and the hash below the target.

use bitcoin::{BlockHash, CompactTarget, Target, Work};

use super::error::RuleError;
use crate::consensus::derive_target;
use crate::consensus::uint256::Uint256;

/// The target of a header is one that the chain allows. Returns the target.
///
/// # Errors
/// [`RuleError::InvalidTarget`]: `bits` encode no target from 1 to `limit`.
///
/// Source: Bitcoin Core, `pow.cpp`, `CheckProofOfWorkImpl`.
pub fn check_target(bits: CompactTarget, limit: Target) -> Result<Target, RuleError> {
    derive_target(bits, limit).map_err(|fault| RuleError::InvalidTarget { bits, fault, limit })
}

/// A block's hash, read as a little-endian number, is at most the target.
///
/// Source: Bitcoin Core, `pow.cpp`, `CheckProofOfWorkImpl`.
pub(super) fn check_proof_of_work(hash: BlockHash, target: Target) -> Result<(), RuleError> {
    if target.is_met_by(hash) { Ok(()) } else { Err(RuleError::HighHash { hash, target }) }
}

/// Whether `work` takes longer than `seconds` at the rate of one block of `block` work each `spacing` seconds.
///
/// Source: Bitcoin Core, `chain.cpp`, `GetBlockProofEquivalentTime`, whose whole seconds are compared. Core's product is
/// modulo 2^256; here it is exact.
pub(crate) fn takes_longer(work: Work, block: Work, spacing: u32, seconds: u32) -> bool {
    // floor(work * spacing / block) > seconds, without the division.
    let (low, high) = Uint256::from(work).mul_wide(u64::from(spacing));
    let (least_low, least_high) = Uint256::from(block).mul_wide(u64::from(seconds) + 1);
    (high, low) >= (least_high, least_low)
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;
    use crate::chain::ChainParams;
    use crate::consensus::TargetFault;

    #[test]
    fn a_target_is_within_the_limit_of_its_chain() {
        let bits = CompactTarget::from_consensus(0x207f_ffff);
        assert!(check_target(bits, ChainParams::regtest().consensus.pow_limit).is_ok());
        let limit = ChainParams::main().consensus.pow_limit;
        let error = check_target(bits, limit).unwrap_err();
        assert_eq!(error, RuleError::InvalidTarget { bits, fault: TargetFault::AboveLimit, limit });
        assert_eq!(error.reject_reason(), "high-hash");
    }

    #[test]
    fn the_hash_may_equal_the_target_and_not_exceed_it() {
        let target = ChainParams::regtest().consensus.pow_limit;
        let mut bytes = target.to_le_bytes();
        assert_eq!(check_proof_of_work(BlockHash::from_byte_array(bytes), target), Ok(()));
        bytes[31] = 0x80;
        let hash = BlockHash::from_byte_array(bytes);
        assert_eq!(check_proof_of_work(hash, target), Err(RuleError::HighHash { hash, target }));
    }

    #[test]
    fn equivalent_time_is_work_at_the_rate_of_a_block() {
        let work = |n: u64| {
            let mut bytes = [0; 32];
            bytes[24..].copy_from_slice(&n.to_be_bytes());
            Work::from_be_bytes(bytes)
        };
        // 2,016 blocks of 600 seconds are two weeks, and longer takes one more.
        let block = work(0x1_0001_0001);
        let blocks = |n: u64| work(n * 0x1_0001_0001);
        assert!(!takes_longer(blocks(2016), block, 600, 1_209_600));
        assert!(takes_longer(blocks(2017), block, 600, 1_209_600));
        // Fractions of a second do not count.
        assert!(!takes_longer(work(20), work(7), 1, 2));
        assert!(takes_longer(work(21), work(7), 1, 2));
        // Products above 2^256 on either side.
        let most = Work::from_be_bytes([0xff; 32]);
        assert!(takes_longer(most, work(1), u32::MAX, u32::MAX));
        assert!(!takes_longer(most, most, 600, 600));
        assert!(!takes_longer(work(1), most, u32::MAX, u32::MAX));
    }
}
