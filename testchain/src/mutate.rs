//! Random mutations of blocks, which change bytes without regard to their meaning.
//!
//! The oracle decides whether a mutant is valid: many do not decode, some break a rule, a few are still the same valid block
//! or another one. Proof of work is redone for half of the mutants that still have a header, so that not all of them
//! fail with `high-hash`.

use crate::assemble::{TestNetwork, mine, seal};
use crate::rng::Rng;
use bitcoin::Block;
use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};

/// One random change to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutation {
    /// One to eight bits flipped anywhere.
    FlipBits,
    /// One to eight bytes overwritten, often with bytes that are limits: 0, 1, 0x7f, 0x80, 0xfd to 0xff.
    SetBytes,
    /// The end cut off.
    Truncate,
    /// Random bytes put in.
    Insert,
    /// Bytes taken out.
    Remove,
    /// A stretch of the block repeated in place.
    Repeat,
    /// A stretch of the other block written over this one.
    Splice,
    /// Random bytes after the end. Bitcoin Core ignores them.
    Append,
    /// Two transactions exchanged, the block sealed again.
    SwapTransactions,
    /// A transaction repeated, the block sealed again.
    RepeatTransaction,
    /// A transaction dropped, the block sealed again.
    DropTransaction,
    /// A transaction of the other block put in, the block sealed again.
    BorrowTransaction,
    /// Bits flipped within one transaction, the block sealed again if it still decodes.
    FlipBitsOfTransaction,
}

impl Mutation {
    /// Every mutation.
    pub const ALL: [Self; 13] = [
        Self::FlipBits,
        Self::SetBytes,
        Self::Truncate,
        Self::Insert,
        Self::Remove,
        Self::Repeat,
        Self::Splice,
        Self::Append,
        Self::SwapTransactions,
        Self::RepeatTransaction,
        Self::DropTransaction,
        Self::BorrowTransaction,
        Self::FlipBitsOfTransaction,
    ];
}

/// A copy of `block` with one or two random mutations. Some of them copy parts of `other`. Returns the bytes and the
/// mutations.
///
/// The result depends on the arguments only. It is rarely equal to `block`.
pub fn mutate(network: &TestNetwork, rng: &mut Rng, block: &[u8], other: &[u8]) -> (Vec<u8>, Vec<Mutation>) {
    let mut bytes = block.to_vec();
    let mut applied = Vec::new();
    for _ in 0..1 + usize::from(rng.one_in(4)) {
        let mutation = Mutation::ALL[rng.below(Mutation::ALL.len())];
        apply(network, rng, mutation, &mut bytes, other);
        applied.push(mutation);
    }
    if rng.one_in(2) {
        mine_again(network, &mut bytes);
    }
    (bytes, applied)
}

/// Applies one mutation to the serialization of a block. Leaves the bytes as they are if the mutation does not apply: they
/// do not decode, or the block has too few transactions.
pub fn apply(network: &TestNetwork, rng: &mut Rng, mutation: Mutation, bytes: &mut Vec<u8>, other: &[u8]) {
    match mutation {
        Mutation::FlipBits => flip_bits(rng, bytes),
        Mutation::SetBytes => set_bytes(rng, bytes),
        Mutation::Truncate => bytes.truncate(rng.below(bytes.len())),
        Mutation::Insert => {
            let at = rng.below(bytes.len() + 1);
            let mut inserted = vec![0; 1 + rng.below(40)];
            rng.fill(&mut inserted);
            bytes.splice(at..at, inserted);
        }
        Mutation::Remove => {
            let (start, end) = stretch(rng, bytes.len());
            bytes.drain(start..end);
        }
        Mutation::Repeat => {
            let (start, end) = stretch(rng, bytes.len());
            let repeated = bytes[start..end].to_vec();
            bytes.splice(end..end, repeated);
        }
        Mutation::Splice => {
            let (start, end) = stretch(rng, bytes.len().min(other.len()));
            bytes[start..end].copy_from_slice(&other[start..end]);
        }
        Mutation::Append => {
            let mut appended = vec![0; 1 + rng.below(40)];
            rng.fill(&mut appended);
            bytes.extend(appended);
        }
        Mutation::FlipBitsOfTransaction => {
            if let Ok(mut block) = deserialize::<Block>(bytes) {
                flip_bits_of_transaction(rng, &mut block);
                *bytes = resealed(network, block);
            }
        }
        _ => {
            if let (Ok(mut block), Ok(other)) = (deserialize::<Block>(bytes), deserialize::<Block>(other)) {
                rearrange(rng, mutation, &mut block, &other);
                *bytes = resealed(network, block);
            }
        }
    }
}

fn resealed(network: &TestNetwork, mut block: Block) -> Vec<u8> {
    seal(network, &mut block);
    serialize(&block)
}

fn flip_bits(rng: &mut Rng, bytes: &mut [u8]) {
    for _ in 0..1 + rng.below(8) {
        if let Some(byte) = bytes.get_mut(rng.below(bytes.len())) {
            *byte ^= 1 << rng.below(8);
        }
    }
}

fn set_bytes(rng: &mut Rng, bytes: &mut [u8]) {
    const LIMITS: [u8; 8] = [0, 1, 0x4c, 0x7f, 0x80, 0xfd, 0xfe, 0xff];
    let start = rng.below(bytes.len());
    let end = (start + 1 + rng.below(8)).min(bytes.len());
    let limit = rng.one_in(2).then(|| LIMITS[rng.below(LIMITS.len())]);
    rng.fill(&mut bytes[start..end]);
    if let Some(limit) = limit {
        bytes[start..end].fill(limit);
    }
}

/// A stretch of up to 200 bytes within `len`.
fn stretch(rng: &mut Rng, len: usize) -> (usize, usize) {
    let start = rng.below(len);
    (start, (start + 1 + rng.below(200)).min(len))
}

fn rearrange(rng: &mut Rng, mutation: Mutation, block: &mut Block, other: &Block) {
    let count = block.txdata.len();
    if count == 0 {
        return;
    }
    let (first, second) = (rng.below(count), rng.below(count));
    match mutation {
        Mutation::SwapTransactions => block.txdata.swap(first, second),
        Mutation::RepeatTransaction => block.txdata.insert(second, block.txdata[first].clone()),
        Mutation::DropTransaction => {
            block.txdata.remove(first);
        }
        _ => block.txdata.extend(other.txdata.get(rng.below(other.txdata.len())).cloned()),
    }
}

fn flip_bits_of_transaction(rng: &mut Rng, block: &mut Block) {
    let index = rng.below(block.txdata.len());
    if let Some(tx) = block.txdata.get_mut(index) {
        let mut bytes = serialize(tx);
        flip_bits(rng, &mut bytes);
        if let Ok(changed) = deserialize(&bytes) {
            *tx = changed;
        }
    }
}

/// Finds proof of work for the network's target if the bytes begin with a header.
fn mine_again(network: &TestNetwork, bytes: &mut [u8]) {
    if let Some(start) = bytes.get_mut(..80)
        && let Ok(mut header) = deserialize::<Header>(start)
    {
        mine(&mut header, network.target());
        start.copy_from_slice(&serialize(&header));
    }
}
