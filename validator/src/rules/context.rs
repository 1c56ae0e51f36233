//! The rules of a block among its ancestors, as far as their headers decide.
//!
//! Source of all: Bitcoin Core, `validation.cpp`, `ContextualCheckBlock`.

use bitcoin::script::Builder;
use bitcoin::{Sequence, Transaction};

use super::error::RuleError;
use super::witness::check_witness_commitment;
use crate::block::DecodedBlock;
use crate::consensus::{ConsensusParams, LOCKTIME_THRESHOLD, MAX_BLOCK_WEIGHT};
use crate::headers::Ancestry;

/// Checks everything about a block that its ancestors' headers decide. `ancestry` ends in the block's parent; the block
/// has passed [`validate_block_in_isolation`](super::validate_block_in_isolation).
pub fn validate_block_in_context(
    params: &ConsensusParams,
    ancestry: &impl Ancestry,
    block: &DecodedBlock,
) -> Result<(), RuleError> {
    let height = ancestry.tip_height() + 1;
    check_final(block, height, lock_time_cutoff(params, ancestry, block))?;
    check_coinbase_height(params, height, block)?;
    check_witness_commitment(params, height, block)?;
    check_weight(block)
}

/// What lock times in seconds are compared with: the median of the ancestors' times since BIP113, before it the block's.
fn lock_time_cutoff(params: &ConsensusParams, ancestry: &impl Ancestry, block: &DecodedBlock) -> u32 {
    let parent = ancestry.tip_height();
    if parent + 1 >= params.deployments.csv { ancestry.median_time_past_at(parent) } else { block.header().time }
}

/// Every transaction's lock time is over, or all its inputs waive it.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `IsFinalTx`.
pub(super) fn check_final(block: &DecodedBlock, height: u32, cutoff: u32) -> Result<(), RuleError> {
    for (tx, transaction) in block.transactions().iter().enumerate() {
        let lock_time = transaction.lock_time.to_consensus_u32();
        let now = if lock_time < LOCKTIME_THRESHOLD { height } else { cutoff };
        if lock_time != 0 && lock_time >= now && !waives_lock_time(transaction) {
            return Err(RuleError::NonFinal { tx, lock_time, now });
        }
    }
    Ok(())
}

/// Whether every input opts out of the lock time.
pub(super) fn waives_lock_time(transaction: &Transaction) -> bool {
    transaction.input.iter().all(|input| input.sequence == Sequence::MAX)
}

/// The coinbase's script begins with the block's height (BIP34).
pub(super) fn check_coinbase_height(
    params: &ConsensusParams,
    height: u32,
    block: &DecodedBlock,
) -> Result<(), RuleError> {
    if height < params.deployments.bip34 {
        return Ok(());
    }
    let wanted = Builder::new().push_int(height.into()).into_script();
    let coinbase = block.transactions().first().and_then(|coinbase| coinbase.input.first());
    let script = &coinbase.ok_or(RuleError::CoinbaseMissing {})?.script_sig;
    if script.as_bytes().starts_with(wanted.as_bytes()) {
        return Ok(());
    }
    Err(RuleError::CoinbaseHeight { script: script.clone(), wanted, height })
}

/// The block weighs at most four million (BIP141).
///
/// It comes after the commitment: before it, a witness could be padded without a change to the block's hash.
pub(super) fn check_weight(block: &DecodedBlock) -> Result<(), RuleError> {
    let weight = block.weight();
    if weight <= MAX_BLOCK_WEIGHT { Ok(()) } else { Err(RuleError::Weight { weight }) }
}

#[cfg(test)]
mod tests {
    use bitcoin::{ScriptBuf, Witness, absolute};

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{Alike, block_of, coinbase, mine, outpoint, spend};
    use crate::rules::witness::tests::with_witness;

    const TIME: u32 = 1_600_000_000;

    /// A block with a transaction that is locked until `lock_time`.
    fn locked(lock_time: u32) -> DecodedBlock {
        let mut transaction = spend(&[outpoint(1), outpoint(2)], &[1]);
        transaction.lock_time = absolute::LockTime::from_consensus(lock_time);
        transaction.input[1].sequence = Sequence::ZERO;
        block_of(vec![coinbase(101, 50), transaction])
    }

    fn non_final(lock_time: u32, now: u32) -> Result<(), RuleError> {
        Err(RuleError::NonFinal { tx: 1, lock_time, now })
    }

    #[test]
    fn a_lock_by_height_opens_after_that_height() {
        assert_eq!(check_final(&locked(0), 0, 0), Ok(()));
        assert_eq!(check_final(&locked(100), 101, TIME), Ok(()));
        assert_eq!(check_final(&locked(101), 101, TIME), non_final(101, 101));
        assert_eq!(check_final(&locked(499_999_999), 101, TIME), non_final(499_999_999, 101));
    }

    #[test]
    fn a_lock_by_time_opens_after_that_time() {
        assert_eq!(check_final(&locked(TIME - 1), 101, TIME), Ok(()));
        assert_eq!(check_final(&locked(TIME), 101, TIME), non_final(TIME, TIME));
        assert_eq!(check_final(&locked(500_000_000), 900_000_000, 1), non_final(500_000_000, 1));
    }

    #[test]
    fn inputs_that_all_opt_out_have_no_lock() {
        let mut block = locked(u32::MAX).block().clone();
        block.txdata[1].input[1].sequence = Sequence::MAX;
        assert_eq!(check_final(&mine(block), 101, TIME), Ok(()));
    }

    #[test]
    fn locks_by_time_are_compared_with_the_median_since_bip113() {
        let main = ChainParams::main().consensus;
        let block = block_of(vec![coinbase(1, 50)]);
        assert_eq!(lock_time_cutoff(&main, &Alike::new(419_326, 77), &block), block.header().time);
        assert_eq!(lock_time_cutoff(&main, &Alike::new(419_327, 77), &block), 77);
    }

    #[test]
    fn coinbases_begin_with_the_height_since_bip34() {
        let main = ChainParams::main().consensus;
        let block = block_of(vec![coinbase(227_931, 50)]);
        assert_eq!(check_coinbase_height(&main, 227_931, &block), Ok(()));
        assert_eq!(check_coinbase_height(&main, 227_930, &block), Ok(()), "too early to matter");
        let error = check_coinbase_height(&main, 227_932, &block).unwrap_err();
        assert_eq!(error.reject_reason(), "bad-cb-height");
        assert_eq!(error.seen(), "035b7a030474657374");
        assert_eq!(error.wanted(), "035c7a03 for height 227932");
    }

    /// Heights up to 16 have opcodes of their own, and numbers are signed: 128 takes two bytes.
    #[test]
    fn heights_are_pushed_as_numbers() {
        let regtest = ChainParams::regtest().consensus;
        for (height, script) in [
            (1, &[0x51, 0][..]),
            (16, &[0x60, 0]),
            (17, &[1, 17]),
            (127, &[1, 127]),
            (128, &[2, 128, 0]),
            (32_768, &[3, 0, 128, 0]),
        ] {
            let mut coinbase = coinbase(1, 50);
            coinbase.input[0].script_sig = ScriptBuf::from_bytes(script.to_vec());
            assert_eq!(check_coinbase_height(&regtest, height, &block_of(vec![coinbase.clone()])), Ok(()), "{height}");
            assert!(check_coinbase_height(&regtest, height + 1, &block_of(vec![coinbase])).is_err(), "{height}");
        }
    }

    #[test]
    fn four_million_is_the_limit_of_weight() {
        let of_weight = |weight: usize| {
            let mut block = with_witness();
            block.txdata[1].input[0].witness = Witness::from_slice(&[vec![0; 100_000]]);
            let missing = weight - mine(block.clone()).weight();
            block.txdata[1].input[0].witness = Witness::from_slice(&[vec![0; 100_000 + missing]]);
            mine(block)
        };
        assert_eq!(of_weight(4_000_000).weight(), 4_000_000);
        assert_eq!(check_weight(&of_weight(4_000_000)), Ok(()));
        assert_eq!(check_weight(&of_weight(4_000_001)), Err(RuleError::Weight { weight: 4_000_001 }));
    }

    #[test]
    fn the_driver_applies_every_rule_at_the_blocks_height() {
        let regtest = ChainParams::regtest().consensus;
        let verdict = |block, tip_height| validate_block_in_context(&regtest, &Alike::new(tip_height, TIME), &block);
        assert_eq!(verdict(locked(100), 100), Ok(()));
        assert_eq!(verdict(locked(101), 100).unwrap_err().reject_reason(), "bad-txns-nonfinal");
        assert_eq!(verdict(locked(100), 101).unwrap_err().reject_reason(), "bad-cb-height");
        let mut uncommitted = with_witness();
        uncommitted.txdata[0].output.pop();
        assert_eq!(verdict(mine(uncommitted), 0).unwrap_err().reject_reason(), "unexpected-witness");
        let mut heavy = coinbase(1, 50);
        heavy.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0; 1_000_000]);
        assert_eq!(verdict(block_of(vec![heavy]), 0).unwrap_err().reject_reason(), "bad-blk-weight");
    }
}
