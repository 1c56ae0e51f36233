//! The coin cache: coins read from the store and changes not yet written to it, in memory up to a stated limit.
//!
//! Most coins are spent soon after they are made. One that is made and spent between two commits never reaches the
//! store (the `fresh` mark, as in Core's `CCoinsViewCache`). Unlike Core's stack of views there is one table: a block
//! changes it in place and keeps a journal of what it replaced, so that a block that turns out invalid is taken back,
//! and one that is valid costs one table access a change instead of two.

use bitcoin::OutPoint;

use super::table::Table;
use super::{Coin, CoinView};
use crate::store::StoreError;

/// Where coins are found that the cache does not hold.
pub trait CoinSource {
    /// The coin at `outpoint` as of the last commit.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds is no coin.
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError>;
}

#[derive(Clone, Debug)]
struct Slot {
    /// `None`: spent, and still to be removed from the store.
    coin: Option<Coin>,
    /// Differs from the store.
    dirty: bool,
    /// The store has no coin here. Only with `dirty`.
    fresh: bool,
}

impl Slot {
    /// Heap bytes behind a coin: its script in chunks of 16 bytes with 8 of bookkeeping, at least 32, as 64-bit glibc
    /// allots.
    fn script_bytes(&self) -> usize {
        match self.coin.as_ref().map_or(0, |coin| coin.output.script_pubkey.len()) {
            0 => 0,
            length => (length + 8).next_multiple_of(16).max(32),
        }
    }
}

/// Coins and changes over a [`CoinSource`].
#[derive(Debug, Default)]
pub struct CoinCache {
    slots: Table<Slot>,
    script_bytes: usize,
    dirty: usize,
    /// Every outpoint that became dirty since the last commit, some more than once, some not dirty any more. A commit
    /// goes through these and not through the whole table.
    touched: Vec<OutPoint>,
    /// What each change since [`Self::begin`] replaced, in order.
    journal: Option<Vec<(OutPoint, Option<Slot>)>>,
}

impl CoinCache {
    /// Bytes that the cache occupies: its whole table, used or not, and the scripts as the allocator rounds them.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.slots.memory() + self.script_bytes + self.touched.capacity() * size_of::<OutPoint>()
    }

    /// How many coins and removals are not written yet.
    #[must_use]
    pub const fn dirty(&self) -> usize {
        self.dirty
    }

    /// Starts a block: from here on changes can be taken back.
    pub fn begin(&mut self) {
        debug_assert!(self.journal.is_none(), "a block begins while another is open");
        self.journal = Some(Vec::new());
    }

    /// Keeps the changes since [`Self::begin`].
    pub fn keep(&mut self) {
        self.journal = None;
        // Coins made and spent since the last commit are no changes any more. Twice the changes is enough to wait for:
        // then going through all costs no more than making them did.
        if self.touched.len() > 2 * self.dirty + 1_024 {
            let changes = self.changes().map(|(outpoint, _)| *outpoint).collect();
            self.touched = changes;
        }
    }

    /// Takes back every change since [`Self::begin`].
    pub fn roll_back(&mut self) {
        for (outpoint, before) in self.journal.take().unwrap_or_default().into_iter().rev() {
            self.replace(outpoint, before);
        }
    }

    /// The cache as a block sees it, over `source`.
    pub fn view<'a>(&'a mut self, source: &'a dyn CoinSource) -> CachedCoins<'a> {
        CachedCoins { cache: self, source }
    }

    /// Everything that the store does not have, each outpoint once and in order: a coin, or `None` for one to remove.
    pub fn changes(&self) -> impl Iterator<Item = (&OutPoint, Option<&Coin>)> {
        let mut touched: Vec<&OutPoint> = self.touched.iter().collect();
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().filter_map(|outpoint| {
            let slot = self.slots.get(outpoint).filter(|slot| slot.dirty)?;
            Some((outpoint, slot.coin.as_ref()))
        })
    }

    /// Every coin that the cache holds, written or not.
    pub fn coins(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.slots.iter().filter_map(|(outpoint, slot)| Some((outpoint, slot.coin.as_ref()?)))
    }

    /// What the cache knows of `outpoint`; `None` outside: ask the store.
    #[must_use]
    pub fn get(&self, outpoint: &OutPoint) -> Option<Option<&Coin>> {
        self.slots.get(outpoint).map(|slot| slot.coin.as_ref())
    }

    /// After a commit of [`Self::changes`]: the store has everything. Above `limit` bytes everything is dropped, else
    /// what is unspent stays for later reads.
    pub fn written(&mut self, limit: usize) {
        debug_assert!(self.journal.is_none(), "a commit in the middle of a block");
        if self.memory() > limit {
            // New tables, since clearing the old ones keeps their memory.
            *self = Self::default();
            return;
        }
        for outpoint in std::mem::take(&mut self.touched) {
            match self.slots.get_mut(&outpoint) {
                Some(slot) if slot.coin.is_some() => (slot.dirty, slot.fresh) = (false, false),
                _ => drop(self.slots.remove(&outpoint)),
            }
        }
        self.dirty = 0;
    }

    /// Puts `after` in the place of whatever is at `outpoint` and keeps the counts.
    fn replace(&mut self, outpoint: OutPoint, after: Option<Slot>) -> Option<Slot> {
        let is_dirty = after.as_ref().is_some_and(|slot| slot.dirty);
        self.script_bytes += after.as_ref().map_or(0, Slot::script_bytes);
        let before = match after {
            Some(slot) => self.slots.insert(outpoint, slot),
            None => self.slots.remove(&outpoint),
        };
        self.script_bytes -= before.as_ref().map_or(0, Slot::script_bytes);
        let was_dirty = before.as_ref().is_some_and(|slot| slot.dirty);
        self.dirty = self.dirty + usize::from(is_dirty) - usize::from(was_dirty);
        if is_dirty && !was_dirty {
            self.touched.push(outpoint);
        }
        before
    }

    fn change(&mut self, outpoint: OutPoint, after: Option<Slot>) {
        let before = self.replace(outpoint, after);
        if let Some(journal) = &mut self.journal {
            journal.push((outpoint, before));
        }
    }
}

/// A [`CoinCache`] with the store below it: what blocks connect through.
pub struct CachedCoins<'a> {
    cache: &'a mut CoinCache,
    source: &'a dyn CoinSource,
}

impl CachedCoins<'_> {
    /// Brings the coin into the cache if it is not there.
    fn fetch(&mut self, outpoint: &OutPoint) -> Result<Option<&Slot>, StoreError> {
        if self.cache.slots.get(outpoint).is_none() {
            let Some(coin) = self.source.load_coin(outpoint)? else { return Ok(None) };
            // Not a change: the set is the same, so the journal does not hold it.
            self.cache.replace(*outpoint, Some(Slot { coin: Some(coin), dirty: false, fresh: false }));
        }
        Ok(self.cache.slots.get(outpoint))
    }

    /// Puts back a coin that a disconnected block had spent.
    pub fn restore(&mut self, outpoint: OutPoint, coin: Coin) {
        // Not fresh even if the cache knows nothing of it: it may be that the store was never told of the spend.
        self.put(outpoint, coin, false);
    }

    fn put(&mut self, outpoint: OutPoint, coin: Coin, absent_from_store: bool) {
        let fresh = match self.cache.slots.get(&outpoint) {
            Some(slot) => slot.dirty && slot.fresh,
            None => absent_from_store,
        };
        self.cache.change(outpoint, Some(Slot { coin: Some(coin), dirty: true, fresh }));
    }
}

impl CoinView for CachedCoins<'_> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(self.fetch(outpoint)?.and_then(|slot| slot.coin.clone()))
    }

    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let Some(slot) = self.fetch(outpoint)? else { return Ok(None) };
        let Some(coin) = slot.coin.clone() else { return Ok(None) };
        let after = if slot.fresh { None } else { Some(Slot { coin: None, dirty: true, fresh: false }) };
        self.cache.change(*outpoint, after);
        Ok(Some(coin))
    }

    fn create(&mut self, outpoint: OutPoint, coin: Coin) -> Result<(), StoreError> {
        // Only a coinbase can repeat an earlier transaction that still has coins (BIP30's two exceptions), so only
        // there may the store hold a coin that the cache does not know.
        let absent_from_store = !coin.is_coinbase;
        self.put(outpoint, coin, absent_from_store);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, ScriptBuf, TxOut, Txid};
    use proptest::prelude::*;

    use super::*;

    /// The store of the tests: the whole set, changed only by commits.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Set(BTreeMap<OutPoint, Coin>);

    impl CoinSource for Set {
        fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
            Ok(self.0.get(outpoint).cloned())
        }
    }

    impl Set {
        fn commit(&mut self, cache: &mut CoinCache, limit: usize) {
            for (outpoint, coin) in cache.changes() {
                match coin {
                    Some(coin) => self.0.insert(*outpoint, coin.clone()),
                    None => self.0.remove(outpoint),
                };
            }
            cache.written(limit);
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
        view.create(outpoint(1), coin(5, false)).unwrap();
        assert_eq!(view.spend(&outpoint(1)).unwrap(), Some(coin(5, false)));
        assert_eq!(view.spend(&outpoint(1)).unwrap(), None);
        assert_eq!((cache.changes().count(), cache.dirty()), (0, 0));
    }

    #[test]
    fn a_repeated_coinbase_replaces_the_coin_in_the_store() {
        let (mut cache, mut set) = (CoinCache::default(), Set(BTreeMap::from([(outpoint(1), coin(5, true))])));
        let mut view = cache.view(&set);
        view.create(outpoint(1), coin(6, true)).unwrap();
        view.spend(&outpoint(1)).unwrap();
        set.commit(&mut cache, usize::MAX);
        assert_eq!(set, Set::default());
    }

    #[test]
    fn memory_falls_when_everything_is_dropped() {
        let (mut cache, mut set) = (CoinCache::default(), Set::default());
        for number in 0..200 {
            cache.view(&set).create(outpoint(number), coin(100 + u64::from(number), false)).unwrap();
        }
        let full = cache.memory();
        set.commit(&mut cache, full);
        let clean = cache.memory();
        assert!((200 * size_of::<(OutPoint, Slot)>()..full).contains(&clean));
        set.commit(&mut cache, clean - 1);
        assert_eq!(cache.memory(), 0);
        assert_eq!(set.0.len(), 200);
    }

    #[test]
    fn coins_that_came_and_went_leave_no_trace() {
        let (mut cache, set) = (CoinCache::default(), Set::default());
        for round in 0..200 {
            cache.begin();
            for number in 0..100 {
                cache.view(&set).create(outpoint(number), coin(round, false)).unwrap();
                cache.view(&set).spend(&outpoint(number)).unwrap();
            }
            cache.keep();
        }
        assert_eq!(cache.dirty(), 0);
        assert!(cache.touched.len() <= 1_024, "{}", cache.touched.len());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Spend(u8),
        /// Only where there is no coin, or with a coinbase: what the rules guarantee.
        Create(u8, u64, bool),
        Read(u8),
        Block(bool),
        Commit(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6_u8).prop_map(Step::Spend),
            (0..6_u8, 1..500_u64, any::<bool>()).prop_map(|(at, value, coinbase)| Step::Create(at, value, coinbase)),
            (0..6_u8).prop_map(Step::Read),
            any::<bool>().prop_map(Step::Block),
            any::<bool>().prop_map(Step::Commit),
        ]
    }

    proptest! {
        #[test]
        fn the_cache_and_a_plain_map_always_agree(steps in proptest::collection::vec(step(), 1..120)) {
            let (mut cache, mut set) = (CoinCache::default(), Set::default());
            // What is kept, and what is so within the open block.
            let (mut kept, mut now) = (Set::default(), Set::default());
            cache.begin();
            for step in steps {
                match step {
                    Step::Spend(at) => {
                        let spent = cache.view(&set).spend(&outpoint(at)).unwrap();
                        prop_assert_eq!(spent, now.0.remove(&outpoint(at)));
                    }
                    Step::Create(at, value, coinbase) => {
                        if coinbase || !now.0.contains_key(&outpoint(at)) {
                            cache.view(&set).create(outpoint(at), coin(value, coinbase)).unwrap();
                            now.0.insert(outpoint(at), coin(value, coinbase));
                        }
                    }
                    Step::Read(at) => {
                        let read = cache.view(&set).coin(&outpoint(at)).unwrap();
                        prop_assert_eq!(read.as_ref(), now.0.get(&outpoint(at)));
                    }
                    Step::Block(valid) => {
                        if valid {
                            cache.keep();
                            kept = now.clone();
                        } else {
                            cache.roll_back();
                            now = kept.clone();
                        }
                        cache.begin();
                    }
                    Step::Commit(drop_all) => {
                        cache.keep();
                        kept = now.clone();
                        set.commit(&mut cache, if drop_all { 0 } else { usize::MAX });
                        prop_assert_eq!(&set, &kept);
                        cache.begin();
                    }
                }
                let counted: usize = cache.slots.iter().map(|(_, slot)| slot.script_bytes()).sum();
                prop_assert_eq!(cache.script_bytes, counted);
                prop_assert_eq!(cache.dirty(), cache.changes().count());
                prop_assert_eq!(cache.dirty(), cache.slots.iter().filter(|(_, slot)| slot.dirty).count());
            }
        }
    }
}
