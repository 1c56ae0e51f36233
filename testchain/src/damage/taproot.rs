//! Damage to taproot spends (BIP341, BIP342).

use super::scripts::{
    Spend, leaf, lock_script, new_key, no_input, p2tr, repeated, set_lock_time, spend, spend_with, witness_input,
};
use crate::keys::{Key, TaprootSigning, tapscript_single};
use crate::scene::{Expect, Scene};
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::sighash::TapSighashType;
use bitcoin::taproot::{LeafVersion, TapLeafHash};
use bitcoin::{ScriptBuf, Transaction};

/// A key-path coin with a witness that `unlock` makes wrong.
fn with_key_path(scene: &mut Scene, reason: &'static str, unlock: impl FnOnce(&Spend<'_>, &Key) -> Vec<Vec<u8>>) {
    let key = new_key(scene);
    spend(scene, &Expect::Reject(reason), p2tr(&key), |tx| witness_input(&unlock(tx, &key)));
}

fn honest(tx: &Spend<'_>, key: &Key) -> Vec<u8> {
    tx.key_path(key, &TaprootSigning::default())
}

pub(super) fn signature_of_other(scene: &mut Scene, reason: &'static str) {
    with_key_path(scene, reason, |tx, key| {
        let mut signature = honest(tx, key);
        signature[63] ^= 1;
        vec![signature]
    });
}

pub(super) fn signature_short(scene: &mut Scene, reason: &'static str) {
    with_key_path(scene, reason, |tx, key| vec![honest(tx, key)[..63].to_vec()]);
}

fn with_hash_type(scene: &mut Scene, reason: &'static str, hash_type: u8) {
    with_key_path(scene, reason, |tx, key| vec![[honest(tx, key), vec![hash_type]].concat()]);
}

pub(super) fn hash_type_zero(scene: &mut Scene, reason: &'static str) {
    with_hash_type(scene, reason, 0);
}

pub(super) fn hash_type_unknown(scene: &mut Scene, reason: &'static str) {
    with_hash_type(scene, reason, 4);
}

pub(super) fn single_without_output(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let coins = scene.fund(&[crate::scene::bare_true(), p2tr(&key)]);
    let mut tx = crate::scene::spend_all(&coins);
    // No digest exists to be signed, so any 64 bytes do.
    let signature = [&[1; 64][..], &[TapSighashType::Single as u8]].concat();
    tx.input[1].witness = bitcoin::Witness::from_slice(&[signature]);
    let mut trial = scene.trial();
    trial.add(tx);
    scene.reject(trial, reason);
}

pub(super) fn annex_unsigned(scene: &mut Scene, reason: &'static str) {
    with_key_path(scene, reason, |tx, key| vec![honest(tx, key), vec![0x50, 1]]);
}

pub(super) fn witness_empty(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    spend(scene, &Expect::Reject(reason), p2tr(&key), |_| no_input());
}

/// A coin with `script` as a leaf; `damage` changes the witness of stack, script and control block.
fn with_leaf(
    scene: &mut Scene,
    reason: &'static str,
    script: &ScriptBuf,
    stack: Vec<Vec<u8>>,
    damage: impl FnOnce(&mut Vec<Vec<u8>>),
) {
    with_locked_leaf(scene, reason, script, stack, damage, |_| ());
}

fn with_locked_leaf(
    scene: &mut Scene,
    reason: &'static str,
    script: &ScriptBuf,
    mut stack: Vec<Vec<u8>>,
    damage: impl FnOnce(&mut Vec<Vec<u8>>),
    shape: impl FnOnce(&mut Transaction),
) {
    let key = new_key(scene);
    let (lock, control) = leaf(&key, script, LeafVersion::TapScript);
    stack.extend([script.to_bytes(), control]);
    damage(&mut stack);
    spend_with(scene, &Expect::Reject(reason), lock, shape, |_| witness_input(&stack));
}

/// A leaf that succeeds with nothing.
fn true_leaf() -> ScriptBuf {
    Builder::new().push_int(1).into_script()
}

pub(super) fn control_block_length(scene: &mut Scene, reason: &'static str) {
    with_leaf(scene, reason, &true_leaf(), vec![], |stack| stack[1].truncate(34));
}

pub(super) fn control_block_wrong(scene: &mut Scene, reason: &'static str) {
    with_leaf(scene, reason, &true_leaf(), vec![], |stack| stack[1][40] ^= 1);
}

pub(super) fn control_block_parity(scene: &mut Scene, reason: &'static str) {
    with_leaf(scene, reason, &true_leaf(), vec![], |stack| stack[1][0] ^= 1);
}

pub(super) fn leaf_of_other(scene: &mut Scene, reason: &'static str) {
    with_leaf(scene, reason, &true_leaf(), vec![], |stack| stack[0] = vec![OP_PUSHNUM_2.to_u8()]);
}

pub(super) fn tapscript_signature_of_other(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let script = tapscript_single(&key);
    let (lock, control) = leaf(&key, &script, LeafVersion::TapScript);
    spend(scene, &Expect::Reject(reason), lock, |tx| {
        // The signature commits to another leaf.
        let other = TapLeafHash::from_script(&true_leaf(), LeafVersion::TapScript);
        let signing = TaprootSigning { leaf: Some(other), ..TaprootSigning::default() };
        witness_input(&[tx.script_path(&key, &signing), script.to_bytes(), control])
    });
}

pub(super) fn stack_not_clean(scene: &mut Scene, reason: &'static str) {
    with_leaf(scene, reason, &true_leaf(), vec![vec![1]], |_| ());
}

pub(super) fn multisig(scene: &mut Scene, reason: &'static str) {
    let script = Builder::new().push_int(0).push_int(0).push_int(0).push_opcode(OP_CHECKMULTISIG).into_script();
    with_leaf(scene, reason, &script, vec![], |_| ());
}

pub(super) fn if_not_minimal(scene: &mut Scene, reason: &'static str) {
    let script = Builder::new().push_opcode(OP_IF).push_int(1).push_opcode(OP_ENDIF).into_script();
    with_leaf(scene, reason, &script, vec![vec![2]], |_| ());
}

pub(super) fn key_empty(scene: &mut Scene, reason: &'static str) {
    let script = Builder::new().push_int(0).push_opcode(OP_CHECKSIG).into_script();
    with_leaf(scene, reason, &script, vec![vec![1; 64]], |_| ());
}

pub(super) fn budget(scene: &mut Scene, reason: &'static str) {
    // Keys of an unknown type verify anything, but each still costs 50 units of the witness's weight.
    let mut script = Builder::new();
    for _ in 0..30 {
        script = script.push_opcode(OP_DUP).push_slice([5]).push_opcode(OP_CHECKSIGVERIFY);
    }
    with_leaf(scene, reason, &script.into_script(), vec![vec![1]], |_| ());
}

pub(super) fn element_too_long(scene: &mut Scene, reason: &'static str) {
    let script = Builder::new().push_opcode(OP_DROP).push_int(1).into_script();
    with_leaf(scene, reason, &script, vec![vec![0; 521]], |_| ());
}

pub(super) fn stack_too_deep(scene: &mut Scene, reason: &'static str) {
    let script = repeated(Builder::new(), OP_DROP, 1_000).into_script();
    with_leaf(scene, reason, &script, vec![vec![1]; 1_001], |_| ());
}

pub(super) fn opcode_unknown(scene: &mut Scene, reason: &'static str) {
    let script = Builder::new().push_int(1).push_opcode(OP_INVALIDOPCODE).into_script();
    with_leaf(scene, reason, &script, vec![], |_| ());
}

pub(super) fn cltv_unmet(scene: &mut Scene, reason: &'static str) {
    let script = lock_script(51, OP_CLTV);
    with_locked_leaf(scene, reason, &script, vec![], |_| (), |tx| set_lock_time(tx, 50));
}
