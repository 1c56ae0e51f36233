//! Fixtures for tests of the rules: headers in memory and blocks made on the spot.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Witness, absolute, consensus, transaction,
};

use super::ancestry::Ancestry;
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;

/// Headers from genesis on, without valid proof of work.
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

    /// Changes the time and the bits of the header at `height`, whatever follows it.
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

/// Ancestors that all have the same header, for rules that ask about height and time only.
pub(crate) struct Alike {
    pub(crate) tip_height: u32,
    pub(crate) header: Header,
}

impl Alike {
    /// Ancestors with this last height and this time.
    pub(crate) fn new(tip_height: u32, time: u32) -> Self {
        let mut header = ChainParams::regtest().genesis.header;
        header.time = time;
        Self { tip_height, header }
    }
}

impl Ancestry for Alike {
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

/// A coin of `value` satoshi, made at `height` by a transaction that is no coinbase, for anybody to spend.
pub(crate) fn coin(value: i64, height: u32) -> Coin {
    let output = TxOut { value: Amount::from_sat(value.cast_unsigned()), script_pubkey: anyone_can_spend() };
    Coin { output, height, is_coinbase: false }
}

/// The output 0 of a transaction that does not exist, a different one for each `n`.
pub(crate) fn outpoint(n: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([n; 32]), vout: 0 }
}

/// A transaction of version 2 without lock time, signature or witness.
pub(crate) fn spend(outpoints: &[OutPoint], values: &[i64]) -> Transaction {
    let input = |&previous_output| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: outpoints.iter().map(input).collect(),
        output: values.iter().map(|&value| coin(value, 0).output).collect(),
    }
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
