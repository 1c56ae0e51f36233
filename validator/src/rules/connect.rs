//! The rules of a block as it connects to the coins: what it spends is there, is his who spends it, and is enough.
//!
//! The coins come through [`CoinView`], so that the same code serves a store with a cache, a set in memory, and a block
//! that comes with a list of what it spends.

use std::fmt;

use bitcoin::{Amount, OutPoint, Sequence, Transaction};

use super::script_flags::{ScriptFlags, script_flags};
use super::scripts::check_scripts;
use super::sigops::{check_sigop_cost, sigop_cost};
use super::{COINBASE_MATURITY, MAX_MONEY, RuleError};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::{BlockUndo, Coin, CoinView};
use crate::headers::Ancestry;

/// From this height on coinbases from before BIP34 may collide with new ones, and BIP30 is checked again.
///
/// Source: Bitcoin Core, `validation.cpp`, `BIP34_IMPLIES_BIP30_LIMIT`.
const BIP34_IMPLIES_BIP30_LIMIT: u32 = 1_983_702;

/// The longest script that the engine runs, in bytes. An output with a longer one can never be spent.
const MAX_SCRIPT_SIZE: usize = 10_000;

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
}

/// Why a block did not connect.
#[derive(Debug, PartialEq, Eq)]
pub enum ConnectError<E> {
    /// It breaks a rule.
    Rule(RuleError),
    /// The coins could not be read or written; the block may be good.
    View(E),
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
/// be thrown away. Scripts run on the current `rayon` pool.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`, with its order: transaction by transaction, scripts last.
pub fn connect_block<V: CoinView>(
    params: &ChainParams,
    ancestry: &impl Ancestry,
    block: &DecodedBlock,
    view: &mut V,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<V::Error>> {
    let height = ancestry.tip_height() + 1;
    if is_bip30_checked(params, ancestry, block) {
        check_overwrites_no_coin(block, view)?;
    }
    let csv = height >= params.deployments.csv;
    let locks = RelativeLocks { height, ancestry: csv.then_some(ancestry as &dyn Ancestry), heights: csv };
    connect_transactions(params, &locks, block, view, options)
}

/// The part of [`connect_block`] that follows BIP30, for whoever has no ancestors to ask.
pub(crate) fn connect_transactions<V: CoinView>(
    params: &ChainParams,
    locks: &RelativeLocks<'_>,
    block: &DecodedBlock,
    view: &mut V,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<V::Error>> {
    let height = locks.height;
    let flags = script_flags(params, height, block.hash());
    let mut total = Totals::default();
    let mut spent = Vec::with_capacity(block.transactions().len().saturating_sub(1));
    for (tx, transaction) in block.transactions().iter().enumerate() {
        if transaction.is_coinbase() {
            total.add_sigops(transaction, &[], flags)?;
        } else {
            let coins = spend_inputs(tx, transaction, view)?;
            check_maturity_and_input_values(tx, &coins, height)?;
            total.add_fee(check_fee(tx, transaction, &coins)?)?;
            locks.check(tx, transaction, &coins)?;
            total.add_sigops(transaction, &coins, flags)?;
            total.inputs += coins.len();
            spent.push(coins);
        }
        create_outputs(tx, block, height, view)?;
    }
    check_coinbase_amount(params, height, block, total.fees)?;
    if options.check_scripts {
        check_scripts(block, &spent, flags)?;
    }
    let fees = Amount::from_sat(total.fees.unsigned_abs());
    Ok(Connected { undo: BlockUndo { spent }, fees, inputs: total.inputs, sigop_cost: total.sigop_cost })
}

/// What adds up over the transactions of a block.
#[derive(Default)]
struct Totals {
    fees: i64,
    inputs: usize,
    sigop_cost: u64,
}

impl Totals {
    /// The fees of a block are in range together, too.
    fn add_fee(&mut self, fee: i64) -> Result<(), RuleError> {
        self.fees = self.fees.saturating_add(fee);
        if (0..=MAX_MONEY).contains(&self.fees) { Ok(()) } else { Err(RuleError::FeesOutOfRange { fees: self.fees }) }
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
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock` and `IsBIP30Repeat`.
fn is_bip30_checked(params: &ChainParams, ancestry: &impl Ancestry, block: &DecodedBlock) -> bool {
    let parent = ancestry.tip_height();
    let height = parent + 1;
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
    for (transaction, &txid) in block.transactions().iter().zip(block.txids()) {
        for vout in 0..output_count(transaction) {
            let outpoint = OutPoint { txid, vout };
            if view.coin(&outpoint).map_err(ConnectError::View)?.is_some() {
                return Err(RuleError::OverwritesCoin { outpoint }.into());
            }
        }
    }
    Ok(())
}

fn output_count(transaction: &Transaction) -> u32 {
    u32::try_from(transaction.output.len()).expect("a block of 4 MB has fewer outputs")
}

/// Every input spends a coin that is there. Takes the coins away.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `CheckTxInputs`, as for the next three.
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
            coin.ok_or_else(|| RuleError::MissingInput { tx, input, outpoint }.into())
        })
        .collect()
}

/// Coinbases are spent after a hundred blocks, and the values spent are in range, each and together.
fn check_maturity_and_input_values(tx: usize, coins: &[Coin], height: u32) -> Result<(), RuleError> {
    let mut total = 0_i64;
    for (input, coin) in coins.iter().enumerate() {
        let depth = height.saturating_sub(coin.height);
        if coin.is_coinbase && depth < COINBASE_MATURITY {
            return Err(RuleError::ImmatureCoinbase { tx, input, depth });
        }
        let value = coin.output.value.to_sat().cast_signed();
        total = total.saturating_add(value);
        if !(0..=MAX_MONEY).contains(&value) || !(0..=MAX_MONEY).contains(&total) {
            return Err(RuleError::InputValueOutOfRange { tx, input, total });
        }
    }
    Ok(())
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

/// What a transaction creates. Its outputs have been found to be in range.
fn value_out(transaction: &Transaction) -> i64 {
    transaction.output.iter().fold(0, |sum, output| sum.saturating_add(output.value.to_sat().cast_signed()))
}

/// The coinbase creates at most the subsidy and the fees.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`.
fn check_coinbase_amount(params: &ChainParams, height: u32, block: &DecodedBlock, fees: i64) -> Result<(), RuleError> {
    let wanted = fees.saturating_add(params.subsidy.at(height).to_sat().cast_signed());
    let seen = block.transactions().first().map_or(0, value_out);
    if seen <= wanted { Ok(()) } else { Err(RuleError::CoinbaseAmount { seen, wanted }) }
}

/// Puts a transaction's outputs among the coins, but for those that nobody can ever spend.
///
/// Source: Bitcoin Core, `coins.cpp`, `AddCoins`, and `script/script.h`, `IsUnspendable`.
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
        let script = &output.script_pubkey;
        if script.is_op_return() || script.len() > MAX_SCRIPT_SIZE {
            continue;
        }
        let coin = Coin { output: output.clone(), height, is_coinbase };
        view.create(OutPoint { txid, vout }, coin).map_err(ConnectError::View)?;
    }
    Ok(())
}

/// What relative lock times are measured against (BIP68).
pub(crate) struct RelativeLocks<'a> {
    /// The block's height.
    pub(crate) height: u32,
    /// The block's ancestors; `None`: locks in seconds are not looked at.
    pub(crate) ancestry: Option<&'a dyn Ancestry>,
    /// Whether locks in blocks are looked at.
    pub(crate) heights: bool,
}

impl RelativeLocks<'_> {
    /// Every input is as old as its sequence number says (BIP68).
    ///
    /// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `CalculateSequenceLocks` and `EvaluateSequenceLocks`. There the
    /// last height and time at which the transaction is locked are kept; here, the first at which it is not.
    fn check(&self, tx: usize, transaction: &Transaction, coins: &[Coin]) -> Result<(), RuleError> {
        // Versions are unsigned to BIP68.
        if transaction.version.0.cast_unsigned() < 2 {
            return Ok(());
        }
        let (mut first_height, mut first_time) = (0, 0);
        for (input, coin) in transaction.input.iter().zip(coins) {
            match (relative_lock(input.sequence), self.ancestry) {
                (Some(RelativeLock::Blocks(blocks)), _) if self.heights => {
                    first_height = first_height.max(coin.height.saturating_add(blocks));
                }
                (Some(RelativeLock::Seconds(seconds)), Some(ancestry)) => {
                    // Time counts from the least time that the coin's block could have had.
                    let from = ancestry.median_time_past_at(coin.height.saturating_sub(1));
                    first_time = first_time.max(u64::from(from) + u64::from(seconds));
                }
                _ => {}
            }
        }
        let now = self.ancestry.map_or(u32::MAX, |ancestry| ancestry.median_time_past_at(ancestry.tip_height()));
        if first_height > self.height || first_time > u64::from(now) {
            let error = RuleError::SequenceLock { tx, unlocked: (first_height, first_time), now: (self.height, now) };
            return Err(error);
        }
        Ok(())
    }
}

/// How long after a coin an input may spend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelativeLock {
    Blocks(u32),
    Seconds(u32),
}

/// What a sequence number says about age, in a transaction of version 2 or above.
///
/// Source: BIP68. Bit 31 turns it off, bit 22 chooses units of 512 seconds, the lowest 16 bits count.
pub(crate) fn relative_lock(sequence: Sequence) -> Option<RelativeLock> {
    let sequence = sequence.to_consensus_u32();
    let count = sequence & 0xffff;
    match sequence {
        off if off & 1 << 31 != 0 => None,
        seconds if seconds & 1 << 22 != 0 => Some(RelativeLock::Seconds(count << 9)),
        _ => Some(RelativeLock::Blocks(count)),
    }
}
