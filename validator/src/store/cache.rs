//! The coin cache: coins read from the store, and changes that are not yet written to it, in memory up to a limit.
//!
//! Most coins are spent soon after they are created. A coin that is created and spent between two commits never reaches
//! the store (the `fresh` mark, as in Core's `CCoinsViewCache`). Core stacks one view on another; here there is one
//! table. A block changes it in place and keeps a journal of the replaced records, so that an invalid block is rolled
//! back, and a valid one takes one table access for each change instead of two.
//!
//! A coin is held encoded, as key and value of the database: 60 to 100 bytes with its table slot, where Core's nodes
//! take 120 to 150. So the same memory holds more coins, and a commit writes them without encoding them. The price is
//! to decode a coin when it is spent, which takes little time compared with finding it.

mod record;
mod view;

use std::hash::BuildHasher;

use bitcoin::OutPoint;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use rayon::prelude::*;

use super::cells::{CHUNK_BYTES, Cells, Handle};
use crate::coins::encoding::{decode_outpoint, encode_coin, encode_outpoint};
use crate::coins::{Coin, CoinRef};
use record::{CachedRecord, DIRTY, FRESH, LINKED, SPENT};

pub use view::CachedCoins;

/// The number of pieces of the table. A single table would need its old and its doubled size at once when it grows,
/// which happens when the cache is nearly full.
const PIECES: usize = 64;

/// The records of the keys with the same first bits, so that the pieces in order hold the keys in order. Transaction
/// ids ground into one piece make it no worse than a single table.
#[derive(Debug, Default)]
struct Piece {
    table: HashTable<Handle>,
    /// Every record that became dirty since the last commit. Some are listed twice, some are no longer dirty or in the
    /// table. A commit reads this list instead of the whole table.
    touched: Vec<Handle>,
}

fn piece_of(key: &[u8]) -> usize {
    usize::from(key[0]) * PIECES / 256
}

/// The least number of look-ups for each thread.
const LOOK_UPS_A_THREAD: usize = 256;

/// The number of chunks that are searched for coins to drop.
const ATTEMPTS: usize = 8;

/// A change by a block, which can be rolled back.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The first record was inserted and replaced the second.
    Put(Handle, Option<Handle>),
    /// The record was removed from the table.
    Removed(Handle),
    /// The record was marked as spent. These were its marks before.
    Spent(Handle, u8),
}

/// Coins read from a [`CoinSource`](super::CoinSource), and changes that it does not have yet.
#[derive(Debug)]
pub struct CoinCache {
    cells: Cells,
    pieces: [Piece; PIECES],
    /// Keyed with a random seed for each process, so that nobody can choose transactions that collide. The standard
    /// hasher is stronger, and takes longer than the rest of a look-up.
    hasher: RandomState,
    dirty: usize,
    /// The changes since [`Self::begin_block`], in order.
    journal: Option<Vec<Change>>,
    /// The limit of [`Self::memory`], in bytes.
    limit: usize,
    /// The chunk of cells at which the next search for coins to drop starts (the hand of a clock algorithm).
    hand: usize,
}

impl Default for CoinCache {
    /// Without a limit.
    fn default() -> Self {
        Self::with_limit(usize::MAX)
    }
}

impl CoinCache {
    /// A cache of at most `limit` bytes: it drops clean coins to stay below, and is full when only changes are left.
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

    /// The memory of the cache in bytes: records and tables, used or not.
    #[must_use]
    pub fn memory(&self) -> usize {
        let piece = |piece: &Piece| piece.table.allocation_size() + piece.touched.capacity() * size_of::<Handle>();
        self.cells.memory() + self.pieces.iter().map(piece).sum::<usize>()
    }

    /// Whether a commit is due: the cache is over its limit, or it is nearly full and mostly changes, which leave
    /// little room for coins that are read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let memory = self.memory();
        let records = || self.pieces.iter().map(|piece| piece.table.len()).sum::<usize>();
        memory > self.limit || memory > self.limit / 8 * 7 && self.dirty > records() / 2
    }

    /// The number of changes that the store does not have: new coins and removals.
    #[must_use]
    pub const fn dirty(&self) -> usize {
        self.dirty
    }

    /// Starts a block: changes from here on can be rolled back.
    pub fn begin_block(&mut self) {
        debug_assert!(self.journal.is_none(), "a block begins while another is open");
        self.journal = Some(Vec::new());
    }

    /// Keeps the changes since [`Self::begin_block`].
    pub fn commit_block(&mut self) {
        for change in self.journal.take().unwrap_or_default() {
            self.forget(change);
        }
        // Coins created and spent since the last commit are no longer changes. The list is cleaned when it is twice as
        // long as the changes, so that cleaning takes no more time in total than the changes did.
        let touched: usize = self.pieces.iter().map(|piece| piece.touched.len()).sum();
        if touched > 2 * self.dirty + 1_024 {
            for number in 0..PIECES {
                self.pieces[number].touched = self.changes_of(number).collect();
            }
        }
    }

    /// Rolls back every change since [`Self::begin_block`].
    pub fn roll_back_block(&mut self) {
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

    /// All changes, each key once and in order: the encoded key and value, or `None` for a key to remove.
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
        // Mostly by the first eight bytes of the key, which need no access to the record; only outputs of one
        // transaction have them in common.
        changes.sort_unstable_by(|one, other| {
            let keys = || self.record(one.1).key.cmp(self.record(other.1).key);
            one.0.cmp(&other.0).then_with(keys)
        });
        changes.dedup();
        changes.into_iter().map(|(_, handle)| handle)
    }

    /// Every unspent coin in the cache, changed or not.
    pub fn coins(&self) -> impl Iterator<Item = (OutPoint, Coin)> {
        self.pieces.iter().flat_map(|piece| &piece.table).filter_map(|handle| {
            let record = self.record(*handle);
            let outpoint = decode_outpoint(record.key).expect("the cache holds what it has encoded");
            Some((outpoint, record.coin()?))
        })
    }

    /// The coin at `outpoint`; `Some(None)`: it is spent; `None`: the cache has no record, ask the store.
    #[must_use]
    pub fn get(&self, outpoint: &OutPoint) -> Option<Option<Coin>> {
        self.find(&encode_outpoint(outpoint)).map(|handle| self.record(handle).coin())
    }

    /// Whether there is a coin at `outpoint`; `None`: the cache has no record, ask the store.
    fn knows(&self, outpoint: &OutPoint) -> Option<bool> {
        self.find(&encode_outpoint(outpoint)).map(|handle| !self.record(handle).is(SPENT))
    }

    /// Those of `outpoints` that the cache has no record of, in the order of keys, in which look-ups in the database
    /// share what they read.
    pub(crate) fn unknown(&self, outpoints: impl Iterator<Item = OutPoint>) -> Vec<OutPoint> {
        let outpoints: Vec<OutPoint> = outpoints.collect();
        // Each look-up waits for memory two or three times, so several threads are faster.
        let outpoints = outpoints.into_par_iter().with_min_len(LOOK_UPS_A_THREAD);
        let mut unknown: Vec<OutPoint> = outpoints.filter(|outpoint| self.knows(outpoint).is_none()).collect();
        unknown.sort_unstable();
        unknown
    }

    /// Adds the coins that the store has at `outpoints` as of the last commit. Records that the cache has are newer and
    /// stay.
    pub(crate) fn add_loaded(&mut self, outpoints: &[OutPoint], found: &[Option<Coin>]) {
        for (outpoint, coin) in outpoints.iter().zip(found) {
            if let Some(coin) = coin.as_ref().filter(|_| self.knows(outpoint).is_none()) {
                self.insert_loaded(outpoint, coin);
            }
        }
    }

    /// Inserts a coin of the store. The coin set does not change, so the journal does not record it.
    fn insert_loaded(&mut self, outpoint: &OutPoint, coin: &Coin) -> Handle {
        let record = self.insert_record(0, &encode_outpoint(outpoint), &encode_coin(coin));
        self.link(record);
        record
    }

    /// Marks all records as clean, after a commit of [`Self::changes`]. Unspent coins stay for later reads, up to seven
    /// eighths of the limit; the memory of those dropped can be used for cells of another size.
    pub fn mark_clean(&mut self) {
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

    /// Drops records chunk by chunk, roughly the oldest first. None may be dirty.
    fn drop_down_to(&mut self, limit: usize) {
        let mut left = self.cells.chunk_count();
        while self.memory() > limit {
            let surplus = (self.memory() - limit).div_ceil(CHUNK_BYTES).min(left);
            if surplus == 0 {
                // The tables alone are over the limit.
                *self = Self::with_limit(self.limit);
                return;
            }
            for _ in 0..surplus {
                self.hand = (self.hand + 1) % self.cells.chunk_count();
                self.drop_clean(self.hand);
            }
            self.cells.free_empty_chunks();
            left -= surplus;
        }
    }

    /// Drops the clean records of a chunk; `false`: there was none.
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

    /// Stores a record. Clean records are dropped for it if the cache is at its limit.
    fn insert_record(&mut self, marks: u8, key: &[u8], value: &[u8]) -> Handle {
        let length = 1 + key.len() + value.len();
        if let Some(chunks) = self.cells.lacking_room(length)
            && !chunks.is_empty()
            && self.memory() + CHUNK_BYTES > self.limit
        {
            // A few chunks are tried. If they hold only changes, the cache takes more memory, and a commit follows.
            let (count, first) = (chunks.len(), self.hand % chunks.len());
            let chunks: Vec<u32> = (0..count.min(ATTEMPTS)).map(|next| chunks[(first + next) % count]).collect();
            for chunk in chunks {
                self.hand = self.hand.wrapping_add(1);
                if self.drop_clean(chunk as usize) {
                    break;
                }
            }
        }
        self.cells.store(&[&[marks], key, value])
    }

    fn record(&self, handle: Handle) -> CachedRecord<'_> {
        CachedRecord::read(self.cells.get(handle)).expect("a record in the table is in use")
    }

    /// A record of a `touched` list, if it is still in the table of this piece. Its cell may have been freed and
    /// reused.
    fn in_piece(&self, handle: Handle, number: usize) -> Option<CachedRecord<'_>> {
        let record = CachedRecord::read(self.cells.get(handle))?;
        (record.is(LINKED) && piece_of(record.key) == number).then_some(record)
    }

    fn find(&self, key: &[u8]) -> Option<Handle> {
        let is_it = |handle: &Handle| self.record(*handle).key == key;
        self.pieces[piece_of(key)].table.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Inserts a record into the table, which must not have its key.
    fn link(&mut self, handle: Handle) {
        let (cells, hasher) = (&self.cells, &self.hasher);
        let hash =
            |handle: &Handle| CachedRecord::read(cells.get(*handle)).map_or(0, |record| hasher.hash_one(record.key));
        let record = CachedRecord::read(cells.get(handle)).expect("a record to link is in use");
        self.dirty += usize::from(record.is(DIRTY));
        let piece = &mut self.pieces[piece_of(record.key)];
        if record.is(DIRTY) {
            piece.touched.push(handle);
        }
        piece.table.insert_unique(hash(&handle), handle, hash);
        self.cells.get_mut(handle)[0] |= LINKED;
    }

    /// Removes a record from the table; its cell stays in use.
    fn unlink(&mut self, handle: Handle) {
        let record = CachedRecord::read(self.cells.get(handle)).expect("a record to unlink is in use");
        self.dirty -= usize::from(record.is(DIRTY));
        let table = &mut self.pieces[piece_of(record.key)].table;
        let found = table.find_entry(self.hasher.hash_one(record.key), |other| *other == handle);
        found.expect("a record to unlink is in the table").remove();
        self.cells.get_mut(handle)[0] &= !LINKED;
    }

    fn mark(&mut self, handle: Handle, marks: u8) {
        let record = CachedRecord::read(self.cells.get(handle)).expect("a record to mark is in use");
        let (was_dirty, number) = (record.is(DIRTY), piece_of(record.key));
        let is_dirty = marks & DIRTY != 0;
        self.dirty = self.dirty + usize::from(is_dirty) - usize::from(was_dirty);
        if is_dirty && !was_dirty {
            self.pieces[number].touched.push(handle);
        }
        self.cells.get_mut(handle)[0] = marks;
    }

    /// Puts a coin at `outpoint`, and replaces the record there.
    fn put(&mut self, outpoint: &OutPoint, coin: CoinRef<'_>, marks: impl FnOnce(Option<&CachedRecord<'_>>) -> u8) {
        let key = encode_outpoint(outpoint);
        let before = self.find(&key);
        let marks = marks(before.map(|handle| self.record(handle)).as_ref());
        // Before the insertion, which may drop clean records that are in a table.
        if let Some(before) = before {
            self.unlink(before);
        }
        let record = self.insert_record(marks, &key, &encode_coin(coin));
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

    /// Frees the record that a permanent change has replaced.
    fn forget(&mut self, change: Change) {
        if let Change::Put(_, Some(gone)) | Change::Removed(gone) = change {
            self.cells.free(gone);
        }
    }
}

#[cfg(test)]
mod tests;
