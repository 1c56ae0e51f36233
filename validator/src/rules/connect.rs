//! The rules of a block as it connects to the coins: what it spends is there, is his who spends it, and is enough.
//!
//! The coins come through [`CoinView`], so that the same code serves a store with a cache, a set in memory, and a block
//! that comes with a list of what it spends.

use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bitcoin::{Amount, OutPoint, Transaction, Txid};

use super::error::RuleError;
use super::script_flags::script_flags;
use super::scripts::ScriptChecks;
use super::sequence_locks::SequenceLocks;
use super::sigops::{check_sigop_cost, sigop_cost};
use crate::block::DecodedBlock;
use crate::coins::{BlockUndo, Coin, CoinView, is_unspendable};
use crate::consensus::{COINBASE_MATURITY, ConsensusParams, MAX_MONEY, ScriptFlags};
use crate::headers::Ancestry;

/// From this height on coinbases from before BIP34 may collide with new ones, and BIP30 is checked again.
///
/// Source: Bitcoin Core, `validation.cpp`, `BIP34_IMPLIES_BIP30_LIMIT`.
const BIP34_IMPLIES_BIP30_LIMIT: u32 = 1_983_702;

/// What of a block is checked as it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Whether scripts are run. Without, a block is taken to be one whose scripts are known to be good.
    pub check_scripts: bool,
}

impl Default for ConnectOptions {
    /// Everything.
    fn default() -> Self {
        Self { check_scripts: true }
    }
}

/// A block that has been connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connected {
    /// What it spent.
    pub undo: BlockUndo,
    /// The sum of its transactions' fees.
    pub fees: Amount,
    /// How many inputs it has, the coinbase's left out.
    pub inputs: usize,
    /// The cost of its signature operations (BIP141).
    pub sigop_cost: u64,
    /// How long it took.
    pub times: ConnectTimes,
}

/// Time on the clock that a block took to connect, by what it went to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTimes {
    /// Finding, spending and creating coins, and the rules about them. Scripts run meanwhile.
    pub coins: Duration,
    /// Waiting for scripts once all coins were there.
    pub scripts: Duration,
}

/// Why a block did not connect.
#[derive(Debug, PartialEq, Eq)]
pub enum ConnectError<E> {
    /// It breaks a rule.
    Rule(RuleError),
    /// The coins could not be read or written; the block may be good.
    View(E),
}

impl<E> ConnectError<E> {
    /// The rule, if it was one.
    pub fn rule(self) -> Option<RuleError> {
        match self {
            ConnectError::Rule(error) => Some(error),
            ConnectError::View(_) => None,
        }
    }
}

impl<E> From<RuleError> for ConnectError<E> {
    fn from(error: RuleError) -> Self {
        ConnectError::Rule(error)
    }
}

impl<E: fmt::Display> fmt::Display for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Rule(error) => error.fmt(f),
            ConnectError::View(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for ConnectError<E> {}

/// Spends what `block` spends, creates what it creates, and checks all that the coins decide.
///
/// `ancestry` ends in the block's parent, so the block is not the genesis block, whose outputs are never coins. The block
/// has passed [`validate_block_in_isolation`](super::validate_block_in_isolation) and
/// [`validate_block_in_context`](super::validate_block_in_context). After an error `view` is changed in part and has to
/// be thrown away. Scripts run on the current `rayon` pool while the coins of later transactions are still being fetched.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`, with its order: transaction by transaction, a script's failure reported last.
pub fn connect_block<V: CoinView>(
    params: &ConsensusParams,
    ancestry: &impl Ancestry,
    block: &DecodedBlock,
    view: &mut V,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<V::Error>> {
    let height = ancestry.tip_height() + 1;
    if is_bip30_checked(params, ancestry, block) {
        check_overwrites_no_coin(block, view)?;
    }
    let locks = SequenceLocks { height, enforced: height >= params.deployments.csv, ancestry: Some(ancestry) };
    connect_transactions(params, &locks, block, view, options)
}

/// The part of [`connect_block`] that follows BIP30.
fn connect_transactions<V: CoinView>(
    params: &ConsensusParams,
    locks: &SequenceLocks<'_>,
    block: &DecodedBlock,
    view: &mut V,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<V::Error>> {
    let start = Instant::now();
    let scripts = ScriptChecks::new(block, script_flags(params, locks.height, block.hash()));
    let spent: Vec<OnceLock<Vec<Coin>>> = block.transactions().iter().map(|_| OnceLock::new()).collect();
    let (gathered, all_there) = rayon::in_place_scope(|scope| {
        let gathered = connect_coins(params, locks, block, view, |tx, coins| {
            let coins = spent[tx].get_or_init(|| coins);
            if options.check_scripts {
                scripts.start(scope, tx, coins);
            }
        });
        if gathered.is_err() {
            scripts.stop();
        }
        (gathered, Instant::now())
    });
    let times = ConnectTimes { coins: all_there - start, scripts: all_there.elapsed() };
    let total = gathered?;
    scripts.check_scripts()?;
    Ok(total.connected(spent.into_iter().filter_map(OnceLock::into_inner).collect(), times))
}

/// The outpoints that a block spends and does not make: what a view may want to find before it connects.
pub(crate) fn spent_from_before(block: &DecodedBlock) -> impl Iterator<Item = OutPoint> {
    let made: HashSet<Txid> = block.txids().iter().copied().collect();
    block.spent().filter(move |outpoint| !made.contains(&outpoint.txid))
}

/// All of a block but its scripts. `start` is given the coins of each transaction but the coinbase, in their order.
pub(super) fn connect_coins<V: CoinView>(
    params: &ConsensusParams,
    locks: &SequenceLocks<'_>,
    block: &DecodedBlock,
    view: &mut V,
    mut start: impl FnMut(usize, Vec<Coin>),
) -> Result<Totals, ConnectError<V::Error>> {
    let height = locks.height;
    let flags = script_flags(params, height, block.hash());
    let mut total = Totals::default();
    for (tx, transaction) in block.transactions().iter().enumerate() {
        if transaction.is_coinbase() {
            total.add_sigops(transaction, &[], flags)?;
        } else {
            let coins = spend_inputs(tx, transaction, view)?;
            validate_spent(tx, &coins, height)?;
            total.fees = check_total_fees(total.fees, check_fee(tx, transaction, &coins)?)?;
            locks.check_sequence_locks(tx, transaction, &coins)?;
            total.add_sigops(transaction, &coins, flags)?;
            total.inputs += coins.len();
            start(tx, coins);
        }
        create_outputs(tx, block, height, view)?;
    }
    check_coinbase_amount(params, height, block, total.fees)?;
    Ok(total)
}

/// What adds up over the transactions of a block.
#[derive(Default)]
pub(super) struct Totals {
    fees: i64,
    inputs: usize,
    sigop_cost: u64,
}

impl Totals {
    /// The outcome for a block of which everything else is good, too. `spent` are the coins of each transaction but the coinbase.
    pub(super) fn connected(self, spent: Vec<Vec<Coin>>, times: ConnectTimes) -> Connected {
        let fees = Amount::from_sat(self.fees.unsigned_abs());
        Connected { undo: BlockUndo { spent }, fees, inputs: self.inputs, sigop_cost: self.sigop_cost, times }
    }

    fn add_sigops(&mut self, transaction: &Transaction, spent: &[Coin], flags: ScriptFlags) -> Result<(), RuleError> {
        self.sigop_cost += sigop_cost(transaction, spent, flags);
        check_sigop_cost(self.sigop_cost)
    }
}

/// Whether BIP30 is checked for the block after `ancestry`'s last.
///
/// It is, but for the two blocks that broke it, and but for blocks above BIP34's height on the one chain of which it is
/// known that BIP34 makes it superfluous, until the height at which it stops being so.
///
/// Where BIP34 holds from the first block on, it can never be broken. A transaction repeats only where it spends what its
/// first instance spent, which must have been made again by a transaction that repeats as well, and so on down to a
/// coinbase. But each coinbase begins with its height, in an encoding of which none begins another, and so all differ. The
/// coinbase of genesis makes no coins. Core looks there too, and finds nothing.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock` and `IsBIP30Repeat`.
fn is_bip30_checked(params: &ConsensusParams, ancestry: &impl Ancestry, block: &DecodedBlock) -> bool {
    let parent = ancestry.tip_height();
    let height = parent + 1;
    if params.deployments.bip34 <= 1 {
        return false;
    }
    if height >= BIP34_IMPLIES_BIP30_LIMIT {
        return true;
    }
    let is_repeat = params.bip30_repeats.contains(&(height, block.hash()));
    let bip34 = params.deployments.bip34;
    let implied =
        || params.bip34_hash.is_some_and(|hash| parent >= bip34 && ancestry.header_at(bip34).block_hash() == hash);
    !is_repeat && !implied()
}

/// No transaction has the id of one whose outputs are not all spent (BIP30).
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

/// Takes away the coins that a transaction spends.
fn spend_inputs<V: CoinView>(
    tx: usize,
    transaction: &Transaction,
    view: &mut V,
) -> Result<Vec<Coin>, ConnectError<V::Error>> {
    let inputs = transaction.input.iter().enumerate();
    inputs
        .map(|(input, txin)| {
            let outpoint = txin.previous_output;
            let coin = view.spend(&outpoint).map_err(ConnectError::View)?;
            Ok(check_input_unspent(tx, input, outpoint, coin)?)
        })
        .collect()
}

/// An input spends a coin that is there. `coin` is what was found, and not yet spent, at `outpoint`.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `CheckTxInputs`, as for the next four.
fn check_input_unspent(tx: usize, input: usize, outpoint: OutPoint, coin: Option<Coin>) -> Result<Coin, RuleError> {
    coin.ok_or(RuleError::MissingInput { tx, input, outpoint })
}

/// The rules about the coins that a transaction spends, one after the other.
fn validate_spent(tx: usize, coins: &[Coin], height: u32) -> Result<(), RuleError> {
    let mut total = 0;
    for (input, coin) in coins.iter().enumerate() {
        check_maturity(tx, input, coin, height)?;
        total = check_input_value(tx, input, coin, total)?;
    }
    Ok(())
}

/// Coinbases are spent after a hundred blocks.
fn check_maturity(tx: usize, input: usize, coin: &Coin, height: u32) -> Result<(), RuleError> {
    let depth = height.saturating_sub(coin.height);
    if coin.is_coinbase && depth < COINBASE_MATURITY {
        return Err(RuleError::ImmatureCoinbase { tx, input, depth });
    }
    Ok(())
}

/// The value of a coin is in range, and so is the sum with those that came before it in `total`. Returns the sum.
fn check_input_value(tx: usize, input: usize, coin: &Coin, total: i64) -> Result<i64, RuleError> {
    let value = coin.output.value.to_sat().cast_signed();
    let total = total.saturating_add(value);
    if !(0..=MAX_MONEY).contains(&value) || !(0..=MAX_MONEY).contains(&total) {
        return Err(RuleError::InputValueOutOfRange { tx, input, total });
    }
    Ok(total)
}

/// A transaction spends at least what it creates. The difference is its fee.
fn check_fee(tx: usize, transaction: &Transaction, coins: &[Coin]) -> Result<i64, RuleError> {
    let value_in: i64 = coins.iter().map(|coin| coin.output.value.to_sat().cast_signed()).sum();
    let value_out = value_out(transaction);
    if value_in < value_out {
        return Err(RuleError::InputsBelowOutputs { tx, value_in, value_out });
    }
    check_fee_range(tx, value_in - value_out)
}

/// A fee is an amount.
fn check_fee_range(tx: usize, fee: i64) -> Result<i64, RuleError> {
    if (0..=MAX_MONEY).contains(&fee) { Ok(fee) } else { Err(RuleError::FeeOutOfRange { tx, fee }) }
}

/// The fees of a block are in range together, too. Returns those of a transaction added to those before it.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`.
fn check_total_fees(before: i64, fee: i64) -> Result<i64, RuleError> {
    let fees = before.saturating_add(fee);
    if (0..=MAX_MONEY).contains(&fees) { Ok(fees) } else { Err(RuleError::FeesOutOfRange { fees }) }
}

/// What a transaction creates. Its outputs have been found to be in range.
fn value_out(transaction: &Transaction) -> i64 {
    transaction.output.iter().fold(0, |sum, output| sum.saturating_add(output.value.to_sat().cast_signed()))
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

/// Puts a transaction's outputs among the coins, but for those that nobody can ever spend.
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
        let coin = Coin { output: output.clone(), height, is_coinbase };
        view.create(OutPoint { txid, vout }, coin).map_err(ConnectError::View)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
