//! Bytes as a proof of transactions: each proof has one encoding, and every valid one is valid for `bitcoin` as well.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::txoutproof::TxOutProof;
use bitcoin::MerkleBlock;
use bitcoin::consensus::deserialize;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut proof) = TxOutProof::decode(bytes) else { return };
    assert_eq!(proof.encode(), bytes);
    let theirs: MerkleBlock = deserialize(bytes).expect("`bitcoin` reads it");
    let (mut txids, mut positions) = (Vec::new(), Vec::new());
    let root = theirs.txn.extract_matches(&mut txids, &mut positions);
    // The fuzzer finds valid trees but not their roots, so the tree's root is written into the header.
    let mut fitted = bytes.to_vec();
    if let Ok(root) = root {
        fitted[36..68].copy_from_slice(&bitcoin::consensus::serialize(&root));
        proof = TxOutProof::decode(&fitted).expect("only the root changed");
    }
    if let Ok(proven) = proof.check() {
        assert!(root.is_ok(), "valid for us and not for `bitcoin`");
        assert!(proven.iter().map(|proven| proven.txid).eq(txids));
        assert!(proven.iter().map(|proven| proven.position).eq(positions));
    }
});
