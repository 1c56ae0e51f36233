//! A list and a hash index that are cheap to clone: clones share every part that neither has changed since.
//!
//! With them a snapshot keeps the header tree of one moment while the writer changes its own. A write copies the one
//! part that it changes, and only if a clone still shares it. Persistent trees (`rpds`, `im`) would copy less for each
//! write, but every lookup would cost several times as much, and lookups are the most frequent operation.

use std::hash::BuildHasher;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Items in one part of a list. Copying 256 entries takes some microseconds; each clone copies fewer, the tail.
const PART: usize = 256;

/// The initial capacity of each shard, in headers.
const SHARD_CAPACITY: usize = 56;

/// The number of shards of an index. A clone increments the count of each, and a write may copy one.
const SHARDS: usize = 256;

/// A list that grows at its end.
#[derive(Clone, Debug)]
pub(super) struct SharedList<T> {
    parts: Vec<Arc<Vec<T>>>,
    /// The items after the parts, fewer than one part has. They are never shared, so that an append needs no check for
    /// clones.
    tail: Vec<T>,
}

impl<T: Clone> SharedList<T> {
    pub(super) fn of(first: T) -> Self {
        Self { parts: Vec::new(), tail: vec![first] }
    }

    pub(super) const fn len(&self) -> usize {
        self.parts.len() * PART + self.tail.len()
    }

    /// # Panics
    /// If there is no item `at`.
    pub(super) fn get(&self, at: usize) -> &T {
        match self.parts.get(at / PART) {
            Some(part) => &part[at % PART],
            None => &self.tail[at - self.parts.len() * PART],
        }
    }

    /// # Panics
    /// If there is no item `at`.
    pub(super) fn get_mut(&mut self, at: usize) -> &mut T {
        let before = self.parts.len() * PART;
        match self.parts.get_mut(at / PART) {
            Some(part) => &mut Arc::make_mut(part)[at % PART],
            None => &mut self.tail[at - before],
        }
    }

    pub(super) fn push(&mut self, item: T) {
        self.tail.push(item);
        if self.tail.len() == PART {
            let full = std::mem::replace(&mut self.tail, Vec::with_capacity(PART));
            self.parts.push(Arc::new(full));
        }
    }
}

/// Maps block hashes to numbers. It stores the numbers alone: the caller knows the hash of each.
#[derive(Clone, Debug)]
pub(super) struct SharedIndex {
    shards: Vec<Arc<HashTable<u32>>>,
    /// Keyed with a random seed, although each colliding hash would cost a proof of work.
    hasher: RandomState,
}

impl SharedIndex {
    pub(super) fn new() -> Self {
        // All of them are the same empty table at first.
        let empty = Arc::new(HashTable::with_capacity(SHARD_CAPACITY));
        Self { shards: std::iter::repeat_n(empty, SHARDS).collect(), hasher: RandomState::default() }
    }

    /// The shard of a hash, by its first bytes in internal order; the zeros of proof of work are at the other end.
    /// Hashes ground into one shard only make its copies longer, at the price of a proof of work each.
    fn shard(hash: &BlockHash) -> usize {
        let [low, high, ..] = *hash.as_byte_array();
        usize::from(u16::from_le_bytes([low, high])) % SHARDS
    }

    fn digest(hasher: &RandomState, hash: &BlockHash) -> u64 {
        let [_, _, b0, b1, b2, b3, b4, b5, b6, b7, ..] = *hash.as_byte_array();
        hasher.hash_one(u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]))
    }

    /// The number of `hash`. `hash_of` gives the hash of each inserted number.
    pub(super) fn get<'a>(&self, hash: &BlockHash, hash_of: impl Fn(u32) -> &'a BlockHash) -> Option<u32> {
        let shard = &self.shards[Self::shard(hash)];
        shard.find(Self::digest(&self.hasher, hash), |number| hash_of(*number) == hash).copied()
    }

    /// Inserts a number whose hash is not in the index.
    pub(super) fn insert<'a>(&mut self, hash: &BlockHash, number: u32, hash_of: impl Fn(u32) -> &'a BlockHash) {
        let hasher = &self.hasher;
        let digest = |number: &u32| Self::digest(hasher, hash_of(*number));
        let shard = Arc::make_mut(&mut self.shards[Self::shard(hash)]);
        shard.insert_unique(Self::digest(hasher, hash), number, digest);
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
        assert_eq!(shared.collect::<Vec<_>>(), [true, false, true]);

        let hash = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            BlockHash::from_byte_array(bytes)
        };
        let hashes: Vec<BlockHash> = (0..=5000).map(hash).collect();
        let hash_of = |number: u32| &hashes[number as usize];
        let mut index = SharedIndex::new();
        (0..3000).for_each(|number| index.insert(hash_of(number), number, hash_of));
        let before = index.clone();
        index.insert(hash_of(5000), 5000, hash_of);
        let get = |index: &SharedIndex, number| index.get(hash_of(number), hash_of);
        assert_eq!((get(&before, 7), get(&before, 5000), get(&before, 2999)), (Some(7), None, Some(2999)));
        assert_eq!((get(&index, 7), get(&index, 5000), get(&index, 2999)), (Some(7), Some(5000), Some(2999)));
        assert_eq!(get(&index, 3001), None);
    }
}
