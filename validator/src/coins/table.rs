//! The table of the coin cache: one hash table cut into sixteen, so that it never grows all at once.
//!
//! A hash table that grows holds the old table and one of twice the size side by side. In one piece that is up to three
//! times what was stated, at the worst moment, when the cache is nearly full; in sixteen pieces that grow one after the
//! other it is a tenth more.
//!
//! Keys are hashed with a seed that differs from process to process, which is what a stranger who picks transactions to
//! collide would need. The standard hasher resists more than that, and takes longer than the rest of a look-up.

use std::collections::HashMap;

use bitcoin::OutPoint;
use bitcoin::hashes::Hash;
use foldhash::fast::RandomState;

const PIECES: usize = 16;

/// A hash map from outpoints.
#[derive(Debug)]
pub(super) struct Table<V> {
    pieces: [HashMap<OutPoint, V, RandomState>; PIECES],
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { pieces: std::array::from_fn(|_| HashMap::default()) }
    }
}

impl<V> Table<V> {
    /// By one byte of the transaction's hash. Whoever grinds those into one piece makes one hash table of it again.
    fn piece(outpoint: &OutPoint) -> usize {
        usize::from(outpoint.txid.as_byte_array()[0]) % PIECES
    }

    pub(super) fn get(&self, outpoint: &OutPoint) -> Option<&V> {
        self.pieces[Self::piece(outpoint)].get(outpoint)
    }

    pub(super) fn get_mut(&mut self, outpoint: &OutPoint) -> Option<&mut V> {
        self.pieces[Self::piece(outpoint)].get_mut(outpoint)
    }

    pub(super) fn insert(&mut self, outpoint: OutPoint, value: V) -> Option<V> {
        self.pieces[Self::piece(&outpoint)].insert(outpoint, value)
    }

    pub(super) fn remove(&mut self, outpoint: &OutPoint) -> Option<V> {
        self.pieces[Self::piece(outpoint)].remove(outpoint)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OutPoint, &V)> {
        self.pieces.iter().flatten()
    }

    /// Bytes of the tables, used or not.
    pub(super) fn memory(&self) -> usize {
        // The standard table fills seven of eight buckets, and keeps one byte of control a bucket.
        let buckets = |piece: &HashMap<OutPoint, V, RandomState>| (piece.capacity() * 8).div_ceil(7);
        self.pieces.iter().map(buckets).sum::<usize>() * (size_of::<(OutPoint, V)>() + 1)
    }
}
