//! The flags of `adit proof`.

use std::path::PathBuf;

use bitcoin::Txid;
use clap::{Args, Subcommand};

/// `adit proof`.
#[derive(Args, Debug)]
pub struct ProofArgs {
    /// What to do with a proof.
    #[command(subcommand)]
    pub command: ProofCommand,
}

/// The subcommands of `adit proof`.
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Print a proof in hexadecimal
    Make(ProofMakeArgs),
    /// Say what a proof proves
    Verify(ProofVerifyArgs),
}

/// `adit proof make`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(false))]
pub struct ProofMakeArgs {
    /// The transactions, all of one block, by their ids
    #[arg(value_name = "TXID", required = true)]
    pub txids: Vec<Txid>,

    /// The serialized block that holds them
    #[arg(long, value_name = "FILE", group = "source")]
    pub block: Option<PathBuf>,

    /// Folder for chains, as `adit up` takes it, or one store in it
    #[arg(long, value_name = "DIR", group = "source")]
    pub datadir: Option<PathBuf>,

    /// The block of the active chain that holds them, by its height [default: each is searched, from the tip down]
    #[arg(long, value_name = "HEIGHT", conflicts_with = "block")]
    pub at: Option<u32>,

    /// Whose rules: main, testnet3, testnet4, signet, regtest, dev, or the path of a chain file
    #[arg(long, default_value = "main", value_name = "NAME|FILE")]
    pub chain: String,
}

/// `adit proof verify`.
#[derive(Args, Debug)]
#[command(after_help = "\
Headers alone do not show how many transactions a block has. Then do not take an id for proven whose transaction has 64
bytes.

Exit codes:
  0  the proof holds
  1  it does not: the line says why
  2  wrong usage or unreadable input: the line names the file and the byte")]
#[command(group = clap::ArgGroup::new("known").required(true).multiple(false))]
pub struct ProofVerifyArgs {
    /// The proof in hexadecimal, in a file; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub proof: PathBuf,

    /// Hold it against this serialized block
    #[arg(long, value_name = "FILE", group = "known")]
    pub block: Option<PathBuf>,

    /// Hold it against the chain with most work in this file of 80-byte headers, from genesis or from the one after it
    #[arg(long, value_name = "FILE", group = "known")]
    pub headers: Option<PathBuf>,

    /// Hold it against the active chain in this folder for chains, as `adit up` takes it, or
    /// in this one store
    #[arg(long, value_name = "DIR", group = "known")]
    pub datadir: Option<PathBuf>,

    /// A transaction that it must prove; if any is given, it must prove these and no others
    #[arg(long, value_name = "TXID")]
    pub txid: Vec<Txid>,

    /// Whose rules: main, testnet3, testnet4, signet, regtest, dev, or the path of a chain file
    #[arg(long, default_value = "main", value_name = "NAME|FILE")]
    pub chain: String,

    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}
