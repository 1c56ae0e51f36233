//! Damage to a block as a whole: its Merkle root, its sizes, its coinbase, its signature operations, its commitment.

use super::scripts::{self, SIGOPS_LIMIT};
use crate::assemble::{commit_witness, finish, mine, seal};
use crate::scene::{Scene, Trial};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{Amount, Block, ScriptBuf, Sequence, TxMerkleNode, Witness, absolute};

/// Seals the trial, rejects what `change` makes of it under the same header, then accepts it unchanged.
fn with_twin(scene: &mut Scene, reason: &'static str, mut trial: Trial, change: impl FnOnce(&mut Block)) {
    seal(scene.network(), trial.block());
    let mut block = trial.draft.block.clone();
    change(&mut block);
    scene.reject_sealed(&block, reason);
    scene.accept_sealed(trial);
}

pub(super) fn merkle_root_wrong(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    seal(scene.network(), trial.block());
    trial.block().header.merkle_root = TxMerkleNode::from_byte_array(scene.rng().bytes32());
    mine(&mut trial.block().header, scene.network().target());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn transaction_lost(scene: &mut Scene, reason: &'static str) {
    let trial = scene.trial();
    with_twin(scene, reason, trial, |block| {
        block.txdata.pop();
    });
}

pub(super) fn transactions_duplicated(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    // Only a tree that has a level of odd length can be extended without another root.
    while trial.block().txdata.len().is_power_of_two() {
        match trial.free_transaction(Vec::new()) {
            Some(tx) => trial.add(tx),
            None => trial = scene.trial(),
        }
    }
    with_twin(scene, reason, trial, |block| {
        let count = block.txdata.len();
        let odd_level = 1 << count.trailing_zeros();
        let repeated = block.txdata[count - odd_level..].to_vec();
        block.txdata.extend(repeated);
    });
}

pub(super) fn no_transactions(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    trial.block().txdata.clear();
    finish(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn stripped_too_large(scene: &mut Scene, reason: &'static str) {
    let mut trial = scripts::stripped_of_size(scene, 1_000_001);
    finish(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn weight_too_large(scene: &mut Scene, reason: &'static str) {
    let trial = scripts::of_weight(scene, 4_000_001);
    scene.reject(trial, reason);
}

pub(super) fn coinbase_not_first(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    commit_witness(trial.block());
    trial.block().txdata.swap(0, 1);
    finish(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn coinbase_missing(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    trial.block().txdata.remove(0);
    finish(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn coinbase_twice(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    let mut second = trial.coinbase().clone();
    second.output[0].value = Amount::ZERO;
    trial.add(second);
    scene.reject(trial, reason);
}

fn with_coinbase_script(scene: &mut Scene, reason: &'static str, script: impl FnOnce(&Trial) -> Vec<u8>) {
    let mut trial = scene.trial();
    let script = script(&trial);
    trial.coinbase().input[0].script_sig = ScriptBuf::from_bytes(script);
    scene.reject(trial, reason);
}

pub(super) fn coinbase_script_short(scene: &mut Scene, reason: &'static str) {
    with_coinbase_script(scene, reason, |_| vec![0x51]);
}

pub(super) fn coinbase_script_long(scene: &mut Scene, reason: &'static str) {
    with_coinbase_script(scene, reason, |trial| {
        let mut script = Builder::new().push_int(i64::from(trial.draft.height)).into_bytes();
        script.resize(101, 0);
        script
    });
}

pub(super) fn coinbase_height_wrong(scene: &mut Scene, reason: &'static str) {
    with_coinbase_script(scene, reason, |trial| {
        let mut script = Builder::new().push_int(i64::from(trial.draft.height) + 1).into_bytes();
        script.resize(20, 0);
        script
    });
}

pub(super) fn coinbase_height_not_minimal(scene: &mut Scene, reason: &'static str) {
    with_coinbase_script(scene, reason, |trial| {
        let mut script = vec![4];
        script.extend(trial.draft.height.to_le_bytes());
        script
    });
}

pub(super) fn coinbase_not_final(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    trial.coinbase().lock_time = absolute::LockTime::from_consensus(trial.draft.height);
    trial.coinbase().input[0].sequence = Sequence::ZERO;
    scene.reject(trial, reason);
}

pub(super) fn coinbase_pays_too_much(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    trial.coinbase().output[0].value += Amount::ONE_SAT;
    scene.reject(trial, reason);
}

pub(super) fn legacy_sigops_too_many(scene: &mut Scene, reason: &'static str) {
    let trial = scripts::legacy_sigops(scene, SIGOPS_LIMIT / 4 + 1);
    scene.reject(trial, reason);
}

pub(super) fn p2sh_sigops_too_many(scene: &mut Scene, reason: &'static str) {
    let trial = scripts::p2sh_sigops(scene, true);
    scene.reject(trial, reason);
}

pub(super) fn witness_sigops_too_many(scene: &mut Scene, reason: &'static str) {
    let trial = scripts::witness_sigops(scene, SIGOPS_LIMIT + 1);
    scene.reject(trial, reason);
}

pub(super) fn reserved_value_short(scene: &mut Scene, reason: &'static str) {
    let trial = scene.trial();
    with_twin(scene, reason, trial, |block| {
        block.txdata[0].input[0].witness = Witness::from_slice(&[[0; 31]]);
    });
}

pub(super) fn reserved_value_twice(scene: &mut Scene, reason: &'static str) {
    let trial = scene.trial();
    with_twin(scene, reason, trial, |block| block.txdata[0].input[0].witness.push([0; 32]));
}

pub(super) fn reserved_value_changed(scene: &mut Scene, reason: &'static str) {
    let trial = scene.trial();
    with_twin(scene, reason, trial, |block| {
        block.txdata[0].input[0].witness = Witness::from_slice(&[[1; 32]]);
    });
}

pub(super) fn witness_changed(scene: &mut Scene, reason: &'static str) {
    let trial = scene.trial();
    with_twin(scene, reason, trial, |block| block.txdata[1].input[0].witness.push([0]));
}

/// No commitment covers the coinbase's own witness. The same block without it is valid, with the same header.
pub(super) fn witness_uncommitted(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.empty_trial();
    finish(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), reason);
    trial.coinbase().input[0].witness.clear();
    scene.accept_sealed(trial);
}
