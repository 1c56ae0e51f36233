//! The command line: every flag, its help and its bounds, and nothing that acts.

mod chain;
mod proof;

use std::path::PathBuf;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::ChainStateOptions;
use adit_validator::coins::MAX_SCRIPT_SIZE;
use bitcoin::{BlockHash, ScriptBuf};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use chain::{ChainArgs, ChainCommand, ChainNewArgs, ChainShowArgs, DifficultyChoice};
pub use proof::{ProofArgs, ProofCommand, ProofMakeArgs, ProofVerifyArgs};

/// What `adit --help` ends with: the exit codes hold for every subcommand.
const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  the chain is invalid: a rule is broken or a store is damaged (validate), a proof proves nothing (proof verify), or a
     known answer was not found (bench --solve)
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
    /// Check blocks or headers from files, or a whole data folder from genesis; needs no GPU
    Validate(ValidateArgs),
    /// Make the database of a data folder anew from its block files
    Reindex(ReindexArgs),
    /// Describe a private chain in a file, or print a chain with its hashes
    Chain(ChainArgs),
    /// Make and verify proofs that a block holds a transaction, in the bytes of Bitcoin Core's gettxoutproof
    Proof(ProofArgs),
    /// List the CPU and every GPU adapter, with the name that --device takes
    Devices(DevicesArgs),
    /// Measure the hashrate of devices and kernels against a plain loop over the sha2 crate
    Bench(BenchArgs),
}

/// The devices to use, and their settings.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Devices to use: auto (every real GPU, or the CPU where there is none), cpu, gpu (every real GPU), all (CPU and every
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

/// What `--assume-valid` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssumeValid {
    /// All scripts are run.
    None,
    /// The scripts of this block's ancestors are not run.
    Block(BlockHash),
}

impl AssumeValid {
    /// The block, if there is one.
    pub const fn block(self) -> Option<BlockHash> {
        match self {
            AssumeValid::None => None,
            AssumeValid::Block(hash) => Some(hash),
        }
    }
}

/// `adit up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Folder for chains, each in a folder of its name, or one store in it [default: adit in the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub datadir: Option<PathBuf>,

    /// Which private chain: dev (Adit's own: 10-second blocks), regtest, or the path of a chain file (`adit chain new`)
    #[arg(long, default_value = "dev", value_name = "NAME|FILE")]
    pub chain: String,

    /// Stop after N more blocks [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: Option<u64>,

    #[command(flatten)]
    pub devices: DeviceArgs,

    /// Slow a device down above this temperature in degrees Celsius, in steps (75, 50, 25 % of the time busy), and pause it where
    /// that is not enough; 5 degrees below it comes back step by step [default: no limit]
    #[arg(long, value_name = "CELSIUS", value_parser = clap::value_parser!(u16).range(30..=110))]
    pub max_temp: Option<u16>,

    /// Open a device again that has work and makes no progress for this long, in seconds. A device may always take ten times its
    /// longest recent batch
    #[arg(long, default_value_t = 45, value_name = "S", value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub stall: u64,

    /// Output script in hexadecimal that block rewards are paid to [default: 51, OP_TRUE, which anyone can spend]
    #[arg(long, value_name = "SCRIPT", value_parser = script)]
    pub payout: Option<ScriptBuf>,

    /// Do not run the scripts of this block's ancestors again, once two weeks of work lie on them; none: run all [default:
    /// what the chain file says]
    #[arg(long, value_name = "HASH|none", value_parser = assume_valid)]
    pub assume_valid: Option<AssumeValid>,

    /// Memory for unspent coins in MiB. An eighth caches database tables. One block may exceed it
    #[arg(long, value_name = "MIB", default_value_t = 450, value_parser = clap::value_parser!(u32).range(4..=30 << 10))]
    pub cache: u32,

    /// Keep to this many MiB of block files by deleting the oldest; at least 550. Whole files of 128 MiB are deleted. The last 288
    /// blocks are always kept [default: keep everything]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(550..))]
    pub prune: Option<u32>,

    /// Keep an index of compact block filters (BIP157, BIP158) beside the chain, from which light clients learn which
    /// blocks concern them. It catches up where it is behind, and can be left out of any run; --json then tells each block's
    /// filter header
    #[arg(long)]
    pub filters: bool,

    /// Print one JSON object a block to standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}

impl UpArgs {
    /// The options of the chain's store.
    pub fn chain_options(&self, params: &ChainParams) -> ChainStateOptions {
        let options = ChainStateOptions::for_chain(params)
            .with_cache_bytes(usize::try_from(u64::from(self.cache) << 20).unwrap_or(usize::MAX))
            .with_prune_bytes(self.prune.map(|mib| u64::from(mib) << 20));
        match self.assume_valid {
            Some(assumed) => options.with_assume_valid(assumed.block()),
            None => options,
        }
    }
}

/// `adit validate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Give --blocks, or --headers, or --block with --prevouts, or --datadir.

Exit codes:
  0  good
  1  invalid, or a damaged store: the line names file, byte, height, hash, rule, the value seen and the value wanted
  2  wrong usage or unreadable input: the line names the file and the byte
  3  interrupted (--datadir), or something failed while running")]
#[command(group = clap::ArgGroup::new("input").required(true).multiple(false))]
pub struct ValidateArgs {
    /// The chain: main, testnet3, testnet4, signet, regtest, dev, or the path of a chain file
    #[arg(long, default_value = "main", value_name = "NAME|FILE")]
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

    /// The outputs that --block spends, as JSON: what Bitcoin Core's `getblock HASH 3` prints of the block, or a list of Adit's
    /// own form
    // Not `requires`: clap drops that where what it asks for conflicts with an argument that is there.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["blocks", "headers", "datadir"])]
    pub prevouts: Option<PathBuf>,

    /// With --blocks: do not run the scripts of this block's ancestors, if the files show it with two weeks of work above them
    /// and the chain's minimum work; every other rule is checked. `adit chain show` prints the block that is known for each
    /// public chain
    #[arg(long, value_name = "HASH|none", value_parser = assume_valid, default_value = "none",
        conflicts_with_all = ["headers", "block", "datadir"])]
    pub assume_valid: AssumeValid,

    /// Data folder of `adit up`, or one store in it, checked from genesis: every byte of the database, every header and
    /// block, every undo record and every coin. Changes no file in it, but locks it, and needs permission to write there; memory grows
    /// with the number of coins
    #[arg(long, value_name = "DIR", group = "input")]
    pub datadir: Option<PathBuf>,

    /// Threads that check scripts [default: one a logical CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// `adit reindex`.
#[derive(Args, Debug)]
#[command(after_help = "\
For a store whose database is damaged. Block files are read and never shortened; the old database stays until the new one is
whole. A run that was cut off is begun anew.

Exit codes:
  0  the database is made and in its place; what of the block files could not be taken up is named
  2  wrong usage, or a folder that holds no such store
  3  interrupted, or something failed while running: the old database is still in its place")]
pub struct ReindexArgs {
    /// Which chain the store holds: its name, or the path of its chain file
    #[arg(long, value_name = "NAME|FILE")]
    pub chain: String,

    /// Data folder of `adit up`, or one store in it
    #[arg(long, value_name = "DIR")]
    pub datadir: PathBuf,

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
pub enum KnownHeader {
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

    /// Rounds to spread the seconds over: each takes one sample of every device and kernel, and one of the plain loop
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(5..=1000))]
    pub rounds: u16,

    /// Search a header whose answer is known instead of measuring
    #[arg(long, value_enum, conflicts_with_all = ["rounds", "seconds", "compare", "plot"])]
    pub solve: Option<KnownHeader>,

    /// Compare with an earlier run: a file with the output of `adit bench --json`
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,

    /// Draw the rates as bars into FILE, an SVG; one that is there is replaced
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,

    /// Find the fastest settings of every GPU that --device names and keep them for mining, instead of measuring
    #[arg(long, conflicts_with_all = ["solve", "rounds", "seconds", "compare", "plot", "threads", "backend"])]
    pub tune: bool,

    /// Print JSON instead of lines: one object (docs/bench-schema.md), or with --solve or --tune one for each device
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

fn assume_valid(text: &str) -> Result<AssumeValid, String> {
    match text {
        "none" => Ok(AssumeValid::None),
        hash => hash
            .parse()
            .map(AssumeValid::Block)
            .map_err(|_| "wanted a block's hash, 64 hexadecimal digits, or none".to_owned()),
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
    fn cache_and_pruning_are_mebibytes_and_bounded() {
        let up = |args: &[&str]| match Cli::try_parse_from([&["adit", "up"], args].concat()) {
            Ok(Cli { command: Command::Up(args) }) => Ok(format!("{:?}", args.chain_options(&ChainParams::dev()))),
            Ok(_) => unreachable!("it is `up`"),
            Err(error) => Err(error.to_string()),
        };
        let wanted = |cache: usize, prune| {
            format!(
                "{:?}",
                ChainStateOptions::for_chain(&ChainParams::dev()).with_cache_bytes(cache << 20).with_prune_bytes(prune)
            )
        };
        assert_eq!(up(&["--cache", "64", "--prune", "550"]).unwrap(), wanted(64, Some(550 << 20)));
        assert_eq!(up(&[]).unwrap(), wanted(450, None));
        for wrong in [["--prune", "549"], ["--cache", "3"], ["--cache", "30721"], ["--prune", "all"]] {
            assert!(up(&wrong).unwrap_err().contains(wrong[0]), "{wrong:?}");
        }
    }

    /// A flag that another makes senseless is refused, not ignored.
    #[test]
    fn flags_that_do_not_go_together_are_refused() {
        let refused = |args: &str| {
            let error = Cli::try_parse_from(args.split(' ')).expect_err(args);
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{args}: {error}");
        };
        for input in ["--blocks b", "--headers h", "--datadir d"] {
            refused(&format!("adit validate {input} --prevouts p"));
        }
        for input in ["--headers h", "--block b --prevouts p", "--datadir d"] {
            refused(&format!("adit validate {input} --assume-valid none"));
        }
        let txid = "ab".repeat(32);
        refused(&format!("adit proof make {txid} --block b --at 5"));
        for good in
            ["validate --blocks b --assume-valid none", "validate --block b --prevouts p", "validate --headers h"]
        {
            assert!(
                Cli::try_parse_from([&["adit"], &good.split(' ').collect::<Vec<_>>()[..]].concat()).is_ok(),
                "{good}"
            );
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "5s", "3601"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
