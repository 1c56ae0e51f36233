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
const LOCKTIME_THRESHOLD: u32 = 500_000_000;

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

fn waives_lock_time(transaction: &Transaction) -> bool {
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
pub(super) fn check_witness_commitment(
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
