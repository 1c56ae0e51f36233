//! A list and a map whose clones cost next to nothing: both sides share every part that neither has changed since.
//!
//! They are what lets readers keep the header tree of one moment while the writer goes on with it. A write copies the one
//! part that it falls into, and only if a clone still has it. Persistent trees (`rpds`, `im`) would copy less a write, at
//! several times the cost of every lookup, and lookups are what a header tree is for.

use std::collections::HashMap;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use foldhash::fast::RandomState;

/// How many items a part of a list holds: a copy of 256 headers' entries takes some microseconds.
const PART: usize = 256;

/// How many maps stand for one. A clone counts up each, and a write may copy one.
const SHARDS: usize = 256;

/// A list that grows at its end.
#[derive(Clone, Debug)]
pub(super) struct SharedList<T> {
    parts: Vec<Arc<Vec<T>>>,
    length: usize,
}

impl<T: Clone> SharedList<T> {
    pub(super) fn of(first: T) -> Self {
        Self { parts: vec![Arc::new(vec![first])], length: 1 }
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// # Panics
    /// If there are not that many.
    pub(super) fn get(&self, at: usize) -> &T {
        &self.parts[at / PART][at % PART]
    }

    /// # Panics
    /// If there are not that many.
    pub(super) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.parts[at / PART])[at % PART]
    }

    pub(super) fn push(&mut self, item: T) {
        match self.parts.last_mut() {
            Some(last) if !self.length.is_multiple_of(PART) => Arc::make_mut(last).push(item),
            _ => {
                let mut part = Vec::with_capacity(PART);
                part.push(item);
                self.parts.push(Arc::new(part));
            }
        }
        self.length += 1;
    }
}

/// A map from block hashes.
#[derive(Clone, Debug)]
pub(super) struct SharedMap<V> {
    shards: Vec<Arc<HashMap<BlockHash, V, RandomState>>>,
}

impl<V: Clone> SharedMap<V> {
    pub(super) fn new() -> Self {
        // All of them are the same empty map at first.
        let empty = Arc::new(HashMap::default());
        Self { shards: std::iter::repeat_n(empty, SHARDS).collect() }
    }

    /// By the first bytes in internal order: proof of work leaves its zeros at the other end. Whoever grinds hashes into
    /// one shard makes copies longer, at the price of a proof of work each.
    fn shard(hash: &BlockHash) -> usize {
        let [low, high, ..] = *hash.as_byte_array();
        usize::from(u16::from_le_bytes([low, high])) % SHARDS
    }

    pub(super) fn get(&self, hash: &BlockHash) -> Option<&V> {
        self.shards[Self::shard(hash)].get(hash)
    }

    pub(super) fn insert(&mut self, hash: BlockHash, value: V) {
        Arc::make_mut(&mut self.shards[Self::shard(&hash)]).insert(hash, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_was_and_shares_the_rest() {
        let mut list = SharedList::of(0);
        for number in 1..1000 {
            list.push(number);
        }
        let before = list.clone();
        *list.get_mut(300) = -1;
        list.push(1000);
        assert_eq!((list.len(), before.len()), (1001, 1000));
        assert!((0..1000).all(|at| *before.get(at) == at as i32));
        assert!((0..1001).all(|at| *list.get(at) == if at == 300 { -1 } else { at as i32 }));
        let shared = list.parts.iter().zip(&before.parts).map(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(shared.collect::<Vec<_>>(), [true, false, true, false]);

        let hash = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            BlockHash::from_byte_array(bytes)
        };
        let mut map = SharedMap::new();
        (0..3000).for_each(|number| map.insert(hash(number), number));
        let before = map.clone();
        map.insert(hash(7), 1);
        map.insert(hash(5000), 2);
        assert_eq!(
            (before.get(&hash(7)), before.get(&hash(5000)), before.get(&hash(2999))),
            (Some(&7), None, Some(&2999))
        );
        assert_eq!((map.get(&hash(7)), map.get(&hash(5000)), map.get(&hash(2999))), (Some(&1), Some(&2), Some(&2999)));
    }
}
