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
/// Source: Bitcoin Core, `validation.cpp`, `CheckBlock`, as for all of these.
pub fn validate_block_in_isolation(params: &ChainParams, block: &DecodedBlock) -> Result<(), RuleError> {
    validate_bytes_in_isolation(params, block)?;
    validate_transactions_in_isolation(block)
}

/// That somebody has worked for these very bytes, witnesses apart, and that there are not too many. What could be wrong with
/// them and not with the block that its hash names comes here, before the transactions are looked at.
pub(super) fn validate_bytes_in_isolation(params: &ChainParams, block: &DecodedBlock) -> Result<(), RuleError> {
    validate_header_in_isolation(params, block.header(), block.hash())?;
    check_signet_solution(params, block)?;
    check_merkle_root(block)?;
    check_length(block)
}

/// What the transactions show by themselves.
pub(super) fn validate_transactions_in_isolation(block: &DecodedBlock) -> Result<(), RuleError> {
    check_first_is_coinbase(block)?;
    check_only_first_is_coinbase(block)?;
    for (tx, transaction) in block.transactions().iter().enumerate() {
        validate_transaction_in_isolation(tx, transaction, block.stripped_transaction_size(tx))?;
    }
    check_legacy_sigops(block)
}

/// The root over `leaves`; zeros over none, which is how Bitcoin Core has it.
pub(super) fn merkle_root(mut leaves: Vec<Digest>) -> MerkleRoot {
    adit_hash::merkle_root(Backend::fastest_pairs(), &mut leaves)
        .unwrap_or(MerkleRoot { root: [0; 32], mutated: false })
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

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;
    use bitcoin::{ScriptBuf, Transaction};

    use super::*;
    use crate::rules::testing::{block_of, coinbase, outpoint, spend};

    fn verdict(transactions: Vec<Transaction>) -> Result<(), RuleError> {
        validate_block_in_isolation(&ChainParams::regtest(), &block_of(transactions))
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
        let error = validate_block_in_isolation(&ChainParams::main(), &block).unwrap_err();
        assert_eq!(error.reject_reason(), "high-hash");
    }

    #[test]
    fn the_merkle_root_is_that_of_the_transactions() {
        let block = block_of(vec![coinbase(1, 50)]);
        assert_eq!(check_merkle_root(&block), Ok(()));
        let mut other = block.block().clone();
        other.txdata[0].output[0].script_pubkey = ScriptBuf::new();
        let other = DecodedBlock::decode(serialize(&other)).unwrap();
        let error = check_merkle_root(&other).unwrap_err();
        assert_eq!(error.reject_reason(), "bad-txnmrklroot");
        assert_eq!(error.seen(), block.txids()[0].to_string());
        assert_eq!(error.wanted(), other.txids()[0].to_string());
    }

    /// CVE-2012-2459: transactions 1 2 3 have the root of 1 2 3 3, and 1 to 6 that of 1 to 6 and 5 6.
    #[test]
    fn repetitions_that_keep_the_root_are_refused() {
        for (count, repeated) in [(3, 2..3), (6, 4..6)] {
            let good: Vec<_> = [coinbase(1, 50)].into_iter().chain(spends(count - 1)).collect();
            let mut bad = good.clone();
            bad.extend_from_slice(&good[repeated]);
            let (good, bad) = (block_of(good), block_of(bad));
            assert_eq!(good.hash(), bad.hash(), "the same header");
            assert_eq!(check_merkle_root(&good), Ok(()));
            let error = check_merkle_root(&bad).unwrap_err();
            assert_eq!(error, RuleError::DuplicateTransactions {});
            assert_eq!(error.reject_reason(), "bad-txns-duplicate");
        }
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
        let error = RuleError::NegativeOutput { tx: 1, output: 0, value: -1 };
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
