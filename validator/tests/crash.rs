//! Kills an importing process with SIGKILL at random moments: what it had reported as durable must be there afterwards.
//!
//! The test binary runs itself again as that process. `ADIT_CRASH_KILLS` sets how many kills there are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, CommitPolicy};
use bitcoin::BlockHash;
use support::{NOW, Numbers, check_coins, eventful, options};

/// Set in the process that is killed: the data folder.
const FOLDER: &str = "ADIT_CRASH_FOLDER";
/// Set in the process that is killed, if it commits only when its cache is full.
const WHEN_FULL: &str = "ADIT_CRASH_WHEN_FULL";

const ROUNDS: u64 = 20;

fn main() {
    match std::env::var_os(FOLDER) {
        Some(folder) => import(Path::new(&folder)),
        None => kill_again_and_again(),
    }
}

fn open(folder: &Path, commit: CommitPolicy) -> ChainState {
    // Small enough that a commit comes every dozen blocks or so, in the middle of reorganisations too.
    ChainState::open(folder, ChainParams::regtest(), options(commit, 20_000)).unwrap()
}

/// Feeds the blocks and prints the durable tip after each.
fn import(folder: &Path) {
    let commit = if std::env::var_os(WHEN_FULL).is_some() { CommitPolicy::WhenFull } else { CommitPolicy::EveryBlock };
    let mut state = open(folder, commit);
    let mut out = std::io::stdout();
    writeln!(out, "{}", state.durable_tip().hash).unwrap();
    out.flush().unwrap();
    for block in eventful(ROUNDS) {
        state.accept_block(block, NOW).unwrap();
        writeln!(out, "{}", state.durable_tip().hash).unwrap();
        out.flush().unwrap();
    }
    state.close().unwrap();
}

/// Starts an import, kills it `pause` after its start, or after it has opened the store, and returns the last tip that
/// it reported, and whether the kill came in time.
fn import_and_kill(
    folder: &Path,
    commit: CommitPolicy,
    from_start: bool,
    pause: Duration,
) -> (Option<BlockHash>, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(FOLDER, folder).stdout(Stdio::piped());
    if commit == CommitPolicy::WhenFull {
        command.env(WHEN_FULL, "1");
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let first = if from_start { None } else { lines.next() };
    let reader = std::thread::spawn(move || lines.last().or(first));
    std::thread::sleep(pause);
    child.kill().unwrap();
    let killed = !child.wait().unwrap().success();
    let last = reader.join().unwrap();
    (last.map(|hash| hash.parse().unwrap()), killed)
}

fn kill_again_and_again() {
    let wanted: u32 = std::env::var("ADIT_CRASH_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let mut numbers = Numbers(u64::from(std::process::id()));
    println!("seed {}", numbers.0);
    let blocks = eventful(ROUNDS);
    let mut kills = 0;
    for run in 0.. {
        let commit = if run % 2 == 0 { CommitPolicy::EveryBlock } else { CommitPolicy::WhenFull };
        let folder = tempfile::tempdir().unwrap();
        let mut finished = false;
        let enough = kills + 5;
        while !finished && kills < wanted.min(enough) {
            let from_start = numbers.below(4) == 0;
            let pause = Duration::from_micros(numbers.next() % 300_000);
            let (reported, killed) = import_and_kill(folder.path(), commit, from_start, pause);
            kills += u32::from(killed);
            finished = !killed;
            let state = open(folder.path(), commit);
            let context = format!("kill {kills}, {commit:?}, after {pause:?}, at height {}", state.tip().height);
            if let Some(reported) = reported {
                let id = state.headers().lookup(&reported).unwrap_or_else(|| panic!("{context}: {reported} is gone"));
                let reported = state.headers().entry(id);
                assert!(state.tip().chain_work >= reported.chain_work, "{context}: was at {}", reported.height);
                assert!(state.block(&reported.hash).unwrap().is_some(), "{context}");
            }
            check_coins(&state, &context);
            println!("{context}: good");
        }
        // Whatever happened, the import can be finished.
        let mut state = open(folder.path(), CommitPolicy::WhenFull);
        for block in &blocks {
            state.accept_block(block.clone(), NOW).unwrap();
        }
        assert_eq!(u64::from(state.tip().height), 100 + 15 * ROUNDS);
        check_coins(&state, "finished");
        state.close().unwrap();
        if kills >= wanted {
            break;
        }
    }
}
