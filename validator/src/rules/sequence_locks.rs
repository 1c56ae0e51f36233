//! Relative lock times (BIP68): the least age of a coin that an input spends.

use bitcoin::{Sequence, Transaction};

use super::block_context::BlockContext;
use super::transaction_error::TransactionError;
use crate::coins::Coin;
use crate::consensus::ConsensusParams;

/// Every input's relative lock time (BIP68) has passed in a block with this context. `coins` are those that the inputs spend,
/// in order.
///
/// Without ancestors locks in seconds are not checked.
///
/// # Errors
/// [`TransactionError::HeightLock`] or [`TransactionError::TimeLock`].
///
/// # Panics
/// If there are fewer coins than inputs.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `SequenceLocks`. Core computes the last height and time at which
/// the transaction is locked; this function the first at which it is not.
pub fn check_sequence_locks(
    params: &ConsensusParams,
    context: BlockContext<'_>,
    transaction: &Transaction,
    coins: &[Coin],
) -> Result<(), TransactionError> {
    let height = context.height();
    if height < params.deployments.csv {
        return Ok(());
    }
    for (input, lock) in relative_locks(transaction) {
        let made = coins[input].height;
        match (lock, context.ancestry()) {
            (RelativeLock::Blocks(blocks), _) => {
                let unlocked = u64::from(made) + u64::from(blocks);
                if unlocked > u64::from(height) {
                    return Err(TransactionError::HeightLock { input, unlocked, height });
                }
            }
            (RelativeLock::Seconds(seconds), Some(ancestry)) => {
                // Time counts from the median time past of the coin's block's parent.
                let before = made.saturating_sub(1).min(ancestry.tip_height());
                let from = ancestry.median_time_past_at(before);
                let unlocked = u64::from(from) + u64::from(seconds);
                let median = ancestry.median_time_past_at(ancestry.tip_height());
                if unlocked > u64::from(median) {
                    return Err(TransactionError::TimeLock { input, unlocked, median });
                }
            }
            (RelativeLock::Seconds(_), None) => {}
        }
    }
    Ok(())
}

/// Whether a transaction has a relative lock in seconds.
pub(super) fn has_sequence_lock_in_seconds(transaction: &Transaction) -> bool {
    relative_locks(transaction).any(|(_, lock)| matches!(lock, RelativeLock::Seconds(_)))
}

/// The least age of a coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RelativeLock {
    /// In blocks.
    Blocks(u32),
    /// In seconds of median time past.
    Seconds(u32),
}

/// The relative locks of a transaction's inputs, with the inputs' indices.
///
/// Source: BIP68. Transactions have them from version 2 on; the version is read as unsigned.
fn relative_locks(transaction: &Transaction) -> impl Iterator<Item = (usize, RelativeLock)> {
    let inputs = if transaction.version.0.cast_unsigned() >= 2 { &transaction.input[..] } else { &[] };
    inputs.iter().enumerate().filter_map(|(at, input)| relative_lock(input.sequence).map(|lock| (at, lock)))
}

/// The relative lock in a sequence number: bit 31 disables it, bit 22 selects units of 512 seconds, 16 bits are the count.
fn relative_lock(sequence: Sequence) -> Option<RelativeLock> {
    let sequence = sequence.to_consensus_u32();
    let count = sequence & 0xffff;
    if sequence & 1 << 31 != 0 {
        None
    } else if sequence & 1 << 22 != 0 {
        Some(RelativeLock::Seconds(count << 9))
    } else {
        Some(RelativeLock::Blocks(count))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::transaction;

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::Ancestry;
    use crate::rules::testing::{Chain, UniformChain, coin, outpoint, spend};

    const TIME: u32 = 1_600_000_000;

    /// The verdict of BIP68 on a transaction of `version` with one input of this sequence number.
    fn lock_verdict(
        version: i32,
        sequence: u32,
        made: u32,
        ancestry: &dyn Ancestry,
        enforced: bool,
    ) -> Result<(), TransactionError> {
        let mut transaction = spend(&[outpoint(1)], &[1]);
        transaction.version = transaction::Version(version);
        transaction.input[0].sequence = Sequence::from_consensus(sequence);
        let mut params = ChainParams::regtest().consensus;
        if !enforced {
            params.deployments.csv = ancestry.tip_height() + 2;
        }
        check_sequence_locks(&params, BlockContext::after(ancestry), &transaction, &[coin(1, made)])
    }

    #[test]
    fn relative_locks_in_blocks() {
        let ancestry = UniformChain::new(109, TIME);
        let verdict = |version, sequence, enforced| lock_verdict(version, sequence, 100, &ancestry, enforced);
        assert_eq!(verdict(2, 10, true), Ok(()));
        let error = TransactionError::HeightLock { input: 0, unlocked: 111, height: 110 };
        assert_eq!(error.reject_reason(), "bad-txns-nonfinal");
        assert_eq!(verdict(2, 11, true), Err(error.clone()));
        assert_eq!(verdict(-1, 11, true), Err(error.clone()), "versions are unsigned");
        assert_eq!(verdict(2, 11 | 0x003f_0000, true), Err(error), "the middle bits mean nothing");
        assert_eq!(verdict(1, 11, true), Ok(()), "version 1 has none");
        assert_eq!(verdict(2, 11 | 1 << 31, true), Ok(()), "switched off");
        assert_eq!(verdict(2, 11, false), Ok(()), "before BIP68");
    }

    /// Blocks ten minutes apart: the median past at height n is the time at height n - 5.
    #[test]
    fn relative_locks_in_seconds() {
        let mut chain = Chain::after_genesis(&ChainParams::regtest());
        let start = ChainParams::regtest().genesis.header.time;
        for n in 1..=40 {
            chain.push(start + 600 * n, 0);
        }
        let median = start + 600 * 35;
        // The coin of height 21 counts from the median at height 20, the time at height 15: 12,000 seconds ago.
        let verdict = |units: u32| lock_verdict(2, 1 << 22 | units, 21, &chain, true);
        assert_eq!(verdict(23), Ok(()), "11,776 seconds");
        let error = TransactionError::TimeLock { input: 0, unlocked: u64::from(median) - 12_000 + 24 * 512, median };
        assert_eq!(error.reject_reason(), "bad-txns-nonfinal");
        assert_eq!(verdict(24), Err(error), "12,288 seconds");
        assert_eq!(lock_verdict(2, 1 << 22, 41, &chain, true), Ok(()), "a coin of the same block");
        assert!(lock_verdict(2, 1 << 22 | 1, 41, &chain, true).is_err());

        let mut transaction = spend(&[outpoint(1)], &[1]);
        transaction.input[0].sequence = Sequence::from_consensus(1 << 22 | 24);
        assert!(has_sequence_lock_in_seconds(&transaction));
        let (regtest, alone) = (ChainParams::regtest().consensus, BlockContext::at_height(41));
        assert_eq!(check_sequence_locks(&regtest, alone, &transaction, &[coin(1, 21)]), Ok(()), "no ancestors");
    }
}
