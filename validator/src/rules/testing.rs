//! What the tests of the rules stand on: a chain of headers in memory, and the recorded blocks of public chains.

use std::path::PathBuf;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{CompactTarget, TxMerkleNode, consensus};

use crate::chain::ChainParams;
use crate::headers::Ancestry;

/// Headers from genesis on. Their proofs of work need not be any.
pub(crate) struct Chain(Vec<Header>);

impl Chain {
    pub(crate) fn after_genesis(params: &ChainParams) -> Self {
        Self(vec![params.genesis.header])
    }

    /// A header after the last, version 4.
    pub(crate) fn child(&self, time: u32, bits: u32) -> Header {
        Header {
            version: Version::from_consensus(4),
            prev_blockhash: self.0[self.0.len() - 1].block_hash(),
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
        assert_eq!(header.prev_blockhash, self.0[self.0.len() - 1].block_hash(), "headers form a chain");
        self.0.push(header);
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
