//! The rules of a block whose height is known and whose ancestors are not: as many of those in context, and of those of
//! connecting, as a height decides.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bitcoin::{Transaction, Txid};
use foldhash::fast::RandomState;

use super::block::{validate_bytes_in_isolation, validate_transactions_in_isolation};
use super::connect::{ConnectError, ConnectOptions, ConnectTimes, Connected, Totals, connect_coins};
use super::context::{check_coinbase_height, check_final, check_weight, waives_lock_time};
use super::error::RuleError;
use super::header::{check_time_not_in_future, check_version};
use super::script_flags::script_flags;
use super::scripts::ScriptChecks;
use super::sequence_locks::{RelativeLock, SequenceLocks, relative_locks};
use super::witness::check_witness_commitment;
use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::consensus::{ConsensusParams, LOCKTIME_THRESHOLD};

/// Checks what the rules in context ask of a block at `height`, its ancestors' targets and times left out.
///
/// Lock times in seconds are compared with the block's own time. Where BIP113 holds, that is later than the median with
/// which they ought to be compared: a lock that it finds closed is closed, one that it finds open may not be.
fn validate_block_in_context(
    params: &ConsensusParams,
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
/// All coins are known from the start, so that scripts run beside other rules; like everywhere, what fails in them is reported
/// last. They are not run for transactions that nobody has worked for.
///
/// # Panics
/// If `spent` has not one coin for each input.
pub(crate) fn connect_block(
    params: &ConsensusParams,
    height: u32,
    block: &DecodedBlock,
    spent: &[Coin],
    now: u64,
    options: ConnectOptions,
) -> Result<Connected, RuleError> {
    validate_bytes_in_isolation(params, block)?;
    let scripts = ScriptChecks::new(block, script_flags(params, height, block.hash()));
    let (connected, all_there) = rayon::in_place_scope(|scope| {
        if options.check_scripts {
            let mut rest = spent;
            for (tx, transaction) in block.spenders() {
                let (coins, others) = rest.split_at(transaction.input.len());
                scripts.start(scope, tx, coins);
                rest = others;
            }
        }
        let connected = validate_transactions_in_isolation(block)
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

/// All of connecting but scripts; also the coins of each transaction but the coinbase.
fn connect_coins_alone(
    params: &ConsensusParams,
    height: u32,
    block: &DecodedBlock,
    spent: &[Coin],
) -> Result<(Totals, Vec<Vec<Coin>>), RuleError> {
    let made: HashSet<Txid, RandomState> = block.txids().iter().copied().collect();
    let from_before = block.spent().zip(spent).filter(|(outpoint, _)| !made.contains(&outpoint.txid));
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

#[cfg(test)]
mod tests {
    use bitcoin::{OutPoint, ScriptBuf};

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{block_of, coin, coinbase, outpoint, spend};

    const HEIGHT: u32 = 120;
    const SUBSIDY: i64 = 50_0000_0000;
    const NOW: u64 = 1_600_000_000;

    /// Connects a block of these transactions after a coinbase that pays `reward`; what they spend is worth 100 and 5 blocks
    /// old where the block does not make it itself.
    fn verdict(reward: i64, transactions: &[Transaction]) -> Result<Connected, RuleError> {
        let block = block_of([&[coinbase(HEIGHT, reward)], transactions].concat());
        let spent: Vec<Coin> = block
            .spent()
            .map(|OutPoint { txid, vout }| {
                let tx = block.txids().iter().position(|made| *made == txid);
                let output = tx.and_then(|tx| block.transactions()[tx].output.get(vout as usize));
                let made =
                    output.map(|output| Coin { output: output.clone(), height: HEIGHT, is_coinbase: tx == Some(0) });
                made.unwrap_or(coin(100, HEIGHT - 5))
            })
            .collect();
        connect_block(&ChainParams::regtest().consensus, HEIGHT, &block, &spent, NOW, ConnectOptions::default())
    }

    fn first_output(transaction: &Transaction) -> OutPoint {
        OutPoint { txid: transaction.compute_txid(), vout: 0 }
    }

    #[test]
    fn a_block_spends_what_is_listed_and_what_it_makes() {
        let parent = spend(&[outpoint(1), outpoint(2)], &[150]);
        let child = spend(&[first_output(&parent)], &[140]);
        let connected = verdict(SUBSIDY + 60, &[parent, child]).unwrap();
        assert_eq!((connected.fees.to_sat(), connected.inputs), (60, 3));
        let heights: Vec<Vec<u32>> =
            connected.undo.spent.iter().map(|coins| coins.iter().map(|coin| coin.height).collect()).collect();
        assert_eq!(heights, [vec![115, 115], vec![120]]);
    }

    #[test]
    fn nothing_is_spent_twice_or_before_it_is_made() {
        let missing = |tx, input, outpoint| Err(RuleError::MissingInput { tx, input, outpoint });
        let twice = [spend(&[outpoint(1)], &[1]), spend(&[outpoint(2), outpoint(1)], &[2])];
        assert_eq!(verdict(1, &twice), missing(2, 1, outpoint(1)));

        let parent = spend(&[outpoint(1)], &[90]);
        let child = spend(&[first_output(&parent)], &[80]);
        assert_eq!(verdict(1, &[child.clone(), parent.clone()]), missing(1, 0, first_output(&parent)));
        let again = spend(&[first_output(&parent)], &[70]);
        assert_eq!(verdict(1, &[parent.clone(), child, again]), missing(3, 0, first_output(&parent)));

        let no_such = OutPoint { vout: 1, ..first_output(&parent) };
        assert_eq!(verdict(1, &[parent.clone(), spend(&[no_such], &[1])]), missing(2, 0, no_such));
        let mut burnt = parent;
        burnt.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a]);
        let output = first_output(&burnt);
        assert_eq!(verdict(1, &[burnt, spend(&[output], &[1])]), missing(2, 0, output));
    }

    #[test]
    fn the_blocks_own_coinbase_is_not_mature() {
        let own = first_output(&coinbase(HEIGHT, SUBSIDY));
        let error = RuleError::ImmatureCoinbase { tx: 1, input: 0, depth: 0 };
        assert_eq!(verdict(SUBSIDY, &[spend(&[own], &[1])]), Err(error));
    }

    /// They start first and are reported last, and not at all where anything else is wrong.
    #[test]
    fn a_script_that_fails_comes_after_all_other_rules() {
        let fails = |values: &[i64]| {
            let mut parent = spend(&[outpoint(1)], values);
            parent.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x00]);
            [parent.clone(), spend(&[first_output(&parent)], &[1])]
        };
        assert!(matches!(verdict(1, &fails(&[90])), Err(RuleError::Script { tx: 2, input: 0, .. })));
        assert!(matches!(verdict(1, &fails(&[90, 20])), Err(RuleError::InputsBelowOutputs { tx: 1, .. })));
        assert!(matches!(verdict(SUBSIDY + 100, &fails(&[90])), Err(RuleError::CoinbaseAmount { .. })));
        assert!(matches!(verdict(1, &fails(&[90, -1])), Err(RuleError::NegativeOutput { tx: 1, .. })));
    }
}
