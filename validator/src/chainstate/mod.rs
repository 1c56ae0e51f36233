//! The chain state: accepts headers and blocks in any order, and keeps the coins at the tip of the valid chain with
//! most work.
//!
//! There is one writer, the owner of the [`ChainState`]. A block passes `accept` (isolation, header, context, append to
//! the store), then `activate` (disconnect and connect until the best chain is active), then one commit, then the
//! events. A broken rule is an outcome; only a failure of the store is an error.

mod accept;
mod activate;
mod assume_valid;
mod candidates;
mod events;
mod fetch;
mod incoming_block;
mod next_block;
mod operator;
mod options;
mod outcome;
mod prune;
mod prune_lock;
mod publish;
mod snapshot;
mod stored;
mod timings;
mod view;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bitcoin::consensus::serialize;
use bitcoin::{BlockHash, OutPoint};

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;
use crate::coins::statistics::{CoinCounter, CoinStatistics};
use crate::headers::EntrySet;
use crate::headers::{Entry, EntryId, HeaderTree, Validity};
use crate::store::folder::FolderStore;
use crate::store::memory::MemoryStore;
use crate::store::{BlockReader, CoinCache, Commit, FilePosition, Identity, LoadedStore, NewBlock, Store, StoreError};

pub use events::{ChainEvent, EventQueue, EventSink};
pub use incoming_block::IncomingBlock;
pub use next_block::NextBlock;
pub use options::{ChainStateOptions, CommitPolicy};
pub use outcome::{BlockOutcome, HeaderOutcome, InvalidBlock, OperatorOutcome};
pub use prune_lock::{MIN_BLOCKS_TO_KEEP, PruneLock};
pub use snapshot::{ChainReader, ChainSnapshot};
pub use timings::Timings;
pub use view::ChainView;

pub(crate) use fetch::FetchedCoins;

use candidates::Candidates;
use events::Events;
use timings::timed;

/// Headers, blocks and coins of one chain.
pub struct ChainState {
    params: ChainParams,
    options: ChainStateOptions,
    store: Box<dyn Store>,
    tree: HeaderTree,
    /// The active chain by height. `coins` is the coin set after its last block.
    active: Vec<EntryId>,
    coins: CoinCache,
    candidates: Candidates,
    events: Events,
    /// Entries that changed since the last commit.
    changed: EntrySet,
    durable_tip: EntryId,
    /// Blocks accepted in the running call, which connect without being read back.
    received: HashMap<EntryId, Arc<DecodedBlock>>,
    /// Where new snapshots are published; `None` until the first call of [`Self::reader`].
    reader: Option<ChainReader>,
    /// Whether there was a commit since the last snapshot.
    unpublished: bool,
    timings: Timings,
    /// The number of commits since the chain state was opened.
    commits: u64,
    /// The block whose coins were read into the cache ahead of its connection.
    fetched: Option<BlockHash>,
}

impl ChainState {
    /// Opens the data folder of a chain, or makes one if it is empty or missing. Finishes a reorganisation that a crash
    /// interrupted.
    ///
    /// # Errors
    /// The folder is in use, holds another chain or a newer format, is damaged, or cannot be read or written.
    pub fn open(folder: &Path, params: ChainParams, options: ChainStateOptions) -> Result<Self, StoreError> {
        let identity = Identity::of(&params);
        let (store, loaded) = FolderStore::open(folder, &identity, options.table_cache_bytes())?;
        Self::with_store(Box::new(store), loaded, params, options)
    }

    /// A chain state in memory, which never commits. It keeps the blocks that a reorganisation of at most `depth`
    /// blocks needs; `None`: all blocks.
    ///
    /// # Errors
    /// None: a store in memory does not fail.
    pub fn in_memory(params: ChainParams, depth: Option<u32>, options: ChainStateOptions) -> Result<Self, StoreError> {
        let loaded = LoadedStore::default();
        Self::with_store(Box::new(MemoryStore::new(depth)), loaded, params, options)
    }

    /// A chain state on `store`, which held `loaded` when it was opened.
    ///
    /// # Errors
    /// The index contradicts itself, or the store cannot be read or written.
    pub fn with_store(
        store: Box<dyn Store>,
        loaded: LoadedStore,
        params: ChainParams,
        options: ChainStateOptions,
    ) -> Result<Self, StoreError> {
        let tree = HeaderTree::new(params.genesis.header);
        let coin_cache_bytes = if store.is_durable() { options.coin_cache_bytes() } else { usize::MAX };
        let mut state = Self {
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
            received: HashMap::new(),
            reader: None,
            unpublished: false,
            timings: Timings::default(),
            commits: 0,
            fetched: None,
        };
        state.store.limit_files(state.options.block_file_bytes);
        state.store.set_ingest_threshold(state.options.ingest_threshold);
        match loaded.tip {
            Some(tip) => state.load(loaded, &tip)?,
            None => state.begin_with_genesis(loaded.genesis)?,
        }
        state.activate()?;
        state.finish()?;
        Ok(state)
    }

    fn begin_with_genesis(&mut self, position: Option<FilePosition>) -> Result<(), StoreError> {
        let (raw, hash) = (serialize(&self.params.genesis), self.params.consensus.genesis_hash);
        let transactions = self.params.genesis.txdata.len() as u32;
        let genesis = NewBlock { hash, height: 0, bytes: &raw, transactions, position };
        let location = self.store.append_block(&genesis)?;
        let genesis = self.tree.entry_mut(EntryId::GENESIS);
        (genesis.location, genesis.validity) = (Some(location), Validity::Connected);
        self.candidates.add_active(&self.tree, EntryId::GENESIS);
        self.changed.insert(EntryId::GENESIS);
        self.flush()
    }

    fn load(&mut self, loaded: LoadedStore, tip: &BlockHash) -> Result<(), StoreError> {
        let damaged = |hash: &BlockHash, what: &str| StoreError::DamagedRecord {
            records: "index",
            key: hash.to_string(),
            what: what.to_owned(),
        };
        for record in loaded.index {
            let id = self.tree.insert_hashed(record.header, record.hash);
            let id = id.ok_or_else(|| damaged(&record.hash, "its parent is not in the index"))?;
            let entry = self.tree.entry_mut(id);
            if entry.height != record.height {
                return Err(damaged(&record.hash, "it is not at its parent's height plus one"));
            }
            entry.load(&record);
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
        self.prune_candidates();
        Ok(())
    }

    /// The tip of the last commit, which a start after a crash finds. In memory it is genesis.
    #[must_use]
    pub fn durable_tip(&self) -> &Entry {
        self.tree.entry(self.durable_tip)
    }

    /// The time that blocks took, by what it was spent on.
    #[must_use]
    pub const fn timings(&self) -> &Timings {
        &self.timings
    }

    /// Bytes that the coin cache occupies.
    #[must_use]
    pub fn coin_cache_bytes(&self) -> usize {
        self.coins.memory()
    }

    /// Sends events to `sink` from now on, on the writer's thread.
    pub fn subscribe(&mut self, sink: impl EventSink + 'static) {
        self.events.subscribe(Box::new(sink));
    }

    /// Queues events from now on for another thread, in at most `limit` bytes.
    #[must_use]
    pub fn subscribe_queue(&mut self, limit: usize) -> EventQueue {
        let (sink, queue) = events::queue(limit);
        self.subscribe(sink);
        queue
    }

    /// Makes the present state durable. In memory this does nothing.
    ///
    /// # Errors
    /// A write failed. The store then refuses further writes; reopened, it has this state or the last durable one.
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

    /// Whether the last commit holds the present state.
    fn is_durable(&self) -> bool {
        self.changed.is_empty() && self.durable_tip == self.tip_id()
    }

    /// Commits the state after the last connected or disconnected block, which may be in the middle of a
    /// reorganisation.
    fn commit(&mut self) -> Result<(), StoreError> {
        let index = self.changed.iter().map(|id| self.tree.entry(id).index_record()).collect();
        let commit = Commit { coins: &self.coins, index, tip: self.tip().hash };
        timed(&mut self.timings.commit, || self.store.commit(commit))?;
        self.coins.mark_clean();
        self.commits += 1;
        self.fetched = None;
        self.changed.clear();
        self.durable_tip = self.tip_id();
        self.unpublished = true;
        Ok(())
    }

    /// Makes the present state durable and closes the store. The data folder is released once all readers and snapshots
    /// are dropped too. Dropping a chain state closes the store without a commit.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn close(mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.store.close()
    }
}

impl ChainView for ChainState {
    fn params(&self) -> &ChainParams {
        &self.params
    }

    fn headers(&self) -> &HeaderTree {
        &self.tree
    }

    fn tip_id(&self) -> EntryId {
        *self.active.last().expect("the active chain holds at least genesis")
    }

    fn store(&self) -> &dyn BlockReader {
        &*self.store
    }

    fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.coins.get(outpoint) {
            Some(known) => Ok(known),
            None => self.store.load_coin(outpoint),
        }
    }

    fn coin_statistics(&self) -> Result<CoinStatistics, StoreError> {
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

    fn active_at(&self, height: u32) -> Option<&Entry> {
        self.active.get(height as usize).map(|id| self.tree.entry(*id))
    }

    fn is_active(&self, id: EntryId) -> bool {
        self.active.get(self.tree.entry(id).height as usize) == Some(&id)
    }
}
