//! Tests of the rules of a block as it connects.

use std::collections::HashMap;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, ScriptBuf, Sequence};

use super::*;
use crate::chain::ChainParams;
use crate::rules::testing::{UniformChain, block_of, coin, coinbase, outpoint, spend};
use crate::rules::transaction_error::TransactionError;

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
    let ancestry = UniformChain::new(height - 1, TIME);
    connect_block(
        &ChainParams::regtest().consensus,
        BlockContext::after(&ancestry),
        &block,
        coins,
        ConnectOptions::default(),
    )
}

/// The position of the transaction that broke a rule, and the rule.
fn broken_by_transaction<T, E>(result: Result<T, ConnectError<E>>) -> (usize, TransactionError) {
    match broken(result) {
        RuleError::Transaction { tx, error, .. } => (tx, error),
        error => panic!("{error}"),
    }
}

/// The broken rule.
fn broken<T, E>(result: Result<T, ConnectError<E>>) -> RuleError {
    match result {
        Err(ConnectError::Rule(error)) => error,
        _ => panic!("a rule is broken"),
    }
}

#[test]
fn a_block_spends_creates_and_remembers() {
    let mut coins = Coins::from([(outpoint(1), coin(100, 5)), (outpoint(2), coin(200, 6)), (outpoint(3), coin(1, 7))]);
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
    let missing = |tx: usize, input, outpoint| (tx, TransactionError::MissingInput { input, outpoint });
    let twice = [spend(&[outpoint(1)], &[1]), spend(&[outpoint(1)], &[2])];
    assert_eq!(broken_by_transaction(connect(10, 0, &twice, &mut coins.clone())), missing(2, 0, outpoint(1)));
    let unknown = [spend(&[outpoint(1), outpoint(9)], &[1])];
    assert_eq!(broken_by_transaction(connect(10, 0, &unknown, &mut coins.clone())), missing(1, 1, outpoint(9)));
    let parent = spend(&[outpoint(1)], &[1]);
    let of_parent = OutPoint { txid: parent.compute_txid(), vout: 0 };
    let reversed = [spend(&[of_parent], &[1]), parent];
    assert_eq!(broken_by_transaction(connect(10, 0, &reversed, &mut coins)), missing(1, 0, of_parent));
}

#[test]
fn coinbases_mature_after_a_hundred_blocks() {
    let mut young = coin(100, 5);
    young.is_coinbase = true;
    let coins = Coins::from([(outpoint(1), young)]);
    let spends = [spend(&[outpoint(1)], &[100])];
    assert!(connect(105, SUBSIDY, &spends, &mut coins.clone()).is_ok());
    let error = broken_by_transaction(connect(104, SUBSIDY, &spends, &mut coins.clone()));
    assert_eq!(error, (1, TransactionError::ImmatureCoinbase { input: 0, depth: 99 }));
}

#[test]
fn a_transaction_creates_at_most_what_it_spends() {
    let coins = Coins::from([(outpoint(1), coin(100, 5))]);
    assert!(connect(10, SUBSIDY, &[spend(&[outpoint(1)], &[60, 40])], &mut coins.clone()).is_ok());
    let spends = [spend(&[outpoint(1)], &[60, 41])];
    let error = broken_by_transaction(connect(10, SUBSIDY, &spends, &mut coins.clone()));
    assert_eq!(error, (1, TransactionError::InputsBelowOutputs { value_in: 100, value_out: 101 }));
}

#[test]
fn the_sum_of_the_fees_is_an_amount() {
    assert_eq!(check_total_fees(MAX_MONEY - 1, Amount::ONE_SAT), Ok(MAX_MONEY));
    assert_eq!(check_total_fees(MAX_MONEY, Amount::ONE_SAT), Err(RuleError::FeesOutOfRange { fees: MAX_MONEY + 1 }));
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
    let error = broken_by_transaction(connect(10, SUBSIDY, &spends, &mut coins.clone()));
    assert_eq!(error, (1, TransactionError::Script { input: 0 }));
    let error = broken(connect(10, SUBSIDY + 1, &spends, &mut coins.clone()));
    assert!(matches!(error, RuleError::CoinbaseAmount { .. }), "amounts come before scripts");
    let block = block_of(vec![coinbase(10, SUBSIDY), spends[0].clone()]);
    let options = ConnectOptions::default().with_check_scripts(false);
    let (regtest, ancestry) = (ChainParams::regtest().consensus, UniformChain::new(9, TIME));
    assert!(connect_block(&regtest, BlockContext::after(&ancestry), &block, &mut coins.clone(), options).is_ok());
}

#[test]
fn sequence_locks_are_checked_as_a_block_connects() {
    let coins = Coins::from([(outpoint(1), coin(1, 100))]);
    let mut transaction = spend(&[outpoint(1)], &[1]);
    transaction.input[0].sequence = Sequence::from_consensus(5);
    assert!(connect(105, 0, &[transaction.clone()], &mut coins.clone()).is_ok());
    let error = broken_by_transaction(connect(104, 0, &[transaction], &mut coins.clone()));
    assert_eq!(error, (1, TransactionError::HeightLock { input: 0, unlocked: 105, height: 104 }));
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
    let mut params = ChainParams::regtest().consensus;
    params.deployments.bip34 = 10;
    let connect = |params| {
        connect_block(
            params,
            BlockContext::after(&UniformChain::new(9, TIME)),
            &block,
            &mut coins.clone(),
            ConnectOptions::default(),
        )
    };
    assert_eq!(broken(connect(&params)), error, "the driver asks");
    assert!(connect(&ChainParams::regtest().consensus).is_ok(), "where no coinbase can repeat, it does not");
}

#[test]
fn bip30_is_implied_between_two_heights_on_the_known_chain() {
    let mut main = ChainParams::main().consensus;
    let block = block_of(vec![coinbase(1, 50)]);
    let is_checked = |params: &ConsensusParams, parent| {
        is_bip30_checked(params, BlockContext::after(&UniformChain::new(parent, TIME)), &block)
    };
    assert!(is_checked(&main, 227_930), "before BIP34");
    assert!(is_checked(&main, 227_931), "on a chain that is not the known one");
    main.bip34_hash = Some(UniformChain::new(0, TIME).header.block_hash());
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
        fn create(&mut self, _: OutPoint, _: CoinRef<'_>) -> Result<(), Self::Error> {
            Err("the disk is gone")
        }
    }
    let block = block_of(vec![coinbase(1, 50)]);
    let result = connect_block(
        &ChainParams::regtest().consensus,
        BlockContext::after(&UniformChain::new(0, TIME)),
        &block,
        &mut Broken,
        ConnectOptions::default(),
    );
    assert_eq!(result, Err(ConnectError::View("the disk is gone")));
}
