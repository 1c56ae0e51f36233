//! Adit: finds, checks and chains proof-of-work blocks in Bitcoin's formats.
//!
//! This is the command. It joins the rooms (`hash`, `miner`, `validator`) and decides nothing that they could decide.

#![forbid(unsafe_code)]

mod bench;
mod chain;
mod cli;
mod clock;
mod devices;
mod exit;
mod filters;
mod interrupt;
mod local_work;
mod named_devices;
mod output;
mod progress;
mod proof;
mod rate;
mod recheck;
mod replaced_file;
mod tune;
mod up;
mod validate;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

/// The variable that says what is logged, in `tracing-subscriber`'s filter syntax.
const LOG_VARIABLE: &str = "ADIT_LOG";

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let result = match &cli.command {
        Command::Up(args) => up::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Chain(args) => chain::run(args),
        Command::Reindex(args) => recheck::run_reindex(args),
        Command::Proof(args) => proof::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Bench(args) => bench::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// Warnings of our own rooms, and errors of the libraries, unless the variable asks for something else. What the database
/// says comes back as an error, and is said once.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| {
        EnvFilter::new("error,fjall=off,lsm_tree=off,adit=warn,adit_miner=warn,adit_validator=warn")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
