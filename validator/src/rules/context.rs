//! The rules of a block in context, which depend on its height and its ancestors' headers.
//!
//! Source of all rules in this file: Bitcoin Core, `validation.cpp`, `ContextualCheckBlock`.

use bitcoin::script::Builder;

use super::block_context::BlockContext;
use super::error::RuleError;
use super::lock_time::{check_final, lock_time_cutoff};
use super::witness::check_witness_commitment;
use crate::block::DecodedBlock;
use crate::consensus::{ConsensusParams, MAX_BLOCK_WEIGHT};

/// Checks a block in context: every rule about its transactions that depends on its height or its ancestors' headers. The
/// block has passed [`validate_block_in_isolation`](super::validate_block_in_isolation).
///
/// # Errors
/// The first rule that the block breaks, in Bitcoin Core's order.
pub fn validate_block_in_context(
    params: &ConsensusParams,
    context: BlockContext<'_>,
    block: &DecodedBlock,
) -> Result<(), RuleError> {
    let height = context.height();
    let cutoff = lock_time_cutoff(params, context, block.header().time);
    for (tx, transaction) in block.transactions().iter().enumerate() {
        check_final(transaction, height, cutoff).map_err(RuleError::in_transaction(block, tx))?;
    }
    check_coinbase_height(params, height, block)?;
    check_witness_commitment(params, height, block)?;
    check_weight(block)
}

/// The coinbase's script begins with the block's height (BIP34).
fn check_coinbase_height(params: &ConsensusParams, height: u32, block: &DecodedBlock) -> Result<(), RuleError> {
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

/// The block's weight is at most four million (BIP141).
///
/// It comes after the witness commitment: an uncommitted witness can be made longer without another block hash.
fn check_weight(block: &DecodedBlock) -> Result<(), RuleError> {
    let weight = block.weight();
    if weight <= MAX_BLOCK_WEIGHT { Ok(()) } else { Err(RuleError::Weight { weight }) }
}

#[cfg(test)]
mod tests {
    use bitcoin::{ScriptBuf, Sequence, Witness, absolute};

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{UniformChain, block_of, coinbase, mine, outpoint, spend};
    use crate::rules::witness::tests::with_witness;

    const TIME: u32 = 1_600_000_000;

    /// A block with a transaction that is locked until `lock_time`.
    fn locked(lock_time: u32) -> DecodedBlock {
        let mut transaction = spend(&[outpoint(1), outpoint(2)], &[1]);
        transaction.lock_time = absolute::LockTime::from_consensus(lock_time);
        transaction.input[1].sequence = Sequence::ZERO;
        block_of(vec![coinbase(101, 50), transaction])
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
        let verdict = |block, tip_height| {
            validate_block_in_context(&regtest, BlockContext::after(&UniformChain::new(tip_height, TIME)), &block)
        };
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
