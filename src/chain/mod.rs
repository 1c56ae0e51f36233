//! `adit chain`, and the chains that the other subcommands are told to use: built in, or described in a file.

mod new;
mod show;

use std::fs::File;
use std::path::{Path, is_separator};

use adit_validator::chain::{ChainFile, ChainFileReadError, ChainParams};
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
    let read = File::open(path).map_err(ChainFileReadError::from).and_then(ChainFile::read);
    read.with_context(|| path.display().to_string()).or_usage()
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
