//! The header tree: every accepted header, its chain work, and the validity and location of its block.
//!
//! An arena indexed by number, parents before children: links are four bytes, a step to a parent needs no hash lookup,
//! and nothing is ever removed, so that failed branches stay known. Each entry also points at one far ancestor (Core's
//! `pskip`), with which any ancestor is found in some dozen steps. Clones share unchanged parts, so that a snapshot can
//! keep its tree.

use bitcoin::block::Header;
use bitcoin::{BlockHash, CompactTarget, Work};

use super::entry::{Entry, EntryId, Validity};
use super::recent_times::{MEDIAN_TIME_SPAN, RecentTimes};
use super::shared::{SharedIndex, SharedList};
use crate::rules::Ancestry;

/// All headers, from one genesis block.
#[derive(Clone, Debug)]
pub struct HeaderTree {
    entries: SharedList<Entry>,
    by_hash: SharedIndex,
    best: EntryId,
    /// The bits of the last inserted header, and the work that they stand for. Bits seldom change, and computing the
    /// work is the slowest part of an insertion.
    last_work: (CompactTarget, Work),
    /// The times at the last inserted entry, which most often is the next one's parent.
    recent: RecentTimes,
}

impl HeaderTree {
    /// The tree that holds only `genesis`.
    #[must_use]
    pub fn new(genesis: Header) -> Self {
        let hash = genesis.block_hash();
        let work = genesis.work();
        let entry = Entry {
            header: genesis,
            hash,
            height: 0,
            chain_work: work,
            median_time_past: genesis.time,
            parent: None,
            validity: Validity::Unvalidated,
            location: None,
            skip: EntryId::GENESIS,
            run: 0,
        };
        let entries = SharedList::of(entry);
        let mut by_hash = SharedIndex::new();
        by_hash.insert(&hash, EntryId::GENESIS.0, |_| &hash);
        let mut recent = RecentTimes::empty(EntryId::GENESIS);
        recent.push(EntryId::GENESIS, 0, genesis.time);
        Self { entries, by_hash, best: EntryId::GENESIS, last_work: (genesis.bits, work), recent }
    }

    /// Inserts a header under its parent and returns its entry; a known header keeps its entry. `None`: the parent is
    /// unknown. Checks no rule: the caller has checked them.
    ///
    /// # Panics
    /// At 2^32 headers.
    pub fn insert(&mut self, header: Header) -> Option<EntryId> {
        self.insert_hashed(header, header.block_hash())
    }

    /// As [`Self::insert`], for a header whose hash is known.
    pub(crate) fn insert_hashed(&mut self, header: Header, hash: BlockHash) -> Option<EntryId> {
        if let Some(known) = self.lookup(&hash) {
            return Some(known);
        }
        let parent = self.lookup(&header.prev_blockhash)?;
        Some(self.insert_child(parent, header, hash))
    }

    /// Inserts a new header under its parent.
    pub(crate) fn insert_child(&mut self, parent_id: EntryId, header: Header, hash: BlockHash) -> EntryId {
        if self.last_work.0 != header.bits {
            self.last_work = (header.bits, header.work());
        }
        let id =
            EntryId(u32::try_from(self.entries.len()).expect("2^32 headers would not fit the memory of any machine"));
        if self.recent.of != parent_id {
            self.recent = self.times_at(parent_id);
        }
        let height = self.entry(parent_id).height + 1;
        self.recent.push(id, height, header.time);
        let parent = self.entry(parent_id);
        let entry = Entry {
            header,
            hash,
            height,
            chain_work: parent.chain_work + self.last_work.1,
            median_time_past: self.recent.median(),
            parent: Some(parent_id),
            validity: if parent.is_failed() { Validity::AncestorFailed } else { Validity::Unvalidated },
            location: None,
            skip: self.ancestor(parent_id, skip_height(height)),
            run: if parent_id.0 + 1 == id.0 { parent.run + 1 } else { 0 },
        };
        if !entry.is_failed() && entry.chain_work > self.entry(self.best).chain_work {
            self.best = id;
        }
        self.entries.push(entry);
        let entries = &self.entries;
        self.by_hash.insert(&hash, id.0, |number| &entries.get(number as usize).hash);
        id
    }

    /// The times of an entry and its ancestors, read from the tree.
    fn times_at(&self, id: EntryId) -> RecentTimes {
        let mut times = RecentTimes::empty(id);
        let lowest = self.entry(id).height.saturating_sub(MEDIAN_TIME_SPAN as u32 - 1);
        for ancestor in std::iter::once(self.ancestor(id, lowest)).chain(self.path(self.ancestor(id, lowest), id)) {
            let entry = self.entry(ancestor);
            times.push(ancestor, entry.height, entry.header.time);
        }
        times
    }

    /// The entry of a header.
    #[must_use]
    pub fn lookup(&self, hash: &BlockHash) -> Option<EntryId> {
        self.by_hash.get(hash, |number| &self.entries.get(number as usize).hash).map(EntryId)
    }

    /// The entry with a number.
    ///
    /// # Panics
    /// If `id` came from a larger tree.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> &Entry {
        self.entries.get(id.index())
    }

    pub(crate) fn entry_mut(&mut self, id: EntryId) -> &mut Entry {
        self.entries.get_mut(id.index())
    }

    /// The number of headers, genesis included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The last inserted entry, which has no children.
    pub(crate) fn newest(&self) -> EntryId {
        EntryId(self.entries.len() as u32 - 1)
    }

    /// Every entry, parents before children.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = EntryId> + use<> {
        (0..self.entries.len() as u32).map(EntryId)
    }

    /// The header with the most chain work that is not known to be invalid; of several, the first inserted.
    #[must_use]
    pub const fn best_header(&self) -> EntryId {
        self.best
    }

    /// The ancestor of `id` at `height`, itself included.
    ///
    /// # Panics
    /// If `height` is above the entry's.
    #[must_use]
    pub fn ancestor(&self, id: EntryId, height: u32) -> EntryId {
        let mut at = id;
        let mut at_height = self.entry(id).height;
        assert!(height <= at_height, "asked for height {height} in the ancestry of height {at_height}");
        while at_height > height {
            let entry = self.entry(at);
            if at_height - height <= entry.run {
                return EntryId(at.0 - (at_height - height));
            }
            let far = skip_height(at_height);
            // If the parent's skip goes further without passing the height, a step to the parent is shorter (Core's
            // `CBlockIndex::GetAncestor`).
            let parents_far = skip_height(at_height - 1);
            let skips = far == height || (far > height && !(parents_far + 2 < far && parents_far >= height));
            (at, at_height) = match entry.parent {
                Some(parent) if !skips => (parent, at_height - 1),
                _ => (entry.skip, far),
            };
        }
        at
    }

    /// The last block that the chains ending in `one` and in `other` have in common.
    #[must_use]
    pub fn fork_point(&self, one: EntryId, other: EntryId) -> EntryId {
        let height = self.entry(one).height.min(self.entry(other).height);
        let mut one = self.ancestor(one, height);
        let mut other = self.ancestor(other, height);
        while one != other {
            let (a, b) = (self.entry(one), self.entry(other));
            (one, other) = match (a.parent, b.parent) {
                // Entries of equal height have skips to equal heights, so both can skip while they differ.
                _ if a.skip != b.skip => (a.skip, b.skip),
                (Some(a), Some(b)) => (a, b),
                _ => return EntryId::GENESIS,
            };
        }
        one
    }

    /// The entries above `from` on the way to its descendant `to`, upwards.
    #[must_use]
    pub fn path(&self, from: EntryId, to: EntryId) -> Vec<EntryId> {
        let mut path = Vec::new();
        let mut at = to;
        while at != from {
            path.push(at);
            let Some(parent) = self.entry(at).parent else { break };
            at = parent;
        }
        path.reverse();
        path
    }

    /// The chain that ends in `id`, for the rules in context.
    #[must_use]
    pub const fn chain(&self, id: EntryId) -> HeaderChain<'_> {
        HeaderChain { tree: self, tip: id }
    }

    /// Marks a block as one that breaks a rule, and its descendants with it.
    pub(crate) fn mark_failed(&mut self, id: EntryId) {
        self.entry_mut(id).validity = Validity::Failed;
        self.inherit_failures(id);
        if self.entry(self.best).is_failed() {
            self.find_best_header();
        }
    }

    /// Clears the failed marks of `id`, its ancestors and its descendants, and returns the entries that had a mark of
    /// their own. They are unvalidated from now on.
    pub(crate) fn clear_failed(&mut self, id: EntryId) -> Vec<EntryId> {
        let height = self.entry(id).height;
        let related = |other: EntryId| match self.entry(other).height {
            above if above > height => self.ancestor(other, height) == id,
            below => self.ancestor(id, below) == other,
        };
        let failed = self.ids().filter(|other| self.entry(*other).validity == Validity::Failed);
        let cleared: Vec<EntryId> = failed.filter(|other| related(*other)).collect();
        for id in &cleared {
            self.entry_mut(*id).validity = Validity::Unvalidated;
        }
        self.inherit_failures(EntryId::GENESIS);
        self.find_best_header();
        cleared
    }

    /// Derives the mark of every entry above `from` from its parent's, where it has none of its own. Children have
    /// larger numbers than their parents, so that one pass reaches every descendant.
    fn inherit_failures(&mut self, from: EntryId) {
        for id in self.ids().skip(from.index() + 1) {
            let entry = self.entry(id);
            let inherits = entry.parent.is_some_and(|parent| self.entry(parent).is_failed());
            let inherited = match (entry.validity, inherits) {
                (Validity::Unvalidated | Validity::Connected, true) => Validity::AncestorFailed,
                (Validity::AncestorFailed, false) => Validity::Unvalidated,
                _ => continue,
            };
            self.entry_mut(id).validity = inherited;
        }
    }

    /// Recomputes [`Self::best_header`] after marks have changed.
    pub(crate) fn find_best_header(&mut self) {
        let open = self.ids().filter(|id| !self.entry(*id).is_failed());
        self.best = open.rev().max_by_key(|id| self.entry(*id).chain_work).unwrap_or(EntryId::GENESIS);
    }

    /// The lowest block that breaks a rule among `id` and its ancestors.
    #[must_use]
    pub fn first_failed(&self, id: EntryId) -> Option<EntryId> {
        let (mut first, mut at) = (None, Some(id));
        while let Some(id) = at.filter(|id| self.entry(*id).is_failed()) {
            let entry = self.entry(id);
            if entry.validity == Validity::Failed {
                first = Some(id);
            }
            at = entry.parent;
        }
        first
    }
}

/// The height of the far ancestor of a block at `height` (Core's `GetSkipHeight`): any pattern works, this one needs at
/// most some 110 steps in a chain of 2^18 blocks.
const fn skip_height(height: u32) -> u32 {
    const fn without_lowest_one(number: u32) -> u32 {
        number & number.wrapping_sub(1)
    }
    match height {
        0 | 1 => 0,
        odd if odd % 2 == 1 => without_lowest_one(without_lowest_one(odd - 1)) + 1,
        even => without_lowest_one(even),
    }
}

/// The chain that ends in one entry of a tree.
#[derive(Clone, Copy, Debug)]
pub struct HeaderChain<'a> {
    tree: &'a HeaderTree,
    tip: EntryId,
}

impl Ancestry for HeaderChain<'_> {
    fn tip_height(&self) -> u32 {
        self.tree.entry(self.tip).height
    }

    fn header_at(&self, height: u32) -> Header {
        self.tree.entry(self.tree.ancestor(self.tip, height)).header
    }

    fn median_time_past_at(&self, height: u32) -> u32 {
        self.tree.entry(self.tree.ancestor(self.tip, height)).median_time_past
    }
}

#[cfg(test)]
mod tests;
