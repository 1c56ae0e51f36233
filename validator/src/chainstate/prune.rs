//! Pruning: which block files go, and what must be forgotten with them.
//!
//! As in Core, whole pairs of files go, lowest number first, while all of them together are over the stated size, and only
//! such whose highest block lies at least [`MIN_BLOCKS_TO_KEEP`] below the tip of the commit. The index entries lose their
//! places and the `files` records go in that commit; the files themselves are deleted after it. A crash between the two
//! leaves files that no commit refers to, which the next start removes.

use std::collections::BTreeSet;

use super::ChainState;
use super::prune_lock::{MIN_BLOCKS_TO_KEEP, PruneLock};
use super::view::ChainView;
use crate::headers::EntryId;

impl ChainState {
    /// The files that may go and must, for the store to keep to its size.
    pub(super) fn files_to_prune(&self) -> Vec<u32> {
        let Some(bytes) = self.options.prune_bytes else { return Vec::new() };
        let Some(highest) = self.tip().height.checked_sub(MIN_BLOCKS_TO_KEEP) else { return Vec::new() };
        let locked = self.options.prune_locks.iter().map(PruneLock::height).min().unwrap_or(u32::MAX);
        match locked.checked_sub(1) {
            Some(below) => self.store.files_to_prune(bytes, highest.min(below)),
            None => Vec::new(),
        }
    }

    /// Takes the blocks in `files` out of the index.
    pub(super) fn forget_files(&mut self, files: &[u32]) {
        let lies_there = |id: &EntryId| self.tree.entry(*id).location.is_some_and(|at| files.contains(&at.file));
        let pruned: BTreeSet<EntryId> = self.tree.ids().filter(lies_there).collect();
        for id in &pruned {
            self.tree.entry_mut(*id).location = None;
        }
        let branches = pruned.iter().copied().filter(|id| !self.is_active(*id)).collect();
        self.candidates.withdraw(&self.tree, &branches);
        tracing::info!(?files, blocks = pruned.len(), "pruned");
        self.changed.extend(pruned);
    }
}
