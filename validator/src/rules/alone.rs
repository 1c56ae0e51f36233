//! The rules of a block whose height is known and whose ancestors are not: as many of those in context, and of those of
//! connecting, as a height decides.

use bitcoin::Transaction;

use super::connect::connect_transactions;
use super::context::{
    LOCKTIME_THRESHOLD, check_coinbase_height, check_final, check_weight, check_witness_commitment, waives_lock_time,
};
use super::header::{check_time_not_in_future, check_version};
use super::sequence_locks::{RelativeLock, SequenceLocks, relative_locks};
use super::{ConnectError, ConnectOptions, Connected, RuleError};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::CoinView;

/// Checks what the rules in context ask of a block at `height`, its ancestors' targets and times left out.
///
/// Lock times in seconds are compared with the block's own time. Where BIP113 holds, that is later than the median with
/// which they ought to be compared: a lock that it finds closed is closed, one that it finds open may not be.
pub(crate) fn validate_block_in_context(
    params: &ChainParams,
    height: u32,
    block: &DecodedBlock,
    now: u64,
) -> Result<(), RuleError> {
    check_time_not_in_future(block.header(), now)?;
    check_version(params, height, block.header())?;
    check_final(block, height, block.header().time)?;
    check_coinbase_height(params, height, block)?;
    check_witness_commitment(params, height, block)?;
    check_weight(block)
}

/// Connects a block at `height`; BIP30 and relative locks in seconds are left out.
pub(crate) fn connect_block<V: CoinView>(
    params: &ChainParams,
    height: u32,
    block: &DecodedBlock,
    view: &mut V,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<V::Error>> {
    let locks = SequenceLocks { height, enforced: height >= params.deployments.csv, ancestry: None };
    connect_transactions(params, &locks, block, view, options)
}

/// Whether a transaction has a lock, absolute or relative, that only median times past can open under BIP68 and BIP113.
pub(crate) fn is_locked_by_time(transaction: &Transaction) -> bool {
    let absolute = transaction.lock_time.to_consensus_u32() >= LOCKTIME_THRESHOLD && !waives_lock_time(transaction);
    absolute || relative_locks(transaction).any(|(_, lock)| matches!(lock, RelativeLock::Seconds(_)))
}
