//! The compact encoding of amounts and scripts in coins and undo records.
//!
//! Source: Bitcoin Core, `compressor.h`.

use bitcoin::hashes::Hash;
use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, PubkeyHash, ScriptBuf, ScriptHash, TxOut};

use super::MAX_SCRIPT_SIZE;
use crate::serialize::{Decoder, EncodingError, put_varint};

/// Values below this in a script's length field stand for script templates (Core's `nSpecialScripts`).
const SPECIAL_SCRIPTS: u64 = 6;

/// An amount in satoshi with its trailing decimal zeros folded into one digit (Core's `CompressAmount`).
///
/// Amounts above about 1.6e18 satoshi have no such form; valid amounts are far below.
const fn compress_amount(satoshi: u64) -> u64 {
    if satoshi == 0 {
        return 0;
    }
    let (mut digits, mut zeros) = (satoshi, 0);
    while digits.is_multiple_of(10) && zeros < 9 {
        digits /= 10;
        zeros += 1;
    }
    if zeros < 9 { 1 + (digits / 10 * 9 + digits % 10 - 1) * 10 + zeros } else { 1 + (digits - 1) * 10 + 9 }
}

/// The amount in satoshi of [`compress_amount`]; `None` if it does not fit 64 bits.
fn decompress_amount(compressed: u64) -> Option<u64> {
    let Some(rest) = compressed.checked_sub(1) else { return Some(0) };
    let (zeros, rest) = (rest % 10, rest / 10);
    let digits = if zeros < 9 { (rest / 9).checked_mul(10)?.checked_add(rest % 9 + 1)? } else { rest.checked_add(1)? };
    digits.checked_mul(10_u64.pow(zeros as u32))
}

fn put_script(to: &mut Vec<u8>, script: &bitcoin::Script) {
    let bytes = script.as_bytes();
    match *bytes {
        _ if script.is_p2pkh() => {
            to.push(0);
            to.extend_from_slice(&bytes[3..23]);
        }
        _ if script.is_p2sh() => {
            to.push(1);
            to.extend_from_slice(&bytes[2..22]);
        }
        [33, sign @ (2 | 3), .., 0xac] if bytes.len() == 35 => {
            to.push(sign);
            to.extend_from_slice(&bytes[2..34]);
        }
        // The y coordinate of an uncompressed key is recomputed from x, so the key must be a point on the curve.
        [65, 4, .., last, 0xac] if bytes.len() == 67 && PublicKey::from_slice(&bytes[1..66]).is_ok() => {
            to.push(4 | (last & 1));
            to.extend_from_slice(&bytes[2..34]);
        }
        _ => {
            put_varint(to, bytes.len() as u64 + SPECIAL_SCRIPTS);
            to.extend_from_slice(bytes);
        }
    }
}

fn take_script(from: &mut Decoder<'_>) -> Result<ScriptBuf, EncodingError> {
    Ok(match from.varint()? {
        0 => ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(from.take_array()?)),
        1 => ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(from.take_array()?)),
        sign @ 2..=5 => {
            let mut key = [0; 33];
            key[0] = 2 | (sign as u8 & 1);
            key[1..].copy_from_slice(from.take(32)?);
            if sign < 4 {
                pay_to_key(&key)
            } else {
                let point =
                    PublicKey::from_slice(&key).map_err(|_| from.error("a key that is no point of the curve"))?;
                pay_to_key(&point.serialize_uncompressed())
            }
        }
        length => {
            let length = usize::try_from(length - SPECIAL_SCRIPTS).ok().filter(|length| *length <= MAX_SCRIPT_SIZE);
            let length = length.ok_or_else(|| from.error("a script above 10,000 bytes"))?;
            ScriptBuf::from_bytes(from.take(length)?.to_vec())
        }
    })
}

/// The script that pays to `key`. It does not use `bitcoin::PublicKey`: a compressed key may be off the curve.
fn pay_to_key(key: &[u8]) -> ScriptBuf {
    let mut script = Vec::with_capacity(key.len() + 2);
    script.push(key.len() as u8);
    script.extend_from_slice(key);
    script.push(0xac);
    ScriptBuf::from_bytes(script)
}

/// Appends value and script.
pub(super) fn put_output(to: &mut Vec<u8>, output: &TxOut) {
    put_varint(to, compress_amount(output.value.to_sat()));
    put_script(to, &output.script_pubkey);
}

/// Reads value and script.
pub(super) fn take_output(from: &mut Decoder<'_>) -> Result<TxOut, EncodingError> {
    let compressed = from.varint()?;
    let satoshi = decompress_amount(compressed).ok_or_else(|| from.error("an amount above 64 bits"))?;
    Ok(TxOut { value: Amount::from_sat(satoshi), script_pubkey: take_script(from)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `compress_tests.cpp` of Core.
    #[test]
    fn amounts_are_those_of_core() {
        const COIN: u64 = 100_000_000;
        for (satoshi, compressed) in
            [(0, 0), (1, 1), (1_000_000, 0x7), (COIN, 0x9), (50 * COIN, 0x32), (21_000_000 * COIN, 0x0140_6f40)]
        {
            assert_eq!(compress_amount(satoshi), compressed);
            assert_eq!(decompress_amount(compressed), Some(satoshi));
        }
        assert_eq!(decompress_amount(u64::MAX), None);
    }

    fn script(hexadecimal: &str) -> ScriptBuf {
        ScriptBuf::from_hex(hexadecimal).unwrap()
    }

    #[test]
    fn scripts_shrink_to_their_templates() {
        // The key of the genesis block's coinbase, compressed and whole.
        let x = "678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb6";
        let y = "49f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f";
        let hash = "62e907b15cbf27d5425399ebf6f0fb50ebb88f18";
        for (whole, compressed) in [
            (format!("76a914{hash}88ac"), format!("00{hash}")),
            (format!("a914{hash}87"), format!("01{hash}")),
            (format!("2103{x}ac"), format!("03{x}")),
            (format!("4104{x}{y}ac"), format!("05{x}")),
            (format!("0014{hash}"), format!("1c0014{hash}")),
            // Not on the curve: the second half could not be found again.
            (format!("4104{x}{x}ac"), format!("494104{x}{x}ac")),
            (String::new(), "06".to_owned()),
        ] {
            let mut bytes = Vec::new();
            put_script(&mut bytes, &script(&whole));
            assert_eq!(hex::encode(&bytes), compressed);
            assert_eq!(take_script(&mut Decoder::new(&bytes)), Ok(script(&whole)));
        }
    }

    proptest! {
        #[test]
        fn every_amount_comes_back(satoshi in 0..=2_100_000_000_000_000_u64) {
            prop_assert_eq!(decompress_amount(compress_amount(satoshi)), Some(satoshi));
        }
    }
}
