//! Kills an importing process with SIGKILL at random moments: what it had reported as durable must be there afterwards.
//!
//! The test binary runs itself again as that process. `ADIT_CRASH_KILLS` sets how many kills there are, shared out over
//! the ways to run it in [`Mode`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
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

/// How many blocks go back and come again in [`Mode::Deep`].
const DEPTH: u32 = 1_000;

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
    /// Goes from one branch to another and back by orders, 1,000 blocks each time, with no room in the cache: a commit after
    /// each block that goes or comes.
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

    /// How many of `all` blocks are there before anything is killed. Pruning begins some 300 blocks on; what the last mode
    /// does begins when all is there.
    fn head_start(self, all: usize, rng: &mut Rng) -> usize {
        match self {
            Self::EveryBlock | Self::WhenFull => all / 4 + rng.below(all / 2),
            Self::Pruned | Self::PrunedWhenFull => all / 2 + rng.below(all / 3),
            Self::Deep => all,
        }
    }

    /// What is imported, and the longest pause before a kill, about as long as the import takes.
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
    let wanted: usize = std::env::var("ADIT_CRASH_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let kills = MODES.into_iter().enumerate().map(|(at, mode)| {
        let share = wanted / MODES.len() + usize::from(at < wanted % MODES.len());
        trials::trial(&format!("kills_lose_nothing_that_is_durable::{mode:?}"), move || kill_in(mode, share))
    });
    trials::run(kills.collect())
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
    let killed = !child.wait().unwrap().success();
    let last = reader.join().unwrap();
    (last.map(|hash| hash.parse().unwrap()), killed)
}

/// Kills `wanted` imports, of which up to five go on in the same folder.
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
        // What is to be killed is soon reached: the beginning is imported in peace.
        let mut state = on_disk(&data, mode.options().with_commit(CommitPolicy::WhenFull).with_cache_bytes(1 << 20));
        for block in &blocks[..mode.head_start(blocks.len(), &mut rng)] {
            state.accept_block(block.clone(), NOW).unwrap();
        }
        state.close().unwrap();
        // Where pruning makes no small ones of its own.
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
    println!(
        "{mode:?}: {kills} kills, {midway} of them in the middle of a reorganisation that the next start finished"
    );
}

/// Whether the last commit was a large one, by the note of it.
fn last_commit_is_in_tables(data: &Path) -> bool {
    let note = std::fs::read_to_string(data.join("COMMIT")).unwrap();
    let number = |name| note.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse::<u64>().unwrap();
    number("commit ") > number("journaled ")
}

/// The tip of the last commit, before a start goes on from there.
fn durable_tip(data: &Path) -> Option<BlockHash> {
    let params = ChainParams::regtest();
    let identity = Identity { chain: params.name.clone(), genesis: params.consensus.genesis_hash, magic: params.magic };
    FolderStore::open(data, &identity, 4 << 20).unwrap().1.tip
}

/// Checks that nothing reported is lost, and that the coins are those of a fresh replay of the blocks that were made.
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
        // An order may have gone back to less work, all of it or nothing.
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

/// Whatever happened, the import can be finished.
fn finish(data: &Path, mode: Mode, blocks: &[DecodedBlock], by_hash: &HashMap<BlockHash, DecodedBlock>) {
    let mut state = on_disk(data, mode.options().with_cache_bytes(1 << 20));
    for block in blocks {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    // A mark that an order left is taken back.
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
