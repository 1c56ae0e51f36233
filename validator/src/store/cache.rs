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

fn piece_of(key: &[u8]) -> usize {
    usize::from(key[0]) * PIECES / 256
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

/// Coins read from a [`CoinSource`](super::CoinSource), and changes that it does not have yet.
#[derive(Debug)]
pub struct CoinCache {
    cells: Cells,
    pieces: [Piece; PIECES],
    /// Keyed with a seed that differs from process to process, which is what a stranger who picks transactions to collide
    /// would need. The standard hasher resists more than that, and takes longer than the rest of a look-up.
    hasher: RandomState,
    dirty: usize,
    /// What changed since [`Self::begin_block`], in order.
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
    pub fn begin_block(&mut self) {
        debug_assert!(self.journal.is_none(), "a block begins while another is open");
        self.journal = Some(Vec::new());
    }

    /// Keeps the changes since [`Self::begin_block`].
    pub fn commit_block(&mut self) {
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

    /// Takes back every change since [`Self::begin_block`].
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
    pub(crate) fn add_loaded(&mut self, outpoints: &[OutPoint], found: &[Option<Coin>]) {
        for (outpoint, coin) in outpoints.iter().zip(found) {
            if let Some(coin) = coin.as_ref().filter(|_| self.knows(outpoint).is_none()) {
                self.insert_loaded(outpoint, coin);
            }
        }
    }

    /// Not a change: the set is the same, so the journal does not hold it.
    fn insert_loaded(&mut self, outpoint: &OutPoint, coin: &Coin) -> Handle {
        let record = self.insert_record(0, &encode_outpoint(outpoint), &encode_coin(coin));
        self.link(record);
        record
    }

    /// After a commit of [`Self::changes`]: the store has everything. What is unspent stays for later reads, as much of it
    /// as seven eighths of the limit hold: what is dropped now can become cells of another size.
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
    fn insert_record(&mut self, marks: u8, key: &[u8], value: &[u8]) -> Handle {
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

    fn record(&self, handle: Handle) -> CachedRecord<'_> {
        CachedRecord::read(self.cells.get(handle)).expect("what the table names is in use")
    }

    /// The record that a list of touched ones names, if it is still in the table of this piece: its cell may have been freed,
    /// and may hold another by now.
    fn in_piece(&self, handle: Handle, number: usize) -> Option<CachedRecord<'_>> {
        let record = CachedRecord::read(self.cells.get(handle))?;
        (record.is(LINKED) && piece_of(record.key) == number).then_some(record)
    }

    fn find(&self, key: &[u8]) -> Option<Handle> {
        let is_it = |handle: &Handle| self.record(*handle).key == key;
        self.pieces[piece_of(key)].table.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Puts a record into the table, which must not have its key.
    fn link(&mut self, handle: Handle) {
        let (cells, hasher) = (&self.cells, &self.hasher);
        let hash =
            |handle: &Handle| CachedRecord::read(cells.get(*handle)).map_or(0, |record| hasher.hash_one(record.key));
        let record = CachedRecord::read(cells.get(handle)).expect("what is linked is in use");
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
        let record = CachedRecord::read(self.cells.get(handle)).expect("what is unlinked is in use");
        self.dirty -= usize::from(record.is(DIRTY));
        let table = &mut self.pieces[piece_of(record.key)].table;
        let found = table.find_entry(self.hasher.hash_one(record.key), |other| *other == handle);
        found.expect("what is unlinked is in the table").remove();
        self.cells.get_mut(handle)[0] &= !LINKED;
    }

    fn mark(&mut self, handle: Handle, marks: u8) {
        let record = CachedRecord::read(self.cells.get(handle)).expect("what is marked is in use");
        let (was_dirty, number) = (record.is(DIRTY), piece_of(record.key));
        let is_dirty = marks & DIRTY != 0;
        self.dirty = self.dirty + usize::from(is_dirty) - usize::from(was_dirty);
        if is_dirty && !was_dirty {
            self.pieces[number].touched.push(handle);
        }
        self.cells.get_mut(handle)[0] = marks;
    }

    /// Puts a coin in the place of whatever is there.
    fn put(&mut self, outpoint: &OutPoint, coin: CoinRef<'_>, marks: impl FnOnce(Option<&CachedRecord<'_>>) -> u8) {
        let key = encode_outpoint(outpoint);
        let before = self.find(&key);
        let marks = marks(before.map(|handle| self.record(handle)).as_ref());
        // First, since what is in a table and clean may be dropped for the new record.
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

    /// Frees what a change that stays has replaced.
    fn forget(&mut self, change: Change) {
        if let Change::Put(_, Some(gone)) | Change::Removed(gone) = change {
            self.cells.free(gone);
        }
    }
}

#[cfg(test)]
mod tests;
