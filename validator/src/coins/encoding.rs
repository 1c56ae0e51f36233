//! Coins as bytes: Bitcoin Core's compact encoding of amounts, scripts and coins, and the keys that coins are stored
//! under.
//!
//! Core's shape (`serialize.h`, `compressor.h`) and not one of our own, because it is as small as anything that needs
//! no dictionary, and because undo files in it can be read by tools that know Core's. docs/store-format.md gives the
//! layout.

use bitcoin::hashes::Hash;
use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, OutPoint, PubkeyHash, ScriptBuf, ScriptHash, TxOut, Txid};
use thiserror::Error;

use super::{Coin, CoinRef, MAX_SCRIPT_SIZE};

/// Values below this in a script's length field stand for script templates (Core's `nSpecialScripts`).
const SPECIAL_SCRIPTS: u64 = 6;

/// Bytes that are not the encoding of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at byte {offset}")]
pub struct DecodeError {
    /// Where in the decoded bytes.
    pub offset: usize,
    /// What was wrong there.
    pub what: &'static str,
}

/// A cursor over bytes being decoded.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// A cursor at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// An error at the present place.
    #[must_use]
    pub const fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { offset: self.offset, what }
    }

    /// The bytes that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.error("the bytes end too early"))?;
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Core's VARINT.
    ///
    /// # Errors
    /// The bytes end, or the number needs more than 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        loop {
            let [byte] = self.take_array()?;
            number =
                number.checked_mul(128).ok_or_else(|| self.error("a number above 64 bits"))? | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            number = number.checked_add(1).ok_or_else(|| self.error("a number above 64 bits"))?;
        }
    }

    /// A CompactSize; only the shortest encoding is taken.
    ///
    /// # Errors
    /// The bytes end, or the number would fit a shorter encoding.
    pub fn compact_size(&mut self) -> Result<u64, DecodeError> {
        let [first] = self.take_array()?;
        let (number, least) = match first {
            0xfd => (u64::from(u16::from_le_bytes(self.take_array()?)), 0xfd),
            0xfe => (u64::from(u32::from_le_bytes(self.take_array()?)), 0x1_0000),
            0xff => (u64::from_le_bytes(self.take_array()?), 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if number < least { Err(self.error("a count in more bytes than it needs")) } else { Ok(number) }
    }

    /// Asks that nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.error("bytes left over")) }
    }
}

/// Appends Core's VARINT of `number`.
pub fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    let mut groups = [0_u8; 10];
    let mut first = groups.len() - 1;
    groups[first] = (number & 0x7f) as u8;
    while number > 0x7f {
        number = (number >> 7) - 1;
        first -= 1;
        groups[first] = (number & 0x7f) as u8 | 0x80;
    }
    to.extend_from_slice(&groups[first..]);
}

/// Appends the CompactSize of `number`.
pub fn put_compact_size(to: &mut Vec<u8>, number: u64) {
    match number {
        0..=0xfc => to.push(number as u8),
        0xfd..=0xffff => {
            to.push(0xfd);
            to.extend_from_slice(&(number as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            to.push(0xfe);
            to.extend_from_slice(&(number as u32).to_le_bytes());
        }
        _ => {
            to.push(0xff);
            to.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// An amount in satoshi with its trailing decimal zeros folded into one digit (Core's `CompressAmount`).
///
/// Amounts above about 1.6e18 satoshi have no such form; no valid output comes near.
#[must_use]
pub const fn compress_amount(satoshi: u64) -> u64 {
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

/// What [`compress_amount`] was given; `None` if that would not fit 64 bits.
#[must_use]
pub fn decompress_amount(compressed: u64) -> Option<u64> {
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
        // The other half of an uncompressed key is found again from the first, which only works for points on the
        // curve.
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

fn take_script(from: &mut Decoder<'_>) -> Result<ScriptBuf, DecodeError> {
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

/// Not through `bitcoin::PublicKey`: a compressed key is kept as it was seen, on the curve or not.
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

/// Takes value and script.
pub(super) fn take_output(from: &mut Decoder<'_>) -> Result<TxOut, DecodeError> {
    let compressed = from.varint()?;
    let satoshi = decompress_amount(compressed).ok_or_else(|| from.error("an amount above 64 bits"))?;
    Ok(TxOut { value: Amount::from_sat(satoshi), script_pubkey: take_script(from)? })
}

/// Height and coinbase flag in one number, as undo records and the database hold them.
pub(super) fn origin_code(coin: CoinRef<'_>) -> u64 {
    u64::from(coin.height) * 2 + u64::from(coin.is_coinbase)
}

/// Height and coinbase flag out of [`origin_code`].
pub(super) fn take_origin(from: &mut Decoder<'_>) -> Result<(u32, bool), DecodeError> {
    let code = from.varint()?;
    let height = u32::try_from(code / 2).map_err(|_| from.error("a height above 32 bits"))?;
    Ok((height, code % 2 == 1))
}

/// The bytes of `coin` in the database.
#[must_use]
pub fn encode_coin<'a>(coin: impl Into<CoinRef<'a>>) -> Vec<u8> {
    let coin = coin.into();
    let mut bytes = Vec::with_capacity(48);
    put_varint(&mut bytes, origin_code(coin));
    put_output(&mut bytes, coin.output);
    bytes
}

/// The coin of [`encode_coin`].
///
/// # Errors
/// The bytes are no such coin, or more than one.
pub fn decode_coin(bytes: &[u8]) -> Result<Coin, DecodeError> {
    let mut from = Decoder::new(bytes);
    let (height, is_coinbase) = take_origin(&mut from)?;
    let output = take_output(&mut from)?;
    from.finish()?;
    Ok(Coin { output, height, is_coinbase })
}

/// The key of a coin, on the stack: txid, then the output index in as many big-endian bytes as it needs, so that keys
/// sort as outpoints do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutpointKey {
    bytes: [u8; LONGEST_KEY],
    length: u8,
}

/// A txid, and an output index in five bytes.
const LONGEST_KEY: usize = 37;

impl std::ops::Deref for OutpointKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}

/// The key of the coin at `outpoint`.
#[must_use]
pub fn encode_outpoint(outpoint: &OutPoint) -> OutpointKey {
    let mut bytes = [0; LONGEST_KEY];
    bytes[..32].copy_from_slice(outpoint.txid.as_byte_array());
    let length = match outpoint.vout {
        small @ 0..=0xfc => {
            bytes[32] = small as u8;
            33
        }
        middle @ 0xfd..=0xffff => {
            bytes[32] = 0xfd;
            bytes[33..35].copy_from_slice(&(middle as u16).to_be_bytes());
            35
        }
        large => {
            bytes[32] = 0xfe;
            bytes[33..].copy_from_slice(&large.to_be_bytes());
            37
        }
    };
    OutpointKey { bytes, length }
}

/// Takes a key off the bytes before which it stands.
///
/// # Panics
/// If there is none.
pub(crate) fn split_key(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(match bytes[32] {
        0xfd => 35,
        0xfe.. => LONGEST_KEY,
        _ => 33,
    })
}

/// The outpoint of [`encode_outpoint`].
///
/// # Errors
/// The bytes are no such key.
pub fn decode_outpoint(key: &[u8]) -> Result<OutPoint, DecodeError> {
    let mut from = Decoder::new(key);
    let txid = Txid::from_byte_array(from.take_array()?);
    let [first] = from.take_array()?;
    let vout = match first {
        0xfd => u32::from(u16::from_be_bytes(from.take_array()?)),
        0xfe => u32::from_be_bytes(from.take_array()?),
        0xff => return Err(from.error("an output index of unknown width")),
        small => u32::from(small),
    };
    from.finish()?;
    Ok(OutPoint { txid, vout })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint(number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        bytes
    }

    /// The table in the comment above Core's `WriteVarInt`.
    #[test]
    fn varints_are_those_of_core() {
        for (number, bytes) in [
            (0, "00"),
            (1, "01"),
            (127, "7f"),
            (128, "8000"),
            (255, "807f"),
            (256, "8100"),
            (16_383, "fe7f"),
            (16_384, "ff00"),
            (16_511, "ff7f"),
            (65_535, "82fe7f"),
            (1 << 32, "8efefeff00"),
        ] {
            assert_eq!(hex::encode(varint(number)), bytes);
        }
        assert_eq!(Decoder::new(&[0xff; 12]).varint().map_err(|error| error.what), Err("a number above 64 bits"));
    }

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

    #[test]
    fn damaged_coins_are_refused() {
        let coin = Coin {
            output: TxOut { value: Amount::from_sat(5_000_000_000), script_pubkey: script("51") },
            height: 7,
            is_coinbase: true,
        };
        let bytes = encode_coin(&coin);
        assert_eq!(decode_coin(&bytes), Ok(coin));
        for length in 0..bytes.len() {
            assert_eq!(decode_coin(&bytes[..length]).unwrap_err().what, "the bytes end too early");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode_coin(&longer), Err(DecodeError { offset: bytes.len(), what: "bytes left over" }));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number: u64) {
            prop_assert_eq!(Decoder::new(&varint(number)).varint(), Ok(number));
            let mut bytes = Vec::new();
            put_compact_size(&mut bytes, number);
            prop_assert_eq!(Decoder::new(&bytes).compact_size(), Ok(number));
        }

        #[test]
        fn every_amount_comes_back(satoshi in 0..=2_100_000_000_000_000_u64) {
            prop_assert_eq!(decompress_amount(compress_amount(satoshi)), Some(satoshi));
        }

        #[test]
        fn every_coin_comes_back(
            satoshi in 0..=2_100_000_000_000_000_u64,
            script in proptest::collection::vec(any::<u8>(), 0..200),
            height: u32,
            is_coinbase: bool,
        ) {
            let output = TxOut { value: Amount::from_sat(satoshi), script_pubkey: ScriptBuf::from_bytes(script) };
            let coin = Coin { output, height, is_coinbase };
            prop_assert_eq!(decode_coin(&encode_coin(&coin)), Ok(coin));
        }

        #[test]
        fn foreign_bytes_are_refused_or_mean_one_thing(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(coin) = decode_coin(&bytes) {
                prop_assert_eq!(decode_coin(&encode_coin(&coin)), Ok(coin));
            }
            if let Ok(outpoint) = decode_outpoint(&bytes) {
                prop_assert_eq!(decode_outpoint(&encode_outpoint(&outpoint)), Ok(outpoint));
            }
        }

        #[test]
        fn keys_sort_as_outpoints(txid: [u8; 32], one: u32, other: u32, small in 0..70_000_u32) {
            let key = |vout| encode_outpoint(&OutPoint { txid: Txid::from_byte_array(txid), vout });
            prop_assert_eq!(key(one).cmp(&key(other)), one.cmp(&other));
            prop_assert_eq!(key(one).cmp(&key(small)), one.cmp(&small));
            prop_assert_eq!(decode_outpoint(&key(small)).map(|outpoint| outpoint.vout), Ok(small));
        }
    }
}
