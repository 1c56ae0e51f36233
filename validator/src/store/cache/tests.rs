//! The coin cache against a plain map, at its limit and far below it.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, ScriptBuf, TxOut, Txid};
use proptest::prelude::*;

use super::*;
use crate::coins::CoinView;
use crate::coins::encoding::decode_coin;
use crate::store::{CoinSource, StoreError};

/// The store of the tests: a whole coin set, which only commits change.
#[derive(Clone, Debug, Default, PartialEq)]
struct Set(BTreeMap<OutPoint, Coin>);

impl CoinSource for Set {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(self.0.get(outpoint).cloned())
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.0.iter().for_each(|(outpoint, coin)| with(*outpoint, coin.clone()));
        Ok(())
    }
}

impl Set {
    fn commit(&mut self, cache: &mut CoinCache) {
        let mut last = Vec::new();
        for (key, value) in cache.changes() {
            assert!(last.as_slice() < key, "in the order of keys");
            last = key.to_vec();
            let outpoint = decode_outpoint(key).unwrap();
            match value {
                Some(value) => self.0.insert(outpoint, decode_coin(value).unwrap()),
                None => self.0.remove(&outpoint),
            };
        }
        cache.mark_clean();
    }
}

fn outpoint(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 }
}

fn coin(value: u64, is_coinbase: bool) -> Coin {
    let script_pubkey = ScriptBuf::from_bytes(vec![0x51; value as usize % 90]);
    Coin { output: TxOut { value: Amount::from_sat(value), script_pubkey }, height: 1, is_coinbase }
}

#[test]
fn a_coin_made_and_spent_between_commits_never_reaches_the_store() {
    let (mut cache, set) = (CoinCache::default(), Set::default());
    let mut view = cache.view(&set);
    view.create(outpoint(1), (&coin(5, false)).into()).unwrap();
    assert_eq!(view.spend(&outpoint(1)).unwrap(), Some(coin(5, false)));
    assert_eq!(view.spend(&outpoint(1)).unwrap(), None);
    assert_eq!((cache.changes().count(), cache.dirty()), (0, 0));
}

#[test]
fn a_repeated_coinbase_replaces_the_coin_in_the_store() {
    let (mut cache, mut set) = (CoinCache::default(), Set(BTreeMap::from([(outpoint(1), coin(5, true))])));
    let mut view = cache.view(&set);
    view.create(outpoint(1), (&coin(6, true)).into()).unwrap();
    view.spend(&outpoint(1)).unwrap();
    set.commit(&mut cache);
    assert_eq!(set, Set::default());
}

#[test]
fn what_the_store_has_is_dropped_at_the_limit_and_none_of_it_lost() {
    let many = |number: u32| OutPoint { vout: number, ..outpoint(number as u8) };
    let coin = |number: u32| coin(u64::from(number % 4) * 30 + 90_000, false);
    let limit = 200_000;
    let (mut cache, mut set) = (CoinCache::with_limit(limit), Set::default());
    let mut commits = 0;
    for number in 0..20_000 {
        cache.view(&set).create(many(number), (&coin(number)).into()).unwrap();
        if cache.is_full() {
            set.commit(&mut cache);
            commits += 1;
            assert!((limit / 2..=limit / 8 * 7).contains(&cache.memory()), "{} bytes", cache.memory());
        }
    }
    // Half of what fits and more is changes when a commit comes.
    assert!((10..30).contains(&commits), "{commits} commits");
    set.commit(&mut cache);
    assert_eq!(set.0.len(), 20_000);
    for number in 0..20_000 {
        assert_eq!(cache.view(&set).coin(&many(number)).unwrap(), Some(coin(number)));
        assert!(cache.memory() <= limit + CHUNK_BYTES, "{} bytes", cache.memory());
    }
    assert!((1_000..2_500).contains(&cache.coins().count()), "{}", cache.coins().count());
}

#[test]
fn the_longest_coin_is_kept_whole() {
    let (mut cache, set) = (CoinCache::default(), Set::default());
    let at = OutPoint { vout: u32::MAX, ..outpoint(255) };
    let script_pubkey = ScriptBuf::from_bytes(vec![0x51; crate::coins::MAX_SCRIPT_SIZE]);
    let output = TxOut { value: Amount::MAX_MONEY, script_pubkey };
    let coin = Coin { output, height: u32::MAX, is_coinbase: true };
    cache.view(&set).create(at, (&coin).into()).unwrap();
    assert_eq!(cache.get(&at), Some(Some(coin.clone())));
    assert_eq!(cache.view(&set).spend(&at).unwrap(), Some(coin));
}

#[test]
fn coins_that_are_asked_for_together_are_those_of_the_store() {
    let (mut cache, set) =
        (CoinCache::default(), Set((1..9).map(|at| (outpoint(at), coin(at.into(), false))).collect()));
    let mut view = cache.view(&set);
    view.spend(&outpoint(2)).unwrap();
    view.prepare([1, 2, 3, 3, 20].map(outpoint).into_iter()).unwrap();
    assert_eq!(cache.coins().count(), 2);
    let mut first = |numbers: &[u8]| {
        let outpoints: Vec<OutPoint> = numbers.iter().copied().map(outpoint).collect();
        cache.view(&set).first_unspent(&outpoints).unwrap()
    };
    assert_eq!(first(&[20, 2, 21]), None);
    assert_eq!(first(&[20, 2, 8, 1]), Some(outpoint(8)));
    assert_eq!(first(&[2, 1, 20, 8]), Some(outpoint(1)));
}

#[test]
fn coins_that_came_and_went_leave_no_trace() {
    let (mut cache, set) = (CoinCache::default(), Set::default());
    for round in 0..200 {
        cache.begin_block();
        for number in 0..100 {
            cache.view(&set).create(outpoint(number), (&coin(round, false)).into()).unwrap();
            cache.view(&set).spend(&outpoint(number)).unwrap();
        }
        cache.commit_block();
    }
    assert_eq!(cache.dirty(), 0);
    let touched: usize = cache.pieces.iter().map(|piece| piece.touched.len()).sum();
    assert!(touched <= 1_024, "{touched}");
}

#[derive(Clone, Debug)]
enum Step {
    Spend(u16),
    /// Only where there is no coin, or with a coinbase: what the rules guarantee.
    Create(u16, u64, bool),
    Read(u16),
    Block(bool),
    Commit,
}

fn step(outpoints: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0..outpoints).prop_map(Step::Spend),
        40 => (0..outpoints, 1..500_u64, any::<bool>()).prop_map(|(at, value, coinbase)| Step::Create(at, value, coinbase)),
        20 => (0..outpoints).prop_map(Step::Read),
        5 => any::<bool>().prop_map(Step::Block),
        2 => Just(Step::Commit),
    ]
}

fn numbered(at: u16) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([(at % 13) as u8 * 19; 32]), vout: at.into() }
}

/// Runs `steps` on a cache and on a plain map.
fn compare(steps: Vec<Step>, limit: usize) -> Result<(), TestCaseError> {
    let (mut cache, mut set) = (CoinCache::with_limit(limit), Set::default());
    // The set before the open block, and the set within it.
    let (mut kept, mut now) = (Set::default(), Set::default());
    cache.begin_block();
    for step in steps {
        match step {
            Step::Spend(at) => {
                let spent = cache.view(&set).spend(&numbered(at)).unwrap();
                prop_assert_eq!(spent, now.0.remove(&numbered(at)));
            }
            Step::Create(at, value, coinbase) => {
                if coinbase || !now.0.contains_key(&numbered(at)) {
                    cache.view(&set).create(numbered(at), (&coin(value, coinbase)).into()).unwrap();
                    now.0.insert(numbered(at), coin(value, coinbase));
                }
            }
            Step::Read(at) => {
                let read = cache.view(&set).coin(&numbered(at)).unwrap();
                prop_assert_eq!(read.as_ref(), now.0.get(&numbered(at)));
            }
            Step::Block(valid) => {
                if valid {
                    cache.commit_block();
                    kept = now.clone();
                } else {
                    cache.roll_back_block();
                    now = kept.clone();
                }
                cache.begin_block();
            }
            Step::Commit => {
                cache.commit_block();
                kept = now.clone();
                set.commit(&mut cache);
                prop_assert_eq!(&set, &kept);
                cache.begin_block();
            }
        }
        prop_assert_eq!(cache.dirty(), cache.changes().count());
        let in_tables = cache.pieces.iter().flat_map(|piece| &piece.table);
        prop_assert_eq!(cache.dirty(), in_tables.filter(|handle| cache.record(**handle).is(DIRTY)).count());
        // Every cell in use is named by a table.
        if cache.journal.as_ref().is_some_and(Vec::is_empty) {
            let cells = (0..cache.cells.chunk_count()).flat_map(|chunk| cache.cells.in_chunk(chunk)).count();
            prop_assert_eq!(cells, cache.pieces.iter().map(|piece| piece.table.len()).sum::<usize>());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_cache_and_a_plain_map_always_agree(steps in proptest::collection::vec(step(6), 1..120)) {
        compare(steps, usize::MAX)?;
    }

    /// With so many coins that some are dropped all the time.
    #[test]
    fn a_cache_at_its_limit_and_a_plain_map_always_agree(
        steps in proptest::collection::vec(step(2_000), 1_000..3_000),
        limit in 0..100_000_usize,
    ) {
        compare(steps, limit)?;
    }
}
