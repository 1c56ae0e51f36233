//! `bip341_wallet_vectors.json`: taproot outputs with their control blocks, and a transaction that spends by key.

use adit_testchain::trials::{Missing, read_vector};
use adit_validator::consensus::ScriptFlags;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::key::{TweakedPublicKey, UntweakedPublicKey};
use bitcoin::secp256k1::Secp256k1;
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::taproot::{ControlBlock, LeafVersion, TaprootBuilder};
use bitcoin::{Amount, ScriptBuf, Transaction, TxOut, Witness};
use serde_json::Value;

use super::{all_but, first_failing_input, text};
use adit_testchain::unsigned::{outpoint, spend};

/// A script of a tree.
struct Leaf {
    id: u64,
    depth: u8,
    script: ScriptBuf,
    version: LeafVersion,
}

/// The leaves of a tree, from the left: a leaf is an object, a fork a list of two trees.
fn leaves(tree: &Value, depth: u8) -> Vec<Leaf> {
    match tree {
        Value::Null => Vec::new(),
        Value::Array(forks) => forks.iter().flat_map(|fork| leaves(fork, depth + 1)).collect(),
        leaf => {
            let version = u8::try_from(leaf["leafVersion"].as_u64().unwrap()).unwrap();
            vec![Leaf {
                id: leaf["id"].as_u64().unwrap(),
                depth,
                script: ScriptBuf::from_hex(text(&leaf["script"])).unwrap(),
                version: LeafVersion::from_consensus(version).unwrap(),
            }]
        }
    }
}

fn consensus() -> ScriptFlags {
    all_but(ScriptFlags::NONE)
}

/// Whether the witness of a script path, without arguments, spends an output with `script_pubkey`.
fn spends(script_pubkey: &ScriptBuf, script: &ScriptBuf, control: &[u8]) -> bool {
    let mut transaction = spend(&[outpoint(1)], &[1]);
    transaction.input[0].witness = Witness::from_slice(&[script.as_bytes(), control]);
    let spent = TxOut { value: Amount::ONE_SAT, script_pubkey: script_pubkey.clone() };
    first_failing_input(&serialize(&transaction), &[&spent], consensus()).is_none()
}

/// Each output is that of its tree, each control block leads to its output. Scripts that ask for no signature, or whose
/// version is not yet defined, are spent through the engine; nobody has the keys of the others.
pub fn cores_taproot_outputs() -> Result<(), Missing> {
    let file: Value = serde_json::from_slice(&read_vector("core/bip341_wallet_vectors.json")?).unwrap();
    let secp = Secp256k1::new();
    let (mut outputs, mut committed, mut spent) = (0, 0, 0);
    for case in file["scriptPubKey"].as_array().unwrap() {
        let internal: UntweakedPublicKey = text(&case["given"]["internalPubkey"]).parse().unwrap();
        let leaves = leaves(&case["given"]["scriptTree"], 0);
        let root = case["intermediary"]["merkleRoot"].as_str().map(|root| root.parse().unwrap());
        let script_pubkey = ScriptBuf::new_p2tr(&secp, internal, root);
        assert_eq!(script_pubkey.to_hex_string(), text(&case["expected"]["scriptPubKey"]));
        outputs += 1;
        if leaves.is_empty() {
            continue;
        }
        let mut tree = TaprootBuilder::new();
        for leaf in &leaves {
            tree = tree.add_leaf_with_ver(leaf.depth, leaf.script.clone(), leaf.version).unwrap();
        }
        assert_eq!(tree.finalize(&secp, internal).unwrap().merkle_root(), root);
        let key: TweakedPublicKey =
            TweakedPublicKey::dangerous_assume_tweaked(text(&case["intermediary"]["tweakedPubkey"]).parse().unwrap());
        for leaf in &leaves {
            let control = &case["expected"]["scriptPathControlBlocks"][usize::try_from(leaf.id).unwrap()];
            let control = hex::decode(text(control)).unwrap();
            let decoded = ControlBlock::decode(&control).unwrap();
            assert_eq!(decoded.leaf_version, leaf.version);
            assert!(decoded.verify_taproot_commitment(&secp, key.to_x_only_public_key(), &leaf.script));
            committed += 1;
            if leaf.version == LeafVersion::TapScript && leaf.script.as_bytes().ends_with(&[0xac]) {
                continue;
            }
            assert!(spends(&script_pubkey, &leaf.script, &control), "{case}");
            for at in 0..control.len() {
                let mut wrong = control.clone();
                wrong[at] ^= 1 << (at % 8);
                assert!(!spends(&script_pubkey, &leaf.script, &wrong), "byte {at} of the control block: {case}");
            }
            spent += 1;
        }
    }
    println!("{outputs} outputs, {committed} control blocks, {spent} of them spent");
    assert_eq!((outputs, committed, spent), (7, 12, 2));
    Ok(())
}

/// The signed transaction passes, each signature hash is the published one, and no input passes with another signature.
pub fn cores_taproot_key_spends() -> Result<(), Missing> {
    let file: Value = serde_json::from_slice(&read_vector("core/bip341_wallet_vectors.json")?).unwrap();
    let mut inputs = 0;
    for case in file["keyPathSpending"].as_array().unwrap() {
        let signed = hex::decode(text(&case["auxiliary"]["fullySignedTx"])).unwrap();
        let signed: Transaction = deserialize(&signed).unwrap();
        let unsigned = hex::decode(text(&case["given"]["rawUnsignedTx"])).unwrap();
        let unsigned: Transaction = deserialize(&unsigned).unwrap();
        let spent = case["given"]["utxosSpent"].as_array().unwrap().iter().map(|output| TxOut {
            value: Amount::from_sat(output["amountSats"].as_u64().unwrap()),
            script_pubkey: ScriptBuf::from_hex(text(&output["scriptPubKey"])).unwrap(),
        });
        let spent: Vec<TxOut> = spent.collect();
        let outputs: Vec<&TxOut> = spent.iter().collect();
        assert_eq!(first_failing_input(&serialize(&signed), &outputs, consensus()), None);
        let mut hashes = SighashCache::new(&unsigned);
        for case in case["inputSpending"].as_array().unwrap() {
            let input = usize::try_from(case["given"]["txinIndex"].as_u64().unwrap()).unwrap();
            let kind = u8::try_from(case["given"]["hashType"].as_u64().unwrap()).unwrap();
            let kind = TapSighashType::from_consensus_u8(kind).unwrap();
            let hash = hashes.taproot_key_spend_signature_hash(input, &Prevouts::All(&spent), kind).unwrap();
            assert_eq!(hash.to_string(), text(&case["intermediary"]["sigHash"]));

            let witness = hex::decode(text(&case["expected"]["witness"][0])).unwrap();
            assert_eq!(signed.input[input].witness, Witness::from_slice(&[&witness]));
            for at in 0..witness.len() {
                let mut wrong = witness.clone();
                wrong[at] ^= 1;
                let mut forged = signed.clone();
                forged.input[input].witness = Witness::from_slice(&[&wrong]);
                let failing = first_failing_input(&serialize(&forged), &outputs, consensus());
                assert_eq!(failing, Some(input), "byte {at}: {case}");
            }
            inputs += 1;
        }
    }
    assert_eq!(inputs, 7);
    Ok(())
}
