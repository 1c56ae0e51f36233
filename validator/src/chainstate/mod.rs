//! The chain state: takes headers and blocks in any order, and keeps the coins at the tip of the valid chain with most
//! work.
//!
//! One writer: whoever holds the [`ChainState`]. A block's way is `accept` (isolation, header, context, append to the
//! store), then `activate` (disconnect and connect until the best chain is active), then one commit, then the events.
//! Broken rules are outcomes; only a store that fails is an error.

mod accept;
mod activate;
mod assume_valid;
mod candidates;
mod events;
mod lookahead;
mod next_block;
mod orders;
mod orphans;
mod prune;
mod reader;
mod timings;

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::Receiver;

use bitcoin::consensus::serialize;
use bitcoin::{BlockHash, OutPoint, Work};

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::cache::CoinCache;
use crate::coins::statistics::{CoinCounter, CoinStatistics};
use crate::coins::{BlockUndo, Coin};
use crate::headers::set::EntrySet;
use crate::headers::tree::{Entry, EntryId, HeaderTree, Validity};
use crate::rules::ConnectOptions;
use crate::store::files::MAX_BLOCK_FILE_BYTES;
use crate::store::folder::{Contents, FolderStore};
use crate::store::memory::MemoryStore;
use crate::store::{Backing, Commit, Identity, StoreError, decode_stored};

pub use accept::{BlockOutcome, HeaderOutcome, InvalidBlock};
pub use events::Event;
pub use lookahead::{Lookahead, ReadyBlock};
pub use next_block::NextBlock;
pub use orders::OrderOutcome;
pub use prune::MIN_BLOCKS_TO_KEEP;
pub use reader::{Reader, Snapshot};
pub use timings::Timings;

use candidates::Candidates;
use events::Events;
use orphans::Orphans;
use timings::timed;

/// When what was accepted becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPolicy {
    /// Before a block is reported: it then survives SIGKILL and power loss.
    EveryBlock,
    /// When the coin cache is over its limit, on [`ChainState::flush`] and on [`ChainState::close`].
    /// [`ChainState::durable_tip`] says what would survive.
    WhenFull,
}

/// The part of all memory for coins that tables get.
const TABLES_SHARE: usize = 8;

/// The least memory for tables, in bytes: with less, the filters of a large set would be read again for each coin.
const LEAST_TABLE_CACHE_BYTES: usize = 4 << 20;

/// The cache numbers its records up to 32 GiB, and a block may go over the limit.
const MAX_COIN_CACHE_BYTES: usize = 31 << 30;

/// How a chain state works.
#[derive(Clone, Debug)]
pub struct Options {
    /// When to commit.
    pub commit: CommitPolicy,
    /// The most that coins may occupy in memory after a block, in bytes: an eighth of it, but 4 MiB at least, for blocks of
    /// the database's tables, the rest for the coin cache. One block may go over it.
    pub cache_bytes: usize,
    /// A commit of more changes than this is written into tables of the database at once, a smaller one through its
    /// journal: docs/store-format.md says why.
    pub large_commit: usize,
    /// The most that blocks without a parent may occupy, in bytes, decoded.
    pub orphan_bytes: usize,
    /// How many bytes of block and undo files to keep to by deleting the oldest, of which [`MIN_BLOCKS_TO_KEEP`] blocks
    /// below the tip are kept however long they are. `None`: everything is kept.
    pub prune_bytes: Option<u64>,
    /// Keeps the blocks from this height on, whatever `prune_bytes` says, for someone who has not read them yet, such as
    /// an index: Core's prune lock. [`ChainState::keep_blocks_from`] moves it.
    pub keep_blocks_from: Option<u32>,
    /// The longest a block file may get, in bytes. With pruning, files go as wholes.
    pub block_file_bytes: u32,
    /// What is checked as a block connects.
    pub connect: ConnectOptions,
    /// A block whose ancestors' scripts are taken to be good, once its header is known and deep enough under the best one.
    /// `None`: all scripts are run.
    pub assume_valid: Option<BlockHash>,
    /// The least work that the chain is known to have. With less work among the headers nothing is assumed valid.
    pub minimum_chain_work: Work,
}

impl Default for Options {
    /// A commit every block, 450 MiB of coins (Core's `-dbcache`), 64 MiB of orphans, every block kept; everything is checked.
    fn default() -> Self {
        Self {
            commit: CommitPolicy::EveryBlock,
            cache_bytes: 450 << 20,
            large_commit: 100_000,
            orphan_bytes: 64 << 20,
            prune_bytes: None,
            keep_blocks_from: None,
            block_file_bytes: MAX_BLOCK_FILE_BYTES,
            connect: ConnectOptions::default(),
            assume_valid: None,
            minimum_chain_work: Work::from_be_bytes([0; 32]),
        }
    }
}

impl Options {
    /// The defaults, with what `params` know of their chain: its assumed-valid block and its minimum work.
    #[must_use]
    pub fn for_chain(params: &ChainParams) -> Self {
        Self {
            assume_valid: params.consensus.default_assume_valid,
            minimum_chain_work: params.consensus.minimum_chain_work,
            ..Self::default()
        }
    }

    /// What of [`Self::cache_bytes`] is for the coin cache.
    const fn coin_cache_bytes(&self) -> usize {
        let bytes = self.cache_bytes - self.cache_bytes / TABLES_SHARE;
        if bytes < MAX_COIN_CACHE_BYTES { bytes } else { MAX_COIN_CACHE_BYTES }
    }

    /// What of [`Self::cache_bytes`] is for blocks of the database's tables.
    pub(crate) fn table_cache_bytes(&self) -> u64 {
        (self.cache_bytes / TABLES_SHARE).max(LEAST_TABLE_CACHE_BYTES) as u64
    }
}

/// Headers, blocks and coins of one chain.
pub struct ChainState {
    params: ChainParams,
    options: Options,
    store: Box<dyn Backing>,
    tree: HeaderTree,
    /// The active chain by height. Its last block is the one that `coins` belongs to, always at a block's boundary.
    active: Vec<EntryId>,
    coins: CoinCache,
    candidates: Candidates,
    orphans: Orphans,
    events: Events,
    /// Entries that the store does not have as they are.
    changed: EntrySet,
    durable_tip: EntryId,
    /// Blocks that came in the running call, which need not be read back to be connected.
    at_hand: HashMap<EntryId, DecodedBlock>,
    /// Where snapshots go, once somebody has asked for them.
    reader: Option<Reader>,
    /// There was a commit since the last snapshot.
    unpublished: bool,
    timings: Timings,
    /// How many commits there were in this run.
    commits: u64,
    /// A block whose coins were brought into the cache ahead.
    prepared: Option<BlockHash>,
}

impl ChainState {
    /// Opens the data folder of a chain, or makes one if it is empty or missing. Goes on with a reorganisation that a
    /// crash cut off.
    ///
    /// # Errors
    /// The folder is in use, holds another chain or a newer format, is damaged, or cannot be read or written.
    pub fn open(folder: &Path, params: ChainParams, options: Options) -> Result<Self, StoreError> {
        let identity =
            Identity { chain: params.name.clone(), genesis: params.consensus.genesis_hash, magic: params.magic };
        let (store, contents) = FolderStore::open(folder, &identity, options.table_cache_bytes())?;
        Self::with_store(Box::new(store), contents, params, options)
    }

    /// A chain state that lasts as long as the process, and never commits. `keep` is how many heights below the tip
    /// blocks are kept for a reorganisation; `None`: all.
    ///
    /// # Errors
    /// None, as long as nothing but memory is below.
    pub fn in_memory(params: ChainParams, keep: Option<u32>, options: Options) -> Result<Self, StoreError> {
        let contents = Contents { index: Vec::new(), tip: None };
        Self::with_store(Box::new(MemoryStore::new(keep)), contents, params, options)
    }

    /// Takes up what `store` held.
    ///
    /// # Errors
    /// It contradicts itself, or cannot be read.
    pub fn with_store(
        store: Box<dyn Backing>,
        contents: Contents,
        params: ChainParams,
        options: Options,
    ) -> Result<Self, StoreError> {
        let tree = HeaderTree::new(params.genesis.header);
        let coin_cache_bytes = if store.is_durable() { options.coin_cache_bytes() } else { usize::MAX };
        let mut state = Self {
            orphans: Orphans::new(options.orphan_bytes),
            params,
            options,
            store,
            tree,
            active: vec![EntryId::GENESIS],
            coins: CoinCache::with_limit(coin_cache_bytes),
            candidates: Candidates::default(),
            events: Events::default(),
            changed: EntrySet::default(),
            durable_tip: EntryId::GENESIS,
            at_hand: HashMap::new(),
            reader: None,
            unpublished: false,
            timings: Timings::default(),
            commits: 0,
            prepared: None,
        };
        state.store.limit_files(state.options.block_file_bytes);
        state.store.call_large(state.options.large_commit);
        match contents.tip {
            Some(tip) => state.load(contents, &tip)?,
            None => state.begin_with_genesis()?,
        }
        state.activate()?;
        state.finish()?;
        Ok(state)
    }

    fn begin_with_genesis(&mut self) -> Result<(), StoreError> {
        let (raw, hash) = (serialize(&self.params.genesis), self.params.consensus.genesis_hash);
        let location = self.store.append_block(&hash, 0, &raw, self.params.genesis.txdata.len() as u32)?;
        let genesis = self.tree.entry_mut(EntryId::GENESIS);
        (genesis.location, genesis.validity) = (Some(location), Validity::Connected);
        self.candidates.add_active(&self.tree, EntryId::GENESIS);
        self.changed.insert(EntryId::GENESIS);
        self.flush()
    }

    fn load(&mut self, contents: Contents, tip: &BlockHash) -> Result<(), StoreError> {
        let damaged = |hash: &BlockHash, what: &str| StoreError::DamagedRecord {
            records: "index",
            key: hash.to_string(),
            what: what.to_owned(),
        };
        for record in contents.index {
            let id = self.tree.insert_hashed(record.header, record.hash);
            let id = id.ok_or_else(|| damaged(&record.hash, "its parent is not in the index"))?;
            let entry = self.tree.entry_mut(id);
            if entry.height != record.height {
                return Err(damaged(&record.hash, "it is not at its parent's height plus one"));
            }
            entry.location = record.location;
            if !entry.is_failed() || record.validity == Validity::Failed {
                entry.validity = record.validity;
            }
        }
        self.tree.find_best_header();
        let tip = self.tree.lookup(tip).ok_or_else(|| damaged(tip, "the tip is not in the index"))?;
        self.active.extend(self.tree.path(EntryId::GENESIS, tip));
        self.durable_tip = tip;
        for id in self.tree.ids() {
            let entry = self.tree.entry(id);
            if self.active.get(entry.height as usize) == Some(&id) {
                self.candidates.add_active(&self.tree, id);
            } else if entry.location.is_some() {
                self.candidates.add(&self.tree, id);
            }
        }
        self.settle();
        Ok(())
    }

    /// The last block of the active chain.
    #[must_use]
    pub fn tip(&self) -> &Entry {
        self.tree.entry(self.tip_id())
    }

    fn tip_id(&self) -> EntryId {
        *self.active.last().expect("the active chain holds at least genesis")
    }

    /// The tip that would be found after a crash now. In memory there is none but genesis.
    #[must_use]
    pub fn durable_tip(&self) -> &Entry {
        self.tree.entry(self.durable_tip)
    }

    /// The chain's parameters.
    #[must_use]
    pub const fn params(&self) -> &ChainParams {
        &self.params
    }

    /// Every header known, with what became of its block.
    #[must_use]
    pub const fn headers(&self) -> &HeaderTree {
        &self.tree
    }

    /// The block of the active chain at `height`.
    #[must_use]
    pub fn active_at(&self, height: u32) -> Option<&Entry> {
        self.active.get(height as usize).map(|id| self.tree.entry(*id))
    }

    /// Whether a block is in the active chain.
    #[must_use]
    pub fn is_active(&self, id: EntryId) -> bool {
        self.active.get(self.tree.entry(id).height as usize) == Some(&id)
    }

    /// How many blocks wait for an unknown parent.
    #[must_use]
    pub fn orphan_count(&self) -> usize {
        self.orphans.count()
    }

    /// A block of the store, active or not; `None`: it is not there.
    ///
    /// # Errors
    /// It was pruned, cannot be read, or is damaged.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<DecodedBlock>, StoreError> {
        match self.tree.lookup(hash).map(|id| self.tree.entry(id)) {
            Some(entry) if entry.is_pruned() => Err(StoreError::Pruned { hash: entry.hash, height: entry.height }),
            Some(entry) if entry.location.is_some() => self.read_block(entry).map(Some),
            _ => Ok(None),
        }
    }

    /// What a block of the store spent; `None`: it is not there, or was never connected. Genesis spends nothing.
    ///
    /// # Errors
    /// The record cannot be read, is damaged, or is no longer kept.
    pub fn undo(&self, hash: &BlockHash) -> Result<Option<BlockUndo>, StoreError> {
        match self.tree.lookup(hash) {
            Some(EntryId::GENESIS) => Ok(Some(BlockUndo::default())),
            Some(id) => {
                let entry = self.tree.entry(id);
                let kept = entry.location.is_some_and(|location| location.undo.is_some());
                kept.then(|| self.store.read_undo(entry)).transpose()
            }
            None => Ok(None),
        }
    }

    /// Reads a block back and holds it against its hash.
    fn read_block(&self, entry: &Entry) -> Result<DecodedBlock, StoreError> {
        decode_stored(&self.params, entry, self.store.read_block(entry)?)
            .map_err(|what| self.store.damaged_block(entry, what))
    }

    /// The unspent coin at `outpoint`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.coins.get(outpoint) {
            Some(known) => Ok(known),
            None => self.store.load_coin(outpoint),
        }
    }

    /// Count, value and hash of all coins. Reads every one of them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn coin_statistics(&self) -> Result<CoinStatistics, StoreError> {
        let mut counter = CoinCounter::default();
        self.store.for_each_coin(&mut |outpoint, coin| {
            if self.coins.get(&outpoint).is_none() {
                counter.add(&outpoint, &coin);
            }
        })?;
        for (outpoint, coin) in self.coins.coins() {
            counter.add(&outpoint, &coin);
        }
        Ok(counter.finish())
    }

    /// Where the time went that blocks took.
    #[must_use]
    pub const fn timings(&self) -> &Timings {
        &self.timings
    }

    /// Bytes that the coin cache occupies.
    #[must_use]
    pub fn coin_cache_bytes(&self) -> usize {
        self.coins.memory()
    }

    /// Events from now on. They queue up without bound: whoever subscribes must read.
    pub fn subscribe(&mut self) -> Receiver<Event> {
        self.events.subscribe()
    }

    /// Makes the present state durable. In memory this does nothing.
    ///
    /// # Errors
    /// A write failed. The store then takes no more; opened anew it has this state or the last durable one.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if !self.store.is_durable() {
            return Ok(());
        }
        let prunable = self.files_to_prune();
        if !prunable.is_empty() {
            self.forget_files(&prunable);
            self.store.prune(&prunable)?;
        }
        if !self.is_durable() || !prunable.is_empty() {
            self.commit()?;
        }
        self.publish()
    }

    /// Whether the last commit holds everything.
    fn is_durable(&self) -> bool {
        self.changed.is_empty() && self.durable_tip == self.tip_id()
    }

    /// One commit at the boundary of a block, which may lie in the middle of a reorganisation.
    fn commit(&mut self) -> Result<(), StoreError> {
        let entries = self.changed.iter().map(|id| self.tree.entry(id)).collect();
        let commit = Commit { coins: &self.coins, entries, tip: self.tip().hash };
        timed(&mut self.timings.commit, || self.store.commit(&commit))?;
        self.coins.written();
        self.commits += 1;
        self.changed.clear();
        self.durable_tip = self.tip_id();
        self.unpublished = true;
        Ok(())
    }

    /// Makes the present state durable and releases the folder, once readers and their snapshots are gone too. Dropping a
    /// chain state releases it without a commit.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn close(mut self) -> Result<(), StoreError> {
        self.flush()
    }
}
