//! The command line: every flag, its help and its bounds, and nothing that acts.

use std::path::PathBuf;

use adit_validator::coins::MAX_SCRIPT_SIZE;
use bitcoin::ScriptBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// What `adit --help` ends with: the exit codes hold for every subcommand.
const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  the chain is invalid: a rule is broken (validate), or a known answer was not found (bench --solve)
  2  wrong usage, or input that cannot be read
  3  something failed while running: a disk, a store, every device

Set ADIT_LOG=debug (or trace, warn, …) to see more on standard error.";

/// Finds, checks and chains proof-of-work blocks in Bitcoin's formats.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a private chain, or go on with the one in the data folder: build templates, mine, validate, connect, keep
    Up(UpArgs),
    /// Check blocks or headers from files; needs no data folder and no GPU
    Validate(ValidateArgs),
    /// List the CPU and every GPU adapter, with the name that --device takes
    Devices(DevicesArgs),
    /// Measure the hashrate of devices and kernels against a plain loop over the sha2 crate
    Bench(BenchArgs),
}

/// Which devices mine and how.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// What computes: auto (every real GPU, or the CPU where there is none), cpu, gpu (every real GPU), all (CPU and every
    /// real GPU), or a list of names from `adit devices`, such as cpu,gpu1. Without it `bench` takes all, the others auto
    #[arg(long, value_name = "auto|cpu|gpu|all|ID,…")]
    pub device: Option<String>,

    /// CPU threads that search nonces [default: one a logical CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// CPU kernel, by the name that `adit devices` gives it. Without it `bench` measures each, the others take the fastest
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
}

/// The chains that a store can be started with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrivateChain {
    /// Adit's own: 10-second blocks, difficulty by ASERT
    Dev,
    /// Bitcoin Core's regression test chain: the lowest difficulty, never adjusted
    Regtest,
}

impl PrivateChain {
    /// The chain's name, as its parameters have it.
    pub fn name(self) -> &'static str {
        match self {
            PrivateChain::Dev => "dev",
            PrivateChain::Regtest => "regtest",
        }
    }
}

/// `adit up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Folder for chains, each in a folder of its name [default: adit in the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub datadir: Option<PathBuf>,

    /// Which private chain
    #[arg(long, value_enum, default_value_t = PrivateChain::Dev)]
    pub chain: PrivateChain,

    /// Stop after N more blocks [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: Option<u64>,

    #[command(flatten)]
    pub devices: DeviceArgs,

    /// Slow a device down above this temperature in degrees Celsius, in steps (75, 50, 25 % of the time busy), and pause it where
    /// that is not enough; 5 degrees below it comes back step by step [default: no limit]
    #[arg(long, value_name = "CELSIUS", value_parser = clap::value_parser!(u16).range(30..=110))]
    pub max_temp: Option<u16>,

    /// Open a device again that has work and makes no progress for this long, in seconds. A slow device is given ten times what
    /// its slowest batch took of late
    #[arg(long, default_value_t = 45, value_name = "S", value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub stall: u64,

    /// Output script in hexadecimal that block rewards are paid to [default: 51, OP_TRUE, which anyone can spend]
    #[arg(long, value_name = "SCRIPT", value_parser = script)]
    pub payout: Option<ScriptBuf>,

    /// Print one JSON object a block to standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}

/// `adit validate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Give --blocks, or --headers, or --block with --prevouts.

Exit codes:
  0  good
  1  invalid: the line names file, byte, height, hash, rule, the value seen and the value wanted
  2  wrong usage or unreadable input: the line names the file and the byte")]
#[command(group = clap::ArgGroup::new("input").required(true).multiple(false))]
pub struct ValidateArgs {
    /// Whose rules: main, testnet3, testnet4, signet, regtest or dev
    #[arg(long, default_value = "main", value_name = "CHAIN")]
    pub chain: String,

    /// Block files (magic, length, block), from genesis or the block after it, in any order. The chain with most work is
    /// checked whole, scripts included; blocks on lesser branches as far as their headers and their own bytes go
    #[arg(long, value_name = "FILE", num_args = 1.., group = "input")]
    pub blocks: Vec<PathBuf>,

    /// A file of 80-byte headers, from genesis or from the one after it
    #[arg(long, value_name = "FILE", group = "input")]
    pub headers: Option<PathBuf>,

    /// One serialized block, checked without its ancestors; needs --prevouts
    #[arg(long, value_name = "FILE", group = "input", requires = "prevouts")]
    pub block: Option<PathBuf>,

    /// The outputs that --block spends, as JSON
    #[arg(long, value_name = "FILE", requires = "block")]
    pub prevouts: Option<PathBuf>,

    /// Threads that check scripts [default: one a logical CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// `adit devices`.
#[derive(Args, Debug)]
pub struct DevicesArgs {
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// What `adit bench --solve` searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Puzzle {
    /// Mainnet's genesis header, from nonce 2083000000
    Genesis,
}

/// `adit bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    #[command(flatten)]
    pub devices: DeviceArgs,

    /// Seconds to measure each device and kernel, after a warm-up
    #[arg(long, default_value_t = 5.0, value_name = "S", value_parser = seconds)]
    pub seconds: f64,

    /// Search a header whose answer is known instead of measuring
    #[arg(long, value_enum)]
    pub solve: Option<Puzzle>,

    /// Find the fastest settings of every GPU that --device names and keep them for mining, instead of measuring
    #[arg(long, conflicts_with = "solve")]
    pub tune: bool,

    /// Print JSON instead of lines: one object, or with --solve or --tune one for each device
    #[arg(long)]
    pub json: bool,
}

fn script(text: &str) -> Result<ScriptBuf, String> {
    match ScriptBuf::from_hex(text) {
        Ok(script) if script.len() <= MAX_SCRIPT_SIZE => Ok(script),
        Ok(script) => Err(format!("{} bytes; an output that can be spent has at most {MAX_SCRIPT_SIZE}", script.len())),
        Err(error) => Err(format!("wanted a script in hexadecimal: {error}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("wanted a number of seconds from 0.1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "5s", "3601"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
