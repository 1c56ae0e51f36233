//! The rules of a block among its ancestors, as far as their headers decide.
//!
//! Source of all: Bitcoin Core, `validation.cpp`, `ContextualCheckBlock`.

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::script::Builder;
use bitcoin::{Sequence, Transaction, WitnessCommitment};

use super::block::merkle_root;
use super::{MAX_BLOCK_WEIGHT, RuleError};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::headers::Ancestry;

/// Lock times below are heights, from here on seconds since 1970.
pub(super) const LOCKTIME_THRESHOLD: u32 = 500_000_000;

/// How a witness commitment begins: OP_RETURN, a push of 36 bytes, four bytes that mark it (BIP141).
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Checks everything about a block that its ancestors' headers decide. `ancestry` ends in the block's parent; the block
/// has passed [`validate_block_in_isolation`](super::validate_block_in_isolation).
pub fn validate_block_in_context(
    params: &ChainParams,
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
fn lock_time_cutoff(params: &ChainParams, ancestry: &impl Ancestry, block: &DecodedBlock) -> u32 {
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
pub(super) fn check_coinbase_height(params: &ChainParams, height: u32, block: &DecodedBlock) -> Result<(), RuleError> {
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

/// The coinbase commits to the witnesses, or there are none (BIP141).
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckWitnessMalleation`.
pub(crate) fn check_witness_commitment(
    params: &ChainParams,
    height: u32,
    block: &DecodedBlock,
) -> Result<(), RuleError> {
    let commitment = if height >= params.deployments.segwit { witness_commitment(block) } else { None };
    let Some((_, seen)) = commitment else { return check_no_witness(block) };
    let reserved = check_witness_reserved_value(block)?;
    let mut leaves: Vec<_> = block.wtxids().iter().map(|id| id.to_byte_array()).collect();
    // The coinbase cannot commit to itself.
    leaves[0] = [0; 32];
    let mut engine = sha256d::Hash::engine();
    engine.input(&merkle_root(leaves).root);
    engine.input(&reserved);
    let wanted = WitnessCommitment::from_raw_hash(sha256d::Hash::from_engine(engine));
    if seen == wanted { Ok(()) } else { Err(RuleError::WitnessMerkleRoot { seen, wanted }) }
}

/// The last output of the coinbase that is a witness commitment: its index and the commitment.
///
/// Source: Bitcoin Core, `consensus/validation.h`, `GetWitnessCommitmentIndex`.
pub(super) fn witness_commitment(block: &DecodedBlock) -> Option<(usize, WitnessCommitment)> {
    let outputs = block.transactions().first()?.output.iter().enumerate();
    outputs.rev().find_map(|(index, output)| {
        let rest = output.script_pubkey.as_bytes().strip_prefix(&COMMITMENT_PREFIX)?;
        let (commitment, _) = rest.split_first_chunk::<32>()?;
        Some((index, WitnessCommitment::from_byte_array(*commitment)))
    })
}

/// The coinbase's witness is one item of 32 bytes: the reserved value, which the commitment covers.
fn check_witness_reserved_value(block: &DecodedBlock) -> Result<[u8; 32], RuleError> {
    let input = block.transactions().first().and_then(|coinbase| coinbase.input.first());
    let witness = &input.ok_or(RuleError::CoinbaseMissing {})?.witness;
    let first = witness.iter().next();
    match first.and_then(|item| item.try_into().ok()) {
        Some(reserved) if witness.len() == 1 => Ok(reserved),
        _ => Err(RuleError::WitnessNonceSize { items: witness.len(), length: first.map(<[u8]>::len) }),
    }
}

/// Without a commitment there are no witnesses: nothing would cover them.
fn check_no_witness(block: &DecodedBlock) -> Result<(), RuleError> {
    let has_witness = |transaction: &Transaction| transaction.input.iter().any(|input| !input.witness.is_empty());
    match block.transactions().iter().position(has_witness) {
        Some(tx) => Err(RuleError::UnexpectedWitness { tx }),
        None => Ok(()),
    }
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
    use bitcoin::{Block, ScriptBuf, Witness, absolute};

    use super::*;
    use crate::rules::testing::{Alike, block_of, coin, coinbase, mine, outpoint, spend};

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
        let main = ChainParams::main();
        let block = block_of(vec![coinbase(1, 50)]);
        assert_eq!(lock_time_cutoff(&main, &Alike::new(419_326, 77), &block), block.header().time);
        assert_eq!(lock_time_cutoff(&main, &Alike::new(419_327, 77), &block), 77);
    }

    #[test]
    fn coinbases_begin_with_the_height_since_bip34() {
        let main = ChainParams::main();
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
        let regtest = ChainParams::regtest();
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

    /// A block with a transaction that has a witness, and with a commitment to it.
    fn with_witness() -> Block {
        let mut transaction = spend(&[outpoint(1)], &[1]);
        transaction.input[0].witness = Witness::from_slice(&[[7; 5]]);
        let mut coinbase = coinbase(1, 50);
        coinbase.input[0].witness = Witness::from_slice(&[[9; 32]]);
        let mut block = block_of(vec![coinbase, transaction]).block().clone();
        commit(&mut block);
        block
    }

    /// Adds an output that commits to the witnesses as they are.
    fn commit(block: &mut Block) {
        let root = block.witness_root().unwrap();
        let reserved = block.txdata[0].input[0].witness.to_vec().remove(0);
        let commitment = Block::compute_witness_commitment(&root, &reserved);
        let script = [&COMMITMENT_PREFIX[..], commitment.as_byte_array()].concat();
        let mut output = coin(0, 0).output;
        output.script_pubkey = ScriptBuf::from_bytes(script);
        block.txdata[0].output.push(output);
    }

    fn witness_verdict(block: Block) -> Result<(), RuleError> {
        check_witness_commitment(&ChainParams::regtest(), 1, &mine(block))
    }

    #[test]
    fn witnesses_that_are_committed_to_are_accepted() {
        assert_eq!(witness_verdict(with_witness()), Ok(()));
        assert_eq!(witness_verdict(block_of(vec![coinbase(1, 50)]).block().clone()), Ok(()), "none, and no commitment");
    }

    #[test]
    fn the_last_commitment_counts() {
        let mut block = with_witness();
        let first = block.txdata[0].output.pop().unwrap();
        let mut wrong = first.clone();
        wrong.script_pubkey = ScriptBuf::from_bytes([&COMMITMENT_PREFIX[..], &[0; 40]].concat());
        let mut outputs = vec![wrong.clone(), first.clone()];
        block.txdata[0].output = outputs.clone();
        assert_eq!(witness_verdict(block.clone()), Ok(()));
        outputs.reverse();
        block.txdata[0].output = outputs;
        assert_eq!(witness_verdict(block).unwrap_err().reject_reason(), "bad-witness-merkle-match");
    }

    #[test]
    fn a_changed_witness_is_refused() {
        let mut block = with_witness();
        block.txdata[1].input[0].witness = Witness::from_slice(&[[8; 5]]);
        let error = witness_verdict(block).unwrap_err();
        assert_eq!(error.reject_reason(), "bad-witness-merkle-match");
        assert_ne!(error.seen(), error.wanted());
    }

    #[test]
    fn the_reserved_value_is_one_item_of_32_bytes() {
        for (witness, items, length) in [
            (Witness::new(), 0, None),
            (Witness::from_slice(&[[9; 31]]), 1, Some(31)),
            (Witness::from_slice(&[[9; 32], [9; 32]]), 2, Some(32)),
        ] {
            let mut block = with_witness();
            block.txdata[0].input[0].witness = witness;
            let error = witness_verdict(block).unwrap_err();
            assert_eq!(error, RuleError::WitnessNonceSize { items, length });
            assert_eq!(error.reject_reason(), "bad-witness-nonce-size");
        }
    }

    #[test]
    fn witnesses_without_a_commitment_are_refused() {
        let mut block = with_witness();
        block.txdata[0].output.pop();
        assert_eq!(witness_verdict(block), Err(RuleError::UnexpectedWitness { tx: 0 }));
        let mut main = ChainParams::main();
        main.pow_limit = ChainParams::regtest().pow_limit;
        let verdict = check_witness_commitment(&main, 481_823, &mine(with_witness()));
        assert_eq!(verdict, Err(RuleError::UnexpectedWitness { tx: 0 }), "before segwit nothing commits");
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
        let regtest = ChainParams::regtest();
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
