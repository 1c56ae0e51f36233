//! Readers and bounds of the values in a chain file. An error has the value seen and the value wanted; the TOML reader adds
//! line and field.

use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Target, Work};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected};

use super::limits::{MAX_MESSAGE_LEN, MAX_NAME_LEN, MAX_SEEDS};
use crate::chain::params::ChainParams;
use crate::chain::peer::PeerAddress;
use crate::consensus::{MAX_MONEY, MAX_SCRIPT_SIZE};

/// Characters of an invalid value that an error quotes.
const MAX_QUOTED: usize = 80;

/// The highest first byte of `pow_limit`, regtest's. A higher one would set the sign bit of the compact target.
const EASIEST_LIMIT: u8 = 0x7f;

/// Reads a string and converts it; on `None` the error names `wanted`.
fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    wanted: &str,
    make: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    make(&text).ok_or_else(|| {
        let end = text.char_indices().nth(MAX_QUOTED).map_or(text.len(), |(at, _)| at);
        D::Error::invalid_value(Unexpected::Str(&text[..end]), &wanted)
    })
}

/// A whole number from `LOW` to `HIGH`.
pub(super) fn number<'de, D, T, const LOW: u64, const HIGH: u64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let seen = i64::deserialize(deserializer)?;
    let bounded = u64::try_from(seen).ok().filter(|number| (LOW..=HIGH).contains(number));
    bounded.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let wanted = format!("a number from {LOW} to {HIGH}");
        D::Error::invalid_value(Unexpected::Signed(seen), &wanted.as_str())
    })
}

/// `N` bytes in hexadecimal, in the order in which they are sent.
pub(super) fn hex<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    text(deserializer, &format!("{} hexadecimal digits", 2 * N), bytes)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The length is checked first, so that a long text is not decoded.
    Some(text).filter(|text| text.len() == 2 * N).and_then(|text| Vec::from_hex(text).ok())?.try_into().ok()
}

/// 32 bytes, most significant first, as hashes and numbers are printed.
fn printed(text: &str) -> Option<[u8; 32]> {
    bytes(text)
}

/// The name of a chain that is not built in.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let wanted = format!(
        "1 to {MAX_NAME_LEN} of a-z, 0-9, - and _, beginning with a letter, and none of {}",
        ChainParams::NAMES.join(", ")
    );
    text(deserializer, &wanted, |name| {
        let is_plain = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_'));
        let begins = name.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
        let is_reserved = ChainParams::NAMES.contains(&name);
        (is_plain && begins && !is_reserved && name.len() <= MAX_NAME_LEN).then(|| name.to_owned())
    })
}

/// A magic that no built-in chain has.
pub(super) fn magic<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 4], D::Error> {
    text(deserializer, "8 hexadecimal digits, and not the magic of a built-in chain", |text| {
        bytes(text).filter(|magic| !is_reserved_magic(*magic))
    })
}

/// Whether a built-in chain has this magic.
pub(super) fn is_reserved_magic(magic: [u8; 4]) -> bool {
    ChainParams::NAMES.iter().any(|name| ChainParams::by_name(name).is_ok_and(|chain| chain.magic == magic))
}

/// The prefix of segwit addresses. With thirty characters a taproot address still fits the 90 of an address.
pub(super) fn bech32_hrp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "1 to 30 of a-z and 0-9", |hrp| {
        let is_plain = hrp.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        (is_plain && (1..=30).contains(&hrp.len())).then(|| hrp.to_owned())
    })
}

pub(super) fn message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let wanted = format!("1 to {MAX_MESSAGE_LEN} bytes without control characters");
    text(deserializer, &wanted, |message| {
        let fits = (1..=MAX_MESSAGE_LEN).contains(&message.len());
        (fits && !message.chars().any(char::is_control)).then(|| message.to_owned())
    })
}

/// The easiest target, as 256 bits.
pub(super) fn pow_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
    text(deserializer, "64 hexadecimal digits, from 1 to 7fff…ff as a number", |text| {
        printed(text)
            .filter(|limit| limit[0] <= EASIEST_LIMIT && limit.iter().any(|byte| *byte != 0))
            .map(Target::from_be_bytes)
    })
}

pub(super) fn compact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CompactTarget, D::Error> {
    text(deserializer, "8 hexadecimal digits, a compact target", |text| {
        bytes(text).map(|bits| CompactTarget::from_consensus(u32::from_be_bytes(bits)))
    })
}

pub(super) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    number::<_, i32, 1, 0x7fff_ffff>(deserializer).map(Version::from_consensus)
}

/// An amount in satoshi.
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    number::<_, u64, 0, { MAX_MONEY.cast_unsigned() }>(deserializer).map(Amount::from_sat)
}

/// An output script in hexadecimal; it may be empty.
pub(super) fn script<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ScriptBuf, D::Error> {
    let wanted = format!("a script in hexadecimal, at most {MAX_SCRIPT_SIZE} bytes");
    text(deserializer, &wanted, |text| ScriptBuf::from_hex(text).ok().filter(|script| script.len() <= MAX_SCRIPT_SIZE))
}

/// A script that is not obviously impossible to satisfy.
pub(super) fn challenge<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScriptBuf>, D::Error> {
    let script = script(deserializer)?;
    if script.is_empty() || script.is_op_return() {
        let wanted = "a script that can be satisfied: not empty, and not beginning with OP_RETURN (6a)";
        return Err(D::Error::invalid_value(Unexpected::Str(&script.to_hex_string()), &wanted));
    }
    Ok(Some(script))
}

pub(super) fn block_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BlockHash>, D::Error> {
    let hash = text(deserializer, "64 hexadecimal digits, a block's hash as it is printed", |text| {
        let mut bytes = printed(text)?;
        bytes.reverse();
        Some(BlockHash::from_byte_array(bytes))
    })?;
    Ok(Some(hash))
}

pub(super) fn work<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Work, D::Error> {
    text(deserializer, "64 hexadecimal digits, a number of hashes", |text| printed(text).map(Work::from_be_bytes))
}

/// A bounded list of peers.
pub(super) fn seeds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerAddress>, D::Error> {
    let seeds = Vec::deserialize(deserializer)?;
    match seeds.len() {
        0..=MAX_SEEDS => Ok(seeds),
        seen => Err(Error::invalid_length(seen, &format!("at most {MAX_SEEDS} peers").as_str())),
    }
}
