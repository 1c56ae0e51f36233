//! Proofs that a block holds certain transactions, in the bytes of Bitcoin Core's `gettxoutproof` (BIP37's
//! `merkleblock`).
//!
//! A proof is the block's header and the part of its Merkle tree that leads to the transactions; every other branch is
//! one hash. `bitcoin`'s `MerkleBlock` is not used, for three reasons. It allocates memory for claimed counts, 32 MB for 90
//! bytes. It accepts several encodings of one proof; here only Core's is accepted. And it does not check the inner nodes,
//! which reveal a forged proof (CVE-2017-12842): a transaction of 64 bytes can be taken for a node, and a node for a
//! transaction of 64 bytes.
//!
//! The first attack is refused here: no inner node of a proof may be a valid transaction. The number of the block's
//! transactions, and so the depth of its leaves, prevents both: [`TxOutProof::check_against_block`] and
//! [`TxOutProof::check_against_chain`] check it. If only the header is known, do not accept a proof of a transaction of
//! 64 bytes.

use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{BlockHash, TxMerkleNode, Txid};

use crate::block::DecodedBlock;
use crate::chainstate::ChainView;
use crate::consensus::MAX_BLOCK_WEIGHT;
use crate::headers::HeaderTree;
use crate::serialize::{Decoder, EncodingError, put_compact_size};
use crate::store::StoreError;

/// The least weight of a transaction: 60 bytes without witnesses.
///
/// Source: Bitcoin Core, `consensus/consensus.h`, `MIN_TRANSACTION_WEIGHT`.
const MIN_TRANSACTION_WEIGHT: usize = 240;

/// A bound on the number of transactions in a block.
const MAX_TRANSACTIONS: u32 = (MAX_BLOCK_WEIGHT / MIN_TRANSACTION_WEIGHT) as u32;

type Node = [u8; 32];

/// A proof, decoded or made. Only the `check` methods verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutProof {
    header: Header,
    /// The number of transactions that the proof claims.
    transactions: u32,
    /// Hashes in the order of a depth-first walk, left first.
    hashes: Vec<Node>,
    /// One bit for each node of the walk, the lowest bit of a byte first: whether a proven transaction is at or below
    /// it.
    flags: Vec<u8>,
}

/// A transaction that a proof contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenTransaction {
    /// Its id.
    pub txid: Txid,
    /// Its position in the block; the coinbase's is 0.
    pub position: u32,
}

/// A proof cannot be made, or is not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The block does not have the transaction.
    #[error("block {block} does not have transaction {txid}")]
    NotInBlock {
        /// The transaction.
        txid: Txid,
        /// The block.
        block: BlockHash,
    },
    /// The proof contains no transaction.
    #[error("no transaction to prove")]
    Empty,
    /// The bytes are not an encoded proof.
    #[error("byte {}: {}", .0.offset, .0.what)]
    Malformed(#[from] EncodingError),
    /// The claimed number of transactions is 0, or more than a block can have.
    #[error("a block of {seen} transactions; wanted 1 to {MAX_TRANSACTIONS}")]
    TransactionCount {
        /// The claimed number.
        seen: u32,
    },
    /// There are too many or too few hashes or bits for the tree, or the unused bits are not zero.
    #[error("{hashes} hashes and {flags} bytes of bits do not make a tree of {transactions} transactions")]
    Shape {
        /// The number of hashes.
        hashes: usize,
        /// The number of bytes of bits.
        flags: usize,
        /// The claimed number of transactions.
        transactions: u32,
    },
    /// A node has the same hash on both sides: duplicated transactions do not change the root (CVE-2012-2459).
    #[error("a node of the tree has the same hash {hash} on both sides")]
    Repetition {
        /// The hash.
        hash: TxMerkleNode,
    },
    /// An inner node of the tree could be a transaction (CVE-2017-12842).
    #[error("the node {hash} of the tree reads as a transaction of 64 bytes")]
    NodeIsTransaction {
        /// The node's hash, or the transaction's.
        hash: TxMerkleNode,
    },
    /// A bit is set for a node without a proven transaction below it.
    #[error("the tree announces a transaction where it has none")]
    NotMinimal,
    /// The tree's root is not the header's.
    #[error("the tree has the root {seen}, its header {wanted}")]
    MerkleRoot {
        /// The tree's root.
        seen: TxMerkleNode,
        /// The header's.
        wanted: TxMerkleNode,
    },
    /// The proof is about another block.
    #[error("a proof for block {seen}; wanted {wanted}")]
    OtherBlock {
        /// The proof's block.
        seen: BlockHash,
        /// The block that it was checked against.
        wanted: BlockHash,
    },
    /// The proof claims another number of transactions than its block has.
    #[error("a tree of {seen} transactions; block {block} has {wanted}")]
    OtherCount {
        /// The proof's number.
        seen: u32,
        /// The block's.
        wanted: u32,
        /// The block.
        block: BlockHash,
    },
    /// The proof's header is unknown.
    #[error("block {block} is not known")]
    UnknownBlock {
        /// The proof's block.
        block: BlockHash,
    },
    /// The block is known but not in the active chain.
    #[error("block {block} at height {height} is not in the active chain")]
    NotActive {
        /// The proof's block.
        block: BlockHash,
        /// Its height.
        height: u32,
    },
    /// The block is in the active chain, but its number of transactions is not known.
    #[error("block {block} at height {height} is not kept: its number of transactions is unknown")]
    NotKept {
        /// The proof's block.
        block: BlockHash,
        /// Its height.
        height: u32,
    },
}

/// The last block of the active chain that has the transaction, found by reading blocks from the tip down: there is no
/// index of transactions.
///
/// # Errors
/// A block was pruned, cannot be read, or is damaged.
pub fn find_block(chain: &dyn ChainView, txid: &Txid) -> Result<Option<DecodedBlock>, StoreError> {
    for entry in (0..=chain.tip().height).rev().filter_map(|height| chain.active_at(height)) {
        if let Some(block) = chain.block(&entry.hash)?
            && block.txids().contains(txid)
        {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

impl TxOutProof {
    /// Makes a proof that `block` contains these transactions. The block's Merkle root was checked. The order of
    /// `txids` and repetitions do not matter.
    ///
    /// # Errors
    /// The block does not contain one of them, or `txids` is empty.
    pub fn make(block: &DecodedBlock, txids: &[Txid]) -> Result<Self, ProofError> {
        let mut wanted = vec![false; block.txids().len()];
        for txid in txids {
            let position = block.position(txid).ok_or(ProofError::NotInBlock { txid: *txid, block: block.hash() })?;
            wanted[position] = true;
        }
        if txids.is_empty() {
            return Err(ProofError::Empty);
        }
        let tree = Tree::new(block, wanted);
        let mut proof = Self {
            header: *block.header(),
            transactions: block.txids().len() as u32,
            hashes: Vec::new(),
            flags: Vec::new(),
        };
        let mut bits = 0;
        proof.add(&tree, tree.nodes.len() - 1, 0, &mut bits);
        Ok(proof)
    }

    /// Adds node `position` of the level `height` above the leaves, and the nodes below it on the way to a wanted
    /// transaction.
    fn add(&mut self, tree: &Tree, height: usize, position: usize, bits: &mut usize) {
        let announces = tree.wanted[height][position];
        if bits.is_multiple_of(8) {
            self.flags.push(0);
        }
        self.flags[*bits / 8] |= u8::from(announces) << (*bits % 8);
        *bits += 1;
        if height == 0 || !announces {
            self.hashes.push(tree.nodes[height][position]);
            return;
        }
        for child in 2 * position..(2 * position + 2).min(tree.nodes[height - 1].len()) {
            self.add(tree, height - 1, child, bits);
        }
    }

    /// Decodes a proof. Memory is bounded by the length of `bytes`.
    ///
    /// # Errors
    /// The bytes are not one encoded proof.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        let mut from = Decoder::new(bytes);
        let header = from.take(80)?;
        let header = deserialize(header).expect("any 80 bytes are a header");
        let transactions = u32::from_le_bytes(from.take_array()?);
        let count = from.compact_size()?;
        let hashes = usize::try_from(count).ok().and_then(|count| count.checked_mul(32));
        let hashes = from.take(hashes.unwrap_or(usize::MAX))?;
        let (hashes, []) = hashes.as_chunks::<32>() else { unreachable!("a multiple of 32 bytes was taken") };
        let count = from.compact_size()?;
        let flags = from.take(usize::try_from(count).unwrap_or(usize::MAX))?;
        from.finish()?;
        Ok(Self { header, transactions, hashes: hashes.to_vec(), flags: flags.to_vec() })
    }

    /// The encoded proof: header, number of transactions, hashes, bits.
    ///
    /// Source: Bitcoin Core, `merkleblock.h`, `CMerkleBlock`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serialize(&self.header);
        bytes.extend(self.transactions.to_le_bytes());
        put_compact_size(&mut bytes, self.hashes.len() as u64);
        bytes.extend(self.hashes.as_flattened());
        put_compact_size(&mut bytes, self.flags.len() as u64);
        bytes.extend(&self.flags);
        bytes
    }

    /// The header of the block that the proof is about.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The number of transactions that the proof claims.
    #[must_use]
    pub const fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Verifies the proof against its own header alone, which the caller knows to be valid. This does not prevent the second
    /// attack of the module's documentation.
    ///
    /// # Errors
    /// The proof is not valid.
    pub fn check(&self) -> Result<Vec<ProvenTransaction>, ProofError> {
        if !(1..=MAX_TRANSACTIONS).contains(&self.transactions) {
            return Err(ProofError::TransactionCount { seen: self.transactions });
        }
        let mut walk = Walk { proof: self, bits: 0, hashes: 0, proven: Vec::new() };
        let height = self.transactions.next_power_of_two().ilog2();
        let root = TxMerkleNode::from_byte_array(walk.node(height, 0)?);
        let spare_bits =
            self.flags.last().is_some_and(|last| !walk.bits.is_multiple_of(8) && last >> (walk.bits % 8) != 0);
        if walk.hashes != self.hashes.len() || walk.bits.div_ceil(8) != self.flags.len() || spare_bits {
            return Err(self.shape());
        }
        if root != self.header.merkle_root {
            return Err(ProofError::MerkleRoot { seen: root, wanted: self.header.merkle_root });
        }
        if walk.proven.is_empty() { Err(ProofError::Empty) } else { Ok(walk.proven) }
    }

    /// As [`Self::check`], against `block`, whose Merkle root was checked.
    ///
    /// # Errors
    /// The proof is not valid, or is for another block or another number of transactions.
    pub fn check_against_block(&self, block: &DecodedBlock) -> Result<Vec<ProvenTransaction>, ProofError> {
        let (seen, wanted) = (self.header.block_hash(), block.hash());
        if seen != wanted {
            return Err(ProofError::OtherBlock { seen, wanted });
        }
        self.check_count(block.txids().len() as u32)?;
        self.check()
    }

    /// As [`Self::check`], against the active chain. Returns the block's height too.
    ///
    /// Source: Bitcoin Core, `rpc/txoutproof.cpp`, `verifytxoutproof`.
    ///
    /// # Errors
    /// The proof is not valid, its block is not in the active chain, was pruned, or has another number of transactions.
    pub fn check_against_chain(&self, chain: &dyn ChainView) -> Result<(u32, Vec<ProvenTransaction>), ProofError> {
        let block = self.header.block_hash();
        let id = chain.headers().lookup(&block).ok_or(ProofError::UnknownBlock { block })?;
        let entry = chain.headers().entry(id);
        let height = entry.height;
        if !chain.is_active(id) {
            return Err(ProofError::NotActive { block, height });
        }
        let location = entry.location.ok_or(ProofError::NotKept { block, height })?;
        self.check_count(location.transactions)?;
        Ok((height, self.check()?))
    }

    /// Verifies a proof against headers alone; returns the height. The number of the block's transactions is not checked.
    ///
    /// # Errors
    /// The proof is invalid, or its block is not in the best header chain.
    pub fn check_against_headers(&self, headers: &HeaderTree) -> Result<(u32, Vec<ProvenTransaction>), ProofError> {
        let block = self.header.block_hash();
        let id = headers.lookup(&block).ok_or(ProofError::UnknownBlock { block })?;
        let (height, best) = (headers.entry(id).height, headers.best_header());
        if height > headers.entry(best).height || headers.ancestor(best, height) != id {
            return Err(ProofError::NotActive { block, height });
        }
        Ok((height, self.check()?))
    }

    fn check_count(&self, wanted: u32) -> Result<(), ProofError> {
        let seen = self.transactions;
        if seen == wanted {
            return Ok(());
        }
        Err(ProofError::OtherCount { seen, wanted, block: self.header.block_hash() })
    }

    fn shape(&self) -> ProofError {
        ProofError::Shape { hashes: self.hashes.len(), flags: self.flags.len(), transactions: self.transactions }
    }
}

/// The Merkle tree of a block, leaves first, and for each node whether a wanted transaction is at or below it.
struct Tree {
    nodes: Vec<Vec<Node>>,
    wanted: Vec<Vec<bool>>,
}

impl Tree {
    fn new(block: &DecodedBlock, wanted: Vec<bool>) -> Self {
        let mut tree =
            Self { nodes: vec![block.txids().iter().map(|id| id.to_byte_array()).collect()], wanted: vec![wanted] };
        while let (Some(nodes), Some(wanted)) = (tree.nodes.last(), tree.wanted.last())
            && nodes.len() > 1
        {
            let above = nodes.chunks(2).map(|pair| parent(&pair[0], pair.last().unwrap_or(&pair[0]))).collect();
            let wanted = wanted.chunks(2).map(|pair| pair.contains(&true)).collect();
            tree.nodes.push(above);
            tree.wanted.push(wanted);
        }
        tree
    }
}

fn parent(left: &Node, right: &Node) -> Node {
    let mut engine = sha256d::Hash::engine();
    engine.input(left);
    engine.input(right);
    sha256d::Hash::from_engine(engine).to_byte_array()
}

/// A walk through the tree of a proof, with the numbers of hashes and bits used so far.
struct Walk<'a> {
    proof: &'a TxOutProof,
    bits: usize,
    hashes: usize,
    proven: Vec<ProvenTransaction>,
}

impl Walk<'_> {
    /// The hash of node `position` at the level `height` above the leaves.
    ///
    /// Source: Bitcoin Core, `merkleblock.cpp`, `TraverseAndExtract`. At most 15 levels, since the number of
    /// transactions is bounded.
    fn node(&mut self, height: u32, position: u32) -> Result<Node, ProofError> {
        let flags = self.proof.flags.get(self.bits / 8).ok_or_else(|| self.proof.shape())?;
        let announces = flags >> (self.bits % 8) & 1 == 1;
        self.bits += 1;
        if height == 0 || !announces {
            let hash = *self.proof.hashes.get(self.hashes).ok_or_else(|| self.proof.shape())?;
            self.hashes += 1;
            if announces {
                self.proven.push(ProvenTransaction { txid: Txid::from_byte_array(hash), position });
            }
            return Ok(hash);
        }
        let before = self.proven.len();
        let left = self.node(height - 1, 2 * position)?;
        let width = self.proof.transactions.div_ceil(1 << (height - 1));
        let right = if 2 * position + 1 < width {
            let right = self.node(height - 1, 2 * position + 1)?;
            if left == right {
                return Err(ProofError::Repetition { hash: TxMerkleNode::from_byte_array(left) });
            }
            right
        } else {
            left
        };
        let hash = parent(&left, &right);
        if reads_as_transaction(&left, &right) {
            return Err(ProofError::NodeIsTransaction { hash: TxMerkleNode::from_byte_array(hash) });
        }
        if self.proven.len() == before { Err(ProofError::NotMinimal) } else { Ok(hash) }
    }
}

/// Whether two concatenated hashes are an encoded transaction. In 64 bytes there is only one shape: one input, one
/// output, and scripts of four bytes in total. Five in 2^32 honest nodes have it.
fn reads_as_transaction(left: &Node, right: &Node) -> bool {
    /// The offset of the input script's length: after version, input count and outpoint.
    const INPUT_SCRIPT: usize = 4 + 1 + 36;
    const OUTPUTS: usize = INPUT_SCRIPT + 1 + 4;
    let byte = |at: usize| if at < 32 { left[at] } else { right[at - 32] };
    let script = byte(INPUT_SCRIPT);
    let outputs = OUTPUTS + usize::from(script.min(4));
    byte(4) == 1 && script <= 4 && byte(outputs) == 1 && byte(outputs + 1 + 8) == 4 - script
}
