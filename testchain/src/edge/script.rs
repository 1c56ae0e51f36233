//! Edge cases of legacy and version 0 scripts.

use crate::damage::scripts::{
    Unlock, legacy_input, lock_script, new_key, p2pkh, repeated, set_lock_time, spend, spend_with, witness_input,
};
use crate::keys::Key;
use crate::scene::{Expect, Scene, bare_true, spend_all};
use crate::spend::push;
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::secp256k1::{SecretKey, ecdsa};
use bitcoin::{PublicKey, ScriptBuf, Sequence};

const ACCEPT: Expect = Expect::Accept;

/// A bare script that succeeds with nothing to unlock it.
fn bare(scene: &mut Scene, script: Builder) {
    spend(scene, &ACCEPT, script.into_script(), |_| legacy_input(Builder::new()));
}

fn p2pkh_input(signature: &[u8], key: &[u8]) -> Unlock {
    legacy_input(Builder::new().push_slice(push(signature)).push_slice(push(key)))
}

/// The same signature with S negated.
fn negate_s(signature: &[u8]) -> Vec<u8> {
    let (der, hash_type) = signature.split_at(signature.len() - 1);
    let mut compact = ecdsa::Signature::from_der(der).expect("the signature was just made").serialize_compact();
    let s = SecretKey::from_slice(&compact[32..]).expect("S is a scalar and not zero").negate();
    compact[32..].copy_from_slice(&s.secret_bytes());
    let negated = ecdsa::Signature::from_compact(&compact).expect("R and S are scalars");
    [&negated.serialize_der()[..], hash_type].concat()
}

pub(super) fn high_s(scene: &mut Scene) {
    let key = new_key(scene);
    let lock = p2pkh(&key);
    spend(scene, &ACCEPT, lock.clone(), |tx| p2pkh_input(&negate_s(&tx.legacy(&key, &lock)), &key.public.serialize()));
}

pub(super) fn hash_type_undefined(scene: &mut Scene) {
    let key = new_key(scene);
    let lock = p2pkh(&key);
    spend(scene, &ACCEPT, lock.clone(), |tx| {
        p2pkh_input(&key.sign_legacy(tx.tx, 0, &lock, 0x50), &key.public.serialize())
    });
}

pub(super) fn single_without_output(scene: &mut Scene) {
    let key = new_key(scene);
    let coins = scene.fund(&[bare_true(), p2pkh(&key)]);
    let mut tx = spend_all(&coins);
    let mut one = [0; 32];
    one[0] = 1;
    tx.input[1].script_sig = p2pkh_input(&key.sign_digest(one, 3), &key.public.serialize()).0;
    let mut trial = scene.trial();
    trial.add(tx);
    scene.accept(trial);
}

fn with_key_encoding(scene: &mut Scene, encode: impl FnOnce(&Key) -> Vec<u8>) {
    let key = new_key(scene);
    let encoded = encode(&key);
    let lock = Builder::new().push_slice(push(&encoded)).push_opcode(OP_CHECKSIG).into_script();
    spend(scene, &ACCEPT, lock.clone(), |tx| legacy_input(Builder::new().push_slice(push(&tx.legacy(&key, &lock)))));
}

pub(super) fn key_uncompressed(scene: &mut Scene) {
    with_key_encoding(scene, |key| key.public.serialize_uncompressed().to_vec());
}

pub(super) fn key_hybrid(scene: &mut Scene) {
    with_key_encoding(scene, |key| {
        let mut encoded = key.public.serialize_uncompressed().to_vec();
        encoded[0] = 6 + (encoded[64] & 1);
        encoded
    });
}

pub(super) fn key_uncompressed_v0(scene: &mut Scene) {
    let key = new_key(scene);
    let hash = PublicKey::new_uncompressed(key.public).pubkey_hash();
    let code = ScriptBuf::new_p2pkh(&hash);
    let program = Builder::new().push_int(0).push_slice(hash).into_script();
    spend(scene, &ACCEPT, program, |tx| {
        witness_input(&[tx.v0(&key, &code), key.public.serialize_uncompressed().to_vec()])
    });
}

pub(super) fn push_not_minimal(scene: &mut Scene) {
    // One byte by `OP_PUSHDATA1`, `OP_PUSHDATA2` and `OP_PUSHDATA4`.
    let script = vec![0x4c, 1, 1, 0x4d, 1, 0, 1, 0x4e, 1, 0, 0, 0, 1];
    spend(scene, &ACCEPT, ScriptBuf::from_bytes(script), |_| legacy_input(Builder::new()));
}

pub(super) fn signature_not_null_on_failure(scene: &mut Scene) {
    let key = new_key(scene);
    let lock = Builder::new().push_key(&key.script_key()).push_opcode(OP_CHECKSIG).push_opcode(OP_NOT).into_script();
    spend(scene, &ACCEPT, lock, |_| legacy_input(Builder::new().push_slice(push(&key.sign_digest([7; 32], 1)))));
}

pub(super) fn nop_upgradable(scene: &mut Scene) {
    bare(scene, Builder::new().push_opcode(OP_NOP10).push_int(1));
}

pub(super) fn stack_not_clean_legacy(scene: &mut Scene) {
    bare(scene, Builder::new().push_int(0).push_int(1));
}

pub(super) fn script_sig_with_operations(scene: &mut Scene) {
    let lock = Builder::new().push_int(2).push_opcode(OP_EQUAL).into_script();
    spend(scene, &ACCEPT, lock, |_| legacy_input(Builder::new().push_int(1).push_opcode(OP_1ADD)));
}

pub(super) fn code_separator(scene: &mut Scene) {
    let key = new_key(scene);
    let code = Builder::new().push_key(&key.script_key()).push_opcode(OP_CHECKSIG).into_script();
    let lock = ScriptBuf::from_bytes([&[OP_CODESEPARATOR.to_u8()], code.as_bytes()].concat());
    spend(scene, &ACCEPT, lock, |tx| legacy_input(Builder::new().push_slice(push(&tx.legacy(&key, &code)))));
}

pub(super) fn operations_at_limit(scene: &mut Scene) {
    bare(scene, repeated(Builder::new().push_int(1), OP_NOP, 201));
}

pub(super) fn stack_at_limit(scene: &mut Scene) {
    bare(scene, repeated(Builder::new(), OP_PUSHNUM_1, 1_000));
}

pub(super) fn push_at_limit(scene: &mut Scene) {
    bare(scene, Builder::new().push_slice(push(&[1; 520])));
}

pub(super) fn keys_at_limit(scene: &mut Scene) {
    let key = new_key(scene);
    let keys = (0..20).fold(Builder::new().push_int(0).push_int(0), |builder, _| builder.push_key(&key.script_key()));
    bare(scene, keys.push_int(20).push_opcode(OP_CHECKMULTISIG));
}

pub(super) fn cltv_met(scene: &mut Scene) {
    let lock = lock_script(50, OP_CLTV);
    spend_with(scene, &ACCEPT, lock, |tx| set_lock_time(tx, 50), |_| legacy_input(Builder::new()));
}

pub(super) fn csv_met(scene: &mut Scene) {
    let shape = |tx: &mut bitcoin::Transaction| tx.input[0].sequence = Sequence::from_height(1);
    spend_with(scene, &ACCEPT, lock_script(1, OP_CSV), shape, |_| legacy_input(Builder::new()));
}

pub(super) fn csv_disabled_in_script(scene: &mut Scene) {
    let lock = lock_script(0x8000_0000, OP_CSV);
    spend(scene, &ACCEPT, lock, |_| legacy_input(Builder::new()));
}

fn p2wsh(scene: &mut Scene, script: &ScriptBuf, stack: &[Vec<u8>]) {
    let stack = [stack, &[script.to_bytes()]].concat();
    spend(scene, &ACCEPT, script.to_p2wsh(), |_| witness_input(&stack));
}

pub(super) fn if_not_minimal_v0(scene: &mut Scene) {
    let script = Builder::new().push_opcode(OP_IF).push_int(1).push_opcode(OP_ENDIF).into_script();
    p2wsh(scene, &script, &[vec![2]]);
}

pub(super) fn script_at_limit_v0(scene: &mut Scene) {
    // Nineteen pushes of 520 bytes, dropped, and one shorter.
    let mut script = Builder::new();
    for _ in 0..19 {
        script = script.push_slice(push(&[0; 520])).push_opcode(OP_DROP);
    }
    let missing = 10_000 - script.len() - 3;
    let script = script.push_slice(push(&vec![0; missing])).push_opcode(OP_DROP).push_int(1).into_script();
    debug_assert_eq!(script.len(), 10_000);
    p2wsh(scene, &script, &[]);
}
