//! Hashes of whole headers and of pairs, and Merkle roots.

use adit_hash::{Backend, HashBytes, merkle_root};
use bitcoin_hashes::Hash as _;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::reference::{config, headers, sha256d};

/// NIST CAVP, SHA256ShortMsg.rsp, Len = 512.
pub fn pairs_match_nist(backend: Backend) {
    let message: [u8; 64] = hex::decode(
        "5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8\
         a650547208251f6d4237e661c7bf4c77f335390394c37fa1a9f9be836ac28509",
    )
    .unwrap()
    .try_into()
    .unwrap();
    let digest = hex::decode("42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa").unwrap();
    let wanted: HashBytes = Sha256::digest(digest).into();
    for count in 1..40 {
        let mut out = vec![[0; 32]; count];
        backend.hash_pairs(&vec![message; count], &mut out);
        assert_eq!(out, vec![wanted; count], "{backend}");
    }
}

pub fn digests_are_sha2_s(backend: Backend) {
    proptest!(config(), |(headers in proptest::collection::vec(headers(), 0..70))| {
        let pairs: Vec<[u8; 64]> = headers.iter().map(|header| header[16..].try_into().unwrap()).collect();
        let mut out = vec![[0; 32]; headers.len()];
        backend.hash_headers(&headers, &mut out);
        for (digest, header) in out.iter().zip(&headers) {
            prop_assert_eq!(digest, &sha256d(header));
        }
        backend.hash_pairs(&pairs, &mut out);
        for (digest, pair) in out.iter().zip(&pairs) {
            prop_assert_eq!(digest, &sha256d(pair));
        }
    });
}

/// The tree as Bitcoin Core describes it, one node at a time: root and whether two equal nodes were paired.
fn plain_merkle_root(leaves: &[HashBytes]) -> (HashBytes, bool) {
    let (mut level, mut mutated) = (leaves.to_vec(), false);
    while level.len() > 1 {
        let pairs = level.chunks(2);
        mutated |= pairs.clone().any(|pair| pair.len() == 2 && pair[0] == pair[1]);
        level = pairs.map(|pair| sha256d(&[pair[0], *pair.last().expect("chunks are not empty")].concat())).collect();
    }
    (level[0], mutated)
}

pub fn merkle_roots_of_every_small_tree(backend: Backend) {
    assert_eq!(merkle_root(Backend::Portable, &mut Vec::new()), None);
    let leaves: Vec<HashBytes> = (0..140u32).map(|i| sha256d(&i.to_le_bytes())).collect();
    for count in 1..leaves.len() {
        let (root, mutated) = plain_merkle_root(&leaves[..count]);
        assert!(!mutated);
        let of_library = bitcoin::merkle_tree::calculate_root(
            leaves[..count].iter().map(|&leaf| bitcoin::hashes::sha256d::Hash::from_byte_array(leaf)),
        );
        assert_eq!(of_library.unwrap().to_byte_array(), root);
        let merkle = merkle_root(backend, &mut leaves[..count].to_vec()).unwrap();
        assert_eq!((merkle.root, merkle.mutated), (root, false), "{backend}: {count} leaves");
    }
}

/// CVE-2012-2459: repeating the end of a list as an odd level does gives the same root, and must be seen.
pub fn merkle_mutations_are_seen(backend: Backend) {
    let leaves: Vec<HashBytes> = (0..70u32).map(|i| sha256d(&i.to_be_bytes())).collect();
    for (honest, repeated) in [(3, 1), (6, 2), (5, 1), (7, 1), (12, 4), (35, 1), (70, 2)] {
        let root = merkle_root(backend, &mut leaves[..honest].to_vec()).unwrap();
        let mut copy = leaves[..honest].to_vec();
        copy.extend_from_within(honest - repeated..);
        let mutated = merkle_root(backend, &mut copy.clone()).unwrap();
        assert_eq!((mutated.root, mutated.mutated), (root.root, true), "{backend}: {honest} + {repeated}");
        assert_eq!(plain_merkle_root(&copy), (root.root, true));
    }
}
