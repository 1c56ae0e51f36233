//! A set of entries of a header tree, a bit each.
//!
//! What a commit has to write is such a set: headers come by the thousand, most of them in the order of their numbers, and a
//! search tree would take longer to note one than the rules take to check it.

use super::tree::EntryId;

/// A set of entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntrySet {
    words: Vec<u64>,
    /// All words before this one are zero.
    first: usize,
    count: usize,
}

impl EntrySet {
    pub(crate) fn insert(&mut self, id: EntryId) {
        let (word, bit) = (id.index() / 64, 1 << (id.index() % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.first = if self.count == 0 { word } else { self.first.min(word) };
        self.count += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = EntryId> {
        let words = self.words.iter().enumerate().skip(self.first);
        words.flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| EntryId::at(at * 64 + bit))
        })
    }

    pub(crate) fn clear(&mut self) {
        // The words that were set are the last ones, but for a few: keeping the others would make each clearing longer.
        let first = self.first.min(self.words.len());
        self.words[first..].fill(0);
        (self.first, self.count) = (0, 0);
    }
}

impl Extend<EntryId> for EntrySet {
    fn extend<I: IntoIterator<Item = EntryId>>(&mut self, ids: I) {
        ids.into_iter().for_each(|id| self.insert(id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(rounds in proptest::collection::vec(proptest::collection::vec(0..1_000_usize, 0..50), 1..5)) {
            let mut set = EntrySet::default();
            for round in rounds {
                let ids: BTreeSet<EntryId> = round.iter().copied().map(EntryId::at).collect();
                set.extend(round.into_iter().map(EntryId::at));
                prop_assert_eq!(set.is_empty(), ids.is_empty());
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), ids.into_iter().collect::<Vec<_>>());
                set.clear();
                prop_assert!(set.is_empty() && set.iter().next().is_none());
            }
        }
    }
}
