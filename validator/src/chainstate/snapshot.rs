//! Snapshots: what other threads read of the chain while the writer works.
//!
//! A snapshot is the chain as of one commit: tip, headers, coins and blocks, all durable. docs/architecture.md gives
//! the reasons, and the alternatives.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bitcoin::OutPoint;

use super::view::ChainView;
use crate::chain::ChainParams;
use crate::coins::Coin;
use crate::coins::statistics::{CoinCounter, CoinStatistics};
use crate::headers::{EntryId, HeaderTree};
use crate::store::{BlockReader, StoreError, StoreSnapshot};

/// Gives the newest snapshot of a chain state, to any number of threads. Cheap to clone.
///
/// It may outlive the chain state. The data folder stays locked until the last reader and snapshot are dropped.
#[derive(Clone, Debug)]
pub struct ChainReader {
    newest: Arc<RwLock<ChainSnapshot>>,
}

impl ChainReader {
    pub(super) fn new(first: ChainSnapshot) -> Self {
        Self { newest: Arc::new(RwLock::new(first)) }
    }

    /// The chain as of the last commit. Under [`super::CommitPolicy::EveryBlock`] it is never behind an event that was
    /// sent.
    #[must_use]
    pub fn snapshot(&self) -> ChainSnapshot {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn publish(&self, snapshot: ChainSnapshot) {
        // The old snapshot is dropped after the lock is released.
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

/// The chain as of one commit. Cheap to clone. Drop it soon: as long as it exists the database keeps its data.
#[derive(Clone)]
pub struct ChainSnapshot(Arc<SnapshotData>);

struct SnapshotData {
    params: Arc<ChainParams>,
    tree: HeaderTree,
    tip: EntryId,
    sequence: u64,
    store: Box<dyn StoreSnapshot>,
}

impl ChainSnapshot {
    pub(super) fn new(
        params: Arc<ChainParams>,
        tree: HeaderTree,
        tip: EntryId,
        sequence: u64,
        store: Box<dyn StoreSnapshot>,
    ) -> Self {
        Self(Arc::new(SnapshotData { params, tree, tip, sequence, store }))
    }

    /// The number of the last event that the snapshot contains.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// The parameters, shared with the next snapshot.
    pub(super) fn shared_params(&self) -> Arc<ChainParams> {
        Arc::clone(&self.0.params)
    }
}

impl fmt::Debug for ChainSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainSnapshot").field("tip", &self.tip().hash).field("height", &self.tip().height).finish()
    }
}

impl ChainView for ChainSnapshot {
    fn params(&self) -> &ChainParams {
        &self.0.params
    }

    fn headers(&self) -> &HeaderTree {
        &self.0.tree
    }

    fn tip_id(&self) -> EntryId {
        self.0.tip
    }

    fn store(&self) -> &dyn BlockReader {
        &*self.0.store
    }

    fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        self.0.store.load_coin(outpoint)
    }

    fn coin_statistics(&self) -> Result<CoinStatistics, StoreError> {
        let mut counter = CoinCounter::default();
        self.0.store.for_each_coin(&mut |outpoint, coin| counter.add(&outpoint, &coin))?;
        Ok(counter.finish())
    }
}
