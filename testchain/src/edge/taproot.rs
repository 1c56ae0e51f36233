//! Edge cases of taproot and of programs without a meaning yet.

use crate::damage::scripts::{leaf, legacy_input, new_key, p2tr, repeated, spend, witness_input};
use crate::keys::TaprootSigning;
use crate::scene::{Expect, Scene, bare_true, transaction};
use crate::spend::push;
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::sighash::TapSighashType;
use bitcoin::taproot::{LeafVersion, TapLeafHash};
use bitcoin::{ScriptBuf, TxOut, Witness};

const ACCEPT: Expect = Expect::Accept;

fn program(version: i64, program: &[u8]) -> ScriptBuf {
    Builder::new().push_int(version).push_slice(push(program)).into_script()
}

pub(super) fn program_version_2(scene: &mut Scene) {
    spend(scene, &ACCEPT, program(2, &[3; 32]), |_| legacy_input(Builder::new()));
}

pub(super) fn program_version_16(scene: &mut Scene) {
    spend(scene, &ACCEPT, program(16, &[3; 2]), |_| witness_input(&[vec![0; 1_000], vec![]]));
}

pub(super) fn program_version_1_length(scene: &mut Scene) {
    spend(scene, &ACCEPT, program(1, &[3; 33]), |_| witness_input(&[[1]]));
}

pub(super) fn pay_to_anchor(scene: &mut Scene) {
    spend(scene, &ACCEPT, ScriptBuf::new_p2a(), |_| legacy_input(Builder::new()));
}

pub(super) fn nested_taproot(scene: &mut Scene) {
    let redeem = p2tr(&new_key(scene));
    spend(scene, &ACCEPT, redeem.to_p2sh(), |_| legacy_input(Builder::new().push_slice(push(redeem.as_bytes()))));
}

pub(super) fn annex(scene: &mut Scene) {
    let key = new_key(scene);
    let annex = [&[0x50][..], &[7; 700]].concat();
    spend(scene, &ACCEPT, p2tr(&key), |tx| {
        let signing = TaprootSigning { annex: Some(&annex), ..TaprootSigning::default() };
        witness_input(&[tx.key_path(&key, &signing), annex.clone()])
    });
}

pub(super) fn hash_types(scene: &mut Scene) {
    let key = new_key(scene);
    let types = [
        TapSighashType::Default,
        TapSighashType::All,
        TapSighashType::None,
        TapSighashType::Single,
        TapSighashType::AllPlusAnyoneCanPay,
        TapSighashType::NonePlusAnyoneCanPay,
        TapSighashType::SinglePlusAnyoneCanPay,
    ];
    let coins = scene.fund(&types.map(|_| p2tr(&key)));
    let prevouts: Vec<TxOut> = coins.iter().map(|coin| coin.output.clone()).collect();
    let outpoints: Vec<_> = coins.iter().map(|coin| coin.outpoint).collect();
    let outputs = prevouts.iter().map(|output| TxOut { value: output.value, script_pubkey: bare_true() }).collect();
    let mut tx = transaction(&outpoints, outputs);
    let unsigned = tx.clone();
    let mut cache = bitcoin::sighash::SighashCache::new(&unsigned);
    for (index, hash_type) in types.into_iter().enumerate() {
        let signing = TaprootSigning { hash_type: Some(hash_type), ..TaprootSigning::default() };
        let signature = crate::keys::sign_taproot(&key.tweaked, &mut cache, index, &prevouts, &signing);
        tx.input[index].witness = Witness::from_slice(&[signature]);
    }
    let mut trial = scene.trial();
    trial.add(tx);
    scene.accept(trial);
}

/// A coin with `script` as a leaf, unlocked by `stack`.
fn with_leaf(scene: &mut Scene, script: &ScriptBuf, version: LeafVersion, mut stack: Vec<Vec<u8>>) {
    let key = new_key(scene);
    let (lock, control) = leaf(&key, script, version);
    stack.extend([script.to_bytes(), control]);
    spend(scene, &ACCEPT, lock, |_| witness_input(&stack));
}

pub(super) fn op_success(scene: &mut Scene) {
    let script = Builder::new().push_int(0).push_opcode(OP_VERIFY).push_opcode(OP_RETURN_187).into_script();
    with_leaf(scene, &script, LeafVersion::TapScript, vec![vec![0; 600]]);
}

pub(super) fn op_success_before_truncation(scene: &mut Scene) {
    let script = ScriptBuf::from_bytes(vec![OP_RESERVED.to_u8(), 0x4c, 0xff, 1]);
    with_leaf(scene, &script, LeafVersion::TapScript, vec![]);
}

pub(super) fn leaf_version_unknown(scene: &mut Scene) {
    let version = LeafVersion::from_consensus(0xc2).expect("0xc2 is even and no annex tag");
    with_leaf(scene, &Builder::new().push_int(0).into_script(), version, vec![vec![0; 600]]);
}

pub(super) fn key_type_unknown(scene: &mut Scene) {
    let script = Builder::new().push_slice([2; 33]).push_opcode(OP_CHECKSIG).into_script();
    with_leaf(scene, &script, LeafVersion::TapScript, vec![vec![1; 3]]);
}

pub(super) fn leaf_long(scene: &mut Scene) {
    let script = repeated(Builder::new().push_int(1), OP_NOP, 12_000).into_script();
    with_leaf(scene, &script, LeafVersion::TapScript, vec![]);
}

pub(super) fn check_sig_add(scene: &mut Scene) {
    let key = new_key(scene);
    let script = Builder::new()
        .push_x_only_key(&key.x_only)
        .push_opcode(OP_CHECKSIG)
        .push_x_only_key(&key.x_only)
        .push_opcode(OP_CHECKSIGADD)
        .push_int(1)
        .push_opcode(OP_NUMEQUAL)
        .into_script();
    let (lock, control) = leaf(&key, &script, LeafVersion::TapScript);
    spend(scene, &ACCEPT, lock, |tx| {
        let leaf = Some(TapLeafHash::from_script(&script, LeafVersion::TapScript));
        let signature = tx.script_path(&key, &TaprootSigning { leaf, ..TaprootSigning::default() });
        witness_input(&[signature, vec![], script.to_bytes(), control])
    });
}

pub(super) fn sigops_uncounted(scene: &mut Scene) {
    // 100,000 in a branch that is not taken: a version 0 script would count them all.
    let branch = repeated(Builder::new().push_int(0).push_opcode(OP_IF), OP_CHECKSIG, 100_000);
    let script = branch.push_opcode(OP_ENDIF).push_int(1).into_script();
    with_leaf(scene, &script, LeafVersion::TapScript, vec![]);
}
