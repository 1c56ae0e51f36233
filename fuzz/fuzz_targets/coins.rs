//! Bytes as values of the store in Bitcoin Core's compact encodings: a coin, its key, an undo record.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::coins::BlockUndo;
use adit_validator::coins::encoding::{decode_coin, decode_outpoint, encode_coin, encode_outpoint};

fuzz_target!(|bytes: &[u8]| {
    // A decoded value is the same after it is encoded and decoded again. The bytes may differ, since a script has a long
    // form and a short one.
    if let Ok(coin) = decode_coin(bytes) {
        assert_eq!(decode_coin(&encode_coin(&coin)), Ok(coin));
    }
    if let Ok(outpoint) = decode_outpoint(bytes) {
        assert_eq!(decode_outpoint(&encode_outpoint(&outpoint)), Ok(outpoint));
    }
    if let Ok(undo) = BlockUndo::decode(bytes) {
        assert_eq!(BlockUndo::decode(&undo.encode()), Ok(undo));
    }
});
