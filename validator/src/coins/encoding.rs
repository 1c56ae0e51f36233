//! The encoding of coins and outpoints in the database.
//!
//! It is Bitcoin Core's (`coins.h`, `compressor.h`): it is small, and tools that read Core's undo files can read ours. docs/store-format.md gives the layout.

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, Txid};

use super::compressor::{put_output, take_output};
use super::{Coin, CoinRef};
use crate::serialize::{Decoder, EncodingError, put_varint};

/// Height × 2 + coinbase flag, in undo records and in the database.
pub(super) fn origin_code(coin: CoinRef<'_>) -> u64 {
    u64::from(coin.height) * 2 + u64::from(coin.is_coinbase)
}

/// Reads the height and coinbase flag of [`origin_code`].
pub(super) fn take_origin(from: &mut Decoder<'_>) -> Result<(u32, bool), EncodingError> {
    let code = from.varint()?;
    let height = u32::try_from(code / 2).map_err(|_| from.error("a height above 32 bits"))?;
    Ok((height, code % 2 == 1))
}

/// The value of `coin` in the database.
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
/// The bytes are not one encoded coin.
pub fn decode_coin(bytes: &[u8]) -> Result<Coin, EncodingError> {
    let mut from = Decoder::new(bytes);
    let (height, is_coinbase) = take_origin(&mut from)?;
    let output = take_output(&mut from)?;
    from.finish()?;
    Ok(Coin { output, height, is_coinbase })
}

/// The key of a coin in the database, without allocation: txid, then the output index in as many big-endian bytes as it
/// needs, so that keys sort as outpoints do.
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

/// Splits bytes into the key that they begin with and the rest.
///
/// # Panics
/// If they do not begin with a key.
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
/// The bytes are not an encoded outpoint.
pub fn decode_outpoint(key: &[u8]) -> Result<OutPoint, EncodingError> {
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
    use bitcoin::{Amount, ScriptBuf, TxOut};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn damaged_coins_are_refused() {
        let coin = Coin {
            output: TxOut { value: Amount::from_sat(5_000_000_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51]) },
            height: 7,
            is_coinbase: true,
        };
        let bytes = encode_coin(&coin);
        assert_eq!(decode_coin(&bytes), Ok(coin));
        for length in 0..bytes.len() {
            assert_eq!(decode_coin(&bytes[..length]).unwrap_err().what, "the bytes end too early");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode_coin(&longer), Err(EncodingError { offset: bytes.len(), what: "bytes left over" }));
    }

    proptest! {
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
