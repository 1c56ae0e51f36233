//! Pruning: which block files are deleted, and what is removed from the index with them.
//!
//! As in Core, whole pairs of files are deleted, lowest number first, while all of them together are over the stated
//! size, and only those whose highest block lies at least [`MIN_BLOCKS_TO_KEEP`] below the tip of the commit. That
//! commit clears the locations in the index and removes the `files` records; the files are deleted after it. A crash
//! between the two leaves files that no commit refers to, which the next start removes.

use std::collections::BTreeSet;

use super::ChainState;
use super::prune_lock::{MIN_BLOCKS_TO_KEEP, PruneLock};
use super::view::ChainView;
use crate::headers::EntryId;

impl ChainState {
    /// The numbers of the files to delete, so that the store keeps to its size.
    pub(super) fn files_to_prune(&self) -> Vec<u32> {
        let Some(bytes) = self.options.prune_bytes else { return Vec::new() };
        let Some(highest) = self.tip().height.checked_sub(MIN_BLOCKS_TO_KEEP) else { return Vec::new() };
        let locked = self.options.prune_locks.iter().map(PruneLock::height).min().unwrap_or(u32::MAX);
        match locked.checked_sub(1) {
            Some(below) => self.store.files_to_prune(bytes, highest.min(below)),
            None => Vec::new(),
        }
    }

    /// Removes the locations of the blocks in `files` from the index.
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
