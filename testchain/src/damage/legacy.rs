//! Damage to scripts without a witness (before BIP141).

use super::scripts::{
    Spend, Unlock, legacy_input, lock_script, new_key, p2pkh, pad_r, repeated, set_lock_time, spend, spend_with,
};
use crate::keys::Key;
use crate::scene::{Expect, Scene};
use crate::spend::push;
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::{ScriptBuf, Sequence, Transaction, Witness, transaction::Version};

/// A bare script that fails with nothing to unlock it.
fn bare(scene: &mut Scene, reason: &'static str, script: Builder) {
    spend(scene, &Expect::Reject(reason), script.into_script(), |_| legacy_input(Builder::new()));
}

/// A P2PKH coin with an input that `unlock` makes wrong.
fn with_p2pkh(scene: &mut Scene, reason: &'static str, unlock: impl FnOnce(&Spend<'_>, &Key, &ScriptBuf) -> Unlock) {
    let key = new_key(scene);
    let lock = p2pkh(&key);
    spend(scene, &Expect::Reject(reason), lock.clone(), |tx| unlock(tx, &key, &lock));
}

fn p2pkh_input(signature: &[u8], key: &Key) -> Unlock {
    legacy_input(Builder::new().push_slice(push(signature)).push_slice(key.public.serialize()))
}

pub(super) fn signature_of_other(scene: &mut Scene, reason: &'static str) {
    with_p2pkh(scene, reason, |_, key, _| p2pkh_input(&key.sign_digest([7; 32], 1), key));
}

pub(super) fn key_of_other(scene: &mut Scene, reason: &'static str) {
    let other = new_key(scene);
    with_p2pkh(scene, reason, |tx, _, lock| p2pkh_input(&tx.legacy(&other, lock), &other));
}

pub(super) fn signature_not_strict_der(scene: &mut Scene, reason: &'static str) {
    with_p2pkh(scene, reason, |tx, key, lock| p2pkh_input(&pad_r(&tx.legacy(key, lock)), key));
}

pub(super) fn script_sig_empty(scene: &mut Scene, reason: &'static str) {
    with_p2pkh(scene, reason, |_, _, _| legacy_input(Builder::new()));
}

pub(super) fn witness_for_legacy(scene: &mut Scene, reason: &'static str) {
    with_p2pkh(scene, reason, |tx, key, lock| {
        let (script_sig, _) = p2pkh_input(&tx.legacy(key, lock), key);
        (script_sig, Witness::from_slice(&[[1]]))
    });
}

pub(super) fn redeem_script_of_other(scene: &mut Scene, reason: &'static str) {
    let lock = Builder::new().push_int(1).into_script().to_p2sh();
    spend(scene, &Expect::Reject(reason), lock, |_| legacy_input(Builder::new().push_slice([OP_PUSHNUM_2.to_u8()])));
}

pub(super) fn script_sig_not_push_only(scene: &mut Scene, reason: &'static str) {
    let redeem = Builder::new().push_int(1).into_script();
    spend(scene, &Expect::Reject(reason), redeem.to_p2sh(), |_| {
        legacy_input(Builder::new().push_opcode(OP_NOP).push_slice(push(redeem.as_bytes())))
    });
}

/// A bare two-of-three multisig coin; `unlock` gets the signatures of the first two keys.
fn with_multisig(scene: &mut Scene, reason: &'static str, unlock: impl FnOnce([Vec<u8>; 2]) -> Builder) {
    let lock = scene.chain().wallet().ring().multisig(0);
    let keys = [0, 1].map(|index| scene.chain().wallet().ring().get(index).clone());
    spend(scene, &Expect::Reject(reason), lock.clone(), |tx| {
        legacy_input(unlock([tx.legacy(&keys[0], &lock), tx.legacy(&keys[1], &lock)]))
    });
}

pub(super) fn dummy_not_null(scene: &mut Scene, reason: &'static str) {
    with_multisig(scene, reason, |[first, second]| {
        Builder::new().push_int(1).push_slice(push(&first)).push_slice(push(&second))
    });
}

pub(super) fn signatures_out_of_order(scene: &mut Scene, reason: &'static str) {
    with_multisig(scene, reason, |[first, second]| {
        Builder::new().push_int(0).push_slice(push(&second)).push_slice(push(&first))
    });
}

pub(super) fn signatures_too_few(scene: &mut Scene, reason: &'static str) {
    with_multisig(scene, reason, |[first, _]| Builder::new().push_int(0).push_slice(push(&first)));
}

/// A coin locked by `number` and `opcode`, spent by a transaction that `shape` gives its lock time and sequence.
fn with_lock(
    scene: &mut Scene,
    reason: &'static str,
    number: i64,
    opcode: bitcoin::Opcode,
    shape: impl FnOnce(&mut Transaction),
) {
    let lock = lock_script(number, opcode);
    spend_with(scene, &Expect::Reject(reason), lock, shape, |_| legacy_input(Builder::new()));
}

pub(super) fn cltv_height_unmet(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, 51, OP_CLTV, |tx| set_lock_time(tx, 50));
}

pub(super) fn cltv_kinds_differ(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, 500_000_000, OP_CLTV, |tx| set_lock_time(tx, 50));
}

pub(super) fn cltv_final_input(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, 50, OP_CLTV, |tx| {
        set_lock_time(tx, 50);
        tx.input[0].sequence = Sequence::MAX;
    });
}

pub(super) fn cltv_negative(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, -1, OP_CLTV, |tx| set_lock_time(tx, 50));
}

pub(super) fn csv_unmet(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, 2, OP_CSV, |tx| tx.input[0].sequence = Sequence::from_height(1));
}

pub(super) fn csv_version_1(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, 1, OP_CSV, |tx| {
        tx.version = Version::ONE;
        tx.input[0].sequence = Sequence::from_height(1);
    });
}

pub(super) fn csv_disabled(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, 1, OP_CSV, |tx| tx.input[0].sequence = Sequence(0x8000_0001));
}

pub(super) fn csv_kinds_differ(scene: &mut Scene, reason: &'static str) {
    let seconds = i64::from(Sequence::from_512_second_intervals(0).to_consensus_u32());
    with_lock(scene, reason, seconds, OP_CSV, |tx| tx.input[0].sequence = Sequence::from_height(1));
}

pub(super) fn csv_negative(scene: &mut Scene, reason: &'static str) {
    with_lock(scene, reason, -1, OP_CSV, |tx| tx.input[0].sequence = Sequence::from_height(1));
}

pub(super) fn top_false(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_int(0));
}

pub(super) fn verify_fails(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_int(0).push_opcode(OP_VERIFY).push_int(1));
}

pub(super) fn num_equal_verify_fails(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_int(2).push_int(3).push_opcode(OP_NUMEQUALVERIFY).push_int(1));
}

pub(super) fn check_sig_verify_fails(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let script = Builder::new().push_int(0).push_key(&key.script_key()).push_opcode(OP_CHECKSIGVERIFY).push_int(1);
    bare(scene, reason, script);
}

pub(super) fn check_multisig_verify_fails(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let script = Builder::new().push_int(0).push_int(0).push_int(1).push_key(&key.script_key()).push_int(1);
    bare(scene, reason, script.push_opcode(OP_CHECKMULTISIGVERIFY).push_int(1));
}

pub(super) fn alt_stack_empty(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_opcode(OP_FROMALTSTACK).push_int(1));
}

pub(super) fn return_executed(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_int(1).push_opcode(OP_RETURN));
}

pub(super) fn opcode_disabled(scene: &mut Scene, reason: &'static str) {
    let branch = Builder::new().push_int(0).push_opcode(OP_IF).push_opcode(OP_CAT).push_opcode(OP_ENDIF);
    bare(scene, reason, branch.push_int(1));
}

pub(super) fn opcode_reserved(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_int(1).push_opcode(OP_RESERVED));
}

pub(super) fn conditional_unbalanced(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_int(1).push_int(1).push_opcode(OP_IF));
}

pub(super) fn push_too_long(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_slice(push(&[1; 521])));
}

pub(super) fn operations_too_many(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, repeated(Builder::new().push_int(1), OP_NOP, 202));
}

pub(super) fn stack_too_deep(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, repeated(Builder::new(), OP_PUSHNUM_1, 1_001));
}

pub(super) fn keys_too_many(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let keys = (0..21).fold(Builder::new().push_int(0).push_int(0), |builder, _| builder.push_key(&key.script_key()));
    bare(scene, reason, keys.push_int(21).push_opcode(OP_CHECKMULTISIG));
}

pub(super) fn signatures_above_keys(scene: &mut Scene, reason: &'static str) {
    let key = new_key(scene);
    let script = Builder::new().push_int(0).push_int(0).push_int(0).push_int(2).push_key(&key.script_key());
    bare(scene, reason, script.push_int(1).push_opcode(OP_CHECKMULTISIG));
}

pub(super) fn number_too_long(scene: &mut Scene, reason: &'static str) {
    bare(scene, reason, Builder::new().push_slice([1, 0, 0, 0, 1]).push_opcode(OP_1ADD));
}
