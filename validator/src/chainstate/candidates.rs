//! Which blocks could be the tip: those whose whole chain is here, by work.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use bitcoin::Work;

use crate::headers::{EntryId, HeaderTree};

/// More work first, then the earlier arrival: a chain is left only for one with more work. What became complete at once
/// goes by the order of its headers.
type Rank = (Work, Reverse<i32>, Reverse<EntryId>);

/// The order of arrival of what was loaded as the active chain: before everything else of the same work, but for what was
/// called precious, which counts down from here.
const ACTIVE: i32 = 0;

/// The blocks with as much work as the tip or more, all of whose ancestors are in the store too.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    ranked: BTreeSet<Rank>,
    /// By entry: when the block and all its ancestors had come. `None`: something is missing.
    arrivals: Vec<Option<i32>>,
    /// By parent: blocks that are here while an ancestor is not.
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

    /// Whether the block and all its ancestors are here.
    pub(super) fn is_complete(&self, id: EntryId) -> bool {
        self.arrival(id).is_some()
    }

    /// Takes up a block that is now in the store.
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

    /// Marks `id` as complete, and with it everything that waited for it.
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

    /// Forgets what has become invalid.
    pub(super) fn drop_failed(&mut self, tree: &HeaderTree) {
        self.ranked.retain(|(_, _, Reverse(id))| !tree.entry(*id).is_failed());
    }

    /// Takes up again what has `least` work or more and is not known to be invalid: after marks were taken back, or after
    /// the tip got one, since what ranked below it was forgotten.
    pub(super) fn rank_again(&mut self, tree: &HeaderTree, least: Work) {
        for id in tree.ids().filter(|id| !tree.entry(*id).is_failed() && tree.entry(*id).chain_work >= least) {
            if let Some(arrival) = self.arrival(id) {
                self.ranked.insert(rank(tree, id, arrival));
            }
        }
    }

    /// Ranks a block as if it had come before all others of the same work.
    pub(super) fn prefer(&mut self, tree: &HeaderTree, id: EntryId) {
        let Some(arrival) = self.arrival(id) else { return };
        self.ranked.remove(&rank(tree, id, arrival));
        self.last_precious -= 1;
        self.arrivals[id.index()] = Some(self.last_precious);
        if !tree.entry(id).is_failed() {
            self.ranked.insert(rank(tree, id, self.last_precious));
        }
    }

    /// Takes back what needs a block that is not kept any more. `gone`: those blocks, of which none is in the active
    /// chain. What is built on them waits for them to come again.
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
        // What waited for something else, and is itself gone, must not become complete without its block.
        for waiting in self.waiting.values_mut() {
            waiting.retain(|id| !gone.contains(id));
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
    }

    /// Forgets everything that ranks below `tip`. Only when `tip` is settled: until then the way back must stay known.
    pub(super) fn prune_below(&mut self, tree: &HeaderTree, tip: EntryId) {
        if let Some(arrival) = self.arrival(tip) {
            self.ranked = self.ranked.split_off(&rank(tree, tip, arrival));
        }
    }
}
