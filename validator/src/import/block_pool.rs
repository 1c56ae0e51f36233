//! A bounded pool of blocks whose parents are unknown.
//!
//! The chain state answers that a parent is unknown and does not keep the block. Its caller decides what to keep.

use std::collections::{BTreeMap, HashMap};

use bitcoin::BlockHash;

use crate::block::DecodedBlock;
use crate::chainstate::IncomingBlock;

/// The number of blocks with the same header that are kept. Anybody can make more without new work.
const MAX_COPIES: usize = 3;

/// A pool bounded in bytes. When it is full the oldest blocks are dropped, since their parents are the least likely to
/// arrive. Each block has a `T` that says where it came from.
#[derive(Debug)]
pub struct BlockPool<T> {
    by_arrival: BTreeMap<u64, PooledBlock<T>>,
    arrivals: HashMap<BlockHash, Vec<u64>>,
    by_parent: HashMap<BlockHash, Vec<u64>>,
    next: u64,
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct PooledBlock<T> {
    block: IncomingBlock,
    source: T,
}

impl<T> BlockPool<T> {
    /// An empty pool for at most `limit` bytes of blocks.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            by_arrival: BTreeMap::new(),
            arrivals: HashMap::new(),
            by_parent: HashMap::new(),
            next: 0,
            bytes: 0,
            limit,
        }
    }

    /// The number of blocks in the pool.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// Whether the pool is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_arrival.is_empty()
    }

    /// The blocks in the pool, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&DecodedBlock, &T)> {
        self.by_arrival.values().map(|waiting| (&**waiting.block.block(), &waiting.source))
    }

    /// Adds a block, unless its bytes are in the pool, and drops the oldest while the pool is over its limit. The block
    /// added may be dropped too. A few blocks with the same header and other bytes are kept, since the first may be a
    /// damaged copy.
    pub fn insert(&mut self, block: IncomingBlock, source: T) {
        let (hash, parent) = (block.block().hash(), block.block().header().prev_blockhash);
        let copies = self.arrivals.entry(hash).or_default();
        let is_same = |arrival: &u64| {
            self.by_arrival.get(arrival).is_some_and(|known| known.block.block().raw() == block.block().raw())
        };
        if copies.len() >= MAX_COPIES || copies.iter().any(is_same) {
            return;
        }
        copies.push(self.next);
        self.bytes += memory(block.block());
        self.by_parent.entry(parent).or_default().push(self.next);
        self.by_arrival.insert(self.next, PooledBlock { block, source });
        self.next += 1;
        while self.bytes > self.limit {
            let Some((arrival, oldest)) = self.by_arrival.pop_first() else { break };
            self.forget(arrival, oldest.block.block());
            let parent = oldest.block.block().header().prev_blockhash;
            if let Some(siblings) = self.by_parent.get_mut(&parent) {
                siblings.retain(|sibling| *sibling != arrival);
                if siblings.is_empty() {
                    self.by_parent.remove(&parent);
                }
            }
        }
    }

    /// Removes and returns the blocks whose parent is `parent`, oldest first.
    pub fn take_children(&mut self, parent: &BlockHash) -> Vec<(IncomingBlock, T)> {
        let arrivals = self.by_parent.remove(parent).unwrap_or_default();
        let mut children = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let Some(PooledBlock { block, source }) = self.by_arrival.remove(&arrival) else { continue };
            self.forget(arrival, block.block());
            children.push((block, source));
        }
        children
    }

    fn forget(&mut self, arrival: u64, block: &DecodedBlock) {
        if let Some(copies) = self.arrivals.get_mut(&block.hash()) {
            copies.retain(|copy| *copy != arrival);
            if copies.is_empty() {
                self.arrivals.remove(&block.hash());
            }
        }
        self.bytes -= memory(block);
    }
}

/// The memory of a block in the pool, in bytes.
fn memory(block: &DecodedBlock) -> usize {
    /// The entries in the three tables.
    const ENTRIES: usize = 400;
    ENTRIES + block.memory()
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;
    use bitcoin::hashes::Hash;

    use super::*;
    use crate::chain::ChainParams;

    /// A block of some 285 bytes whose parent is named by `parent`.
    fn block(parent: u8, nonce: u32) -> DecodedBlock {
        let mut block = ChainParams::regtest().genesis;
        block.header.prev_blockhash = BlockHash::from_byte_array([parent; 32]);
        block.header.nonce = nonce;
        DecodedBlock::decode(serialize(&block)).unwrap()
    }

    #[test]
    fn children_are_found_by_their_parent() {
        let mut pool = BlockPool::new(10_000);
        let blocks = [block(1, 1), block(2, 2), block(1, 3)];
        for (block, source) in [&blocks[0], &blocks[1], &blocks[2], &blocks[0]].into_iter().zip('a'..) {
            pool.insert(block.clone().into(), source);
        }
        assert_eq!(pool.len(), 3);
        assert_eq!(pool.iter().map(|(_, source)| *source).collect::<String>(), "abc");
        let children = pool.take_children(&BlockHash::from_byte_array([1; 32]));
        let taken: Vec<_> = children.iter().map(|(block, source)| (block.block().hash(), *source)).collect();
        assert_eq!(taken, [(blocks[0].hash(), 'a'), (blocks[2].hash(), 'c')]);
        assert!(pool.take_children(&BlockHash::from_byte_array([1; 32])).is_empty());
        assert_eq!(pool.iter().map(|(block, _)| block.hash()).collect::<Vec<_>>(), [blocks[1].hash()]);
    }

    #[test]
    fn a_copy_with_other_bytes_under_the_same_header_is_kept_too() {
        let good = block(1, 1);
        let mut other = bitcoin::consensus::deserialize::<bitcoin::Block>(good.raw()).unwrap();
        other.txdata[0].input[0].witness.push([7]);
        let other = DecodedBlock::decode(serialize(&other)).unwrap();
        assert_eq!(good.hash(), other.hash());
        let mut pool = BlockPool::new(10_000);
        for (block, source) in [&other, &good, &other, &good].into_iter().zip('a'..) {
            pool.insert(block.clone().into(), source);
        }
        let children = pool.take_children(&BlockHash::from_byte_array([1; 32]));
        let taken: Vec<_> = children.iter().map(|(block, source)| (block.block().raw(), *source)).collect();
        assert_eq!(taken, [(other.raw(), 'a'), (good.raw(), 'b')]);
        for push in 0..10 {
            let mut copy = bitcoin::consensus::deserialize::<bitcoin::Block>(good.raw()).unwrap();
            copy.txdata[0].input[0].witness.push([push]);
            pool.insert(DecodedBlock::decode(serialize(&copy)).unwrap().into(), 'c');
        }
        assert_eq!(pool.take_children(&BlockHash::from_byte_array([1; 32])).len(), MAX_COPIES);
        assert_eq!((pool.bytes, pool.arrivals.len(), pool.by_parent.len()), (0, 0, 0));
    }

    #[test]
    fn the_oldest_goes_first_and_nothing_leaks() {
        let size = memory(&block(0, 0));
        let mut pool = BlockPool::new(3 * size);
        for nonce in 0..10 {
            pool.insert(block(nonce as u8 % 2, nonce).into(), ());
        }
        assert_eq!((pool.len(), pool.bytes), (3, 3 * size));
        assert_eq!(pool.take_children(&BlockHash::from_byte_array([1; 32])).len(), 2);
        assert_eq!(pool.take_children(&BlockHash::all_zeros()).len(), 1);
        assert_eq!((pool.bytes, pool.arrivals.len(), pool.by_parent.len()), (0, 0, 0));
    }
}
