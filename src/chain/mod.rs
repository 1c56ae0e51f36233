//! `adit chain`, and the chains that the other subcommands are told to use: built in, or described in a file.

mod new;
mod show;

use std::fs::File;
use std::io::Read;
use std::path::{Path, is_separator};

use adit_validator::chain::file::MAX_CHAIN_FILE_SIZE;
use adit_validator::chain::{ChainFile, ChainParams};
use anyhow::{Context, anyhow};

use crate::cli::{ChainArgs, ChainCommand};
use crate::exit::{OrExit, Result};

pub use show::signers;

pub fn run(args: &ChainArgs) -> Result {
    match &args.command {
        ChainCommand::New(args) => new::run(args),
        ChainCommand::Show(args) => show::run(args),
    }
}

/// The chain that `--chain` names: a name, or the path of a chain file.
pub fn named(name: &str) -> Result<ChainParams> {
    named_by("--chain: ", name)
}

/// The same; `place` is where the name stands, for messages.
fn named_by(place: &str, name: &str) -> Result<ChainParams> {
    if is_path(name) {
        return Ok(read(Path::new(name))?.params());
    }
    let chain = ChainParams::by_name(name).map_err(|error| {
        anyhow!("{place}{error}, and chain files: a path with a separator in it, or one that ends in .toml")
    });
    chain.or_usage()
}

/// A name has no separator and no extension, so nobody's folder can change what a name means.
fn is_path(name: &str) -> bool {
    name.contains(is_separator) || name.ends_with(".toml")
}

/// Reads and checks a chain file.
fn read(path: &Path) -> Result<ChainFile> {
    let name = || path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_CHAIN_FILE_SIZE as u64 + 1).read_to_end(&mut bytes));
    read.with_context(name).or_usage()?;
    let checked = match std::str::from_utf8(&bytes) {
        // Only so much of it was read, and what is cut off in the middle of a character is no fault of the file's.
        _ if bytes.len() > MAX_CHAIN_FILE_SIZE => {
            Err(anyhow!("more than {MAX_CHAIN_FILE_SIZE} bytes; wanted a chain file, which has at most as many"))
        }
        Err(error) => Err(anyhow!("byte {} is not UTF-8 text; wanted a chain file", error.valid_up_to())),
        Ok(text) if text.trim().is_empty() => Err(anyhow!("is empty; wanted a chain file")),
        Ok(text) => ChainFile::parse(text).map_err(anyhow::Error::new),
    };
    checked.with_context(name).or_usage()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for (name, expected) in
            [("dev", false), ("grid", false), ("grid.toml", true), ("./grid", true), ("a/b", true), ("toml", false)]
        {
            assert_eq!(is_path(name), expected, "{name}");
        }
    }
}
