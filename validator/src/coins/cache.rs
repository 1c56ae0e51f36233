//! The coin cache: coins read from the store and changes not yet written to it, in memory up to a stated limit.
//!
//! Most coins are spent soon after they are made. One that is made and spent between two commits never reaches the
//! store (the `fresh` mark, as in Core's `CCoinsViewCache`). Unlike Core's stack of views there is one table: a block
//! changes it in place and keeps a journal of what it replaced, so that a block that turns out invalid is taken back,
//! and one that is valid costs one table access a change instead of two.
//!
//! A coin is kept as the bytes that the store has of it, key and value, and not as a structure: some 60 to 100 bytes with
//! its place in the table, where Core's nodes take 120 to 150. So the same memory holds more coins, and a commit writes
//! what it finds. The price is to decode a coin when it is spent, which is little beside finding it.

use std::hash::BuildHasher;

use bitcoin::OutPoint;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use rayon::prelude::*;

use super::cells::{CHUNK_BYTES, Cells, Handle};
use super::encoding::{decode_coin, decode_outpoint, encode_coin, encode_outpoint, split_key};
use super::{Coin, CoinView};
use crate::store::StoreError;

/// Where coins are found that the cache does not hold.
pub trait CoinSource {
    /// The coin at `outpoint` as of the last commit.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds is no coin.
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError>;

    /// The coin at each of `outpoints`. A store that can reads them side by side.
    ///
    /// # Errors
    /// As for [`Self::load_coin`].
    fn load_coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StoreError> {
        outpoints.iter().map(|outpoint| self.load_coin(outpoint)).collect()
    }
}

/// What the cache knows of an outpoint: marks, the key and the value of the store. In [`Cells`] the three stand one after
/// the other.
struct Record<'a> {
    marks: u8,
    key: &'a [u8],
    value: &'a [u8],
}

/// It differs from the store.
const DIRTY: u8 = 1;

/// The store has nothing here. Only with [`DIRTY`].
const FRESH: u8 = 2;

/// The coin is spent, and the store has it still. Only with [`DIRTY`]. Its value stays, in case the block is taken back.
const SPENT: u8 = 4;

/// It is in a table. What is not waits to be freed, or to be taken back.
const LINKED: u8 = 8;

impl<'a> Record<'a> {
    /// `None`: the cell was freed.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (marks, rest) = bytes.split_first()?;
        let (key, value) = split_key(rest);
        Some(Self { marks: *marks, key, value })
    }

    const fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn coin(&self) -> Option<Coin> {
        (!self.is(SPENT)).then(|| decode_coin(self.value).expect("the cache holds what it has encoded"))
    }
}

/// How many pieces the table has. In one piece, growing would hold the old table and one of twice the size side by side,
/// at the worst moment, when the cache is nearly full.
const PIECES: usize = 64;

/// The records of the keys that begin with certain bits, so that the pieces one after the other are in the order of keys.
/// Whoever grinds transaction ids into one piece makes one table of it again.
#[derive(Debug, Default)]
struct Piece {
    table: HashTable<Handle>,
    /// Every record that became dirty since the last commit, some more than once, some not dirty or not here any more. A
    /// commit goes through these and not through the whole table.
    touched: Vec<Handle>,
}

/// How many look-ups are worth another thread.
const LOOK_UPS_A_THREAD: usize = 256;

/// How many chunks are looked through for coins to drop.
const ATTEMPTS: usize = 8;

/// What a block did, so that it can be taken back.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The record was put in, in the place of another.
    Put(Handle, Option<Handle>),
    /// The record was taken out.
    Removed(Handle),
    /// The record was marked as spent, and had these marks before.
    Spent(Handle, u8),
}

/// Coins and changes over a [`CoinSource`].
#[derive(Debug)]
pub struct CoinCache {
    cells: Cells,
    pieces: [Piece; PIECES],
    /// Keyed with a seed that differs from process to process, which is what a stranger who picks transactions to collide
    /// would need. The standard hasher resists more than that, and takes longer than the rest of a look-up.
    hasher: RandomState,
    dirty: usize,
    /// What changed since [`Self::begin`], in order.
    journal: Option<Vec<Change>>,
    /// The most that it should occupy, in bytes.
    limit: usize,
    /// The chunk of cells at which dropping goes on.
    hand: usize,
}

impl Default for CoinCache {
    /// Without a limit.
    fn default() -> Self {
        Self::with_limit(usize::MAX)
    }
}

impl CoinCache {
    /// A cache that drops coins which the store has before it would occupy more than `limit` bytes, and that is full when
    /// there are no more of them.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            cells: Cells::default(),
            pieces: std::array::from_fn(|_| Piece::default()),
            hasher: RandomState::default(),
            dirty: 0,
            journal: None,
            limit,
            hand: 0,
        }
    }
}

fn piece_of(key: &[u8]) -> usize {
    usize::from(key[0]) * PIECES / 256
}

impl CoinCache {
    /// Bytes that the cache occupies: its records and tables, used or not.
    #[must_use]
    pub fn memory(&self) -> usize {
        let piece = |piece: &Piece| piece.table.allocation_size() + piece.touched.capacity() * size_of::<Handle>();
        self.cells.memory() + self.pieces.iter().map(piece).sum::<usize>()
    }

    /// Whether a commit should come: there is more than the limit, or most of what fills it is changes, which leave little
    /// room for coins that are read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let memory = self.memory();
        let records = || self.pieces.iter().map(|piece| piece.table.len()).sum::<usize>();
        memory > self.limit || memory > self.limit / 8 * 7 && self.dirty > records() / 2
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
        for change in self.journal.take().unwrap_or_default() {
            self.forget(change);
        }
        // Coins made and spent since the last commit are no changes any more. Twice the changes is enough to wait for:
        // then going through all costs no more than making them did.
        let touched: usize = self.pieces.iter().map(|piece| piece.touched.len()).sum();
        if touched > 2 * self.dirty + 1_024 {
            for number in 0..PIECES {
                self.pieces[number].touched = self.changes_of(number).collect();
            }
        }
    }

    /// Takes back every change since [`Self::begin`].
    pub fn roll_back(&mut self) {
        for change in self.journal.take().unwrap_or_default().into_iter().rev() {
            match change {
                Change::Put(record, before) => {
                    self.unlink(record);
                    self.cells.free(record);
                    if let Some(before) = before {
                        self.link(before);
                    }
                }
                Change::Removed(record) => self.link(record),
                Change::Spent(record, marks) => self.mark(record, marks),
            }
        }
    }

    /// The cache as a block sees it, over `source`.
    pub fn view<'a>(&'a mut self, source: &'a dyn CoinSource) -> CachedCoins<'a> {
        CachedCoins { cache: self, source }
    }

    /// Everything that the store does not have, each key once and in order: the key and the value, or `None` for one to
    /// remove. Both are as the store has them.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        (0..PIECES).flat_map(|number| self.changes_of(number)).map(|handle| {
            let record = self.record(handle);
            (record.key, (!record.is(SPENT)).then_some(record.value))
        })
    }

    /// The dirty records of one piece in the order of their keys.
    fn changes_of(&self, number: usize) -> impl Iterator<Item = Handle> + use<> {
        let dirty = |handle: &Handle| {
            let record = self.in_piece(*handle, number).filter(|record| record.is(DIRTY))?;
            Some((record.key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)), *handle))
        };
        let mut changes: Vec<(u64, Handle)> = self.pieces[number].touched.iter().filter_map(dirty).collect();
        // By the first eight bytes, which tell all apart but the outputs of one transaction, without looking them up.
        changes.sort_unstable_by(|one, other| {
            let keys = || self.record(one.1).key.cmp(self.record(other.1).key);
            one.0.cmp(&other.0).then_with(keys)
        });
        changes.dedup();
        changes.into_iter().map(|(_, handle)| handle)
    }

    /// Every coin that the cache holds, written or not.
    pub fn coins(&self) -> impl Iterator<Item = (OutPoint, Coin)> {
        self.pieces.iter().flat_map(|piece| &piece.table).filter_map(|handle| {
            let record = self.record(*handle);
            let outpoint = decode_outpoint(record.key).expect("the cache holds what it has encoded");
            Some((outpoint, record.coin()?))
        })
    }

    /// What the cache knows of `outpoint`, `Some(None)` if that it is spent; `None`: ask the store.
    #[must_use]
    pub fn get(&self, outpoint: &OutPoint) -> Option<Option<Coin>> {
        self.find(&encode_outpoint(outpoint)).map(|handle| self.record(handle).coin())
    }

    /// Whether the cache knows of `outpoint` that there is a coin or that there is none; `None`: ask the store.
    fn knows(&self, outpoint: &OutPoint) -> Option<bool> {
        self.find(&encode_outpoint(outpoint)).map(|handle| !self.record(handle).is(SPENT))
    }

    /// Those of `outpoints` that the cache knows nothing of, in the order of keys, in which one look-up finds in memory what
    /// the one before has read.
    pub(crate) fn unknown(&self, outpoints: impl Iterator<Item = OutPoint>) -> Vec<OutPoint> {
        let outpoints: Vec<OutPoint> = outpoints.collect();
        // Each look-up waits for memory two or three times, which several threads do at once.
        let outpoints = outpoints.into_par_iter().with_min_len(LOOK_UPS_A_THREAD);
        let mut unknown: Vec<OutPoint> = outpoints.filter(|outpoint| self.knows(outpoint).is_none()).collect();
        unknown.sort_unstable();
        unknown
    }

    /// Takes up the coins that the store has at `outpoints`, as of the last commit. What the cache knows by now is newer.
    pub(crate) fn keep_found(&mut self, outpoints: &[OutPoint], found: &[Option<Coin>]) {
        for (outpoint, coin) in outpoints.iter().zip(found) {
            if let Some(coin) = coin.as_ref().filter(|_| self.knows(outpoint).is_none()) {
                self.keep_loaded(outpoint, coin);
            }
        }
    }

    /// Not a change: the set is the same, so the journal does not hold it.
    fn keep_loaded(&mut self, outpoint: &OutPoint, coin: &Coin) -> Handle {
        let record = self.keep_record(0, &encode_outpoint(outpoint), &encode_coin(coin));
        self.link(record);
        record
    }

    /// After a commit of [`Self::changes`]: the store has everything. What is unspent stays for later reads, as much of it
    /// as seven eighths of the limit hold: what is dropped now can become cells of another size.
    pub fn written(&mut self) {
        debug_assert!(self.journal.is_none(), "a commit in the middle of a block");
        for number in 0..PIECES {
            for handle in std::mem::take(&mut self.pieces[number].touched) {
                match self.in_piece(handle, number) {
                    Some(record) if record.is(SPENT) => {
                        self.unlink(handle);
                        self.cells.free(handle);
                    }
                    Some(_) => self.mark(handle, LINKED),
                    None => {}
                }
            }
        }
        debug_assert_eq!(self.dirty, 0);
        self.drop_down_to(self.limit / 8 * 7);
    }

    /// Drops records, none of which may be dirty, chunk by chunk, roughly the oldest first.
    fn drop_down_to(&mut self, limit: usize) {
        let mut left = self.cells.chunk_count();
        while self.memory() > limit {
            let surplus = (self.memory() - limit).div_ceil(CHUNK_BYTES).min(left);
            if surplus == 0 {
                // The tables alone are above it.
                *self = Self::with_limit(self.limit);
                return;
            }
            for _ in 0..surplus {
                self.hand = (self.hand + 1) % self.cells.chunk_count();
                self.drop_clean(self.hand);
            }
            self.cells.give_back_empty();
            left -= surplus;
        }
    }

    /// Drops what of a chunk the store has, and says whether there was any.
    fn drop_clean(&mut self, chunk: usize) -> bool {
        let is_clean = |handle: &Handle| {
            let record = self.record(*handle);
            record.is(LINKED) && !record.is(DIRTY)
        };
        let clean: Vec<Handle> = self.cells.in_chunk(chunk).filter(is_clean).collect();
        for record in &clean {
            self.unlink(*record);
            self.cells.free(*record);
        }
        !clean.is_empty()
    }

    /// Keeps a record, in the place of clean ones if the cache is at its limit.
    fn keep_record(&mut self, marks: u8, key: &[u8], value: &[u8]) -> Handle {
        let length = 1 + key.len() + value.len();
        if let Some(chunks) = self.cells.lacking_room(length)
            && !chunks.is_empty()
            && self.memory() + CHUNK_BYTES > self.limit
        {
            // A few attempts in turn: if all there is in them is changes, more memory is taken, and a commit comes.
            let (count, first) = (chunks.len(), self.hand % chunks.len());
            let chunks: Vec<u32> = (0..count.min(ATTEMPTS)).map(|next| chunks[(first + next) % count]).collect();
            for chunk in chunks {
                self.hand = self.hand.wrapping_add(1);
                if self.drop_clean(chunk as usize) {
                    break;
                }
            }
        }
        self.cells.keep(&[&[marks], key, value])
    }

    fn record(&self, handle: Handle) -> Record<'_> {
        Record::read(self.cells.get(handle)).expect("what the table names is in use")
    }

    /// The record that a list of touched ones names, if it is still in the table of this piece: its cell may have been freed,
    /// and may hold another by now.
    fn in_piece(&self, handle: Handle, number: usize) -> Option<Record<'_>> {
        let record = Record::read(self.cells.get(handle))?;
        (record.is(LINKED) && piece_of(record.key) == number).then_some(record)
    }

    fn find(&self, key: &[u8]) -> Option<Handle> {
        let is_it = |handle: &Handle| self.record(*handle).key == key;
        self.pieces[piece_of(key)].table.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Puts a record into the table, which must not have its key.
    fn link(&mut self, handle: Handle) {
        let (cells, hasher) = (&self.cells, &self.hasher);
        let hash = |handle: &Handle| Record::read(cells.get(*handle)).map_or(0, |record| hasher.hash_one(record.key));
        let record = Record::read(cells.get(handle)).expect("what is linked is in use");
        self.dirty += usize::from(record.is(DIRTY));
        let piece = &mut self.pieces[piece_of(record.key)];
        if record.is(DIRTY) {
            piece.touched.push(handle);
        }
        piece.table.insert_unique(hash(&handle), handle, hash);
        self.cells.get_mut(handle)[0] |= LINKED;
    }

    /// Takes a record out of the table; its cell stays.
    fn unlink(&mut self, handle: Handle) {
        let record = Record::read(self.cells.get(handle)).expect("what is unlinked is in use");
        self.dirty -= usize::from(record.is(DIRTY));
        let table = &mut self.pieces[piece_of(record.key)].table;
        let found = table.find_entry(self.hasher.hash_one(record.key), |other| *other == handle);
        found.expect("what is unlinked is in the table").remove();
        self.cells.get_mut(handle)[0] &= !LINKED;
    }

    fn mark(&mut self, handle: Handle, marks: u8) {
        let record = Record::read(self.cells.get(handle)).expect("what is marked is in use");
        let (was_dirty, number) = (record.is(DIRTY), piece_of(record.key));
        let is_dirty = marks & DIRTY != 0;
        self.dirty = self.dirty + usize::from(is_dirty) - usize::from(was_dirty);
        if is_dirty && !was_dirty {
            self.pieces[number].touched.push(handle);
        }
        self.cells.get_mut(handle)[0] = marks;
    }

    /// Puts a coin in the place of whatever is there.
    fn put(&mut self, outpoint: &OutPoint, coin: &Coin, marks: impl FnOnce(Option<&Record<'_>>) -> u8) {
        let key = encode_outpoint(outpoint);
        let before = self.find(&key);
        let marks = marks(before.map(|handle| self.record(handle)).as_ref());
        // First, since what is in a table and clean may be dropped for the new record.
        if let Some(before) = before {
            self.unlink(before);
        }
        let record = self.keep_record(marks, &key, &encode_coin(coin));
        self.link(record);
        self.log(Change::Put(record, before));
    }

    fn spend(&mut self, handle: Handle) {
        let marks = self.record(handle).marks;
        if marks & FRESH != 0 {
            self.unlink(handle);
            self.log(Change::Removed(handle));
        } else {
            self.mark(handle, LINKED | DIRTY | SPENT);
            self.log(Change::Spent(handle, marks));
        }
    }

    fn log(&mut self, change: Change) {
        match &mut self.journal {
            Some(journal) => journal.push(change),
            None => self.forget(change),
        }
    }

    /// Frees what a change that stays has replaced.
    fn forget(&mut self, change: Change) {
        if let Change::Put(_, Some(gone)) | Change::Removed(gone) = change {
            self.cells.free(gone);
        }
    }
}

/// A [`CoinCache`] with the store below it: what blocks connect through.
pub struct CachedCoins<'a> {
    cache: &'a mut CoinCache,
    source: &'a dyn CoinSource,
}

impl CachedCoins<'_> {
    /// Brings coins into the cache that are not there, which is quicker for many at once than one by one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn prepare(&mut self, outpoints: impl Iterator<Item = OutPoint>) -> Result<(), StoreError> {
        let unknown = self.cache.unknown(outpoints);
        if !unknown.is_empty() {
            let found = self.source.load_coins(&unknown)?;
            self.cache.keep_found(&unknown, &found);
        }
        Ok(())
    }

    /// Brings the coin into the cache if it is not there.
    fn fetch(&mut self, outpoint: &OutPoint) -> Result<Option<Handle>, StoreError> {
        let known = self.cache.find(&encode_outpoint(outpoint));
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.source.load_coin(outpoint)?.map(|coin| self.cache.keep_loaded(outpoint, &coin)))
    }

    /// Puts back a coin that a disconnected block had spent.
    pub fn restore(&mut self, outpoint: OutPoint, coin: &Coin) {
        // Not fresh even if the cache knows nothing of it: it may be that the store was never told of the spend.
        self.put(&outpoint, coin, false);
    }

    fn put(&mut self, outpoint: &OutPoint, coin: &Coin, absent_from_store: bool) {
        self.cache.put(outpoint, coin, |before| {
            let fresh = before.map_or(absent_from_store, |before| before.is(FRESH));
            DIRTY | if fresh { FRESH } else { 0 }
        });
    }
}

impl CoinView for CachedCoins<'_> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(self.fetch(outpoint)?.and_then(|handle| self.cache.record(handle).coin()))
    }

    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let Some(handle) = self.fetch(outpoint)? else { return Ok(None) };
        let coin = self.cache.record(handle).coin();
        if coin.is_some() {
            self.cache.spend(handle);
        }
        Ok(coin)
    }

    fn create(&mut self, outpoint: OutPoint, coin: Coin) -> Result<(), StoreError> {
        // Only a coinbase can repeat an earlier transaction that still has coins (BIP30's two exceptions), so only
        // there may the store hold a coin that the cache does not know.
        let absent_from_store = !coin.is_coinbase;
        self.put(&outpoint, &coin, absent_from_store);
        Ok(())
    }

    fn first_unspent(&mut self, outpoints: &[OutPoint]) -> Result<Option<OutPoint>, StoreError> {
        let unknown: Vec<OutPoint> =
            outpoints.iter().filter(|outpoint| self.cache.knows(outpoint).is_none()).copied().collect();
        let loaded = self.source.load_coins(&unknown)?;
        let mut loaded = loaded.iter().map(Option::is_some);
        Ok(outpoints
            .iter()
            .find(|outpoint| self.cache.knows(outpoint).or_else(|| loaded.next()).unwrap_or(false))
            .copied())
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
            cache.written();
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
            cache.view(&set).create(many(number), coin(number)).unwrap();
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
        cache.view(&set).create(at, coin.clone()).unwrap();
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
            cache.begin();
            for number in 0..100 {
                cache.view(&set).create(outpoint(number), coin(round, false)).unwrap();
                cache.view(&set).spend(&outpoint(number)).unwrap();
            }
            cache.keep();
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
        // What is kept, and what is so within the open block.
        let (mut kept, mut now) = (Set::default(), Set::default());
        cache.begin();
        for step in steps {
            match step {
                Step::Spend(at) => {
                    let spent = cache.view(&set).spend(&numbered(at)).unwrap();
                    prop_assert_eq!(spent, now.0.remove(&numbered(at)));
                }
                Step::Create(at, value, coinbase) => {
                    if coinbase || !now.0.contains_key(&numbered(at)) {
                        cache.view(&set).create(numbered(at), coin(value, coinbase)).unwrap();
                        now.0.insert(numbered(at), coin(value, coinbase));
                    }
                }
                Step::Read(at) => {
                    let read = cache.view(&set).coin(&numbered(at)).unwrap();
                    prop_assert_eq!(read.as_ref(), now.0.get(&numbered(at)));
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
                Step::Commit => {
                    cache.keep();
                    kept = now.clone();
                    set.commit(&mut cache);
                    prop_assert_eq!(&set, &kept);
                    cache.begin();
                }
            }
            prop_assert_eq!(cache.dirty(), cache.changes().count());
            let in_tables = cache.pieces.iter().flat_map(|piece| &piece.table);
            prop_assert_eq!(cache.dirty(), in_tables.filter(|handle| cache.record(**handle).is(DIRTY)).count());
            // No cell is left that no table names.
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
}
