//! The Merkle root: the header commits to the transactions and to their order.

use adit_hash::{Backend, HashBytes, MerkleRoot};
use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash;

use super::error::RuleError;
use crate::block::DecodedBlock;

/// The Merkle root of `leaves`, and whether two equal neighbours make it ambiguous. Without leaves it is zero, as in Bitcoin
/// Core.
pub(super) fn merkle_root(mut leaves: Vec<HashBytes>) -> MerkleRoot {
    adit_hash::merkle_root(Backend::fastest_pairs(), &mut leaves).unwrap_or_default()
}

/// The header commits to the transactions, and no transactions are repeated in a way that keeps the root (CVE-2012-2459).
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckMerkleRoot`.
pub(super) fn check_merkle_root(block: &DecodedBlock) -> Result<(), RuleError> {
    let MerkleRoot { root, mutated } = merkle_root(block.txids().iter().map(|id| id.to_byte_array()).collect());
    let wanted = TxMerkleNode::from_byte_array(root);
    let seen = block.header().merkle_root;
    if seen != wanted {
        return Err(RuleError::MerkleRoot { seen, wanted });
    }
    if mutated { Err(RuleError::DuplicateTransactions {}) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;
    use bitcoin::{ScriptBuf, Transaction};

    use super::*;
    use crate::rules::testing::{block_of, coinbase, outpoint, spend};

    /// Different transactions that spend output 0 of as many others.
    fn spends(count: u8) -> impl Iterator<Item = Transaction> {
        (0..count).map(|n| spend(&[outpoint(n)], &[1]))
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
}
