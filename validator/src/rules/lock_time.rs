//! Absolute lock times (nLockTime).

use bitcoin::{Sequence, Transaction};

use super::block_context::BlockContext;
use super::transaction_error::TransactionError;
use crate::consensus::{ConsensusParams, LOCKTIME_THRESHOLD};

/// The lock time of a transaction has passed in a block at `height`, or all its inputs disable it.
///
/// `cutoff` is the time with which lock times in seconds are compared, in seconds since 1970: [`lock_time_cutoff`].
///
/// # Errors
/// [`TransactionError::NonFinal`].
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `IsFinalTx`.
pub fn check_final(transaction: &Transaction, height: u32, cutoff: u32) -> Result<(), TransactionError> {
    let lock_time = transaction.lock_time.to_consensus_u32();
    let now = if lock_time < LOCKTIME_THRESHOLD { height } else { cutoff };
    if lock_time != 0 && lock_time >= now && !disables_lock_time(transaction) {
        return Err(TransactionError::NonFinal { lock_time, now });
    }
    Ok(())
}

/// The time with which lock times in seconds are compared, in seconds since 1970: the median time past of the block's parent
/// since BIP113; before it, and without ancestors, the block's own time `block_time`.
///
/// The block's time is later than the median, so a lock it does not satisfy is certainly locked; one it satisfies may still
/// be.
///
/// Source: Bitcoin Core, `validation.cpp`, `ContextualCheckBlock`.
#[must_use]
pub fn lock_time_cutoff(params: &ConsensusParams, context: BlockContext<'_>, block_time: u32) -> u32 {
    match context.ancestry() {
        Some(ancestry) if context.height() >= params.deployments.csv => {
            ancestry.median_time_past_at(ancestry.tip_height())
        }
        _ => block_time,
    }
}

/// Whether every input disables the lock time.
fn disables_lock_time(transaction: &Transaction) -> bool {
    transaction.input.iter().all(|input| input.sequence == Sequence::MAX)
}

/// Whether a transaction has a lock time in seconds that is not disabled.
pub(super) fn has_lock_time_in_seconds(transaction: &Transaction) -> bool {
    transaction.lock_time.to_consensus_u32() >= LOCKTIME_THRESHOLD && !disables_lock_time(transaction)
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute;

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{UniformChain, outpoint, spend};

    const TIME: u32 = 1_600_000_000;

    /// A transaction that is locked until `lock_time`.
    fn locked(lock_time: u32) -> Transaction {
        let mut transaction = spend(&[outpoint(1), outpoint(2)], &[1]);
        transaction.lock_time = absolute::LockTime::from_consensus(lock_time);
        transaction.input[1].sequence = Sequence::ZERO;
        transaction
    }

    fn non_final(lock_time: u32, now: u32) -> Result<(), TransactionError> {
        Err(TransactionError::NonFinal { lock_time, now })
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
    fn a_lock_that_all_inputs_disable_is_no_lock() {
        let mut transaction = locked(u32::MAX);
        assert!(has_lock_time_in_seconds(&transaction));
        transaction.input[1].sequence = Sequence::MAX;
        assert_eq!(check_final(&transaction, 101, TIME), Ok(()));
        assert!(!has_lock_time_in_seconds(&transaction));
    }

    #[test]
    fn locks_by_time_are_compared_with_the_median_since_bip113() {
        let main = ChainParams::main().consensus;
        assert_eq!(lock_time_cutoff(&main, BlockContext::after(&UniformChain::new(419_326, 77)), TIME), TIME);
        assert_eq!(lock_time_cutoff(&main, BlockContext::after(&UniformChain::new(419_327, 77)), TIME), 77);
        assert_eq!(lock_time_cutoff(&main, BlockContext::at_height(419_328), TIME), TIME, "no ancestors");
    }
}
