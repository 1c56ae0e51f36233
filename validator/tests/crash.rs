//! Kills an importing process with SIGKILL at random moments: what it had reported as durable must be there afterwards.
//!
//! The test binary runs itself again as that process. `ADIT_CRASH_KILLS` sets the number of kills, which are divided among
//! the modes in [`Mode`]; each mode has at least one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_testchain::{Rng, blk, trials};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::import::BlockFile;
use adit_validator::store::Identity;
use adit_validator::store::folder::FolderStore;
use bitcoin::BlockHash;
use support::{Branch, NOW, check_coins, connect_all, eventful, in_memory, on_disk};

/// Set in the process that is killed: the data folder, and the name of the mode.
const FOLDER: &str = "ADIT_CRASH_FOLDER";
const MODE: &str = "ADIT_CRASH_MODE";

/// The blocks to import, beside the data folder, so that the process need not make them.
const BLOCKS: &str = "blocks.dat";

/// The number of blocks that are disconnected and connected again in [`Mode::Deep`].
const DEPTH: u32 = 1_000;

/// The number of kills from which on at least one of them must hit a reorganisation. Of 25 kills seven did, four of them of
/// the five in [`Mode::Deep`]; at these rates all of 20 kills, four in each mode, miss once in 8,000 runs.
const CERTAIN: usize = 20;

/// The kills of all modes, and those of them in the middle of a reorganisation.
static KILLS: AtomicUsize = AtomicUsize::new(0);
static MIDWAY: AtomicUsize = AtomicUsize::new(0);

/// What the process does while it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Imports with a commit at every block; a reorganisation every few of them.
    EveryBlock,
    /// The same with a small cache and commits when it is full, in the middle of reorganisations too.
    WhenFull,
    /// As the first, with pruning.
    Pruned,
    /// As the second, with pruning.
    PrunedWhenFull,
    /// Switches between two branches with `invalidate` and `reconsider`, 1,000 blocks each time, without room in the cache: a
    /// commit after each block that is connected or disconnected.
    Deep,
}

const MODES: [Mode; 5] = [Mode::EveryBlock, Mode::WhenFull, Mode::Pruned, Mode::PrunedWhenFull, Mode::Deep];

impl Mode {
    fn is_pruned(self) -> bool {
        matches!(self, Self::Pruned | Self::PrunedWhenFull)
    }

    fn options(self) -> ChainStateOptions {
        let is_pruned = self.is_pruned();
        let commit = if matches!(self, Self::EveryBlock | Self::Pruned) {
            CommitPolicy::EveryBlock
        } else {
            CommitPolicy::WhenFull
        };
        ChainStateOptions::default()
            .with_commit(commit)
            // Small enough that a commit comes every dozen blocks or so, and then goes into tables.
            .with_cache_bytes(if self == Self::Deep { 0 } else { 40_000 })
            .with_ingest_threshold(20)
            .with_prune_bytes(is_pruned.then_some(1))
            .with_block_file_bytes(if is_pruned { 10_000 } else { 1 << 20 })
    }

    /// The number of blocks, of `all`, that are imported before the first kill. Pruning begins after some 300 blocks; the last
    /// mode begins its work when all blocks are imported.
    fn head_start(self, all: usize, rng: &mut Rng) -> usize {
        match self {
            Self::EveryBlock | Self::WhenFull => all / 4 + rng.below(all / 2),
            Self::Pruned | Self::PrunedWhenFull => all / 2 + rng.below(all / 3),
            Self::Deep => all,
        }
    }

    /// The blocks to import, and the longest pause before a kill, about as long as the import takes.
    fn plan(self) -> (Vec<DecodedBlock>, Duration) {
        match self {
            Self::EveryBlock | Self::WhenFull => (eventful(20), Duration::from_millis(300)),
            Self::Pruned | Self::PrunedWhenFull => (eventful(40), Duration::from_millis(600)),
            Self::Deep => {
                let (one, other) = deep_branches();
                let mut blocks = one.blocks;
                blocks.extend_from_slice(&other.blocks[100..]);
                (blocks, Duration::from_secs(3))
            }
        }
    }
}

/// 100 common blocks, then the two branches of [`Mode::Deep`].
fn deep_branches() -> (Branch, Branch) {
    let mut one = Branch::from_genesis();
    one.mine(100, 0, 0);
    let mut other = one.clone();
    one.mine(DEPTH, 1, 1);
    other.mine(DEPTH + 1, 2, 1);
    (one, other)
}

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let name = std::env::var(MODE).unwrap();
        import(Path::new(&folder), MODES.into_iter().find(|mode| format!("{mode:?}") == name).unwrap());
        return ExitCode::SUCCESS;
    }
    let wanted: usize = std::env::var("ADIT_CRASH_KILLS").map_or(CERTAIN, |kills| kills.parse().unwrap());
    let kills = MODES.into_iter().enumerate().map(|(at, mode)| {
        let share = (wanted / MODES.len() + usize::from(at < wanted % MODES.len())).max(1);
        trials::trial(&format!("kills_lose_nothing_that_is_durable::{mode:?}"), move || kill_in(mode, share))
    });
    let outcome = trials::run(kills.collect());
    let (kills, midway) = (KILLS.load(Ordering::Relaxed), MIDWAY.load(Ordering::Relaxed));
    if kills >= CERTAIN && midway == 0 {
        eprintln!("none of {kills} kills hit a reorganisation: the test shows nothing about them");
        return ExitCode::FAILURE;
    }
    outcome
}

/// Feeds the blocks and prints the durable tip after each.
fn import(folder: &Path, mode: Mode) {
    let mut state = on_disk(&folder.join("data"), mode.options());
    let mut out = std::io::stdout();
    let mut report = |state: &ChainState| {
        writeln!(out, "{}", state.durable_tip().hash).unwrap();
        out.flush().unwrap();
    };
    report(&state);
    let magic = ChainParams::regtest().magic;
    let mut last = state.tip().hash;
    for record in BlockFile::new(File::open(folder.join(BLOCKS)).unwrap(), magic) {
        let block = DecodedBlock::decode(record.unwrap().bytes).unwrap();
        last = block.hash();
        state.accept_block(block, NOW).unwrap();
        report(&state);
    }
    if mode == Mode::Deep {
        // The first block of the second branch.
        let last = state.headers().lookup(&last).unwrap();
        let first = state.headers().entry(state.headers().ancestor(last, 101)).hash;
        for _ in 0..20 {
            state.invalidate(&first).unwrap();
            report(&state);
            state.reconsider(&first).unwrap();
            report(&state);
        }
    }
    state.close().unwrap();
}

/// Starts an import, kills it `pause` after its start, or after it has opened the store, and returns the last tip that
/// it reported, and whether the kill came in time.
fn import_and_kill(folder: &Path, mode: Mode, from_start: bool, pause: Duration) -> (Option<BlockHash>, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(FOLDER, folder).env(MODE, format!("{mode:?}")).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let first = if from_start { None } else { lines.next() };
    let reader = std::thread::spawn(move || lines.last().or(first));
    std::thread::sleep(pause);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "the import ended by itself: {status}");
    let last = reader.join().unwrap();
    (last.map(|hash| hash.parse().unwrap()), killed)
}

/// Kills `wanted` imports. Up to five of them continue in the same folder.
fn kill_in(mode: Mode, wanted: usize) {
    let seed = u64::from(std::process::id());
    println!("{mode:?}: seed {seed}");
    let mut rng = Rng::new(seed);
    let (blocks, longest) = mode.plan();
    let by_hash: HashMap<BlockHash, DecodedBlock> = blocks.iter().map(|block| (block.hash(), block.clone())).collect();
    let (mut kills, mut midway) = (0, 0);
    while kills < wanted {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let magic = ChainParams::regtest().magic;
        blk::write(&folder.path().join(BLOCKS), magic, blocks.iter().map(|block| block.raw().to_vec())).unwrap();
        // The first part is imported without kills, so that the process soon reaches the part to be killed.
        let mut state = on_disk(&data, mode.options().with_commit(CommitPolicy::WhenFull).with_cache_bytes(1 << 20));
        for block in &blocks[..mode.head_start(blocks.len(), &mut rng)] {
            state.accept_block(block.clone(), NOW).unwrap();
        }
        state.close().unwrap();
        // Pruning makes small commits of its own.
        let is_large = last_commit_is_in_tables(&data);
        assert!(is_large || mode.is_pruned() || mode == Mode::Deep, "{mode:?}: no large commit");

        let (mut finished, enough) = (false, kills + 5);
        while !finished && kills < wanted.min(enough) {
            let from_start = rng.below(4) == 0;
            let pause = longest.mul_f64(rng.below(1_000) as f64 / 1_000.0);
            let (reported, killed) = import_and_kill(folder.path(), mode, from_start, pause);
            kills += usize::from(killed);
            finished = !killed;
            let cut_at = durable_tip(&data);
            let state = on_disk(&data, mode.options().with_cache_bytes(40_000));
            midway += usize::from(cut_at != Some(state.tip().hash));
            let context = format!("{mode:?}, kill {kills}, after {pause:?}, at height {}", state.tip().height);
            check(&state, reported, mode, &by_hash, &context);
            println!("{context}: good");
        }
        finish(&data, mode, &blocks, &by_hash);
    }
    KILLS.fetch_add(kills, Ordering::Relaxed);
    MIDWAY.fetch_add(midway, Ordering::Relaxed);
    println!(
        "{mode:?}: {kills} kills, {midway} of them in the middle of a reorganisation that the next start finished"
    );
}

/// Whether the last commit was a large one, from its note.
fn last_commit_is_in_tables(data: &Path) -> bool {
    let note = std::fs::read_to_string(data.join("COMMIT")).unwrap();
    let number = |name| note.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse::<u64>().unwrap();
    number("commit ") > number("journaled ")
}

/// The tip of the last commit, before the next start continues from it.
fn durable_tip(data: &Path) -> Option<BlockHash> {
    let params = ChainParams::regtest();
    let identity = Identity { chain: params.name.clone(), genesis: params.consensus.genesis_hash, magic: params.magic };
    FolderStore::open(data, &identity, 4 << 20).unwrap().1.tip
}

/// Checks that nothing reported is lost, and that the coins are those of a fresh replay of the blocks.
fn check(
    state: &ChainState,
    reported: Option<BlockHash>,
    mode: Mode,
    blocks: &HashMap<BlockHash, DecodedBlock>,
    context: &str,
) {
    if let Some(reported) = reported {
        let id = state.headers().lookup(&reported).unwrap_or_else(|| panic!("{context}: {reported} is gone"));
        let reported = state.headers().entry(id);
        // `invalidate` may have gone back to less work, completely or not at all.
        let is_kept =
            state.tip().chain_work >= reported.chain_work || mode == Mode::Deep && state.tip().height >= DEPTH;
        assert!(is_kept, "{context}: was at {}", reported.height);
        assert!(state.block(&reported.hash).unwrap().is_some(), "{context}");
    }
    let active = (1..=state.tip().height).map(|height| &blocks[&state.active_at(height).unwrap().hash]);
    let mut fresh = in_memory();
    connect_all(&mut fresh, active);
    assert_eq!(state.coin_statistics().unwrap(), fresh.coin_statistics().unwrap(), "{context}");
}

/// Finishes the import, which must be possible after any kill.
fn finish(data: &Path, mode: Mode, blocks: &[DecodedBlock], by_hash: &HashMap<BlockHash, DecodedBlock>) {
    let mut state = on_disk(data, mode.options().with_cache_bytes(1 << 20));
    for block in blocks {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    // Takes back the mark of an `invalidate` that was cut off.
    state.reconsider(&blocks[blocks.len() - 1].hash()).unwrap();
    let highest = if mode == Mode::Deep { 100 + DEPTH + 1 } else { 100 + (blocks.len() as u32 - 100) * 15 / 19 };
    assert_eq!(state.tip().height, highest, "{mode:?}");
    check(&state, None, mode, by_hash, "finished");
    if !mode.is_pruned() {
        check_coins(&state, "from its own blocks");
    } else {
        assert!(state.active_at(1).unwrap().is_pruned());
    }
    state.close().unwrap();
}
