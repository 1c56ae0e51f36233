//! Damage to spends of witness version 0 (BIP141, BIP143, BIP147).

use super::scripts::{
    Spend, Unlock, lock_script, new_key, no_input, p2pkh, p2wpkh, pad_r, repeated, set_lock_time, spend, spend_with,
    witness_input,
};
use crate::keys::Key;
use crate::scene::{Expect, Scene};
use crate::spend::push;
use bitcoin::opcodes::all::{OP_CLTV, OP_CSV, OP_DROP, OP_NOP};
use bitcoin::script::Builder;
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, Witness};

/// A P2WPKH coin with an input that `unlock` makes wrong.
fn with_p2wpkh(scene: &mut Scene, reason: &'static str, unlock: impl FnOnce(&Spend<'_>, &Key) -> Unlock) {
    let key = new_key(scene);
    spend(scene, &Expect::Reject(reason), p2wpkh(&key), |tx| unlock(tx, &key));
}

fn p2wpkh_input(signature: Vec<u8>, key: &Key) -> Unlock {
    witness_input(&[signature, key.public.serialize().to_vec()])
}

/// A P2WSH coin of `script`, unlocked by `stack` and the script.
fn with_p2wsh(scene: &mut Scene, reason: &'static str, script: &ScriptBuf, stack: &[Vec<u8>]) {
    with_locked_p2wsh(scene, reason, script, stack, |_| ());
}

fn with_locked_p2wsh(
    scene: &mut Scene,
    reason: &'static str,
    script: &ScriptBuf,
    stack: &[Vec<u8>],
    shape: impl FnOnce(&mut Transaction),
) {
    let stack = [stack, &[script.to_bytes()]].concat();
    spend_with(scene, &Expect::Reject(reason), script.to_p2wsh(), shape, |_| witness_input(&stack));
}

pub(super) fn signature_of_other(scene: &mut Scene, reason: &'static str) {
    with_p2wpkh(scene, reason, |_, key| p2wpkh_input(key.sign_digest([7; 32], 1), key));
}

pub(super) fn amount_wrong(scene: &mut Scene, reason: &'static str) {
    with_p2wpkh(scene, reason, |tx, key| p2wpkh_input(tx.v0_of(key, &p2pkh(key), Amount::ONE_SAT), key));
}

pub(super) fn key_of_other(scene: &mut Scene, reason: &'static str) {
    let other = new_key(scene);
    with_p2wpkh(scene, reason, |tx, _| p2wpkh_input(tx.v0(&other, &p2pkh(&other)), &other));
}

pub(super) fn signature_not_strict_der(scene: &mut Scene, reason: &'static str) {
    with_p2wpkh(scene, reason, |tx, key| p2wpkh_input(pad_r(&tx.v0(key, &p2pkh(key))), key));
}

pub(super) fn witness_empty(scene: &mut Scene, reason: &'static str) {
    let lock = Builder::new().push_int(1).into_script().to_p2wsh();
    spend(scene, &Expect::Reject(reason), lock, |_| no_input());
}

pub(super) fn witness_missing(scene: &mut Scene, reason: &'static str) {
    with_p2wpkh(scene, reason, |_, _| no_input());
}

pub(super) fn witness_long(scene: &mut Scene, reason: &'static str) {
    with_p2wpkh(scene, reason, |tx, key| {
        let signature = tx.v0(key, &p2pkh(key));
        witness_input(&[vec![], signature, key.public.serialize().to_vec()])
    });
}

pub(super) fn script_sig_not_empty(scene: &mut Scene, reason: &'static str) {
    with_p2wpkh(scene, reason, |tx, key| {
        let (_, witness) = p2wpkh_input(tx.v0(key, &p2pkh(key)), key);
        (Builder::new().push_int(1).into_script(), witness)
    });
}

pub(super) fn nested_extra_push(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let program = p2wpkh(&key);
    spend(scene, &Expect::Reject(reason), program.to_p2sh(), |tx| {
        let (_, witness) = p2wpkh_input(tx.v0(&key, &p2pkh(&key)), &key);
        (Builder::new().push_int(1).push_slice(push(program.as_bytes())).into_script(), witness)
    });
}

pub(super) fn program_length(scene: &mut Scene, reason: &'static str) {
    let lock = Builder::new().push_int(0).push_slice([9; 31]).into_script();
    spend(scene, &Expect::Reject(reason), lock, |_| (ScriptBuf::new(), Witness::from_slice(&[[1]])));
}

pub(super) fn script_of_other(scene: &mut Scene, reason: &'static str) {
    let lock = Builder::new().push_int(1).into_script().to_p2wsh();
    let other = Builder::new().push_int(2).into_bytes();
    spend(scene, &Expect::Reject(reason), lock, |_| witness_input(&[other]));
}

pub(super) fn stack_not_clean(scene: &mut Scene, reason: &'static str) {
    with_p2wsh(scene, reason, &Builder::new().push_int(1).push_int(1).into_script(), &[]);
}

pub(super) fn element_too_long(scene: &mut Scene, reason: &'static str) {
    let script = Builder::new().push_opcode(OP_DROP).push_int(1).into_script();
    with_p2wsh(scene, reason, &script, &[vec![0; 521]]);
}

pub(super) fn script_too_long(scene: &mut Scene, reason: &'static str) {
    let script = repeated(Builder::new().push_int(1), OP_NOP, 10_000).into_script();
    with_p2wsh(scene, reason, &script, &[]);
}

pub(super) fn dummy_not_null(scene: &mut Scene, reason: &'static str) {
    let ring = scene.chain().wallet().ring();
    let script = ring.multisig(0);
    let keys = [ring.get(0).clone(), ring.get(1).clone()];
    spend(scene, &Expect::Reject(reason), script.to_p2wsh(), |tx| {
        let signatures = keys.each_ref().map(|key| tx.v0(key, &script));
        let [first, second] = signatures;
        witness_input(&[vec![1], first, second, script.to_bytes()])
    });
}

pub(super) fn cltv_unmet(scene: &mut Scene, reason: &'static str) {
    with_locked_p2wsh(scene, reason, &lock_script(51, OP_CLTV), &[], |tx| set_lock_time(tx, 50));
}

pub(super) fn csv_unmet(scene: &mut Scene, reason: &'static str) {
    let shape = |tx: &mut Transaction| tx.input[0].sequence = Sequence::from_height(1);
    with_locked_p2wsh(scene, reason, &lock_script(2, OP_CSV), &[], shape);
}
