//! The times of a header and its ten ancestors, sorted, from which the median time past is taken (BIP113).

use super::entry::EntryId;

/// The number of times in a median time past (BIP113; Core's `nMedianTimeSpan`).
pub(super) const MEDIAN_TIME_SPAN: usize = 11;

/// The times of an entry and its ten ancestors.
#[derive(Clone, Debug)]
pub(super) struct RecentTimes {
    pub(super) of: EntryId,
    /// By height modulo [`MEDIAN_TIME_SPAN`], so that the newest replaces the oldest.
    by_height: [u32; MEDIAN_TIME_SPAN],
    /// The same times sorted; the first `count` are valid.
    sorted: [u32; MEDIAN_TIME_SPAN],
    count: usize,
}

impl RecentTimes {
    /// An empty list for the entry `of`.
    pub(super) const fn empty(of: EntryId) -> Self {
        Self { of, by_height: [0; MEDIAN_TIME_SPAN], sorted: [0; MEDIAN_TIME_SPAN], count: 0 }
    }

    /// Adds the time of a child at `height`, and drops the oldest.
    pub(super) fn push(&mut self, child: EntryId, height: u32, time: u32) {
        let oldest = std::mem::replace(&mut self.by_height[height as usize % MEDIAN_TIME_SPAN], time);
        if self.count == MEDIAN_TIME_SPAN {
            let at = self.sorted.iter().position(|time| *time == oldest).unwrap_or(0);
            self.sorted.copy_within(at + 1.., at);
            self.count -= 1;
        }
        let mut at = self.count;
        while at > 0 && self.sorted[at - 1] > time {
            self.sorted[at] = self.sorted[at - 1];
            at -= 1;
        }
        self.sorted[at] = time;
        self.count += 1;
        self.of = child;
    }

    pub(super) const fn median(&self) -> u32 {
        self.sorted[self.count / 2]
    }
}
