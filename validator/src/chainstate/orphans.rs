//! Blocks whose parent is unknown, kept until it comes or until there are too many.

use std::collections::{BTreeMap, HashMap};

use bitcoin::{BlockHash, Transaction, TxIn, TxOut};

use crate::block::DecodedBlock;

/// A pool bounded in bytes. When it is full the oldest go, since a parent that is long in coming may never come.
#[derive(Debug)]
pub(super) struct Orphans {
    by_arrival: BTreeMap<u64, DecodedBlock>,
    arrivals: HashMap<BlockHash, u64>,
    by_parent: HashMap<BlockHash, Vec<u64>>,
    next: u64,
    bytes: usize,
    limit: usize,
}

impl Orphans {
    /// An empty pool for at most `limit` bytes of blocks, as [`memory`] counts them, and so for a number of them too.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            by_arrival: BTreeMap::new(),
            arrivals: HashMap::new(),
            by_parent: HashMap::new(),
            next: 0,
            bytes: 0,
            limit,
        }
    }

    pub(super) fn contains(&self, hash: &BlockHash) -> bool {
        self.arrivals.contains_key(hash)
    }

    pub(super) fn count(&self) -> usize {
        self.by_arrival.len()
    }

    /// Keeps `block`, and drops the oldest while the pool is over its limit, which may be `block` itself.
    pub(super) fn insert(&mut self, block: DecodedBlock) {
        if self.contains(&block.hash()) {
            return;
        }
        self.bytes += memory(&block);
        self.arrivals.insert(block.hash(), self.next);
        self.by_parent.entry(block.header().prev_blockhash).or_default().push(self.next);
        self.by_arrival.insert(self.next, block);
        self.next += 1;
        while self.bytes > self.limit {
            let Some((arrival, oldest)) = self.by_arrival.pop_first() else { break };
            self.forget(&oldest);
            let parent = oldest.header().prev_blockhash;
            if let Some(siblings) = self.by_parent.get_mut(&parent) {
                siblings.retain(|sibling| *sibling != arrival);
                if siblings.is_empty() {
                    self.by_parent.remove(&parent);
                }
            }
        }
    }

    /// Takes out the blocks whose parent is `parent`, in the order in which they came.
    pub(super) fn take_children(&mut self, parent: &BlockHash) -> Vec<DecodedBlock> {
        let arrivals = self.by_parent.remove(parent).unwrap_or_default();
        let children: Vec<DecodedBlock> =
            arrivals.iter().filter_map(|arrival| self.by_arrival.remove(arrival)).collect();
        for child in &children {
            self.forget(child);
        }
        children
    }

    fn forget(&mut self, block: &DecodedBlock) {
        self.arrivals.remove(&block.hash());
        self.bytes -= memory(block);
    }
}

/// About what a block and its places in the pool occupy, in bytes. A block of many small inputs is several times as long
/// decoded as it was when it was sent, and one of a hundred bytes is not free.
fn memory(block: &DecodedBlock) -> usize {
    /// Ids and offsets of a transaction, which are kept beside it.
    const IDS: usize = 120;
    /// Allocations of a script or a witness, beside their bytes.
    const HEAP: usize = 16;
    /// Entries of the three tables.
    const PLACES: usize = 400;
    let transactions = block.transactions().iter().map(|transaction| {
        let inputs = transaction.input.len() * (size_of::<TxIn>() + 2 * HEAP);
        let outputs = transaction.output.len() * (size_of::<TxOut>() + HEAP);
        size_of::<Transaction>() + IDS + inputs + outputs
    });
    // The bytes as they were sent are kept, and scripts and witnesses a second time.
    PLACES + size_of::<DecodedBlock>() + 2 * block.raw().len() + transactions.sum::<usize>()
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
        let mut orphans = Orphans::new(10_000);
        let blocks = [block(1, 1), block(2, 2), block(1, 3)];
        for block in [&blocks[0], &blocks[1], &blocks[2], &blocks[0]] {
            orphans.insert(block.clone());
        }
        assert_eq!(orphans.count(), 3);
        let children = orphans.take_children(&BlockHash::from_byte_array([1; 32]));
        assert_eq!(children.iter().map(DecodedBlock::hash).collect::<Vec<_>>(), [blocks[0].hash(), blocks[2].hash()]);
        assert!(orphans.take_children(&BlockHash::from_byte_array([1; 32])).is_empty());
        assert!(!orphans.contains(&blocks[0].hash()) && orphans.contains(&blocks[1].hash()));
    }

    #[test]
    fn the_oldest_goes_first_and_nothing_leaks() {
        let size = memory(&block(0, 0));
        let mut orphans = Orphans::new(3 * size);
        for nonce in 0..10 {
            orphans.insert(block(nonce as u8 % 2, nonce));
        }
        assert_eq!((orphans.count(), orphans.bytes), (3, 3 * size));
        assert_eq!(orphans.take_children(&BlockHash::from_byte_array([1; 32])).len(), 2);
        assert_eq!(orphans.take_children(&BlockHash::all_zeros()).len(), 1);
        assert_eq!((orphans.bytes, orphans.arrivals.len(), orphans.by_parent.len()), (0, 0, 0));
    }
}
