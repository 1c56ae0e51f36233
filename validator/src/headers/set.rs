//! A set of entries of a header tree, as a bit set.
//!
//! The chain state keeps the changed entries in it until the next commit. Headers come by the thousand, mostly in the
//! order of their numbers, and inserting one into a search tree would take longer than checking it.

use fixedbitset::FixedBitSet;

use super::entry::EntryId;

/// A set of entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntrySet(FixedBitSet);

impl EntrySet {
    pub(crate) fn insert(&mut self, id: EntryId) {
        self.0.grow_and_insert(id.index());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_clear()
    }

    /// The entries in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = EntryId> {
        self.0.ones().map(EntryId::at)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Extend<EntryId> for EntrySet {
    fn extend<I: IntoIterator<Item = EntryId>>(&mut self, ids: I) {
        ids.into_iter().for_each(|id| self.insert(id));
    }
}
