//! The tip of a chain with the times of its last blocks, and chains of headers without blocks.

use crate::assemble::{TestNetwork, block_on, mine};
use crate::rng::Rng;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, TxMerkleNode};
use std::collections::VecDeque;

/// The end of a chain that a block is built on.
#[derive(Debug, Clone)]
pub struct Tip {
    /// Its height; 0 is the genesis block.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// The times of the last eleven blocks, oldest first.
    times: VecDeque<u32>,
}

impl Tip {
    pub(crate) fn genesis(header: &Header) -> Self {
        Self { height: 0, hash: header.block_hash(), times: VecDeque::from([header.time]) }
    }

    /// The median time past (BIP113): the median of the last eleven times.
    pub fn median_time_past(&self) -> u32 {
        let mut times: Vec<u32> = self.times.iter().copied().collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Moves on to the block of `header`, which names this one as its previous.
    pub(crate) fn advance(&mut self, header: &Header) {
        self.height += 1;
        self.hash = header.block_hash();
        self.times.push_back(header.time);
        if self.times.len() > 11 {
            self.times.pop_front();
        }
    }
}

/// `count` valid headers from height 1 on, with random Merkle roots, of blocks that do not exist.
///
/// Bitcoin Core walks its whole block index for each header on regtest, a check that it makes on no other network, so its
/// time there grows with the square of `count`.
pub fn header_chain(network: &TestNetwork, count: usize, seed: u64) -> Vec<Header> {
    let mut rng = Rng::new(seed);
    let mut tip = Tip::genesis(&network.genesis());
    let mut next = || {
        let time = tip.median_time_past() + 1 + rng.below(7_200) as u32;
        let mut header = block_on(network, tip.hash, time, Vec::new()).header;
        header.merkle_root = TxMerkleNode::from_byte_array(rng.bytes32());
        mine(&mut header, network.target());
        tip.advance(&header);
        header
    };
    (0..count).map(|_| next()).collect()
}
