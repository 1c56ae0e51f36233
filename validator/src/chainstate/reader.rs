//! Readers: what other threads see of the chain while the one writer goes on.
//!
//! A snapshot is the chain as one commit left it, at rest: tip, headers, coins and blocks of the same moment, none of
//! which a crash can take back. docs/architecture.md says why, and what lost.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bitcoin::block::Header;
use bitcoin::{BlockHash, OutPoint};

use super::{ChainState, NextBlock};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::statistics::{CoinCounter, CoinStatistics};
use crate::coins::{BlockUndo, Coin};
use crate::headers::tree::{Entry, EntryId, HeaderTree};
use crate::store::{StoreError, StoreSnapshot, decode_stored};

/// Gives the newest snapshot of a chain state, to any number of threads. Cheap to clone.
///
/// It outlives the chain state; but the data folder stays in use until the last reader and snapshot are gone.
#[derive(Clone, Debug)]
pub struct Reader {
    newest: Arc<RwLock<Snapshot>>,
}

impl Reader {
    pub(super) fn new(first: Snapshot) -> Self {
        Self { newest: Arc::new(RwLock::new(first)) }
    }

    /// The chain as of the last commit. Under [`super::CommitPolicy::EveryBlock`] it is never behind an event that was
    /// told.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn publish(&self, snapshot: Snapshot) {
        // The old one is dropped after the lock is released.
        let _old = {
            let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *newest, snapshot)
        };
    }

    /// Whether there are readers besides this one.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.newest) > 1
    }
}

/// The chain at one moment. Cheap to clone; keep it no longer than a question takes, since the database keeps what it
/// needs.
#[derive(Clone)]
pub struct Snapshot(Arc<Moment>);

struct Moment {
    params: Arc<ChainParams>,
    tree: HeaderTree,
    tip: EntryId,
    store: Box<dyn StoreSnapshot>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("tip", &self.tip().hash).field("height", &self.tip().height).finish()
    }
}

impl Snapshot {
    /// The chain's parameters.
    #[must_use]
    pub fn params(&self) -> &ChainParams {
        &self.0.params
    }

    /// Every header known at this moment, branches too, with what had become of its block.
    #[must_use]
    pub fn headers(&self) -> &HeaderTree {
        &self.0.tree
    }

    /// The last block of the active chain, which the coins belong to.
    #[must_use]
    pub fn tip(&self) -> &Entry {
        self.0.tree.entry(self.0.tip)
    }

    /// The tip's name in [`Self::headers`].
    #[must_use]
    pub fn tip_id(&self) -> EntryId {
        self.0.tip
    }

    /// The block of the active chain at `height`.
    #[must_use]
    pub fn active_at(&self, height: u32) -> Option<&Entry> {
        let tree = &self.0.tree;
        (height <= self.tip().height).then(|| tree.entry(tree.ancestor(self.0.tip, height)))
    }

    /// Whether a block is in the active chain.
    #[must_use]
    pub fn is_active(&self, id: EntryId) -> bool {
        let height = self.0.tree.entry(id).height;
        height <= self.tip().height && self.0.tree.ancestor(self.0.tip, height) == id
    }

    /// The facts for a block on top of the tip; see [`ChainState::next_block`].
    #[must_use]
    pub fn next_block(&self, time: u32) -> NextBlock {
        NextBlock::on(&self.0.params, &self.0.tree, self.0.tip, time)
    }

    /// Hashes of the active chain from the tip down: ten in a row, then ever further apart, genesis last. A peer finds
    /// in it the last block that both have.
    ///
    /// Source: Bitcoin Core, `chain.cpp`, `LocatorEntries`.
    #[must_use]
    pub fn locator(&self) -> Vec<BlockHash> {
        let tree = &self.0.tree;
        let (mut at, mut step, mut locator) = (self.0.tip, 1, Vec::new());
        loop {
            let entry = tree.entry(at);
            locator.push(entry.hash);
            if entry.height == 0 {
                return locator;
            }
            at = tree.ancestor(at, entry.height.saturating_sub(step));
            if locator.len() > 10 {
                step *= 2;
            }
        }
    }

    /// The last block of the active chain that a peer with this locator has: the first of the locator that is in it or,
    /// where the peer is ahead of us on our own chain, our tip. Genesis, if none is.
    ///
    /// Source: Bitcoin Core, `validation.cpp`, `Chainstate::FindForkInGlobalIndex`.
    #[must_use]
    pub fn find_fork(&self, locator: &[BlockHash]) -> EntryId {
        let tree = &self.0.tree;
        for id in locator.iter().filter_map(|hash| tree.lookup(hash)) {
            let height = tree.entry(id).height;
            if self.is_active(id) {
                return id;
            }
            if height > self.tip().height && tree.ancestor(id, self.tip().height) == self.0.tip {
                return self.0.tip;
            }
        }
        EntryId::GENESIS
    }

    /// At most `limit` headers of the active chain that follow the fork with `locator`, up to the block `stop` or the
    /// tip: what `getheaders` asks for.
    #[must_use]
    pub fn headers_after(&self, locator: &[BlockHash], stop: &BlockHash, limit: usize) -> Vec<Header> {
        let tree = &self.0.tree;
        let first = tree.entry(self.find_fork(locator)).height + 1;
        let last = (first - 1).saturating_add(u32::try_from(limit).unwrap_or(u32::MAX)).min(self.tip().height);
        if last < first {
            return Vec::new();
        }
        let path = tree.path(tree.ancestor(self.0.tip, first - 1), tree.ancestor(self.0.tip, last));
        let mut headers = Vec::with_capacity(path.len());
        for entry in path.into_iter().map(|id| tree.entry(id)) {
            headers.push(entry.header);
            if entry.hash == *stop {
                break;
            }
        }
        headers
    }

    /// A block that was here at this moment, active or not; `None`: it was not.
    ///
    /// # Errors
    /// It was pruned, cannot be read, or is damaged.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<DecodedBlock>, StoreError> {
        let Some(entry) = self.stored(hash)? else { return Ok(None) };
        let decoded = decode_stored(&self.0.params, entry, self.0.store.read_block(entry)?);
        decoded.map(Some).map_err(|what| self.0.store.damaged_block(entry, what))
    }

    /// The bytes of a block in network encoding, as they are stored: their framing was checked, they were not decoded.
    ///
    /// # Errors
    /// As [`Self::block`].
    pub fn block_bytes(&self, hash: &BlockHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.stored(hash)?.map(|entry| self.0.store.read_block(entry)).transpose()
    }

    /// What a block spent; `None`: it was never connected.
    ///
    /// # Errors
    /// As [`Self::block`].
    pub fn undo(&self, hash: &BlockHash) -> Result<Option<BlockUndo>, StoreError> {
        match self.stored(hash)? {
            Some(entry) if entry.location.is_some_and(|at| at.undo.is_some()) => {
                self.0.store.read_undo(entry).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn stored(&self, hash: &BlockHash) -> Result<Option<&Entry>, StoreError> {
        let entry = self.0.tree.lookup(hash).map(|id| self.0.tree.entry(id));
        match entry {
            Some(entry) if entry.is_pruned() => Err(StoreError::Pruned { hash: entry.hash, height: entry.height }),
            entry => Ok(entry.filter(|entry| entry.location.is_some())),
        }
    }

    /// The coin at `outpoint` that was unspent at the tip.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        self.0.store.load_coin(outpoint)
    }

    /// Count, value and hash of all coins at the tip. Reads every one of them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn coin_statistics(&self) -> Result<CoinStatistics, StoreError> {
        let mut counter = CoinCounter::default();
        self.0.store.for_each_coin(&mut |outpoint, coin| counter.add(&outpoint, &coin))?;
        Ok(counter.finish())
    }
}

impl ChainState {
    /// A handle that gives other threads snapshots of the chain. Makes the present state durable first, so that there is
    /// one to give.
    ///
    /// # Errors
    /// The chain is in memory, where nothing is ever committed; or a write failed, as for [`Self::flush`].
    pub fn reader(&mut self) -> Result<Reader, StoreError> {
        self.flush()?;
        let reader = match self.reader.take() {
            Some(reader) if !self.unpublished => reader,
            Some(reader) => {
                reader.publish(self.snapshot(Arc::clone(&reader.snapshot().0.params))?);
                reader
            }
            None => Reader::new(self.snapshot(Arc::new(self.params.clone()))?),
        };
        self.unpublished = false;
        self.reader = Some(reader.clone());
        Ok(reader)
    }

    /// The present state, all of which must be durable.
    fn snapshot(&self, params: Arc<ChainParams>) -> Result<Snapshot, StoreError> {
        let store = self.store.snapshot().ok_or(StoreError::NoSnapshots)?;
        Ok(Snapshot(Arc::new(Moment { params, tree: self.tree.clone(), tip: self.tip_id(), store })))
    }

    /// Shows the present state to whoever reads, if it is durable and newer than what they have.
    pub(super) fn publish(&mut self) -> Result<(), StoreError> {
        let Some(reader) = self.reader.as_ref().filter(|reader| reader.is_shared()) else { return Ok(()) };
        if self.unpublished && self.is_durable() {
            reader.publish(self.snapshot(Arc::clone(&reader.snapshot().0.params))?);
            self.unpublished = false;
        }
        Ok(())
    }
}
