//! Checks a block whose height is known and whose ancestors are not, with a list of the coins that it spends.
//!
//! It uses the same drivers as for every other block, with a context that has no ancestors.

use std::collections::HashMap;
use std::time::Instant;

use bitcoin::{OutPoint, Transaction};
use foldhash::fast::RandomState;

use super::block::{validate_bytes_in_isolation, validate_transactions_in_isolation};
use super::block_context::BlockContext;
use super::connect::{ConnectError, ConnectOptions, ConnectTimes, Connected, connect_coins};
use super::context::validate_block_in_context;
use super::error::RuleError;
use super::header::validate_header_in_context;
use super::lock_time::has_lock_time_in_seconds;
use super::script_flags::script_flags;
use super::scripts::ScriptChecks;
use super::sequence_locks::has_sequence_lock_in_seconds;
use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::consensus::ConsensusParams;

/// Checks a block at `height` without ancestors: in isolation, in context, and as it connects to `spent`. These are the
/// coins of all inputs except the coinbase's, in order, including those that the block creates itself.
///
/// All coins are known from the start, so scripts run beside all other rules; a failing script is reported last. Scripts
/// start after the proof of work is checked, so an attacker cannot make them run for free.
///
/// # Panics
/// If `spent` has not one coin for each input.
pub(crate) fn validate_block_alone(
    params: &ConsensusParams,
    height: u32,
    block: &DecodedBlock,
    spent: &[Coin],
    now: u64,
    options: ConnectOptions,
) -> Result<Connected, RuleError> {
    let context = BlockContext::at_height(height);
    validate_bytes_in_isolation(params, block)?;
    let flags = script_flags(params, height, block.hash());
    let scripts = ScriptChecks::new(block, flags);
    let ((total, undo, coins), scripts) = scripts.run_beside(|starter| {
        if options.check_scripts {
            let mut rest = spent;
            for (tx, transaction) in block.spenders() {
                let (coins, others) = rest.split_at(transaction.input.len());
                starter.start(tx, coins);
                rest = others;
            }
        }
        validate_transactions_in_isolation(block)?;
        validate_header_in_context(params, context, block.header(), now)?;
        validate_block_in_context(params, context, block)?;
        let start = Instant::now();
        let mut undo = Vec::with_capacity(block.transactions().len());
        let mut view = coins_from_before(block, spent);
        let total = connect_coins(params, context, block, flags, &mut view, |_, coins| undo.push(coins));
        match total {
            Ok(total) => Ok((total, undo, start.elapsed())),
            Err(ConnectError::Rule(error)) => Err(error),
            Err(ConnectError::View(never)) => match never {},
        }
    })?;
    Ok(total.connected(undo, ConnectTimes { coins, scripts }))
}

/// The coins that the block does not create itself.
fn coins_from_before(block: &DecodedBlock, spent: &[Coin]) -> HashMap<OutPoint, Coin, RandomState> {
    let from_before = block.spent().zip(spent).filter(|(outpoint, _)| block.position(&outpoint.txid).is_none());
    let mut coins = HashMap::with_capacity_and_hasher(spent.len(), RandomState::default());
    coins.extend(from_before.map(|(outpoint, coin)| (outpoint, coin.clone())));
    coins
}

/// Whether a transaction has an absolute or relative lock in seconds. Both need median times past (BIP68, BIP113).
pub(crate) fn is_locked_by_time(transaction: &Transaction) -> bool {
    has_lock_time_in_seconds(transaction) || has_sequence_lock_in_seconds(transaction)
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{block_of, coin, coinbase, outpoint, spend};
    use crate::rules::transaction_error::TransactionError;

    const HEIGHT: u32 = 120;
    const SUBSIDY: i64 = 50_0000_0000;
    const NOW: u64 = 1_600_000_000;

    /// Connects a block of these transactions after a coinbase that pays `reward`. The coins that the block does not create
    /// itself are worth 100 and 5 blocks old.
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
        validate_block_alone(&ChainParams::regtest().consensus, HEIGHT, &block, &spent, NOW, ConnectOptions::default())
    }

    /// The position of the transaction that broke a rule, and the rule.
    fn broken(result: Result<Connected, RuleError>) -> Option<(usize, TransactionError)> {
        match result {
            Err(RuleError::Transaction { tx, error, .. }) => Some((tx, error)),
            _ => None,
        }
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
        let missing = |tx: usize, input, outpoint| Some((tx, TransactionError::MissingInput { input, outpoint }));
        let verdict = |reward, transactions: &[Transaction]| broken(verdict(reward, transactions));
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
        let error = TransactionError::ImmatureCoinbase { input: 0, depth: 0 };
        assert_eq!(broken(verdict(SUBSIDY, &[spend(&[own], &[1])])), Some((1, error)));
    }

    /// Scripts start first, and a failing script is reported only if no other rule is broken.
    #[test]
    fn a_script_that_fails_comes_after_all_other_rules() {
        let fails = |values: &[i64]| {
            let mut parent = spend(&[outpoint(1)], values);
            parent.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x00]);
            [parent.clone(), spend(&[first_output(&parent)], &[1])]
        };
        let by_transaction = |values| broken(verdict(1, &fails(values)));
        assert_eq!(by_transaction(&[90]), Some((2, TransactionError::Script { input: 0 })));
        assert!(matches!(by_transaction(&[90, 20]), Some((1, TransactionError::InputsBelowOutputs { .. }))));
        assert!(matches!(verdict(SUBSIDY + 100, &fails(&[90])), Err(RuleError::CoinbaseAmount { .. })));
        assert!(matches!(by_transaction(&[90, -1]), Some((1, TransactionError::NegativeOutput { .. }))));
    }
}
