//! Scripts as Bitcoin Core's vectors write them: words for operations, numbers, bytes as they are, strings that are pushed.

use bitcoin::ScriptBuf;
use bitcoin::opcodes::Opcode;
use bitcoin::opcodes::all::{OP_CLTV, OP_CSV, OP_NOP, OP_RESERVED};
use bitcoin::script::{Builder, PushBytesBuf};

/// Source: Bitcoin Core, `core_io.cpp`, `ParseScript`.
pub(super) fn assemble(text: &str) -> ScriptBuf {
    let mut script = Vec::new();
    for word in text.split([' ', '\t', '\n']).filter(|word| !word.is_empty()) {
        if let Some(bytes) = word.strip_prefix("0x") {
            script.extend(hex::decode(bytes).unwrap_or_else(|error| panic!("{word}: {error}")));
        } else if let Ok(number) = word.parse::<i64>() {
            script.extend(Builder::new().push_int(number).into_bytes());
        } else if let Some(string) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            let data = PushBytesBuf::try_from(string.as_bytes().to_vec()).unwrap();
            script.extend(Builder::new().push_slice(data).into_bytes());
        } else {
            script.push(opcode(word));
        }
    }
    ScriptBuf::from_bytes(script)
}

/// The operation of a name, with `OP_` before it or without; those that push have none.
fn opcode(word: &str) -> u8 {
    let name = word.strip_prefix("OP_").unwrap_or(word);
    match name {
        "CHECKLOCKTIMEVERIFY" => return OP_CLTV.to_u8(),
        "CHECKSEQUENCEVERIFY" => return OP_CSV.to_u8(),
        _ => {}
    }
    let named = |byte: &u8| Opcode::from(*byte).to_string().strip_prefix("OP_") == Some(name);
    let candidates = [OP_RESERVED.to_u8()].into_iter().chain(OP_NOP.to_u8()..=u8::MAX);
    candidates.into_iter().find(named).unwrap_or_else(|| panic!("no operation is called {word:?}"))
}

/// Of every kind of word one.
pub fn words_become_bytes() {
    let script = assemble("0 -1 16 17 -128  0x4c01aa 'ab' '' DUP OP_CHECKSIG CHECKLOCKTIMEVERIFY RESERVED NOP10");
    let bytes = "00 4f 60 0111 028080 4c01aa 026162 00 76 ac b1 50 b9";
    assert_eq!(hex::encode(script.as_bytes()), bytes.replace(' ', ""));
}
