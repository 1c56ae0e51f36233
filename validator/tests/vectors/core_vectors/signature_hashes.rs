//! `sighash.json`: signature hashes before BIP143.
//!
//! The script engine computes them while it validates and does not return them, so every signature in the other files
//! checks those. These tests check the signature hashes of `bitcoin`, with which Adit's crates sign.

use adit_testchain::trials::Missing;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_CODESEPARATOR;
use bitcoin::script::Instruction;
use bitcoin::sighash::SighashCache;
use bitcoin::{Script, ScriptBuf, Transaction};

use super::{cases, text};

pub fn cores_signature_hashes() -> Result<(), Missing> {
    let cases = cases("sighash")?;
    for case in &cases {
        let transaction: Transaction = deserialize(&hex::decode(text(&case[0])).unwrap()).unwrap();
        let script = without_separators(&hex::decode(text(&case[1])).unwrap());
        let input = usize::try_from(case[2].as_u64().unwrap()).unwrap();
        let kind = i32::try_from(case[3].as_i64().unwrap()).unwrap().cast_unsigned();
        let hash = SighashCache::new(&transaction).legacy_signature_hash(input, &script, kind).unwrap();
        let mut shown = hash.to_byte_array();
        shown.reverse();
        assert_eq!(hex::encode(shown), text(&case[4]), "{case:?}");
    }
    assert_eq!(cases.len(), 500);
    Ok(())
}

/// What is signed has no OP_CODESEPARATOR, up to the first push that reaches beyond the script; `bitcoin` leaves it to
/// its caller to take them out.
///
/// Source: Bitcoin Core, `script/interpreter.cpp`, `SerializeScriptCode`.
fn without_separators(script: &[u8]) -> ScriptBuf {
    let separators: Vec<usize> = Script::from_bytes(script)
        .instruction_indices()
        .map_while(Result::ok)
        .filter(|(_, instruction)| *instruction == Instruction::Op(OP_CODESEPARATOR))
        .map(|(at, _)| at)
        .collect();
    let kept = script.iter().enumerate().filter(|(at, _)| !separators.contains(at));
    ScriptBuf::from_bytes(kept.map(|(_, byte)| *byte).collect())
}
