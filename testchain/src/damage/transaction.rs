//! Damage to a transaction that a validator finds without its coins.

use crate::assemble::{commit_witness, mine};
use crate::scene::{Scene, Trial, bare_true, transaction};
use bitcoin::consensus::{Encodable, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxMerkleNode, TxOut, VarInt, absolute, merkle_tree};

/// Twenty-one million coins in satoshi.
const MAX_MONEY: u64 = 2_100_000_000_000_000;

/// A trial with a valid transaction that needs no signature, changed by `change`.
fn with_transaction(scene: &mut Scene, reason: &'static str, change: impl FnOnce(&mut Transaction, &mut Trial)) {
    let (mut trial, mut tx) = free_transaction(scene);
    change(&mut tx, &mut trial);
    trial.add(tx);
    scene.reject(trial, reason);
}

/// A trial and a valid transaction of one input and one output for it.
pub(crate) fn free_transaction(scene: &mut Scene) -> (Trial, Transaction) {
    loop {
        let mut trial = scene.trial();
        match trial.free_transaction(Vec::new()) {
            Some(tx) => {
                // Whoever changes the transaction changes its id, so its change does not return to the chain's coins.
                trial.draft.created.pop();
                return (trial, tx);
            }
            None => scene.accept(trial),
        }
    }
}

/// A transaction without inputs cannot be written by the usual encoder, which would take the empty list for the marker of
/// a witness: the block is put together by hand. Core reads the two zero bytes as no inputs and no outputs; the `bitcoin`
/// crate does not decode them at all.
pub(super) fn no_inputs(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    commit_witness(trial.block());
    let mut empty = 2u32.to_le_bytes().to_vec();
    empty.extend([0, 0, 0, 0, 0, 0]);
    let block = trial.block();
    let mut leaves: Vec<sha256d::Hash> = block.txdata.iter().map(|tx| tx.compute_txid().to_raw_hash()).collect();
    leaves.push(sha256d::Hash::hash(&empty));
    let root = merkle_tree::calculate_root(leaves.into_iter()).expect("the list has a coinbase at least");
    block.header.merkle_root = TxMerkleNode::from_raw_hash(root);
    mine(&mut block.header, scene.network().target());
    let block = &trial.draft.block;
    let mut bytes = serialize(&block.header);
    let count = VarInt(block.txdata.len() as u64 + 1);
    count.consensus_encode(&mut bytes).expect("a vector takes every byte");
    for tx in &block.txdata {
        bytes.extend(serialize(tx));
    }
    bytes.extend(empty);
    scene.reject_bytes(bytes, reason);
}

pub(super) fn no_outputs(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, _| tx.output.clear());
}

pub(super) fn value_negative(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, _| tx.output[0].value = Amount::from_sat(u64::MAX));
}

pub(super) fn value_too_large(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, _| tx.output[0].value = Amount::from_sat(MAX_MONEY + 1));
}

pub(super) fn values_too_large(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, _| {
        let output = |value| TxOut { value: Amount::from_sat(value), script_pubkey: bare_true() };
        tx.output = vec![output(MAX_MONEY), output(1)];
    });
}

pub(super) fn input_twice(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, _| tx.input.push(tx.input[0].clone()));
}

pub(super) fn prevout_null(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, _| {
        tx.input.extend(transaction(&[OutPoint::null()], Vec::new()).input);
    });
}

pub(super) fn locked_by_height(scene: &mut Scene, reason: &'static str) {
    with_transaction(scene, reason, |tx, trial| {
        tx.lock_time = absolute::LockTime::from_consensus(trial.draft.height);
        tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
    });
}

pub(super) fn locked_by_time(scene: &mut Scene, reason: &'static str) {
    let median = scene.chain().tip().median_time_past();
    with_transaction(scene, reason, |tx, trial| {
        // The block's own time is later, so a validator that compares with it would accept.
        trial.block().header.time = trial.block().header.time.max(median + 2);
        tx.lock_time = absolute::LockTime::from_consensus(median);
        tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
    });
}
