//! Fixtures for tests of the rules: headers in memory, blocks made on the spot, and recorded blocks of public chains.

use std::path::PathBuf;

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

/// The folder of recorded blocks and public vectors.
pub(crate) struct Vectors(PathBuf);

/// The folder named by `ADIT_VECTORS`, or `../shared/vectors` beside the workspace. Without one a test says so and ends;
/// with `CI=true` it fails.
pub(crate) fn vectors() -> Option<Vectors> {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")), PathBuf::from);
    if folder.is_dir() {
        return Some(Vectors(folder));
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no vectors in {}", folder.display());
    println!("ignored: no vectors in {}", folder.display());
    None
}

impl Vectors {
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A file of 80-byte headers.
    pub(crate) fn headers(&self, path: &str) -> Vec<Header> {
        let bytes = self.read(path);
        let (headers, []) = bytes.as_chunks::<80>() else { panic!("{path}: not a multiple of 80 bytes") };
        headers.iter().map(|header| consensus::deserialize(header).unwrap()).collect()
    }

    /// The headers of testnet3 that are off its main chain, and those on it, from block 1.
    pub(crate) fn testnet3_headers(&self) -> (Vec<Header>, Vec<Header>) {
        let text = String::from_utf8(self.read("testnet3-headers.hex")).unwrap();
        let header = |line: &str| consensus::encode::deserialize_hex(line.trim()).unwrap();
        let (forks, chain): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("fork:"));
        let forks = forks.iter().map(|line| header(line.trim_start_matches("fork:"))).collect();
        (forks, chain.iter().map(|line| header(line)).collect())
    }
}
