//! What pruning must keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many blocks below the tip are never pruned.
///
/// Source: Bitcoin Core, `validation.h`, `MIN_BLOCKS_TO_KEEP`.
pub const MIN_BLOCKS_TO_KEEP: u32 = 288;

/// Keeps blocks from a height on for someone who has not read them yet, such as an index, whatever the size that pruning
/// keeps to. Clones are the same lock.
///
/// Source: Bitcoin Core, `validation.h`, `BlockManager::UpdatePruneLock`.
#[derive(Clone, Debug)]
pub struct PruneLock(Arc<AtomicU32>);

impl PruneLock {
    /// A lock that keeps the blocks from `height` on.
    #[must_use]
    pub fn new(height: u32) -> Self {
        Self(Arc::new(AtomicU32::new(height)))
    }

    /// Moves the lock: blocks below `height` may go.
    pub fn keep_from(&self, height: u32) {
        self.0.store(height, Ordering::Release);
    }

    /// Keeps nothing any more.
    pub fn release(&self) {
        self.keep_from(u32::MAX);
    }

    /// The lowest height whose block is kept.
    pub(super) fn height(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}
