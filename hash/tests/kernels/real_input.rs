//! Recorded headers and blocks.
//!
//! The folder is found here and not by `adit_testchain::trials`, because a dev-dependency on that crate would make the tests of
//! this one build Bitcoin Core's kernel.

use std::path::PathBuf;

use adit_hash::{Backend, HashBytes, NonceRange, ScanJob, ScanTarget, merkle_root};
use bitcoin::consensus::encode::deserialize;
use bitcoin_hashes::Hash as _;

use crate::scans::scan;

/// Files of headers from genesis on, and how many each has.
pub const HEADERS: [&str; 2] = [MAINNET_HEADERS, "signet/headers-0-2015.bin"];
const COUNTS: [usize; 2] = [10_237, 2_016];

pub const MAINNET_HEADERS: &str = "mainnet/headers-0-10236.bin";

/// Blocks of one transaction and of many, with odd and even levels.
pub const BLOCKS: [&str; 5] = [
    "mainnet/block-367891.bin",
    "mainnet/block-866342.bin",
    "mainnet/block-481824.bin",
    "mainnet/block-709632.bin",
    "mainnet/block-91842.bin",
];

/// A file of the real input: in `$ADIT_VECTORS`, or in `../shared/vectors` beside the workspace.
pub fn vector(name: &str) -> PathBuf {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")), PathBuf::from);
    folder.join(name)
}

fn read(name: &str) -> Vec<u8> {
    let path = vector(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every header names the hash of the one before.
pub fn real_headers_name_each_other(backend: Backend) {
    for (file, count) in HEADERS.into_iter().zip(COUNTS) {
        let bytes = read(file);
        let headers = bytes.as_chunks::<80>().0;
        assert_eq!(headers.len(), count);
        let mut digests = vec![[0; 32]; count];
        backend.hash_headers(headers, &mut digests);
        for (i, (digest, next)) in digests.iter().zip(&headers[1..]).enumerate() {
            assert_eq!(digest, &next[4..36], "{backend}: {file}: header {i}");
        }
    }
}

pub fn real_headers_are_solved_by_their_nonces(backend: Backend) {
    let bytes = read(MAINNET_HEADERS);
    for (i, header) in bytes.as_chunks::<80>().0.iter().enumerate().step_by(64) {
        let bits = u32::from_le_bytes(header[72..76].try_into().unwrap());
        let target = ScanTarget::from_le_bytes(
            bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits)).to_le_bytes(),
        );
        let nonce = u32::from_le_bytes(header[76..].try_into().unwrap());
        let job = ScanJob::new(header);
        let range = NonceRange::new(nonce.wrapping_sub(100 + i as u32 % 16), 200);
        assert_eq!(scan(backend, &job, range, &target), [nonce], "{backend}: header {i}");
    }
}

pub fn real_blocks_have_their_merkle_roots(backend: Backend) {
    for name in BLOCKS {
        let bytes = read(name);
        let block: bitcoin::Block = deserialize(&bytes).unwrap();
        let leaves: Vec<HashBytes> = block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
        let merkle = merkle_root(backend, &mut leaves.clone()).unwrap();
        assert_eq!(merkle.root, block.header.merkle_root.to_byte_array(), "{backend}: {name}");
        assert!(!merkle.mutated, "{backend}: {name}");
    }
}
