//! The rules of a block in isolation.

use super::error::RuleError;
use super::header::validate_header_in_isolation;
use super::merkle::check_merkle_root;
use super::signet::check_signet_solution;
use super::sigops::{check_sigop_cost, legacy_sigops};
use super::transaction::validate_transaction_in_isolation;
use crate::block::DecodedBlock;
use crate::consensus::{ConsensusParams, MAX_BLOCK_WEIGHT, WITNESS_SCALE_FACTOR};

/// Checks a block in isolation: every rule that depends on the block alone.
///
/// # Errors
/// The first rule that the block breaks, in Bitcoin Core's order.
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckBlock`, as for all rules in this file.
pub fn validate_block_in_isolation(params: &ConsensusParams, block: &DecodedBlock) -> Result<(), RuleError> {
    validate_bytes_in_isolation(params, block)?;
    validate_transactions_in_isolation(block)
}

/// Checks proof of work, signet solution, Merkle root and size. A failure here may be malleation: other bytes with the same
/// hash may be valid. These rules come before those of the transactions.
pub(super) fn validate_bytes_in_isolation(params: &ConsensusParams, block: &DecodedBlock) -> Result<(), RuleError> {
    validate_header_in_isolation(params, block.header(), block.hash())?;
    check_signet_solution(params, block)?;
    validate_unsolved_bytes_in_isolation(block)
}

/// Checks Merkle root and size of a block that need not have proof of work or a signet solution.
pub(super) fn validate_unsolved_bytes_in_isolation(block: &DecodedBlock) -> Result<(), RuleError> {
    check_merkle_root(block)?;
    check_length(block)
}

/// Checks the transactions of a block in isolation.
pub(super) fn validate_transactions_in_isolation(block: &DecodedBlock) -> Result<(), RuleError> {
    check_first_is_coinbase(block)?;
    check_only_first_is_coinbase(block)?;
    for (tx, transaction) in block.transactions().iter().enumerate() {
        validate_transaction_in_isolation(transaction, block.stripped_transaction_size(tx))
            .map_err(RuleError::in_transaction(block, tx))?;
    }
    check_legacy_sigops(block)
}

/// A block has transactions, and its length without witnesses is at most a quarter of the largest weight.
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

/// Legacy signature operations alone stay below the block limit; needs no coins.
fn check_legacy_sigops(block: &DecodedBlock) -> Result<(), RuleError> {
    let sigops: u64 = block.transactions().iter().map(legacy_sigops).sum();
    check_sigop_cost(sigops * WITNESS_SCALE_FACTOR as u64)
}

#[cfg(test)]
mod tests {
    use bitcoin::{ScriptBuf, Transaction};

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{block_of, coinbase, outpoint, spend};
    use crate::rules::transaction_error::TransactionError;

    fn verdict(transactions: Vec<Transaction>) -> Result<(), RuleError> {
        validate_block_in_isolation(&ChainParams::regtest().consensus, &block_of(transactions))
    }

    /// Different transactions that spend output 0 of as many others.
    fn spends(count: u8) -> impl Iterator<Item = Transaction> {
        (0..count).map(|n| spend(&[outpoint(n)], &[1]))
    }

    #[test]
    fn a_good_block_is_accepted() {
        assert_eq!(verdict(vec![coinbase(1, 50)]), Ok(()));
        assert_eq!(verdict([coinbase(1, 50)].into_iter().chain(spends(6)).collect()), Ok(()));
    }

    #[test]
    fn the_header_is_checked_first() {
        let block = block_of(vec![]);
        let error = validate_block_in_isolation(&ChainParams::main().consensus, &block).unwrap_err();
        assert_eq!(error.reject_reason(), "high-hash");
    }

    #[test]
    fn a_block_without_transactions_is_refused() {
        let error = RuleError::BlockLength { transactions: 0, stripped_size: 81 };
        assert_eq!(verdict(vec![]), Err(error));
    }

    #[test]
    fn a_million_bytes_without_witnesses_are_the_limit() {
        let of_size = |size: usize| {
            let mut coinbase = coinbase(1, 50);
            // Header, count, and the four bytes more that the length of a long script takes.
            let rest = 81 + coinbase.base_size() - 1 + 4;
            coinbase.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0; size - rest]);
            block_of(vec![coinbase])
        };
        let block = of_size(1_000_000);
        assert_eq!(block.stripped_size(), 1_000_000);
        assert_eq!(check_length(&block), Ok(()));
        let error = RuleError::BlockLength { transactions: 1, stripped_size: 1_000_001 };
        assert_eq!(check_length(&of_size(1_000_001)), Err(error));
    }

    #[test]
    fn the_coinbase_is_the_first_and_only() {
        assert_eq!(verdict(spends(2).collect()), Err(RuleError::CoinbaseMissing {}));
        let mut transactions: Vec<_> = [coinbase(1, 50)].into_iter().chain(spends(2)).collect();
        transactions.push(coinbase(2, 50));
        assert_eq!(verdict(transactions), Err(RuleError::CoinbaseMultiple { tx: 3 }));
    }

    #[test]
    fn transactions_are_checked_each() {
        let mut bad = spend(&[outpoint(1)], &[1]);
        bad.output[0].value = bitcoin::Amount::from_sat(u64::MAX);
        let (txid, error) = (bad.compute_txid(), TransactionError::NegativeOutput { output: 0, value: -1 });
        let error = RuleError::Transaction { tx: 1, txid, error };
        assert_eq!(error.reject_reason(), "bad-txns-vout-negative");
        assert_eq!(verdict(vec![coinbase(1, 50), bad]), Err(error));
    }

    #[test]
    fn twenty_thousand_signature_operations_are_the_limit() {
        let with_sigops = |count: usize| {
            let mut coinbase = coinbase(1, 50);
            coinbase.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; count]);
            check_legacy_sigops(&block_of(vec![coinbase]))
        };
        assert_eq!(with_sigops(20_000), Ok(()));
        assert_eq!(with_sigops(20_001), Err(RuleError::SigopCost { cost: 80_004 }));
    }
}
