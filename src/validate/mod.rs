//! `adit validate`: checks blocks and headers from files. `--datadir` is handled in [`recheck`].

mod block_files;
mod report;

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use adit_validator::block::{DecodeError, DecodedBlock};
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView};
use adit_validator::import::{HeaderFileError, accept_header_file};
use adit_validator::prevouts::{CheckError, Prevouts, check_block_with_prevouts};
use adit_validator::rules::ConnectOptions;
use anyhow::{Context, anyhow};

use crate::cli::ValidateArgs;
use crate::clock::unix_time;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::{chain, progress, recheck};
use block_files::validate_block_files;
use report::{Counts, Place, Refusal, Report, ValidateResult};

const HEADER_BYTES: u64 = 80;

pub fn run(args: &ValidateArgs) -> Result {
    let params = chain::named(&args.chain)?;
    if let Some(threads) = args.threads {
        // Only the first pool of a process can be set, and this is before any.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global();
        pool.context("--threads").or_running()?;
    }
    if let Some(datadir) = &args.datadir {
        return recheck::validate_store(&params, &args.chain, datadir, args.json);
    }
    let mut report = Report::new(&params);
    let result = if let Some(headers) = &args.headers {
        validate_headers(&params, headers, &mut report)
    } else if let (Some(block), Some(prevouts)) = (&args.block, &args.prevouts) {
        validate_block(&params, block, prevouts, &mut report)
    } else {
        validate_block_files(params, &args.blocks, args.assume_valid, &mut report)
    };
    report.finish(args.json, result)
}

fn validate_headers(params: &ChainParams, path: &Path, report: &mut Report) -> ValidateResult {
    let (file, length) = open(path)?;
    let progress = progress::bytes(length);
    let options = ChainStateOptions::for_chain(params);
    let mut chain = ChainState::in_memory(params.clone(), None, options).or_running()?;
    let accepted =
        accept_header_file(&mut chain, file, unix_time(), |headers| progress.set_position(headers * HEADER_BYTES));
    progress.finish_and_clear();
    report.headers = match &accepted {
        Ok(count) => *count,
        Err(HeaderFileError::Refused { byte, .. }) => *byte / HEADER_BYTES,
        // Without a report.
        Err(_) => 0,
    };
    if report.headers > 0 {
        let best = chain.headers().entry(chain.headers().best_header());
        report.tip = Some((best.height, best.hash));
    }
    match accepted {
        Ok(_) => {
            report.has_minimum_work = Some(chain.headers_have_minimum_chain_work());
            Ok(())
        }
        Err(HeaderFileError::Refused { byte, height, hash, error }) => {
            Err(Refusal::rule(Place { path, byte }, height, hash, *error))
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()).or_usage()?,
    }
}

/// Checks one block with the outputs that it spends.
fn validate_block(params: &ChainParams, block: &Path, prevouts: &Path, report: &mut Report) -> ValidateResult {
    let (file, _) = open(prevouts)?;
    let spent = Prevouts::read(file).with_context(|| prevouts.display().to_string()).or_usage()?;
    let (file, _) = open(block)?;
    let decoded = DecodedBlock::read(file).with_context(|| block.display().to_string()).or_usage()?;
    let counts = Counts::of(&decoded);
    let waiting = progress::spinner(format!("checking {} inputs", counts.inputs));
    report.started = Instant::now();
    let checked =
        check_block_with_prevouts(&params.consensus, &decoded, &spent, unix_time(), ConnectOptions::default());
    waiting.finish_and_clear();
    match checked {
        Ok(checked) => {
            report.add_block(counts);
            report.tip = Some((checked.height, decoded.hash()));
            report.unchecked = checked.unchecked.iter().map(|rule| (rule.rule, rule.lacking)).collect();
            Ok(())
        }
        Err(CheckError::Rule(error)) => {
            Err(Refusal::rule(Place { path: block, byte: 0 }, spent.height(), decoded.hash(), error))
        }
        Err(error) => Err(error).with_context(|| prevouts.display().to_string()).or_usage()?,
    }
}

/// Opens a file that has something in it; its length in bytes.
fn open(path: &Path) -> Result<(File, u64)> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name).or_usage()?;
    let metadata = file.metadata().with_context(name).or_usage()?;
    if metadata.is_dir() {
        return Err(Exit::new(Failure::Usage, anyhow!("{} is a folder, not a file", path.display())));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(Exit::new(Failure::Usage, anyhow!("{} is empty", path.display())));
    }
    Ok((file, metadata.len()))
}

/// The failure for bytes that are not a block.
fn undecodable(place: Place<'_>, error: &DecodeError) -> Exit {
    let block = match place.byte {
        0 => String::new(),
        byte => format!("the block at byte {byte}, its "),
    };
    Exit::new(Failure::Usage, anyhow!("{}: {block}{error}", place.path.display()))
}
