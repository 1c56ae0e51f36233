//! Power loss at every step of what a store really writes, block files and database alike.
//!
//! The database does its own file I/O, so nothing can be put between it and the disk. Instead `strace` records every call
//! of a process that imports, reorganises, flushes tables, and rebuilds its database; the calls are played into a model of
//! a disk that keeps what was synced and drops, tears and reorders the rest; and what the model holds after a power loss
//! is laid out as a folder and opened. `ADIT_POWER_LOSSES` sets how many losses there are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
#[expect(dead_code, reason = "some of it is for other tests")]
#[path = "../support/mod.rs"]
mod support;
mod trace;

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use adit_testchain::Rng;
use adit_testchain::trials::{self, Missing};
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::import::reindex;
use adit_validator::recheck::recheck;
use bitcoin::BlockHash;
use disk::{Disk, Loss};
use fjall::{Database, KeyspaceCreateOptions};
use support::{NOW, check_coins, eventful, options};
use trace::Call;

/// Set in the process that is recorded: its data folder.
const FOLDER: &str = "ADIT_RECORDED_FOLDER";

fn main() -> ExitCode {
    match std::env::var_os(FOLDER) {
        Some(folder) => {
            work(Path::new(&folder));
            ExitCode::SUCCESS
        }
        None => trials::run(adit_testchain::trials![a_loss_of_power_loses_nothing_durable]),
    }
}

fn open(folder: &Path, commit: CommitPolicy) -> ChainState {
    ChainState::open(folder, ChainParams::regtest(), options(commit, 20_000)).unwrap()
}

/// Says which tip is durable. The recording has this among the other calls, so that it is known which came before.
fn report(state: &ChainState) {
    let mut out = std::io::stdout();
    out.write_all(format!("{}\n", state.durable_tip().hash).as_bytes()).unwrap();
    out.flush().unwrap();
}

fn import(folder: &Path, commit: CommitPolicy, blocks: &[adit_validator::block::DecodedBlock]) {
    let mut state = open(folder, commit);
    report(&state);
    for block in blocks {
        state.accept_block(block.clone(), NOW).unwrap();
        report(&state);
    }
    state.flush().unwrap();
    report(&state);
    state.close().unwrap();
}

/// What is recorded: commits of both policies, tables that are written and journals that are rotated, and a rebuild.
fn work(folder: &Path) {
    let blocks = eventful(3);
    let (first, rest) = blocks.split_at(120);
    import(folder, CommitPolicy::EveryBlock, first);
    {
        let database = Database::builder(folder.join("db")).manual_journal_persist(true).open().unwrap();
        let records = database.keyspace("records", KeyspaceCreateOptions::default).unwrap();
        records.rotate_memtable_and_wait().unwrap();
    }
    let (second, third) = rest.split_at(rest.len() / 2);
    import(folder, CommitPolicy::WhenFull, second);
    reindex(folder, &ChainParams::regtest(), ChainStateOptions::default(), &mut ()).unwrap();
    import(folder, CommitPolicy::EveryBlock, third);
}

/// The calls of [`work`] on `folder`.
fn record(folder: &Path, trace: &Path) -> Result<Vec<Call>, Missing> {
    let calls = "trace=openat,write,pwrite64,lseek,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,rmdir";
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-xx", "-s", "100000000", "-e", calls, "-o"]).arg(trace);
    command.arg(std::env::current_exe().unwrap()).env(FOLDER, folder);
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(trace::read(trace, folder))
        }
        Err(error) => Err(Missing::Required(format!("no strace: {error}"))),
    }
}

fn a_loss_of_power_loses_nothing_durable() -> Result<(), Missing> {
    let losses: usize = std::env::var("ADIT_POWER_LOSSES").map_or(40, |losses| losses.parse().unwrap());
    let base = tempfile::tempdir().unwrap();
    let base = base.path().canonicalize().unwrap();
    let (recorded, lost) = (base.join("recorded"), base.join("lost"));
    std::fs::create_dir(&recorded).unwrap();
    let calls = record(&recorded, &base.join("trace"))?;
    let changes: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].changes()).collect();
    assert!(changes.len() > 1_000 && calls.iter().any(|call| matches!(call, Call::Report(_))), "{}", changes.len());
    println!("{} calls, {} of them change files", calls.len(), changes.len());

    let mut rng = Rng::new(3);
    // Each loss at its own place, in order, so that the calls are played once.
    let mut places: Vec<usize> = (0..losses).map(|_| changes[rng.below(changes.len())]).collect();
    places.sort_unstable();
    let (mut disk, mut played, mut reported) = (Disk::default(), 0, None);
    for (number, place) in places.into_iter().enumerate() {
        for call in &calls[played..=place.max(played) - usize::from(place < played)] {
            if let Call::Report(tip) = call {
                reported = Some(*tip);
            }
            disk.play(call);
        }
        played = played.max(place + 1);
        let loss = Loss::ALL[number % Loss::ALL.len()];
        if lost.exists() {
            std::fs::remove_dir_all(&lost).unwrap();
        }
        disk.lay_out(&lost, loss, &mut rng);
        let context = format!("loss {number} ({loss:?}) after call {place}, {:?}", calls[place]);
        check(&lost, reported, &context.chars().take(300).collect::<String>(), number % 8 == 0);
    }
    println!("{losses} losses of power: nothing durable lost");
    Ok(())
}

/// Opens what the power loss has left.
fn check(folder: &Path, reported: Option<BlockHash>, context: &str, whole: bool) {
    let params = ChainParams::regtest();
    let state = ChainState::open(folder, params.clone(), options(CommitPolicy::EveryBlock, 20_000));
    let state = state.unwrap_or_else(|error| panic!("{context}: {error}"));
    if let Some(reported) = reported {
        let id = state.headers().lookup(&reported).unwrap_or_else(|| panic!("{context}: {reported} is gone"));
        let reported = state.headers().entry(id);
        assert!(state.tip().chain_work >= reported.chain_work, "{context}: was at {}", reported.height);
        assert!(state.block(&reported.hash).unwrap().is_some(), "{context}");
    }
    check_coins(&state, context);
    drop(state);
    if whole {
        let verdict = recheck(folder, &params, &mut ()).unwrap();
        assert!(verdict.is_good(), "{context}: {:?}", verdict.findings);
    }
}
