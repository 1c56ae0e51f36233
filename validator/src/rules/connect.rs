//! The rules of a block as it connects to the coins: what it spends is there, is his who spends it, and is enough.
//!
//! The coins come through [`CoinView`], so that the same code serves a store with a cache, a set in memory, and a block
//! that comes with a list of what it spends.

use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bitcoin::{Amount, OutPoint, Transaction, Txid};

use super::script_flags::{ScriptFlags, script_flags};
use super::scripts::ScriptChecks;
use super::sequence_locks::SequenceLocks;
use super::sigops::{check_sigop_cost, sigop_cost};
use super::{COINBASE_MATURITY, MAX_MONEY, RuleError};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::{BlockUndo, Coin, CoinView, is_unspendable};
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
    let locks = SequenceLocks { height, enforced: height >= params.deployments.csv, ancestry: Some(ancestry) };
    connect_transactions(params, &locks, block, view, options)
}

/// The part of [`connect_block`] that follows BIP30.
fn connect_transactions<V: CoinView>(
    params: &ChainParams,
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
    scripts.check()?;
    Ok(total.connected(spent.into_iter().filter_map(OnceLock::into_inner).collect(), times))
}

/// The outpoints that a block spends and does not make: what a view may want to find before it connects.
pub(crate) fn spent_from_before(block: &DecodedBlock) -> impl Iterator<Item = OutPoint> {
    let made: HashSet<Txid> = block.txids().iter().copied().collect();
    let spending = block.transactions().iter().filter(|transaction| !transaction.is_coinbase());
    let spent = spending.flat_map(|transaction| &transaction.input).map(|input| input.previous_output);
    spent.filter(move |outpoint| !made.contains(&outpoint.txid))
}

/// All of a block but its scripts. `start` is given the coins of each transaction but the coinbase, in their order.
pub(super) fn connect_coins<V: CoinView>(
    params: &ChainParams,
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
            check_maturity_and_input_values(tx, &coins, height)?;
            total.add_fee(check_fee(tx, transaction, &coins)?)?;
            locks.check(tx, transaction, &coins)?;
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
/// Where BIP34 holds from the first block on, it can never be broken. A transaction repeats only where it spends what its
/// first instance spent, which must have been made again by a transaction that repeats as well, and so on down to a
/// coinbase. But each coinbase begins with its height, in an encoding of which none begins another, and so all differ. The
/// coinbase of genesis makes no coins. Core looks there too, and finds nothing.
///
/// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock` and `IsBIP30Repeat`.
fn is_bip30_checked(params: &ChainParams, ancestry: &impl Ancestry, block: &DecodedBlock) -> bool {
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
mod tests {
    use std::collections::HashMap;

    use bitcoin::hashes::Hash;
    use bitcoin::{BlockHash, ScriptBuf, Sequence};

    use super::*;
    use crate::rules::testing::{Alike, block_of, coin, coinbase, outpoint, spend, vectors};

    type Coins = HashMap<OutPoint, Coin>;

    const SUBSIDY: i64 = 50_0000_0000;
    const TIME: u32 = 1_600_000_000;

    /// Connects `transactions`, after a coinbase that pays `reward`, at `height` on regtest.
    fn connect(
        height: u32,
        reward: i64,
        transactions: &[Transaction],
        coins: &mut Coins,
    ) -> Result<Connected, ConnectError<std::convert::Infallible>> {
        let block = block_of([&[coinbase(height, reward)], transactions].concat());
        let ancestry = Alike::new(height - 1, TIME);
        connect_block(&ChainParams::regtest(), &ancestry, &block, coins, ConnectOptions::default())
    }

    /// The rule that connecting broke.
    fn broken<T, E>(result: Result<T, ConnectError<E>>) -> RuleError {
        match result {
            Err(ConnectError::Rule(error)) => error,
            _ => panic!("a rule is broken"),
        }
    }

    #[test]
    fn a_block_spends_creates_and_remembers() {
        let mut coins =
            Coins::from([(outpoint(1), coin(100, 5)), (outpoint(2), coin(200, 6)), (outpoint(3), coin(1, 7))]);
        let first = spend(&[outpoint(1), outpoint(2)], &[250, 20]);
        let child = OutPoint { txid: first.compute_txid(), vout: 0 };
        let second = spend(&[child], &[240]);
        let last = OutPoint { txid: second.compute_txid(), vout: 0 };
        let connected = connect(10, SUBSIDY + 40, &[first, second], &mut coins).unwrap();
        assert_eq!((connected.fees, connected.inputs), (Amount::from_sat(40), 3));
        assert_eq!(connected.undo.spent, [vec![coin(100, 5), coin(200, 6)], vec![coin(250, 10)]]);
        assert_eq!(coins.len(), 4, "one that was there, one of each transaction, the coinbase");
        assert_eq!(coins[&last], coin(240, 10));
        assert_eq!(coins.values().filter(|coin| coin.is_coinbase).count(), 1);
    }

    #[test]
    fn outputs_that_nobody_can_spend_are_no_coins() {
        let mut transaction = spend(&[outpoint(1)], &[1, 1, 1, 1]);
        for (vout, script) in [(0, vec![0x6a]), (1, vec![0; 10_001]), (2, vec![0; 10_000]), (3, vec![])] {
            transaction.output[vout].script_pubkey = ScriptBuf::from_bytes(script);
        }
        let txid = transaction.compute_txid();
        let mut coins = Coins::from([(outpoint(1), coin(4, 5))]);
        connect(10, SUBSIDY, &[transaction], &mut coins).unwrap();
        let is_coin = [0, 1, 2, 3].map(|vout| coins.contains_key(&OutPoint { txid, vout }));
        assert_eq!(is_coin, [false, false, true, true]);
    }

    #[test]
    fn coins_are_spent_once_and_after_they_are_made() {
        let mut coins = Coins::from([(outpoint(1), coin(100, 5))]);
        let missing = |tx, input, outpoint| RuleError::MissingInput { tx, input, outpoint };
        let twice = [spend(&[outpoint(1)], &[1]), spend(&[outpoint(1)], &[2])];
        assert_eq!(broken(connect(10, 0, &twice, &mut coins.clone())), missing(2, 0, outpoint(1)));
        let unknown = [spend(&[outpoint(1), outpoint(9)], &[1])];
        assert_eq!(broken(connect(10, 0, &unknown, &mut coins.clone())), missing(1, 1, outpoint(9)));
        let parent = spend(&[outpoint(1)], &[1]);
        let of_parent = OutPoint { txid: parent.compute_txid(), vout: 0 };
        let reversed = [spend(&[of_parent], &[1]), parent];
        assert_eq!(broken(connect(10, 0, &reversed, &mut coins)), missing(1, 0, of_parent));
    }

    #[test]
    fn coinbases_mature_after_a_hundred_blocks() {
        let mut young = coin(100, 5);
        young.is_coinbase = true;
        let coins = Coins::from([(outpoint(1), young)]);
        let spends = [spend(&[outpoint(1)], &[100])];
        assert!(connect(105, SUBSIDY, &spends, &mut coins.clone()).is_ok());
        let error = broken(connect(104, SUBSIDY, &spends, &mut coins.clone()));
        assert_eq!(error, RuleError::ImmatureCoinbase { tx: 1, input: 0, depth: 99 });
    }

    #[test]
    fn values_spent_are_in_range() {
        assert_eq!(check_maturity_and_input_values(1, &[coin(MAX_MONEY - 1, 1), coin(1, 1)], 9), Ok(()));
        let error = RuleError::InputValueOutOfRange { tx: 1, input: 1, total: MAX_MONEY + 1 };
        assert_eq!(check_maturity_and_input_values(1, &[coin(MAX_MONEY, 1), coin(1, 1)], 9), Err(error));
        let error = RuleError::InputValueOutOfRange { tx: 1, input: 0, total: -1 };
        assert_eq!(check_maturity_and_input_values(1, &[coin(-1, 1)], 9), Err(error));
    }

    #[test]
    fn a_transaction_creates_at_most_what_it_spends() {
        let coins = Coins::from([(outpoint(1), coin(100, 5))]);
        assert!(connect(10, SUBSIDY, &[spend(&[outpoint(1)], &[60, 40])], &mut coins.clone()).is_ok());
        let error = broken(connect(10, SUBSIDY, &[spend(&[outpoint(1)], &[60, 41])], &mut coins.clone()));
        assert_eq!(error, RuleError::InputsBelowOutputs { tx: 1, value_in: 100, value_out: 101 });
    }

    #[test]
    fn fees_are_amounts_each_and_together() {
        assert_eq!(check_fee_range(1, MAX_MONEY), Ok(MAX_MONEY));
        assert_eq!(check_fee_range(1, -1), Err(RuleError::FeeOutOfRange { tx: 1, fee: -1 }));
        assert!(check_fee_range(1, MAX_MONEY + 1).is_err());
        let mut totals = Totals::default();
        assert_eq!(totals.add_fee(MAX_MONEY), Ok(()));
        assert_eq!(totals.add_fee(1), Err(RuleError::FeesOutOfRange { fees: MAX_MONEY + 1 }));
    }

    #[test]
    fn the_coinbase_creates_subsidy_and_fees_at_most() {
        let coins = Coins::from([(outpoint(1), coin(100, 5))]);
        let spends = [spend(&[outpoint(1)], &[70])];
        assert!(connect(10, SUBSIDY + 30, &spends, &mut coins.clone()).is_ok());
        assert!(connect(10, 0, &spends, &mut coins.clone()).is_ok(), "less is allowed");
        let error = broken(connect(10, SUBSIDY + 31, &spends, &mut coins.clone()));
        assert_eq!(error, RuleError::CoinbaseAmount { seen: SUBSIDY + 31, wanted: SUBSIDY + 30 });
        let error = broken(connect(150, SUBSIDY, &[], &mut coins.clone()));
        assert_eq!(error, RuleError::CoinbaseAmount { seen: SUBSIDY, wanted: SUBSIDY / 2 }, "after a halving");
    }

    #[test]
    fn signature_operations_of_all_transactions_add_up() {
        let with_sigops = |count| {
            let mut transaction = spend(&[outpoint(1)], &[1]);
            transaction.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; count]);
            connect(10, 0, &[transaction], &mut Coins::from([(outpoint(1), coin(1, 5))]))
        };
        assert_eq!(with_sigops(20_000).unwrap().sigop_cost, 80_000);
        assert_eq!(broken(with_sigops(20_001)), RuleError::SigopCost { cost: 80_004 });
    }

    #[test]
    fn scripts_run_last_and_only_if_asked_for() {
        let mut locked = coin(100, 5);
        locked.output.script_pubkey = ScriptBuf::from_bytes(vec![0x00]);
        let coins = Coins::from([(outpoint(1), locked)]);
        let spends = [spend(&[outpoint(1)], &[100])];
        assert!(matches!(
            broken(connect(10, SUBSIDY, &spends, &mut coins.clone())),
            RuleError::Script { tx: 1, input: 0, .. }
        ));
        let error = broken(connect(10, SUBSIDY + 1, &spends, &mut coins.clone()));
        assert!(matches!(error, RuleError::CoinbaseAmount { .. }), "amounts come before scripts");
        let block = block_of(vec![coinbase(10, SUBSIDY), spends[0].clone()]);
        let options = ConnectOptions { check_scripts: false };
        let ancestry = Alike::new(9, TIME);
        assert!(connect_block(&ChainParams::regtest(), &ancestry, &block, &mut coins.clone(), options).is_ok());
    }

    #[test]
    fn sequence_locks_are_checked_as_a_block_connects() {
        let coins = Coins::from([(outpoint(1), coin(1, 100))]);
        let mut transaction = spend(&[outpoint(1)], &[1]);
        transaction.input[0].sequence = Sequence::from_consensus(5);
        assert!(connect(105, 0, &[transaction.clone()], &mut coins.clone()).is_ok());
        let error = broken(connect(104, 0, &[transaction], &mut coins.clone()));
        assert!(matches!(error, RuleError::HeightLock { unlocked: 105, .. }), "{error}");
    }

    #[test]
    fn no_coin_is_overwritten() {
        let block = block_of(vec![coinbase(10, 1)]);
        let mut coins = Coins::new();
        assert_eq!(check_overwrites_no_coin(&block, &mut coins), Ok(()));
        let outpoint = OutPoint { txid: block.txids()[0], vout: 0 };
        coins.insert(outpoint, coin(1, 1));
        let error = broken(check_overwrites_no_coin(&block, &mut coins));
        assert_eq!(error, RuleError::OverwritesCoin { outpoint });
        assert_eq!(error.reject_reason(), "bad-txns-BIP30");
        let mut params = ChainParams::regtest();
        params.deployments.bip34 = 10;
        let connect =
            |params| connect_block(params, &Alike::new(9, TIME), &block, &mut coins.clone(), ConnectOptions::default());
        assert_eq!(broken(connect(&params)), error, "the driver asks");
        assert!(connect(&ChainParams::regtest()).is_ok(), "where no coinbase can repeat, it does not");
    }

    /// The two recorded coinbases that exist twice: the second block of each pair is let through, by height and hash.
    #[test]
    fn the_two_recorded_repeats_are_let_through() {
        let Some(vectors) = vectors() else { return };
        let main = ChainParams::main();
        let options = ConnectOptions { check_scripts: false };
        for (first, second) in [(91_722, 91_880), (91_812, 91_842)] {
            let [first_block, second_block] = [first, second]
                .map(|height| DecodedBlock::decode(vectors.read(&format!("mainnet/block-{height}.bin"))).unwrap());
            assert_eq!(first_block.txids()[0], second_block.txids()[0], "one coinbase");
            let mut coins = Coins::new();
            // What the blocks spend is not recorded: coins that pay for it stand in.
            for transaction in [&first_block, &second_block].iter().flat_map(|block| &block.transactions()[1..]) {
                for input in &transaction.input {
                    coins.insert(input.previous_output, coin(value_out(transaction), 1));
                }
            }
            let mut connect =
                |block, height: u32| connect_block(&main, &Alike::new(height - 1, TIME), block, &mut coins, options);
            connect(&first_block, first).unwrap();
            let error = broken(connect(&second_block, second + 1));
            assert_eq!(error.reject_reason(), "bad-txns-BIP30", "at any other height");
            connect(&second_block, second).unwrap();
            let coinbase = OutPoint { txid: second_block.txids()[0], vout: 0 };
            assert_eq!(coins[&coinbase].height, second, "the first coin is gone");
        }
    }

    #[test]
    fn bip30_is_implied_between_two_heights_on_the_known_chain() {
        let mut main = ChainParams::main();
        let block = block_of(vec![coinbase(1, 50)]);
        let is_checked = |params: &ChainParams, parent| is_bip30_checked(params, &Alike::new(parent, TIME), &block);
        assert!(is_checked(&main, 227_930), "before BIP34");
        assert!(is_checked(&main, 227_931), "on a chain that is not the known one");
        main.bip34_hash = Some(Alike::new(0, TIME).header.block_hash());
        assert!(is_checked(&main, 227_930));
        assert!(!is_checked(&main, 227_931));
        assert!(!is_checked(&main, 1_983_700));
        assert!(is_checked(&main, 1_983_701), "block 1,983,702");
        main.bip34_hash = None;
        assert!(is_checked(&main, 300_000));
        main.bip30_repeats = vec![(300_001, block.hash()), (300_003, BlockHash::all_zeros())];
        assert!(!is_checked(&main, 300_000));
        assert!(is_checked(&main, 300_002), "the height without the hash");
    }

    #[test]
    fn a_view_that_fails_is_not_a_broken_rule() {
        struct Broken;
        impl CoinView for Broken {
            type Error = &'static str;
            fn coin(&mut self, _: &OutPoint) -> Result<Option<Coin>, Self::Error> {
                Err("the disk is gone")
            }
            fn spend(&mut self, _: &OutPoint) -> Result<Option<Coin>, Self::Error> {
                Err("the disk is gone")
            }
            fn create(&mut self, _: OutPoint, _: Coin) -> Result<(), Self::Error> {
                Err("the disk is gone")
            }
        }
        let block = block_of(vec![coinbase(1, 50)]);
        let result = connect_block(
            &ChainParams::regtest(),
            &Alike::new(0, TIME),
            &block,
            &mut Broken,
            ConnectOptions::default(),
        );
        assert_eq!(result, Err(ConnectError::View("the disk is gone")));
    }
}
