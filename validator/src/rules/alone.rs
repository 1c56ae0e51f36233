//! The rules of a block whose height is known and whose ancestors are not: as many of those in context, and of those of
//! connecting, as a height decides.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bitcoin::{Transaction, Txid};
use foldhash::fast::RandomState;

use super::connect::{Totals, connect_coins};
use super::context::{
    LOCKTIME_THRESHOLD, check_coinbase_height, check_final, check_weight, check_witness_commitment, waives_lock_time,
};
use super::header::{check_time_not_in_future, check_version};
use super::scripts::ScriptChecks;
use super::sequence_locks::{RelativeLock, SequenceLocks, relative_locks};
use super::{
    ConnectError, ConnectOptions, ConnectTimes, Connected, RuleError, script_flags, validate_block_in_isolation,
};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;

/// Checks what the rules in context ask of a block at `height`, its ancestors' targets and times left out.
///
/// Lock times in seconds are compared with the block's own time. Where BIP113 holds, that is later than the median with
/// which they ought to be compared: a lock that it finds closed is closed, one that it finds open may not be.
fn validate_block_in_context(
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

/// Checks a block at `height` and connects it to `spent`, the coins of all inputs but the coinbase's in their order, those
/// among them that it makes itself. BIP30 and relative locks in seconds are left out.
///
/// All coins are known from the start, so that scripts run beside all other rules; like everywhere, what fails in them is
/// reported last.
///
/// # Panics
/// If `spent` has not one coin for each input.
pub(crate) fn connect_block(
    params: &ChainParams,
    height: u32,
    block: &DecodedBlock,
    spent: &[Coin],
    now: u64,
    options: ConnectOptions,
) -> Result<Connected, RuleError> {
    let scripts = ScriptChecks::new(block, script_flags(params, height, block.hash()));
    let (connected, all_there) = rayon::in_place_scope(|scope| {
        if options.check_scripts {
            let mut rest = spent;
            for (tx, transaction) in spenders(block) {
                let (coins, others) = rest.split_at(transaction.input.len());
                scripts.start(scope, tx, coins);
                rest = others;
            }
        }
        let connected = validate_block_in_isolation(params, block)
            .and_then(|()| validate_block_in_context(params, height, block, now))
            .and_then(|()| {
                let start = Instant::now();
                let connected = connect_coins_alone(params, height, block, spent);
                connected.map(|(total, undo)| (total, undo, start.elapsed()))
            });
        if connected.is_err() {
            scripts.stop();
        }
        (connected, Instant::now())
    });
    let waited = all_there.elapsed();
    let (total, undo, coins) = connected?;
    scripts.check_scripts()?;
    Ok(total.connected(undo, ConnectTimes { coins, scripts: waited }))
}

/// All transactions but coinbases, with their places.
fn spenders(block: &DecodedBlock) -> impl Iterator<Item = (usize, &Transaction)> {
    block.transactions().iter().enumerate().filter(|(_, transaction)| !transaction.is_coinbase())
}

/// All of connecting but scripts; also the coins of each transaction but the coinbase.
fn connect_coins_alone(
    params: &ChainParams,
    height: u32,
    block: &DecodedBlock,
    spent: &[Coin],
) -> Result<(Totals, Vec<Vec<Coin>>), RuleError> {
    let made: HashSet<Txid, RandomState> = block.txids().iter().copied().collect();
    let inputs = spenders(block).flat_map(|(_, transaction)| &transaction.input).map(|input| input.previous_output);
    let from_before = inputs.zip(spent).filter(|(outpoint, _)| !made.contains(&outpoint.txid));
    let mut coins = HashMap::with_capacity_and_hasher(spent.len(), RandomState::default());
    coins.extend(from_before.map(|(outpoint, coin)| (outpoint, coin.clone())));
    let locks = SequenceLocks { height, enforced: height >= params.deployments.csv, ancestry: None };
    let mut undo = Vec::with_capacity(block.transactions().len());
    match connect_coins(params, &locks, block, &mut coins, |_, coins| undo.push(coins)) {
        Ok(total) => Ok((total, undo)),
        Err(ConnectError::Rule(error)) => Err(error),
        Err(ConnectError::View(never)) => match never {},
    }
}

/// Whether a transaction has a lock, absolute or relative, that only median times past can open under BIP68 and BIP113.
pub(crate) fn is_locked_by_time(transaction: &Transaction) -> bool {
    let absolute = transaction.lock_time.to_consensus_u32() >= LOCKTIME_THRESHOLD && !waives_lock_time(transaction);
    absolute || relative_locks(transaction).any(|(_, lock)| matches!(lock, RelativeLock::Seconds(_)))
}
