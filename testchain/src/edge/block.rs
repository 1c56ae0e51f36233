//! Edge cases of headers, blocks and transactions.

use crate::assemble::{commit_witness, commitment_position, finish, seal};
use crate::damage::scripts::{self, SIGOPS_LIMIT};
use crate::damage::{free_transaction, locked_by_height, locked_by_time, spend_coinbase};
use crate::scene::{Scene, Trial, bare_true, spend_all, transaction};
use bitcoin::block::Version;
use bitcoin::script::Builder;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness, absolute, transaction};

fn with_header(scene: &mut Scene, change: impl FnOnce(&mut bitcoin::block::Header)) {
    let mut trial = scene.trial();
    change(&mut trial.block().header);
    scene.accept(trial);
}

pub(super) fn time_after_median(scene: &mut Scene) {
    let time = scene.chain().tip().median_time_past() + 1;
    with_header(scene, |header| header.time = time);
}

pub(super) fn time_nearly_too_new(scene: &mut Scene) {
    let time = scene.now() + 2 * 60 * 60 - 600;
    with_header(scene, |header| header.time = time);
}

pub(super) fn version_4(scene: &mut Scene) {
    with_header(scene, |header| header.version = Version::from_consensus(4));
}

pub(super) fn version_max(scene: &mut Scene) {
    with_header(scene, |header| header.version = Version::from_consensus(i32::MAX));
}

pub(super) fn stripped_at_limit(scene: &mut Scene) {
    let mut trial = scripts::stripped_of_size(scene, 1_000_000);
    finish(scene.network(), trial.block());
    scene.accept_sealed(trial);
}

pub(super) fn weight_at_limit(scene: &mut Scene) {
    let trial = scripts::of_weight(scene, 4_000_000);
    scene.accept(trial);
}

pub(super) fn legacy_sigops_at_limit(scene: &mut Scene) {
    let trial = scripts::legacy_sigops(scene, SIGOPS_LIMIT / 4);
    scene.accept(trial);
}

pub(super) fn p2sh_sigops_at_limit(scene: &mut Scene) {
    let trial = scripts::p2sh_sigops(scene, false);
    scene.accept(trial);
}

pub(super) fn witness_sigops_at_limit(scene: &mut Scene) {
    let trial = scripts::witness_sigops(scene, SIGOPS_LIMIT);
    scene.accept(trial);
}

fn with_coinbase(scene: &mut Scene, change: impl FnOnce(&mut Transaction, u32)) {
    let mut trial = scene.trial();
    let height = trial.draft.height;
    change(trial.coinbase(), height);
    scene.accept(trial);
}

fn height_script(height: u32) -> Vec<u8> {
    Builder::new().push_int(i64::from(height)).into_bytes()
}

pub(super) fn coinbase_script_long(scene: &mut Scene) {
    with_coinbase(scene, |coinbase, height| {
        let mut script = height_script(height);
        script.resize(100, 0xff);
        coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
    });
}

pub(super) fn coinbase_script_short(scene: &mut Scene) {
    with_coinbase(scene, |coinbase, height| {
        coinbase.input[0].script_sig = ScriptBuf::from_bytes(height_script(height));
    });
}

pub(super) fn coinbase_claims_nothing(scene: &mut Scene) {
    with_coinbase(scene, |coinbase, _| coinbase.output[0].value = Amount::ZERO);
}

pub(super) fn coinbase_sequence_zero(scene: &mut Scene) {
    with_coinbase(scene, |coinbase, height| {
        coinbase.lock_time = absolute::LockTime::from_consensus(height - 1);
        coinbase.input[0].sequence = Sequence::ZERO;
    });
}

pub(super) fn commitment_absent(scene: &mut Scene) {
    let coins = [scene.fund_one(bare_true())];
    let mut trial = scene.empty_trial();
    trial.coinbase().input[0].witness.clear();
    trial.add(spend_all(&coins));
    finish(scene.network(), trial.block());
    scene.accept_sealed(trial);
}

pub(super) fn commitment_twice(scene: &mut Scene) {
    let mut trial = scene.trial();
    let mut first = crate::assemble::COMMITMENT_PREFIX.to_vec();
    first.extend(scene.rng().bytes32());
    let decoy = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(first) };
    // The sealing step writes into the last of the two.
    trial.coinbase().output.extend([decoy.clone(), decoy]);
    scene.accept(trial);
}

pub(super) fn commitment_longer(scene: &mut Scene) {
    let mut trial = scene.trial();
    commit_witness(trial.block());
    let coinbase = trial.coinbase();
    let position = commitment_position(coinbase).expect("it was just written");
    let mut script = coinbase.output[position].script_pubkey.to_bytes();
    script.extend([0x51, 0x51, 0xff]);
    coinbase.output[position].script_pubkey = ScriptBuf::from_bytes(script);
    finish(scene.network(), trial.block());
    scene.accept_sealed(trial);
}

pub(super) fn commitment_with_value(scene: &mut Scene) {
    let mut trial = scene.trial();
    commit_witness(trial.block());
    let coinbase = trial.coinbase();
    let position = commitment_position(coinbase).expect("it was just written");
    coinbase.output[0].value -= Amount::ONE_SAT;
    coinbase.output[position].value = Amount::ONE_SAT;
    finish(scene.network(), trial.block());
    scene.accept_sealed(trial);
}

pub(super) fn reserved_value_not_zero(scene: &mut Scene) {
    let mut trial = scene.trial();
    let reserved = scene.rng().bytes32();
    trial.coinbase().input[0].witness = Witness::from_slice(&[reserved]);
    seal(scene.network(), trial.block());
    scene.accept_sealed(trial);
}

/// A valid transaction that needs no signature, changed by `change`.
fn with_transaction(scene: &mut Scene, change: impl FnOnce(&mut Transaction, &Trial)) {
    let (mut trial, mut tx) = free_transaction(scene);
    change(&mut tx, &trial);
    trial.add(tx);
    scene.accept(trial);
}

pub(super) fn sixty_four_bytes(scene: &mut Scene) {
    with_transaction(scene, |tx, _| {
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 4]);
        debug_assert_eq!(tx.total_size(), 64);
    });
}

pub(super) fn value_zero(scene: &mut Scene) {
    with_transaction(scene, |tx, _| tx.output[0].value = Amount::ZERO);
}

pub(super) fn output_script_empty(scene: &mut Scene) {
    with_transaction(scene, |tx, _| tx.output[0].script_pubkey = ScriptBuf::new());
}

pub(super) fn output_script_truncated(scene: &mut Scene) {
    with_transaction(scene, |tx, _| tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x4c, 0x20, 1]));
}

pub(super) fn transaction_chain(scene: &mut Scene) {
    let coin = scene.fund_one(bare_true());
    let mut trial = scene.trial();
    let mut outpoint = coin.outpoint;
    for _ in 0..30 {
        let tx = transaction(&[outpoint], vec![coin.output.clone()]);
        outpoint = OutPoint::new(tx.compute_txid(), 0);
        trial.add(tx);
    }
    scene.accept(trial);
}

pub(super) fn version_zero_transaction(scene: &mut Scene) {
    with_transaction(scene, |tx, _| tx.version = transaction::Version(0));
}

pub(super) fn version_negative_transaction(scene: &mut Scene) {
    with_transaction(scene, |tx, _| tx.version = transaction::Version(-1));
}

pub(super) fn locked_below_height(scene: &mut Scene) {
    with_transaction(scene, |tx, trial| {
        tx.lock_time = absolute::LockTime::from_consensus(trial.draft.height - 1);
        tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
    });
}

pub(super) fn locked_below_median(scene: &mut Scene) {
    let median = scene.chain().tip().median_time_past();
    with_transaction(scene, |tx, _| {
        tx.lock_time = absolute::LockTime::from_consensus(median - 1);
        tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
    });
}

pub(super) fn locked_but_final(scene: &mut Scene) {
    with_transaction(scene, |tx, _| tx.lock_time = absolute::LockTime::from_consensus(u32::MAX));
}

pub(super) fn coinbase_mature(scene: &mut Scene) {
    let trial = spend_coinbase(scene, crate::generate::COINBASE_MATURITY);
    scene.accept(trial);
}

fn accept_with(scene: &mut Scene, tx: Transaction) {
    let mut trial = scene.trial();
    trial.add(tx);
    scene.accept(trial);
}

pub(super) fn relative_height_met(scene: &mut Scene) {
    let tx = locked_by_height(scene, transaction::Version::TWO, 1);
    accept_with(scene, tx);
}

pub(super) fn relative_time_met(scene: &mut Scene) {
    let tx = locked_by_time(scene, 0);
    accept_with(scene, tx);
}

pub(super) fn relative_version_1(scene: &mut Scene) {
    let tx = locked_by_height(scene, transaction::Version::ONE, 2);
    accept_with(scene, tx);
}

pub(super) fn relative_disabled(scene: &mut Scene) {
    let mut tx = locked_by_height(scene, transaction::Version::TWO, 2);
    tx.input[0].sequence = Sequence(tx.input[0].sequence.0 | 0x8000_0000);
    accept_with(scene, tx);
}
