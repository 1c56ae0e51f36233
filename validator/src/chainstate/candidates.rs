//! The candidates for the tip: blocks whose ancestors are all stored, ordered by work.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use bitcoin::Work;

use crate::headers::{EntryId, HeaderTree};

/// More work first, then the earlier arrival, so that a chain is left only for one with more work. Blocks that became
/// complete at the same time are ordered by their headers' arrival.
type Rank = (Work, Reverse<i32>, Reverse<EntryId>);

/// The arrival of the blocks loaded as the active chain: before all others of the same work. Precious blocks count down
/// from here, and so come before it.
const ACTIVE: i32 = 0;

/// The blocks with as much work as the tip or more, all of whose ancestors are in the store too.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    ranked: BTreeSet<Rank>,
    /// By entry: the order in which the block and all its ancestors were complete. `None`: one of them is missing.
    arrivals: Vec<Option<i32>>,
    /// By parent: stored blocks whose parent is not complete.
    waiting: HashMap<EntryId, Vec<EntryId>>,
    last_arrival: i32,
    last_precious: i32,
}

fn rank(tree: &HeaderTree, id: EntryId, arrival: i32) -> Rank {
    (tree.entry(id).chain_work, Reverse(arrival), Reverse(id))
}

impl Candidates {
    fn arrival(&self, id: EntryId) -> Option<i32> {
        self.arrivals.get(id.index()).copied().flatten()
    }

    /// Whether the block and all its ancestors are stored.
    pub(super) fn is_complete(&self, id: EntryId) -> bool {
        self.arrival(id).is_some()
    }

    /// Adds a block that is now in the store.
    pub(super) fn add(&mut self, tree: &HeaderTree, id: EntryId) {
        match tree.entry(id).parent {
            Some(parent) if !self.is_complete(parent) => self.waiting.entry(parent).or_default().push(id),
            _ => {
                self.last_arrival += 1;
                self.complete(tree, id, self.last_arrival);
            }
        }
    }

    /// As [`Self::add`], for a block of the chain that was active when the store was closed.
    pub(super) fn add_active(&mut self, tree: &HeaderTree, id: EntryId) {
        self.complete(tree, id, ACTIVE);
    }

    /// Marks `id` as complete, and with it every descendant that waited for it.
    fn complete(&mut self, tree: &HeaderTree, id: EntryId, arrival: i32) {
        let mut complete = vec![id];
        while let Some(id) = complete.pop() {
            if self.arrivals.len() <= id.index() {
                self.arrivals.resize(id.index() + 1, None);
            }
            self.arrivals[id.index()] = Some(arrival);
            if !tree.entry(id).is_failed() {
                self.ranked.insert(rank(tree, id, arrival));
            }
            complete.extend(self.waiting.remove(&id).unwrap_or_default());
        }
    }

    /// The block with the most work.
    pub(super) fn best(&self) -> Option<EntryId> {
        self.ranked.last().map(|(_, _, Reverse(id))| *id)
    }

    /// Drops the candidates that are marked as failed.
    pub(super) fn drop_failed(&mut self, tree: &HeaderTree) {
        self.ranked.retain(|(_, _, Reverse(id))| !tree.entry(*id).is_failed());
    }

    /// Ranks again all complete, valid blocks with `least` work or more. Needed after marks were cleared, and after the
    /// tip was marked as failed, since the candidates below it were dropped.
    pub(super) fn rank_again(&mut self, tree: &HeaderTree, least: Work) {
        for id in tree.ids().filter(|id| !tree.entry(*id).is_failed() && tree.entry(*id).chain_work >= least) {
            if let Some(arrival) = self.arrival(id) {
                self.ranked.insert(rank(tree, id, arrival));
            }
        }
    }

    /// Ranks a block before all others of the same work.
    pub(super) fn prefer(&mut self, tree: &HeaderTree, id: EntryId) {
        let Some(arrival) = self.arrival(id) else { return };
        self.ranked.remove(&rank(tree, id, arrival));
        self.last_precious -= 1;
        self.arrivals[id.index()] = Some(self.last_precious);
        if !tree.entry(id).is_failed() {
            self.ranked.insert(rank(tree, id, self.last_precious));
        }
    }

    /// Removes the blocks `gone`, which were pruned and of which none is in the active chain. Their descendants wait
    /// until they are stored again.
    pub(super) fn withdraw(&mut self, tree: &HeaderTree, gone: &BTreeSet<EntryId>) {
        let Some(first) = gone.first() else { return };
        for id in tree.ids().skip(first.index()) {
            let Some(arrival) = self.arrival(id) else { continue };
            let parent = tree.entry(id).parent.filter(|parent| !self.is_complete(*parent));
            if gone.contains(&id) || parent.is_some() {
                self.ranked.remove(&rank(tree, id, arrival));
                self.arrivals[id.index()] = None;
            }
            if let Some(parent) = parent.filter(|_| !gone.contains(&id)) {
                self.waiting.entry(parent).or_default().push(id);
            }
        }
        // A block that waited for its parent and is gone itself must not become complete without its bytes.
        for waiting in self.waiting.values_mut() {
            waiting.retain(|id| !gone.contains(id));
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
    }

    /// Drops every candidate that ranks below `tip`. Call it only when activation has ended: until then the old tip
    /// must stay a candidate.
    pub(super) fn prune_below(&mut self, tree: &HeaderTree, tip: EntryId) {
        if let Some(arrival) = self.arrival(tip) {
            self.ranked = self.ranked.split_off(&rank(tree, tip, arrival));
        }
    }
}
