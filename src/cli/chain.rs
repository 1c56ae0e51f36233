//! The flags of `adit chain`.

use std::path::PathBuf;

use adit_validator::chain::PeerAddress;
use adit_validator::rules::check_target;
use bitcoin::{Amount, CompactTarget, CompressedPublicKey, Denomination, ScriptBuf, Target};
use clap::{Args, Subcommand, ValueEnum};

use super::script;

/// `adit chain`.
#[derive(Args, Debug)]
pub struct ChainArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ChainCommand,
}

/// The subcommands of `adit chain`.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Describe a private chain in a new file, and mine its genesis block
    New(Box<ChainNewArgs>),
    /// Print a chain with its hashes
    Show(ChainShowArgs),
}

/// How the target follows the hashrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DifficultyChoice {
    /// Block by block, towards an absolute schedule (aserti3-2d)
    Asert,
    /// Bitcoin's: once a period of --interval blocks
    Retarget,
    /// Never
    None,
}

/// `adit chain new`.
#[derive(Args, Debug)]
pub struct ChainNewArgs {
    /// The chain's name: letters a-z, digits, - and _
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// The file to write, which must not be there yet [default: NAME.toml]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The wanted time between blocks, such as 10s, 2m or 1h
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub spacing: u32,

    /// How the target follows the hashrate
    #[arg(long, value_enum, default_value_t = DifficultyChoice::Asert)]
    pub difficulty: DifficultyChoice,

    /// With asert: the lag that doubles the target [default: 60 spacings]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub half_life: Option<u32>,

    /// With retarget: the blocks of a period [default: 2016]
    #[arg(long, value_name = "BLOCKS")]
    pub interval: Option<u32>,

    /// The easiest target, and that of the genesis block, as a compact target: 1e00ffff is 2^24 hashes a block, 207fffff two
    #[arg(long, value_name = "BITS", default_value = "1e00ffff", value_parser = compact)]
    pub pow_limit: CompactTarget,

    /// What the first coinbases may create besides fees, in coins of 100,000,000 satoshi
    #[arg(long, value_name = "COINS", default_value = "50", value_parser = coins)]
    pub subsidy: Amount,

    /// After how many blocks the subsidy halves, each time; 0: never
    #[arg(long, value_name = "BLOCKS", default_value_t = 210_000)]
    pub halving: u32,

    /// A script in hexadecimal that every block must satisfy (BIP325) [default: none, anybody's proof of work will do]
    #[arg(long, value_name = "SCRIPT", value_parser = script, conflicts_with_all = ["signers", "key"])]
    pub challenge: Option<ScriptBuf>,

    /// How many of the signers whose keys follow must sign every block, such as 5 of six
    #[arg(long, value_name = "K", requires = "key")]
    pub signers: Option<usize>,

    /// A signer's compressed public key in hexadecimal; give one for each signer, in the order in which they sign
    #[arg(long, value_name = "HEX", requires = "signers")]
    pub key: Vec<CompressedPublicKey>,

    /// The four bytes before every message and block, in hexadecimal [default: derived from the chain]
    #[arg(long, value_name = "HEX", value_parser = magic)]
    pub magic: Option<[u8; 4]>,

    /// What the genesis coinbase says, at most 59 bytes [default: Adit chain NAME]
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,

    /// The genesis block's time, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    pub time: Option<u32>,

    /// What segwit addresses begin with. The other prefixes are those of Bitcoin's test chains
    #[arg(long, value_name = "PREFIX", default_value = "bcrt")]
    pub hrp: String,

    /// The TCP port for peers [default: derived from the magic, 20001 to 29999]
    #[arg(long, value_name = "PORT")]
    pub p2p_port: Option<u16>,

    /// The TCP port for JSON-RPC [default: derived from the magic, 20000 to 29998]
    #[arg(long, value_name = "PORT")]
    pub rpc_port: Option<u16>,

    /// A peer to ask first; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub seed: Vec<PeerAddress>,

    /// Print one JSON object, as `adit chain show --json` does
    #[arg(long)]
    pub json: bool,
}

/// `adit chain show`.
#[derive(Args, Debug)]
pub struct ChainShowArgs {
    /// A chain's name, or the path of a chain file: it has a / or ends in .toml
    #[arg(value_name = "NAME|FILE", default_value = "dev")]
    pub chain: String,

    /// Print one JSON object instead of lines
    #[arg(long, conflicts_with = "rules")]
    pub json: bool,

    /// Print only the text of the rules, whose SHA-256 is the hash of the rules
    #[arg(long)]
    pub rules: bool,
}

/// Seconds, from a number with a unit.
fn duration(text: &str) -> Result<u32, String> {
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 60 * 60),
        Some((at, 'd')) => (&text[..at], 24 * 60 * 60),
        _ => (text, 1),
    };
    let number = number.parse::<u32>().ok().and_then(|number| number.checked_mul(seconds));
    number.filter(|seconds| *seconds > 0).ok_or_else(|| "wanted a time such as 10s, 2m, 1h or 14d".to_owned())
}

/// Exactly eight digits, which leaves no room for a sign.
fn eight_digits(text: &str) -> Option<u32> {
    let is_hex = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(text, 16).expect("eight hexadecimal digits are 32 bits"))
}

fn compact(text: &str) -> Result<CompactTarget, String> {
    let bits = eight_digits(text).ok_or("wanted 8 hexadecimal digits, such as 1e00ffff")?;
    let bits = CompactTarget::from_consensus(bits);
    check_target(bits, Target::from_be_bytes([0xff; 32]))
        .map(|_| bits)
        .map_err(|error| format!("{}; such as 1e00ffff is one", error.seen()))
}

fn magic(text: &str) -> Result<[u8; 4], String> {
    eight_digits(text).map(u32::to_be_bytes).ok_or_else(|| "wanted 8 hexadecimal digits".to_owned())
}

fn coins(text: &str) -> Result<Amount, String> {
    Amount::from_str_in(text, Denomination::Bitcoin)
        .map_err(|error| format!("wanted coins, such as 50 or 0.5: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_are_not_zero() {
        for (text, seconds) in [("10", 10), ("10s", 10), ("2m", 120), ("1h", 3600), ("14d", 1_209_600)] {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
        for wrong in ["", "s", "0s", "-1s", "1.5h", "1w", "10 s", "49711d", "1ü"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_numbers_have_all_their_digits() {
        assert_eq!(magic("c0ffee01"), Ok([0xc0, 0xff, 0xee, 0x01]));
        for wrong in ["", "c0ffee", "c0ffee0x", "+0ffee01", "+0ffee01ff"] {
            assert!(magic(wrong).is_err() && compact(wrong).is_err(), "{wrong}");
        }
        assert_eq!(compact("1e00ffff"), Ok(CompactTarget::from_consensus(0x1e00_ffff)));
        for (wrong, why) in [("ffffffff", "negative"), ("217fffff", "above 256 bits"), ("00000000", "zero")] {
            assert!(compact(wrong).is_err_and(|error| error.contains(why)), "{wrong}: {:?}", compact(wrong));
        }
        assert_eq!(coins("0.5"), Ok(Amount::from_sat(50_000_000)));
        assert!(coins("a few").is_err() && coins("-1").is_err());
    }
}
