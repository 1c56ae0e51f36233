//! `adit proof`: makes proofs that a block contains transactions, and verifies them against a block, headers or a data
//! folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView};
use adit_validator::import::{HeaderFileError, accept_header_file};
use adit_validator::rules::validate_block_in_isolation;
use adit_validator::txoutproof::{ProofError, ProvenTransaction, TxOutProof, find_block};
use anyhow::{Context, anyhow};
use bitcoin::Txid;
use bitcoin::hex::{DisplayHex, FromHex};
use serde_json::json;

use crate::cli::{ProofArgs, ProofCommand, ProofMakeArgs, ProofVerifyArgs};
use crate::clock::unix_time;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::{chain, output, recheck};

/// The longest text that is read for a proof: one of every transaction of the fullest block, and room to spare.
const MAX_PROOF_TEXT: u64 = 4 << 20;

pub fn run(args: &ProofArgs) -> Result {
    match &args.command {
        ProofCommand::Make(args) => make(args),
        ProofCommand::Verify(args) => verify(args),
    }
}

fn make(args: &ProofMakeArgs) -> Result {
    let params = chain::named(&args.chain)?;
    let block = match (&args.block, &args.datadir) {
        (Some(path), _) => read_block(&params, path)?,
        (None, Some(datadir)) => stored_block(&open_chain(datadir, &args.chain, params)?, args)?,
        (None, None) => return Err(usage("give --block or --datadir")),
    };
    let proof = TxOutProof::make(&block, &args.txids).or_usage()?;
    output::line(proof.encode().to_lower_hex_string())?;
    Ok(())
}

/// The block at `--at`, or the last block of the active chain that has the first of the transactions.
fn stored_block(chain: &ChainState, args: &ProofMakeArgs) -> Result<DecodedBlock> {
    let block = match args.at {
        Some(height) => {
            let tip = chain.tip().height;
            let at = chain.active_at(height);
            let at = at.ok_or_else(|| usage(&format!("--at {height}: the chain ends at height {tip}")))?;
            chain.block(&at.hash).or_running()?
        }
        None => find_block(chain, &args.txids[0]).or_running()?,
    };
    block.ok_or_else(|| usage(&format!("no block of the active chain has transaction {}", args.txids[0])))
}

/// The result of verifying a proof.
struct CheckedProof {
    proven: Vec<ProvenTransaction>,
    height: Option<u32>,
    /// Whether the number of transactions was checked against the block.
    count_is_known: bool,
    /// Whether the best chain has the work that the chain is known to have; `None`: no chain was checked.
    has_minimum_work: Option<bool>,
}

fn verify(args: &ProofVerifyArgs) -> Result {
    let params = chain::named(&args.chain)?;
    let proof = read_proof(&args.proof)?;
    let checked = match proof {
        Ok(proof) => check(args, params, &proof)?.map(|checked| (proof, checked)),
        Err(error) => Err(error.into()),
    };
    match checked {
        Ok((proof, checked)) if args.json => output::line(as_json(&proof, &checked)).map(drop),
        Ok((proof, checked)) => output::line(as_text(&proof, &checked)).map(drop),
        Err(error) => {
            if args.json {
                output::line(json!({ "valid": false, "reason": error.to_string() }))?;
            }
            Err(Exit::new(Failure::Invalid, error.context(args.proof.display().to_string())))
        }
    }
}

/// Verifies the proof. The inner error says why it is not valid, the outer one why it could not be checked.
fn check(
    args: &ProofVerifyArgs,
    params: ChainParams,
    proof: &TxOutProof,
) -> Result<std::result::Result<CheckedProof, anyhow::Error>> {
    let checked = if let Some(path) = &args.block {
        let block = read_block(&params, path)?;
        let proven = proof.check_against_block(&block);
        proven.map(|proven| CheckedProof { proven, height: None, count_is_known: true, has_minimum_work: None })
    } else if let Some(path) = &args.headers {
        let chain = read_headers(params, path)?;
        proof.check_against_headers(chain.headers()).map(|(height, proven)| CheckedProof {
            proven,
            height: Some(height),
            count_is_known: false,
            has_minimum_work: Some(chain.headers_have_minimum_chain_work()),
        })
    } else if let Some(datadir) = &args.datadir {
        let chain = open_chain(datadir, &args.chain, params)?;
        proof.check_against_chain(&chain).map(|(height, proven)| CheckedProof {
            proven,
            height: Some(height),
            count_is_known: true,
            has_minimum_work: Some(chain.has_minimum_chain_work()),
        })
    } else {
        return Err(usage("give --block, --headers or --datadir"));
    };
    Ok(checked.map_err(anyhow::Error::new).and_then(|checked| {
        let mut seen: Vec<Txid> = checked.proven.iter().map(|proven| proven.txid).collect();
        let mut wanted = args.txid.clone();
        seen.sort_unstable();
        wanted.sort_unstable();
        wanted.dedup();
        match wanted.is_empty() || wanted == seen {
            true => Ok(checked),
            false => Err(anyhow!("a proof of {}; wanted {}", listed(&seen), listed(&wanted))),
        }
    }))
}

fn listed(txids: &[Txid]) -> String {
    txids.iter().map(Txid::to_string).collect::<Vec<_>>().join(", ")
}

fn as_json(proof: &TxOutProof, checked: &CheckedProof) -> serde_json::Value {
    let proven = checked.proven.iter();
    let mut object = json!({
        "valid": true,
        "block": proof.header().block_hash().to_string(),
        "height": checked.height,
        "transactions": proof.transactions(),
        "transactions_checked": checked.count_is_known,
        "proven": proven.map(|proven| json!({ "txid": proven.txid.to_string(), "position": proven.position }))
            .collect::<Vec<_>>(),
    });
    if let Some(reached) = checked.has_minimum_work {
        object["minimum_chain_work_reached"] = reached.into();
    }
    object
}

fn as_text(proof: &TxOutProof, checked: &CheckedProof) -> String {
    let height = checked.height.map_or(String::new(), |height| format!(" at height {height}"));
    let (block, count) = (proof.header().block_hash(), proof.transactions());
    let mut lines: Vec<String> = checked
        .proven
        .iter()
        .map(|ProvenTransaction { txid, position }| {
            format!("{txid} is transaction {position} of {count} in block {block}{height}")
        })
        .collect();
    if !checked.count_is_known {
        lines.push("not checked: the number of transactions, which needs the block".to_owned());
    }
    if checked.has_minimum_work == Some(false) {
        lines.push("this is not the whole chain: it is known to have more work".to_owned());
    }
    lines.join("\n")
}

fn usage(what: &str) -> Exit {
    Exit::new(Failure::Usage, anyhow!("{what}"))
}

/// A proof's text, whitespace around it left out, and then the proof.
fn read_proof(path: &Path) -> Result<std::result::Result<TxOutProof, ProofError>> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().take(MAX_PROOF_TEXT + 1).read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(MAX_PROOF_TEXT + 1).read_to_string(&mut text)),
    };
    let name = || path.display().to_string();
    read.with_context(name).or_usage()?;
    if text.len() as u64 > MAX_PROOF_TEXT {
        return Err(usage(&format!("{}: more than {MAX_PROOF_TEXT} bytes", name())));
    }
    if text.trim().is_empty() {
        let name = if path.to_str() == Some("-") { "standard input".to_owned() } else { name() };
        return Err(usage(&format!("{name} is empty: it holds no proof")));
    }
    let bytes = Vec::<u8>::from_hex(text.trim()).context("wanted a proof in hexadecimal").with_context(name);
    Ok(TxOutProof::decode(&bytes.or_usage()?))
}

/// Reads a block and checks it in isolation.
fn read_block(params: &ChainParams, path: &Path) -> Result<DecodedBlock> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name).or_usage()?;
    let block = DecodedBlock::read(file).with_context(name).or_usage()?;
    match validate_block_in_isolation(&params.consensus, &block) {
        Ok(()) => Ok(block),
        Err(error) => Err(Exit::new(Failure::Invalid, anyhow!("{}: block {}: {error}", name(), block.hash()))),
    }
}

/// Reads and checks a file of headers.
fn read_headers(params: ChainParams, path: &Path) -> Result<ChainState> {
    let name = || path.display().to_string();
    let options = ChainStateOptions::for_chain(&params);
    let mut chain = ChainState::in_memory(params, None, options).or_running()?;
    let file = File::open(path).with_context(name).or_usage()?;
    match accept_header_file(&mut chain, file, unix_time(), |_| {}) {
        Ok(_) => Ok(chain),
        Err(error @ HeaderFileError::Refused { .. }) => {
            Err(Exit::new(Failure::Invalid, anyhow!("{}: {error}", name())))
        }
        Err(error) => Err(error).with_context(name).or_usage(),
    }
}

/// Opens the chain in a data folder, which must exist.
fn open_chain(datadir: &Path, chain: &str, params: ChainParams) -> Result<ChainState> {
    let folder = recheck::find_store(datadir, &params.name)?;
    if !folder.is_dir() {
        return Err(usage(&format!("--datadir: no chain {} in {}", params.name, datadir.display())));
    }
    let options = ChainStateOptions::for_chain(&params);
    ChainState::open(&folder, params, options).map_err(|error| recheck::store_failure(error, &folder, chain))
}
