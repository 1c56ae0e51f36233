//! Fixtures for tests of the rules: headers in memory, and small blocks.

pub(crate) use adit_testchain::unsigned::{outpoint, spend};
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Target, Transaction, TxMerkleNode, TxOut, consensus,
};

use super::ancestry::Ancestry;
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;

/// Headers from genesis on, without proof of work.
pub(crate) struct Chain(Vec<Header>);

impl Chain {
    pub(crate) fn after_genesis(params: &ChainParams) -> Self {
        Self(vec![params.genesis.header])
    }

    /// A header after the last, version 4.
    pub(crate) fn child(&self, time: u32, bits: u32) -> Header {
        Header {
            version: Version::from_consensus(4),
            prev_blockhash: self.tip().block_hash(),
            merkle_root: TxMerkleNode::all_zeros(),
            time,
            bits: CompactTarget::from_consensus(bits),
            nonce: 0,
        }
    }

    pub(crate) fn push(&mut self, time: u32, bits: u32) {
        self.push_header(self.child(time, bits));
    }

    pub(crate) fn push_header(&mut self, header: Header) {
        assert!(self.ends_in(header.prev_blockhash), "headers form a chain");
        self.0.push(header);
    }

    pub(crate) fn tip(&self) -> Header {
        self.0[self.0.len() - 1]
    }

    pub(crate) fn ends_in(&self, hash: BlockHash) -> bool {
        self.tip().block_hash() == hash
    }

    /// Changes the time and the bits of the header at `height`. Later headers stay as they are.
    pub(crate) fn set(&mut self, height: usize, time: u32, bits: u32) {
        self.0[height].time = time;
        self.0[height].bits = CompactTarget::from_consensus(bits);
    }
}

impl Ancestry for Chain {
    fn tip_height(&self) -> u32 {
        u32::try_from(self.0.len() - 1).unwrap()
    }

    fn header_at(&self, height: u32) -> Header {
        self.0[height as usize]
    }
}

/// Ancestors that all have the same header, for rules that depend on height and time only.
pub(crate) struct UniformChain {
    pub(crate) tip_height: u32,
    pub(crate) header: Header,
}

impl UniformChain {
    /// Ancestors with this last height and this time.
    pub(crate) fn new(tip_height: u32, time: u32) -> Self {
        let mut header = ChainParams::regtest().genesis.header;
        header.time = time;
        Self { tip_height, header }
    }
}

impl Ancestry for UniformChain {
    fn tip_height(&self) -> u32 {
        self.tip_height
    }

    fn header_at(&self, height: u32) -> Header {
        assert!(height <= self.tip_height, "no header at {height}");
        self.header
    }
}

/// A script that anybody satisfies: OP_TRUE.
pub(crate) fn anyone_can_spend() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

/// A coin of `value` satoshi that anybody can spend, created at `height` by a transaction that is no coinbase.
pub(crate) fn coin(value: i64, height: u32) -> Coin {
    let output = TxOut { value: Amount::from_sat(value.cast_unsigned()), script_pubkey: anyone_can_spend() };
    Coin { output, height, is_coinbase: false }
}

/// A coinbase that begins with `height` and pays `value` satoshi to anybody.
pub(crate) fn coinbase(height: u32, value: i64) -> Transaction {
    let mut coinbase = spend(&[OutPoint::null()], &[value]);
    coinbase.input[0].script_sig = Builder::new().push_int(height.into()).push_slice(b"test").into_script();
    coinbase
}

/// A block of these transactions, with its Merkle root, on regtest's genesis block, mined.
pub(crate) fn block_of(transactions: Vec<Transaction>) -> DecodedBlock {
    let regtest = ChainParams::regtest();
    let header = Chain::after_genesis(&regtest).child(regtest.genesis.header.time + 600, 0x207f_ffff);
    mine(Block { header, txdata: transactions })
}

/// The block with its Merkle root and a nonce that meets its target, decoded.
pub(crate) fn mine(mut block: Block) -> DecodedBlock {
    block.header.merkle_root = block.compute_merkle_root().unwrap_or(TxMerkleNode::all_zeros());
    let target = Target::from_compact(block.header.bits);
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    DecodedBlock::decode(consensus::serialize(&block)).unwrap()
}
