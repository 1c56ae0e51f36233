//! `script_tests.json`: scripts and witnesses with the error that they end in.

use std::collections::BTreeMap;

use adit_testchain::trials::Missing;
use adit_validator::consensus::ScriptFlags;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, XOnlyPublicKey};
use bitcoin::opcodes::all::OP_PUSHNUM_1;
use bitcoin::script::Builder;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::taproot::{LeafVersion, TaprootBuilder, TaprootSpendInfo};
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute, transaction};
use serde_json::Value;

use super::script_text::assemble;
use super::{CaseFlags, cases, first_failing_input, flag_sets, text};

/// One case: what is spent, by what, under which flags, with which result.
struct Case {
    witness: Vec<Vec<u8>>,
    value: Amount,
    script_sig: ScriptBuf,
    script_pubkey: ScriptBuf,
    flags: CaseFlags,
    error: String,
}

impl Case {
    /// Source: Bitcoin Core, `test/script_tests.cpp`, `script_json_test`.
    fn parse(case: &[Value]) -> Self {
        let mut parsed = Witnessed { elements: Vec::new(), value: Amount::ZERO, taproot: None };
        let rest = match &case[0] {
            Value::Array(witness) => {
                parsed = Witnessed::parse(witness);
                &case[1..]
            }
            _ => case,
        };
        let script_pubkey = match (text(&rest[1]), &parsed.taproot) {
            ("0x51 0x20 #TAPROOTOUTPUT#", Some(taproot)) => {
                Builder::new().push_opcode(OP_PUSHNUM_1).push_slice(taproot.output_key().serialize()).into_script()
            }
            (script, _) => assemble(script),
        };
        let mut flags = CaseFlags::parse(text(&rest[2]));
        if flags.has_policy("CLEANSTACK") {
            flags.consensus = flags.consensus | ScriptFlags::P2SH | ScriptFlags::WITNESS;
        }
        Self {
            witness: parsed.elements,
            value: parsed.value,
            script_sig: assemble(text(&rest[0])),
            script_pubkey,
            flags,
            error: text(&rest[3]).to_owned(),
        }
    }

    /// The transaction that spends the only output of another, of which a coinbase-like input makes it.
    ///
    /// Source: Bitcoin Core, `test/util/transaction_utils.cpp`.
    fn transactions(&self) -> (TxOut, Vec<u8>) {
        let transaction = |previous_output, script_sig, witness, output| Transaction {
            version: transaction::Version::ONE,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn { previous_output, script_sig, sequence: Sequence::MAX, witness }],
            output: vec![output],
        };
        let spent = TxOut { value: self.value, script_pubkey: self.script_pubkey.clone() };
        let script_sig = Builder::new().push_int(0).push_int(0).into_script();
        let credit = transaction(OutPoint::null(), script_sig, Witness::new(), spent.clone());
        let outpoint = OutPoint { txid: credit.compute_txid(), vout: 0 };
        assert_ne!(outpoint.txid, Txid::all_zeros());
        let output = TxOut { value: self.value, script_pubkey: ScriptBuf::new() };
        let spend = transaction(outpoint, self.script_sig.clone(), Witness::from_slice(&self.witness), output);
        (spent, serialize(&spend))
    }

    /// The policy flag that may have raised the error, so that consensus alone might not.
    ///
    /// Source: Bitcoin Core, `script/interpreter.cpp`: where each error is set.
    fn policy_cause(&self) -> Option<&'static str> {
        let has = |name| self.flags.has_policy(name);
        let cause = match self.error.as_str() {
            "MINIMALDATA" => "MINIMALDATA",
            // A number of too many bytes, or with that flag one that is not written in the fewest.
            "SCRIPTNUM" if has("MINIMALDATA") => "MINIMALDATA",
            "CLEANSTACK" if has("CLEANSTACK") => "CLEANSTACK",
            "MINIMALIF" if has("MINIMALIF") => "MINIMALIF",
            "WITNESS_PUBKEYTYPE" => "WITNESS_PUBKEYTYPE",
            "DISCOURAGE_UPGRADABLE_NOPS" => "DISCOURAGE_UPGRADABLE_NOPS",
            "DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM" => "DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM",
            "PUBKEYTYPE" | "SIG_HASHTYPE" => "STRICTENC",
            "SIG_HIGH_S" => "LOW_S",
            "SIG_DER" if !self.flags.consensus.contains(ScriptFlags::DERSIG) => "STRICTENC",
            "NULLFAIL" => "NULLFAIL",
            "SIG_PUSHONLY" if has("SIGPUSHONLY") => "SIGPUSHONLY",
            _ => return None,
        };
        Some(cause)
    }
}

/// The witness of a case.
struct Witnessed {
    elements: Vec<Vec<u8>>,
    value: Amount,
    taproot: Option<TaprootSpendInfo>,
}

impl Witnessed {
    /// Elements are bytes in hexadecimal, a script in words, or the control block of that script; last comes the value in
    /// bitcoin.
    fn parse(witness: &[Value]) -> Self {
        let (value, elements) = witness.split_last().unwrap();
        let value = Amount::from_btc(value.as_f64().unwrap()).unwrap();
        let mut parsed = Self { elements: Vec::new(), value, taproot: None };
        for element in elements.iter().map(text) {
            let bytes = if let Some(script) = element.strip_prefix("#SCRIPT#") {
                assemble(script).into_bytes()
            } else if element == "#CONTROLBLOCK#" {
                let script = ScriptBuf::from_bytes(parsed.elements.last().unwrap().clone());
                let taproot = one_leaf(script.clone());
                let control = taproot.control_block(&(script, LeafVersion::TapScript)).unwrap().serialize();
                parsed.taproot = Some(taproot);
                control
            } else {
                hex::decode(element).unwrap()
            };
            parsed.elements.push(bytes);
        }
        parsed
    }
}

/// A tree of one script, under the key whose secret is 1.
fn one_leaf(script: ScriptBuf) -> TaprootSpendInfo {
    let secp = Secp256k1::new();
    let mut secret = [0; 32];
    secret[31] = 1;
    let key = Keypair::from_secret_key(&secp, &SecretKey::from_slice(&secret).unwrap());
    let (key, _) = XOnlyPublicKey::from_keypair(&key);
    TaprootBuilder::new().add_leaf(0, script).unwrap().finalize(&secp, key).unwrap()
}

pub fn cores_scripts() -> Result<(), Missing> {
    let sets: Vec<ScriptFlags> = flag_sets().collect();
    let (mut passed, mut failed) = (0, 0);
    // The cases that fail because of a policy flag, by flag: how many of them consensus accepts, and how many it refuses.
    let mut policy: BTreeMap<&str, [u32; 2]> = BTreeMap::new();
    for case in cases("script_tests")? {
        let parsed = Case::parse(&case);
        let (spent, raw) = parsed.transactions();
        let holds = |flags| first_failing_input(&raw, &[&spent], flags).is_none();
        let context = || Value::Array(case.clone());
        if parsed.error == "OK" {
            for set in sets.iter().filter(|set| parsed.flags.consensus.contains(**set)) {
                assert!(holds(*set), "{set:?}: {}", context());
            }
            passed += 1;
        } else if let Some(cause) = parsed.policy_cause() {
            let accepted = holds(parsed.flags.consensus);
            policy.entry(cause).or_default()[usize::from(!accepted)] += 1;
        } else {
            for set in sets.iter().filter(|set| set.contains(parsed.flags.consensus)) {
                assert!(!holds(*set), "{set:?}: {}", context());
            }
            failed += 1;
        }
    }
    println!(
        "scripts: {passed} pass, {failed} fail; for a policy flag's sake (accepted, refused by consensus): {policy:?}"
    );
    assert_eq!((passed, failed), (675, 418));
    let wanted = [
        ("CLEANSTACK", [2, 0]),
        ("DISCOURAGE_UPGRADABLE_NOPS", [10, 0]),
        ("DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM", [1, 0]),
        ("LOW_S", [1, 0]),
        ("MINIMALDATA", [75, 1]),
        ("MINIMALIF", [6, 6]),
        ("NULLFAIL", [3, 0]),
        ("SIGPUSHONLY", [2, 0]),
        ("STRICTENC", [7, 4]),
        ("WITNESS_PUBKEYTYPE", [10, 1]),
    ];
    assert_eq!(policy, BTreeMap::from(wanted));
    Ok(())
}
