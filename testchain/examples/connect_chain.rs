//! Measures how fast Bitcoin Core's kernel connects the measured part of a block file, on disk.
//!
//! `cargo run --release -p adit-testchain --example connect_chain -- FILE --measured 300 --threads 2`

use adit_testchain::{Oracle, Verdict, assemble::TestNetwork, blk::BlkReader};
use anyhow::ensure;
use clap::Parser;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Feeds a chain file to Bitcoin Core's kernel.
#[derive(Parser)]
struct Arguments {
    /// The file, in `blk` framing, from height 1.
    file: PathBuf,
    /// The number of blocks at the end that are timed; those before are the warm-up.
    #[arg(long, default_value_t = 300)]
    measured: usize,
    /// Threads that check scripts, the submitting one included.
    #[arg(long, default_value_t = 2)]
    threads: i32,
}

fn main() -> anyhow::Result<()> {
    let Arguments { file, measured, threads } = Arguments::parse();
    let folder = tempfile::tempdir_in(file.parent().unwrap_or(std::path::Path::new(".")))?;
    let magic = TestNetwork::Regtest.magic();
    let count = BlkReader::open(&file, magic)?.count();
    ensure!(measured <= count, "{measured} measured blocks wanted, the file has {count}");
    let oracle = Oracle::regtest_in(folder.path(), threads - 1)?;
    let mut spent = Duration::ZERO;
    for (index, block) in BlkReader::open(&file, magic)?.enumerate() {
        let block = block?;
        let start = Instant::now();
        let submission = oracle.submit(&block);
        if index >= count - measured {
            spent += start.elapsed();
        }
        ensure!(submission.verdict == Verdict::Accepted, "block {}: {:?}", index + 1, submission.verdict);
    }
    let closing = Instant::now();
    drop(oracle);
    let closing = closing.elapsed();
    let rate = measured as f64 / (spent + closing).as_secs_f64();
    println!("{measured} blocks in {:.2} s, then {:.2} s to close", spent.as_secs_f64(), closing.as_secs_f64());
    println!("{rate:.1} blocks/s to durable storage");
    Ok(())
}
