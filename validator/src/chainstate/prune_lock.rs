//! Limits of pruning: the number of newest blocks that are kept, and locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of blocks below the tip that are never pruned.
///
/// Source: Bitcoin Core, `validation.h`, `MIN_BLOCKS_TO_KEEP`.
pub const MIN_BLOCKS_TO_KEEP: u32 = 288;

/// Keeps the blocks from a height on, whatever the size limit, for a reader that still needs them, such as an index.
/// Clones share one height. When a block below that height is disconnected the lock moves back to it, since the reader has
/// to read what replaces it.
///
/// Source: Bitcoin Core, `node/blockstorage.cpp`, `BlockManager::UpdatePruneLock`, and `validation.cpp`,
/// `Chainstate::DisconnectTip`.
#[derive(Clone, Debug)]
pub struct PruneLock(Arc<AtomicU32>);

impl PruneLock {
    /// A lock that keeps the blocks from `height` on.
    #[must_use]
    pub fn new(height: u32) -> Self {
        Self(Arc::new(AtomicU32::new(height)))
    }

    /// Moves the lock: blocks below `height` may be pruned.
    pub fn keep_from(&self, height: u32) {
        self.0.store(height, Ordering::Release);
    }

    /// Releases the lock: every block may be pruned.
    pub fn release(&self) {
        self.keep_from(u32::MAX);
    }

    /// The lowest height whose block is kept.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves the lock back to `height`, if it keeps only later blocks. A lock that was released stays so.
    pub(super) fn move_back(&self, height: u32) {
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |locked| {
            (locked > height && locked != u32::MAX).then_some(height)
        });
    }
}
