//! The rules of a block by itself.

use adit_hash::{Backend, Digest, MerkleRoot};
use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash;

use super::header::validate_header_in_isolation;
use super::signet::check_signet_solution;
use super::sigops::{check_sigop_cost, legacy_sigops};
use super::transaction::validate_transaction_in_isolation;
use super::{MAX_BLOCK_WEIGHT, RuleError, WITNESS_SCALE_FACTOR};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;

/// Checks everything about a block that it shows by itself.
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckBlock`, as for all of these. Whatever could be wrong with the bytes and
/// not with the block that its hash names comes before the transactions are looked at.
pub fn validate_block_in_isolation(params: &ChainParams, block: &DecodedBlock) -> Result<(), RuleError> {
    validate_header_in_isolation(params, block.header(), block.hash())?;
    check_signet_solution(params, block)?;
    check_merkle_root(block)?;
    check_length(block)?;
    check_first_is_coinbase(block)?;
    check_only_first_is_coinbase(block)?;
    for (tx, transaction) in block.transactions().iter().enumerate() {
        validate_transaction_in_isolation(tx, transaction, block.stripped_transaction_size(tx))?;
    }
    check_legacy_sigops(block)
}

/// The root over `leaves`; zeros over none, which is how Bitcoin Core has it.
pub(super) fn merkle_root(mut leaves: Vec<Digest>) -> MerkleRoot {
    adit_hash::merkle_root(Backend::fastest(), &mut leaves).unwrap_or(MerkleRoot { root: [0; 32], mutated: false })
}

/// The header commits to the transactions, and to no other list of them (CVE-2012-2459).
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckMerkleRoot`.
fn check_merkle_root(block: &DecodedBlock) -> Result<(), RuleError> {
    let MerkleRoot { root, mutated } = merkle_root(block.txids().iter().map(|id| id.to_byte_array()).collect());
    let wanted = TxMerkleNode::from_byte_array(root);
    let seen = block.header().merkle_root;
    if seen != wanted {
        return Err(RuleError::MerkleRoot { seen, wanted });
    }
    if mutated { Err(RuleError::DuplicateTransactions {}) } else { Ok(()) }
}

/// A block has transactions, and without their witnesses at most a quarter of the weight that it may have.
fn check_length(block: &DecodedBlock) -> Result<(), RuleError> {
    let transactions = block.transactions().len();
    let stripped_size = block.stripped_size();
    if transactions == 0
        || transactions * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT
        || stripped_size * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT
    {
        return Err(RuleError::BlockLength { transactions, stripped_size });
    }
    Ok(())
}

/// The first transaction is a coinbase.
fn check_first_is_coinbase(block: &DecodedBlock) -> Result<(), RuleError> {
    match block.transactions().first() {
        Some(first) if first.is_coinbase() => Ok(()),
        _ => Err(RuleError::CoinbaseMissing {}),
    }
}

/// No transaction but the first is a coinbase.
fn check_only_first_is_coinbase(block: &DecodedBlock) -> Result<(), RuleError> {
    match block.transactions().iter().skip(1).position(bitcoin::Transaction::is_coinbase) {
        Some(after_first) => Err(RuleError::CoinbaseMultiple { tx: after_first + 1 }),
        None => Ok(()),
    }
}

/// The signature operations that stand in the block itself cost no more than all may: a bound that needs no coins.
fn check_legacy_sigops(block: &DecodedBlock) -> Result<(), RuleError> {
    let sigops: u64 = block.transactions().iter().map(legacy_sigops).sum();
    check_sigop_cost(sigops * WITNESS_SCALE_FACTOR as u64)
}
