//! `adit bench --solve genesis`: searches for the nonce of mainnet's genesis block.

use std::time::Instant;

use adit_hash::{GENESIS_NONCE, HeaderBytes, NonceRange, ScanTarget};
use adit_miner::solve;
use anyhow::{Context, anyhow};
use bitcoin::Network;
use bitcoin::blockdata::constants::genesis_block;
use bitcoin::consensus::serialize;
use serde_json::json;

use crate::cli::BenchArgs;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::{devices, output, progress};

/// The nonce that the search begins with.
const GENESIS_FROM: u32 = 2_083_000_000;

/// Every device that the flags name searches mainnet's genesis header by itself.
pub fn run(args: &BenchArgs) -> Result {
    let header = genesis_block(Network::Bitcoin).header;
    let target = ScanTarget::from_le_bytes(header.target().to_le_bytes());
    let bytes: HeaderBytes = serialize(&header).try_into().expect("a header has 80 bytes");
    // The search ignores the header's nonce.
    let range = NonceRange::new(GENESIS_FROM, 1 << 32);
    for mut device in devices::open(&args.devices)? {
        let name = devices::label(device.info());
        let progress = progress::steps(u64::from(GENESIS_NONCE - GENESIS_FROM));
        progress.set_message(name.clone());
        let begun = Instant::now();
        let solved = solve(&mut *device, &bytes, range, &target, &|searched| progress.set_position(searched));
        let solved = solved.with_context(|| name.clone()).or_running()?;
        progress.finish_and_clear();
        let took = begun.elapsed().as_secs_f64();
        let Some(nonce) = solved.nonce.filter(|nonce| *nonce == GENESIS_NONCE) else {
            let seen = solved.nonce.map_or_else(|| "none".to_owned(), |nonce| nonce.to_string());
            return Err(Exit::new(Failure::Invalid, anyhow!("{name}: found nonce {seen}; wanted {GENESIS_NONCE}")));
        };
        if args.json {
            let object = json!({
                "device": device.info().id.to_string(),
                "name": device.info().name,
                "nonce": nonce,
                "hash": header.block_hash().to_string(),
                "hashes": solved.hashes,
                "hardware_errors": solved.hardware_errors,
                "seconds": took,
            });
            output::line(object)?;
        } else {
            let (hash, hashes) = (header.block_hash(), solved.hashes);
            output::line(format_args!("{name}: nonce {nonce} gives {hash} ({hashes} hashes in {took:.2} s)"))?;
        }
    }
    Ok(())
}
