//! The rules of a block as it connects to the coins: BIP30, inputs, fees, locks, signature operations, scripts, reward.
//!
//! The coins come through [`CoinView`], so that the same code works with a store and its cache, with coins in memory, and with
//! a list of prevouts.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bitcoin::{Amount, OutPoint, Transaction};

use super::block_context::BlockContext;
use super::error::RuleError;
use super::inputs::{check_input_unspent, validate_inputs, value_out};
use super::script_flags::script_flags;
use super::scripts::ScriptChecks;
use super::sequence_locks::check_sequence_locks;
use super::sigops::{check_sigop_cost, sigop_cost};
use crate::block::DecodedBlock;
use crate::coins::{BlockUndo, Coin, CoinRef, CoinView, is_unspendable};
use crate::consensus::{ConsensusParams, MAX_MONEY, ScriptFlags};

/// From this height on a coinbase may repeat one from before BIP34, so BIP30 is checked again.
///
/// Source: Bitcoin Core, `validation.cpp`, `BIP34_IMPLIES_BIP30_LIMIT`.
const BIP34_IMPLIES_BIP30_LIMIT: u32 = 1_983_702;

/// Options of [`connect_block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Whether scripts are run.
    pub check_scripts: bool,
}

impl ConnectOptions {
    /// Sets whether scripts are run. `false` is for a block whose scripts are known to be valid.
    #[must_use]
    pub const fn with_check_scripts(self, check_scripts: bool) -> Self {
        Self { check_scripts }
    }
}

impl Default for ConnectOptions {
    /// Everything is checked.
    fn default() -> Self {
        Self { check_scripts: true }
    }
}

/// A block that has been connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connected {
    /// The coins that it spent.
    pub undo: BlockUndo,
    /// The sum of its transactions' fees.
    pub fees: Amount,
    /// The number of its inputs, without the coinbase's.
    pub inputs: usize,
    /// The cost of its signature operations (BIP141).
    pub sigop_cost: u64,
    /// The time that connecting took.
    pub times: ConnectTimes,
}

/// The wall-clock time that a block took to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTimes {
    /// The time to find, spend and create coins and to check the rules about them. Scripts run meanwhile.
    pub coins: Duration,
    /// The time from then until all scripts had ended.
    pub scripts: Duration,
}

/// The reason why a block did not connect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError<E> {
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The coins could not be read or written; the block may be valid.
    #[error(transparent)]
    View(E),
}

impl<E> ConnectError<E> {
    /// The broken rule. `None`: the view failed.
    pub fn rule(self) -> Option<RuleError> {
        match self {
            ConnectError::Rule(error) => Some(error),
            ConnectError::View(_) => None,
        }
    }
}

/// Spends and creates the coins of `block` in `view`, and checks every rule that depends on coins.
///
/// The block is not the genesis block, whose outputs are never coins. It has passed
/// [`validate_block_in_isolation`](super::validate_block_in_isolation) and
/// [`validate_block_in_context`](super::validate_block_in_context). Scripts run on the current `rayon` pool while the
/// coins of later transactions are still being fetched. Without ancestors BIP30 and relative locks in seconds are not
/// checked.
///
/// # Errors
/// The first rule that the block breaks, transaction by transaction, a failing script last; or the view failed. `view` is
/// then partly changed and must be dropped.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`, whose order this is.
pub fn connect_block<V: CoinView>(
    params: &ConsensusParams,
    context: BlockContext<'_>,
    block: &DecodedBlock,
    view: &mut V,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<V::Error>> {
    if is_bip30_checked(params, context, block) {
        check_overwrites_no_coin(block, view)?;
    }
    let flags = script_flags(params, context.height(), block.hash());
    let scripts = ScriptChecks::new(block, flags);
    let spent: Vec<OnceLock<Vec<Coin>>> = block.transactions().iter().map(|_| OnceLock::new()).collect();
    let ((total, coins), scripts) = scripts.run_beside(|starter| {
        let start = Instant::now();
        let total = connect_coins(params, context, block, flags, view, |tx, coins| {
            let coins = spent[tx].get_or_init(|| coins);
            if options.check_scripts {
                starter.start(tx, coins);
            }
        })?;
        Ok::<_, ConnectError<V::Error>>((total, start.elapsed()))
    })?;
    let spent = spent.into_iter().filter_map(OnceLock::into_inner).collect();
    Ok(total.connected(spent, ConnectTimes { coins, scripts }))
}

/// [`connect_block`] without BIP30 and scripts. `flags` are those of the block's scripts. `start` gets the coins of each
/// transaction except the coinbase, in order.
pub(super) fn connect_coins<V: CoinView>(
    params: &ConsensusParams,
    context: BlockContext<'_>,
    block: &DecodedBlock,
    flags: ScriptFlags,
    view: &mut V,
    mut start: impl FnMut(usize, Vec<Coin>),
) -> Result<Totals, ConnectError<V::Error>> {
    let height = context.height();
    let mut total = Totals::default();
    for (tx, transaction) in block.transactions().iter().enumerate() {
        if transaction.is_coinbase() {
            total.add_sigops(transaction, &[], flags)?;
        } else {
            let coins = spend_inputs(tx, block, view)?;
            let in_transaction = || RuleError::in_transaction(block, tx);
            let fee = validate_inputs(transaction, &coins, height).map_err(in_transaction())?;
            total.fees = check_total_fees(total.fees, fee)?;
            check_sequence_locks(params, context, transaction, &coins).map_err(in_transaction())?;
            total.add_sigops(transaction, &coins, flags)?;
            total.inputs += coins.len();
            start(tx, coins);
        }
        create_outputs(tx, block, height, view)?;
    }
    check_coinbase_amount(params, height, block, total.fees)?;
    Ok(total)
}

/// Sums over the transactions of a block.
#[derive(Default)]
pub(super) struct Totals {
    fees: i64,
    inputs: usize,
    sigop_cost: u64,
}

impl Totals {
    /// The result for a valid block. `spent` are the coins of each transaction except the coinbase.
    pub(super) fn connected(self, spent: Vec<Vec<Coin>>, times: ConnectTimes) -> Connected {
        let fees = Amount::from_sat(self.fees.unsigned_abs());
        Connected { undo: BlockUndo { spent }, fees, inputs: self.inputs, sigop_cost: self.sigop_cost, times }
    }

    fn add_sigops(&mut self, transaction: &Transaction, spent: &[Coin], flags: ScriptFlags) -> Result<(), RuleError> {
        self.sigop_cost += sigop_cost(transaction, spent, flags);
        check_sigop_cost(self.sigop_cost)
    }
}

/// Whether BIP30 is checked for a block.
///
/// It is not checked for the two blocks that break it, nor above BIP34's height up to [`BIP34_IMPLIES_BIP30_LIMIT`] on a
/// chain where BIP34 is known to imply it, nor without ancestors.
///
/// If BIP34 is active from block 1 on, BIP30 can never be broken. A repeated transaction spends the same outputs as its first
/// instance, so the transactions that made those outputs are repeated too, and so on down to a coinbase. But each coinbase
/// begins with its height, in an encoding in which no height is a prefix of another, so all coinbases differ. The coinbase of
/// the genesis block makes no coins. Core checks such chains as well, with the same result.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock` and `IsBIP30Repeat`.
fn is_bip30_checked(params: &ConsensusParams, context: BlockContext<'_>, block: &DecodedBlock) -> bool {
    let Some(ancestry) = context.ancestry() else { return false };
    let height = context.height();
    let bip34 = params.deployments.bip34;
    if bip34 <= 1 {
        return false;
    }
    if height >= BIP34_IMPLIES_BIP30_LIMIT {
        return true;
    }
    let is_repeat = params.bip30_repeats.contains(&(height, block.hash()));
    let implied =
        || params.bip34_hash.is_some_and(|hash| height > bip34 && ancestry.header_at(bip34).block_hash() == hash);
    !is_repeat && !implied()
}

/// No transaction repeats the id of an earlier one that still has unspent outputs (BIP30).
fn check_overwrites_no_coin<V: CoinView>(block: &DecodedBlock, view: &mut V) -> Result<(), ConnectError<V::Error>> {
    let made = block
        .transactions()
        .iter()
        .zip(block.txids())
        .flat_map(|(transaction, &txid)| (0..output_count(transaction)).map(move |vout| OutPoint { txid, vout }));
    match view.first_unspent(&made.collect::<Vec<_>>()).map_err(ConnectError::View)? {
        Some(outpoint) => Err(RuleError::OverwritesCoin { outpoint }.into()),
        None => Ok(()),
    }
}

fn output_count(transaction: &Transaction) -> u32 {
    u32::try_from(transaction.output.len()).expect("a block of 4 MB has fewer outputs")
}

/// Removes the coins that transaction `tx` spends from the view, and returns them.
fn spend_inputs<V: CoinView>(
    tx: usize,
    block: &DecodedBlock,
    view: &mut V,
) -> Result<Vec<Coin>, ConnectError<V::Error>> {
    let inputs = block.transactions()[tx].input.iter().enumerate();
    inputs
        .map(|(input, txin)| {
            let outpoint = txin.previous_output;
            let coin = view.spend(&outpoint).map_err(ConnectError::View)?;
            Ok(check_input_unspent(input, outpoint, coin).map_err(RuleError::in_transaction(block, tx))?)
        })
        .collect()
}

/// The sum of a block's fees is in range. Returns the sum of `before` and `fee`.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`.
fn check_total_fees(before: i64, fee: Amount) -> Result<i64, RuleError> {
    let fees = before.saturating_add(fee.to_sat().cast_signed());
    if (0..=MAX_MONEY).contains(&fees) { Ok(fees) } else { Err(RuleError::FeesOutOfRange { fees }) }
}

/// The coinbase creates at most the subsidy and the fees.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`.
fn check_coinbase_amount(
    params: &ConsensusParams,
    height: u32,
    block: &DecodedBlock,
    fees: i64,
) -> Result<(), RuleError> {
    let wanted = fees.saturating_add(params.subsidy.at(height).to_sat().cast_signed());
    let seen = block.transactions().first().map_or(0, value_out);
    if seen <= wanted { Ok(()) } else { Err(RuleError::CoinbaseAmount { seen, wanted }) }
}

/// Adds the outputs of transaction `tx` to the coins, except unspendable ones.
///
/// Source: Bitcoin Core, `coins.cpp`, `AddCoins`.
fn create_outputs<V: CoinView>(
    tx: usize,
    block: &DecodedBlock,
    height: u32,
    view: &mut V,
) -> Result<(), ConnectError<V::Error>> {
    let transaction = &block.transactions()[tx];
    let txid = block.txids()[tx];
    let is_coinbase = transaction.is_coinbase();
    for (vout, output) in (0..).zip(&transaction.output) {
        if is_unspendable(&output.script_pubkey) {
            continue;
        }
        let coin = CoinRef { output, height, is_coinbase };
        view.create(OutPoint { txid, vout }, coin).map_err(ConnectError::View)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
