//! Tests of proofs of transactions: a published one, forged ones, and those of a generated chain. `vectors/txoutproof.rs` has
//! those of recorded blocks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::ChainView;
use adit_validator::txoutproof::{ProofError, ProvenTransaction, TxOutProof};
use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{TxMerkleNode, Txid};
use support::{Branch, NOW, connect_all, in_memory};

/// The `merkleblock` of the Bitcoin developer reference: one transaction of seven.
const PUBLISHED: &str = "0100000082bb869cf3a793432a66e826e05a6fc37469f8efb7421dc880670100000000007f16c5962e8bd963659c793ce37\
    0d95f093bc7e367117b3c30c1f8fdd0d9728776381b4d4c86041b554b852907000000043612262624047ee87660be1a707519a443b1c1ce3d248cb\
    fc6c15870f6c5daa2019f5b01d4195ecbc9398fbf3c3b1fa9bb3183301d7a1fb3bd174fcfa40a2b6541ed70551dd7e841883ab8f0b16bf04176b7d\
    1480e4f0af9f3d4c3595768d06820d2a7bc994987302e5b1ac80fc425fe25f8b63169ea78e68fbaaefa59379bbf011d";

#[test]
fn a_published_proof_is_read_and_written() {
    let bytes = hex::decode(PUBLISHED).unwrap();
    let proof = TxOutProof::decode(&bytes).unwrap();
    assert_eq!(proof.encode(), bytes);
    let txid = "652b0aa4cf4f17bdb31f7a1d308331bba91f3b3cbf8f39c9cb5e19d4015b9f01".parse().unwrap();
    assert_eq!(proof.check(), Ok(vec![ProvenTransaction { txid, position: 4 }]));
    assert_eq!(proof.transactions(), 7);
}

/// A proof written by hand: header, count, hashes, bits.
fn forge(block: &DecodedBlock, transactions: u32, hashes: &[[u8; 32]], bits: &[u8]) -> TxOutProof {
    let mut bytes = serialize(block.header());
    bytes.extend(transactions.to_le_bytes());
    bytes.push(hashes.len() as u8);
    bytes.extend(hashes.as_flattened());
    bytes.push(bits.len() as u8);
    bytes.extend(bits);
    TxOutProof::decode(&bytes).unwrap()
}

fn parent(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    engine.input(&left);
    engine.input(&right);
    sha256d::Hash::from_engine(engine).to_byte_array()
}

/// CVE-2017-12842, the first attack: a transaction of 64 bytes is taken for a node, so its second half is the id of a
/// transaction that the block does not have.
#[test]
fn a_transaction_cannot_pass_for_a_node() {
    let mut chain = Branch::from_genesis();
    chain.mine(1, 0, 0);
    let mut block = chain.blocks[0].block().clone();
    let mut short = block.txdata[0].clone();
    short.input[0].script_sig = bitcoin::ScriptBuf::from_bytes(vec![7, 7]);
    short.input[0].previous_output.txid = Txid::from_byte_array([9; 32]);
    short.output.truncate(1);
    short.output[0].script_pubkey = bitcoin::ScriptBuf::from_bytes(vec![0x51, 0x51]);
    let bytes = serialize(&short);
    assert_eq!(bytes.len(), 64);
    block.txdata.push(short);
    let block = DecodedBlock::decode(serialize(&support::solve(block))).unwrap();
    let (left, right) = (bytes[..32].try_into().unwrap(), bytes[32..].try_into().unwrap());
    // Root, coinbase, the transaction as a node, its halves: bits 1, 0, 1, 0, 1.
    let forged = forge(&block, 4, &[block.txids()[0].to_byte_array(), left, right], &[0b1_0101]);
    let hash = TxMerkleNode::from_byte_array(block.txids()[1].to_byte_array());
    assert_eq!(forged.check(), Err(ProofError::NodeIsTransaction { hash }));
    let error = forged.check_against_block(&block).unwrap_err();
    assert_eq!(error, ProofError::OtherCount { seen: 4, wanted: 2, block: block.hash() });
}

/// The second attack: a node is taken for a transaction of 64 bytes. Only the number of transactions reveals it.
#[test]
fn a_node_cannot_pass_for_a_transaction_of_a_known_block() {
    let mut chain = Branch::from_genesis();
    chain.mine(103, 0, 0).mine(1, 0, 3);
    let block = chain.blocks[103].clone();
    let ids: Vec<[u8; 32]> = block.txids().iter().map(|id| id.to_byte_array()).collect();
    assert!((4..=8).contains(&ids.len()), "{}", ids.len());
    let mut level = ids;
    while level.len() > 2 {
        level = level.chunks(2).map(|pair| parent(pair[0], pair[pair.len() - 1])).collect();
    }
    let forged = forge(&block, 2, &level, &[0b101]);
    let proven = ProvenTransaction { txid: Txid::from_byte_array(level[1]), position: 1 };
    assert_eq!(forged.check(), Ok(vec![proven]), "all that a header shows");
    let wanted = block.txids().len() as u32;
    let refused = ProofError::OtherCount { seen: 2, wanted, block: block.hash() };
    assert_eq!(forged.check_against_block(&block), Err(refused));
}

/// CVE-2012-2459: the last of three transactions is repeated as a fourth.
#[test]
fn a_repeated_hash_is_refused() {
    let mut chain = Branch::from_genesis();
    chain.mine(103, 0, 0).mine(20, 0, 1);
    let block = chain.blocks.iter().find(|block| block.txids().len() == 3).unwrap();
    let ids: Vec<[u8; 32]> = block.txids().iter().map(|id| id.to_byte_array()).collect();
    let bits = [0b110_0101];
    let forged = forge(block, 4, &[parent(ids[0], ids[1]), ids[2], ids[2]], &[0b1_1101]);
    let hash = TxMerkleNode::from_byte_array(ids[2]);
    assert_eq!(forged.check(), Err(ProofError::Repetition { hash }));
    assert!(forge(block, 3, &[parent(ids[0], ids[1]), ids[2]], &bits).check().is_err(), "bits left over");
}

#[test]
fn false_counts_and_empty_proofs_are_refused() {
    let mut chain = Branch::from_genesis();
    chain.mine(1, 0, 0);
    let block = &chain.blocks[0];
    let id = block.txids()[0].to_byte_array();
    for count in [0, 16_667, u32::MAX] {
        assert_eq!(forge(block, count, &[id], &[1]).check(), Err(ProofError::TransactionCount { seen: count }));
    }
    assert_eq!(forge(block, 1, &[id], &[0]).check(), Err(ProofError::Empty));
    assert!(matches!(forge(block, 1, &[id], &[3]).check(), Err(ProofError::Shape { .. })), "a bit in the padding");
    assert!(matches!(forge(block, 1, &[id], &[1, 0]).check(), Err(ProofError::Shape { .. })));
    assert!(matches!(forge(block, 1, &[id, id], &[1]).check(), Err(ProofError::Shape { .. })));
    assert_eq!(forge(block, 2, &[id, [1; 32]], &[1]).check(), Err(ProofError::NotMinimal));
    assert_eq!(TxOutProof::make(block, &[]), Err(ProofError::Empty));
    let txid = Txid::from_byte_array([5; 32]);
    assert_eq!(TxOutProof::make(block, &[txid]), Err(ProofError::NotInBlock { txid, block: block.hash() }));
}

#[test]
fn a_proof_is_held_against_the_active_chain() {
    let mut trunk = Branch::from_genesis();
    trunk.mine(105, 0, 2);
    let mut state = in_memory();
    let side = trunk.clone().mine(1, 1, 2).blocks[105].clone();
    let mut winner = trunk.clone();
    winner.mine(2, 2, 2);
    connect_all(&mut state, &trunk.blocks);
    let proof = |block: &DecodedBlock| TxOutProof::make(block, &[block.txids()[0]]).unwrap();
    for block in &trunk.blocks {
        let (height, proven) = proof(block).check_against_chain(&state).unwrap();
        assert_eq!(state.active_at(height).unwrap().hash, block.hash());
        assert_eq!(proven, [ProvenTransaction { txid: block.txids()[0], position: 0 }]);
    }
    let unknown = ProofError::UnknownBlock { block: side.hash() };
    assert_eq!(proof(&side).check_against_chain(&state), Err(unknown));
    state.accept_block(side.clone(), NOW).unwrap();
    assert_eq!(proof(&side).check_against_chain(&state).unwrap().0, 106);
    for block in &winner.blocks[105..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    let left = ProofError::NotActive { block: side.hash(), height: 106 };
    assert_eq!(proof(&side).check_against_chain(&state), Err(left));
    let header_only = winner.clone().mine(1, 3, 0).blocks[107].clone();
    state.accept_header(header_only.header(), NOW);
    assert!(matches!(proof(&header_only).check_against_chain(&state), Err(ProofError::NotActive { .. })));
}
