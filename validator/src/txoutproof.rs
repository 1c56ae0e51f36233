//! Proofs that a block holds certain transactions, in the bytes of Bitcoin Core's `gettxoutproof` (BIP37's
//! `merkleblock`).
//!
//! A proof is the block's header and the part of its Merkle tree that leads to the transactions: every other branch is one
//! hash. It is our own and not `bitcoin`'s `MerkleBlock`, for three reasons. That one allocates by claimed counts, 32 MB for
//! 90 bytes. It reads several encodings of one proof; here there is one, the one that Core writes. And it does not look at
//! the nodes between root and leaf, which is where a forged proof can show (CVE-2017-12842): a transaction of 64 bytes
//! can pass for a node of the tree, and a node for a transaction of 64 bytes.
//!
//! The first is refused here: no node of a proof may read as a transaction. What is safe against both is to know how many
//! transactions the block has, and so how deep its leaves lie: [`TxOutProof::check_against_block`] and
//! [`TxOutProof::check_against_chain`] do. Where only the header is known, do not take an id for proven whose transaction
//! has 64 bytes.

use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{BlockHash, TxMerkleNode, Txid};

use crate::block::DecodedBlock;
use crate::chainstate::ChainView;
use crate::consensus::MAX_BLOCK_WEIGHT;
use crate::serialize::{Decoder, EncodingError, put_compact_size};

/// No transaction weighs less: 60 bytes without witnesses.
///
/// Source: Bitcoin Core, `consensus/consensus.h`, `MIN_TRANSACTION_WEIGHT`.
const MIN_TRANSACTION_WEIGHT: usize = 240;

/// So many transactions are in no block.
const MAX_TRANSACTIONS: u32 = (MAX_BLOCK_WEIGHT / MIN_TRANSACTION_WEIGHT) as u32;

type Node = [u8; 32];

/// A proof, read or made. That it holds together is not known before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutProof {
    header: Header,
    /// How many transactions the block is said to have.
    transactions: u32,
    /// Hashes in the order in which a walk from the root down, left first, comes to them.
    hashes: Vec<Node>,
    /// One bit for each node that the walk comes to, the lowest bit of a byte first: whether a proven transaction is at or
    /// below it.
    flags: Vec<u8>,
}

/// A transaction that a proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its id.
    pub txid: Txid,
    /// Its place in the block, the coinbase's being 0.
    pub position: u32,
}

/// Why there is no proof, or why one proves nothing.
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
    /// A proof of no transaction was asked for, or read.
    #[error("no transaction to prove")]
    Empty,
    /// The bytes are no proof.
    #[error("byte {}: {}", .0.offset, .0.what)]
    Malformed(#[from] EncodingError),
    /// The proof says that the block has none, or more than any block has.
    #[error("a block of {seen} transactions; wanted 1 to {MAX_TRANSACTIONS}")]
    TransactionCount {
        /// How many.
        seen: u32,
    },
    /// The tree ends before its hashes or bits do, or goes on after them, or its last bits are not zero.
    #[error("{hashes} hashes and {flags} bytes of bits do not make a tree of {transactions} transactions")]
    Shape {
        /// How many hashes there are.
        hashes: usize,
        /// How many bytes of bits.
        flags: usize,
        /// How many transactions the block is said to have.
        transactions: u32,
    },
    /// The same hash stands left and right under one node: a repetition that leaves the root as it is (CVE-2012-2459).
    #[error("a node of the tree has the same hash {hash} on both sides")]
    Repetition {
        /// The hash.
        hash: TxMerkleNode,
    },
    /// A node of the tree reads as a transaction, and could be one (CVE-2017-12842).
    #[error("the node {hash} of the tree reads as a transaction of 64 bytes")]
    NodeIsTransaction {
        /// The node's hash, or the transaction's.
        hash: TxMerkleNode,
    },
    /// A bit announces a proven transaction, and there is none below it.
    #[error("the tree announces a transaction where it has none")]
    NotMinimal,
    /// The tree is not that of the header.
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
        /// The block that it was held against.
        wanted: BlockHash,
    },
    /// The proof has another number of transactions than its block.
    #[error("a tree of {seen} transactions; block {block} has {wanted}")]
    OtherCount {
        /// The proof's number.
        seen: u32,
        /// The block's.
        wanted: u32,
        /// The block.
        block: BlockHash,
    },
    /// No header of the chain is that of the proof.
    #[error("block {block} is not known")]
    UnknownBlock {
        /// The proof's block.
        block: BlockHash,
    },
    /// The block is known, and not in the active chain.
    #[error("block {block} at height {height} is not in the active chain")]
    NotActive {
        /// The proof's block.
        block: BlockHash,
        /// Its height.
        height: u32,
    },
    /// The block is in the active chain, and how many transactions it has is not known.
    #[error("block {block} at height {height} is not kept: the proof cannot be held against it")]
    NotKept {
        /// The proof's block.
        block: BlockHash,
        /// Its height.
        height: u32,
    },
}

impl TxOutProof {
    /// A proof that `block`, whose Merkle root was checked, holds these transactions. Their order, and repetitions, do
    /// not matter.
    ///
    /// # Errors
    /// It does not hold one of them, or there is none.
    pub fn make(block: &DecodedBlock, txids: &[Txid]) -> Result<Self, ProofError> {
        let mut wanted = vec![false; block.txids().len()];
        for txid in txids {
            let place = block.txids().iter().position(|id| id == txid);
            let place = place.ok_or(ProofError::NotInBlock { txid: *txid, block: block.hash() })?;
            wanted[place] = true;
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

    /// Writes the node at `position` of the level `height` above the leaves, and what is below it if it has to be.
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

    /// Reads a proof. Memory is bounded by the length of `bytes`.
    ///
    /// # Errors
    /// The bytes are no proof, or more than one.
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

    /// The bytes of the proof: header, number of transactions, hashes, bits.
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

    /// How many transactions the proof says that the block has.
    #[must_use]
    pub const fn transactions(&self) -> u32 {
        self.transactions
    }

    /// What the proof proves to who knows that its header is good, and nothing else of the block: see above for what
    /// that leaves open.
    ///
    /// # Errors
    /// It does not hold together.
    pub fn check(&self) -> Result<Vec<Proven>, ProofError> {
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

    /// [`Self::check`], and that the proof is about `block`, whose Merkle root was checked.
    ///
    /// # Errors
    /// It proves nothing, or is about another block, or has another number of transactions.
    pub fn check_against_block(&self, block: &DecodedBlock) -> Result<Vec<Proven>, ProofError> {
        let (seen, wanted) = (self.header.block_hash(), block.hash());
        if seen != wanted {
            return Err(ProofError::OtherBlock { seen, wanted });
        }
        self.check_count(block.txids().len() as u32)?;
        self.check()
    }

    /// [`Self::check`], and that the proof is about a block of the active chain; with the block's height.
    ///
    /// Source: Bitcoin Core, `rpc/txoutproof.cpp`, `verifytxoutproof`.
    ///
    /// # Errors
    /// It proves nothing, its block is not in the active chain or no longer kept, or has another number of transactions.
    pub fn check_against_chain(&self, chain: &dyn ChainView) -> Result<(u32, Vec<Proven>), ProofError> {
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

/// The whole Merkle tree of a block, leaves first: its nodes, and at or below which of them a wanted transaction is.
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

/// A walk through the tree of a proof, and how far it has come in hashes and bits.
struct Walk<'a> {
    proof: &'a TxOutProof,
    bits: usize,
    hashes: usize,
    proven: Vec<Proven>,
}

impl Walk<'_> {
    /// The hash of the node at `position` of the level `height` above the leaves.
    ///
    /// Source: Bitcoin Core, `merkleblock.cpp`, `TraverseAndExtract`. At most 15 levels, since the number of transactions
    /// is bounded.
    fn node(&mut self, height: u32, position: u32) -> Result<Node, ProofError> {
        let flags = self.proof.flags.get(self.bits / 8).ok_or_else(|| self.proof.shape())?;
        let announces = flags >> (self.bits % 8) & 1 == 1;
        self.bits += 1;
        if height == 0 || !announces {
            let hash = *self.proof.hashes.get(self.hashes).ok_or_else(|| self.proof.shape())?;
            self.hashes += 1;
            if announces {
                self.proven.push(Proven { txid: Txid::from_byte_array(hash), position });
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

/// Whether two hashes side by side are a transaction with inputs and outputs. Of 64 bytes there is only one kind: one
/// input, one output, scripts of four bytes together. Five in 2^32 honest nodes look like that.
fn reads_as_transaction(left: &Node, right: &Node) -> bool {
    /// Behind version, count and outpoint; behind that, an empty script and the sequence.
    const INPUT_SCRIPT: usize = 4 + 1 + 36;
    const OUTPUTS: usize = INPUT_SCRIPT + 1 + 4;
    let byte = |at: usize| if at < 32 { left[at] } else { right[at - 32] };
    let script = byte(INPUT_SCRIPT);
    let outputs = OUTPUTS + usize::from(script.min(4));
    byte(4) == 1 && script <= 4 && byte(outputs) == 1 && byte(outputs + 1 + 8) == 4 - script
}
