//! Measures how long a start takes after a kill: makes a chain, kills the process that imports it, and opens the data
//! folder.
//!
//! `cargo run --release -p adit-validator --example startup -- 10000` for blocks of a coinbase and four transactions;
//! a second number takes that many inputs a block instead.
//!
//! The import commits whenever its cache of eight mebibytes is full, and is killed right after the last block was
//! reported. So there is a journal to replay and a torn tail to cut off. Starts are repeated, each after a drop without
//! a commit.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use adit_testchain::{ChainGenerator, ChainShape, Mix};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView, CommitPolicy};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The environment variable that gives the process to be killed its data folder.
const FOLDER: &str = "ADIT_STARTUP_FOLDER";

const STARTS: usize = 5;

/// Later than every block of the chain.
const NOW: u64 = u32::MAX as u64;

fn main() -> Outcome {
    let numbers: Result<Vec<u32>, _> = std::env::args().skip(1).map(|number| number.parse()).collect();
    let (blocks, inputs) = match numbers?[..] {
        [blocks] => (blocks, 8),
        [blocks, inputs] => (blocks, inputs),
        _ => return Err("wanted: BLOCKS [INPUTS A BLOCK]".into()),
    };
    match std::env::var_os(FOLDER) {
        Some(folder) => import(Path::new(&folder), blocks, inputs),
        None => measure(blocks, inputs),
    }
}

fn options() -> ChainStateOptions {
    ChainStateOptions::default().with_commit(CommitPolicy::WhenFull).with_cache_bytes(8 << 20)
}

/// Imports more than `blocks` blocks and prints the durable height after each.
fn import(folder: &Path, blocks: u32, inputs: u32) -> Outcome {
    let outputs = inputs + inputs.div_ceil(8);
    let shape = ChainShape {
        blocks,
        inputs_per_block: inputs,
        outputs_per_block: outputs,
        coins: 20 * inputs,
        mix: Mix::free(),
        seed: 1,
    };
    let mut generator = ChainGenerator::new(shape)?;
    let mut state = ChainState::open(folder, ChainParams::regtest(), options())?;
    let mut out = std::io::stdout();
    loop {
        state.accept_block(DecodedBlock::decode(generator.next_block())?, NOW)?;
        writeln!(out, "{} {}", state.tip().height, state.durable_tip().height)?;
        if state.tip().height == blocks {
            state.flush()?;
        }
    }
}

/// The CPU time of the main thread in seconds; on a busy machine it is less than the elapsed time. Linux only.
fn cpu_seconds() -> Option<f64> {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(statistics.split(' ').next()?.parse::<u64>().ok()? as f64 / 1e9)
}

fn measure(blocks: u32, inputs: u32) -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([blocks.to_string(), inputs.to_string()]).env(FOLDER, folder.path()).stdout(Stdio::piped());
    let mut import = command.spawn()?;
    let durable = |line: &str| line.split_once(' ').and_then(|(_, durable)| durable.parse::<u32>().ok());
    let lines = BufReader::new(import.stdout.take().ok_or("no pipe")?).lines().map_while(Result::ok);
    let reached = lines.filter_map(|line| durable(&line)).find(|durable| *durable >= blocks);
    import.kill()?;
    import.wait()?;
    reached.ok_or("the import ended early")?;

    let mut seconds = Vec::new();
    for start in 1..=STARTS {
        let (before, cpu_before) = (Instant::now(), cpu_seconds());
        let state = ChainState::open(folder.path(), ChainParams::regtest(), options())?;
        seconds.push(before.elapsed().as_secs_f64());
        let (taken, height) = (seconds[start - 1], state.tip().height);
        let cpu =
            cpu_seconds().zip(cpu_before).map(|(after, before)| format!(", {:.3} s of them computing", after - before));
        println!("start {start}: {taken:.3} s to height {height}{}", cpu.unwrap_or_default());
    }
    let bytes = |part: &str| -> Outcome<u64> {
        let files = std::fs::read_dir(folder.path().join(part))?;
        Ok(files.filter_map(Result::ok).filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum())
    };
    println!("{} MB of blocks and undo records, {} MB of journals", bytes("blocks")? >> 20, bytes("db")? >> 20);
    let worst = seconds.iter().copied().fold(0.0, f64::max);
    println!("slowest of {STARTS}: {worst:.3} s");
    Ok(())
}
