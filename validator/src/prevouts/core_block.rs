//! Reads a block's prevouts from the JSON of Bitcoin Core's `getblock HASH 3`.
//!
//! Only the fields that a list of prevouts needs are read: `height`, and of each input `txid`, `vout` and `prevout`.
//! Values are decimals in bitcoin. They are read digit by digit, because a binary fraction cannot hold most of them.
//!
//! Source: Bitcoin Core, `rpc/blockchain.cpp`, `getblock`, and `core_write.cpp`, `TxToUniv`.

use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::PrevoutsError;
use crate::coins::Coin;

/// The decimals of an amount in bitcoin.
const DECIMALS: usize = 8;

/// The longest text of a value that is read, in bytes. Core writes 17 at most.
const MAX_VALUE_LEN: usize = 40;

/// The block. Its transactions are parsed one by one, so that an error can name one.
#[derive(Deserialize)]
struct Block<'a> {
    height: u32,
    #[serde(borrow)]
    tx: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    vin: Vec<Input<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    /// Present in a coinbase's input only.
    coinbase: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "txid")]
    txid: Option<Txid>,
    vout: Option<u32>,
    #[serde(borrow)]
    prevout: Option<Prevout<'a>>,
}

#[derive(Deserialize)]
struct Prevout<'a> {
    /// Whether a coinbase created it.
    generated: bool,
    height: u32,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(rename = "scriptPubKey")]
    script_pubkey: ScriptPubKey,
}

#[derive(Deserialize)]
struct ScriptPubKey {
    #[serde(deserialize_with = "script")]
    hex: ScriptBuf,
}

fn txid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Txid>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

fn script<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ScriptBuf, D::Error> {
    ScriptBuf::from_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Whether `json` is a block of Bitcoin Core, with any amount of detail.
pub(super) fn is_core_block(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct AnyBlock {
        tx: Option<IgnoredAny>,
    }

    serde_json::from_slice::<AnyBlock>(json).is_ok_and(|block| block.tx.is_some())
}

/// The block's height, and its prevouts in order.
///
/// # Errors
/// It does not have Core's format, or has less detail than `getblock HASH 3` prints.
pub(super) fn read(json: &[u8]) -> Result<(u32, Vec<(OutPoint, Coin)>), PrevoutsError> {
    let Block { height, tx: transactions } = serde_json::from_slice(json)?;
    let mut spent = Vec::new();
    for (tx, transaction) in transactions.iter().enumerate() {
        if transaction.get().starts_with('"') {
            return Err(PrevoutsError::OnlyIds { tx });
        }
        let Transaction { vin } =
            serde_json::from_str(transaction.get()).map_err(|reason| PrevoutsError::Transaction { tx, reason })?;
        for (input, txin) in vin.into_iter().enumerate().filter(|(_, txin)| txin.coinbase.is_none()) {
            spent.push(spent_by(tx, input, txin)?);
        }
    }
    Ok((height, spent))
}

/// The prevout of one input.
fn spent_by(tx: usize, input: usize, txin: Input<'_>) -> Result<(OutPoint, Coin), PrevoutsError> {
    let (Some(txid), Some(vout), Some(prevout)) = (txin.txid, txin.vout, txin.prevout) else {
        return Err(PrevoutsError::NoPrevout { tx, input });
    };
    let value = prevout.value.get();
    let value = satoshi(value).ok_or_else(|| PrevoutsError::Value {
        tx,
        input,
        value: value.chars().take(MAX_VALUE_LEN).collect(),
    })?;
    let output = TxOut { value: Amount::from_sat(value), script_pubkey: prevout.script_pubkey.hex };
    let coin = Coin { output, height: prevout.height, is_coinbase: prevout.generated };
    Ok((OutPoint { txid, vout }, coin))
}

/// Converts a JSON number of bitcoin to satoshi, exactly. `None`: it is not a number, is negative, has a fraction of a
/// satoshi, or does not fit 64 bits.
fn satoshi(number: &str) -> Option<u64> {
    if number.len() > MAX_VALUE_LEN {
        return None;
    }
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The amount in satoshi is the digits as an integer times ten to the power of this.
    let power = i64::from(exponent) + DECIMALS as i64 - fraction.len() as i64;
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = usize::try_from(power + (digits.len() - significant.len()) as i64).ok()?;
    let scale = 10_u64.checked_pow(u32::try_from(zeros).ok()?)?;
    significant.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_exactly() {
        for (text, wanted) in [
            ("0.00000000", 0),
            ("0", 0),
            ("0.00000001", 1),
            ("0.29", 29_000_000),
            ("1.10000000", 110_000_000),
            ("20999999.97690001", 2_099_999_997_690_001),
            ("90071992.54740993", 9_007_199_254_740_993),
            ("184467440737.09551615", u64::MAX),
            ("0.100000000000", 10_000_000),
            ("5.46e-06", 546),
            ("1e-8", 1),
            ("1E+2", 10_000_000_000),
            ("0e99", 0),
        ] {
            assert_eq!(satoshi(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "-0.1",
            "-0",
            "0.000000001",
            "1e-9",
            "184467440737.09551616",
            "1e12",
            "1e999999999",
            "1e-999999999",
            "1e99999999999",
            "null",
            "\"1.0\"",
            "[1]",
            "",
            ".",
            "00000000000000000000000000000000000000001",
        ] {
            assert_eq!(satoshi(text), None, "{text}");
        }
    }
}
