//! Connecting whole chains to durable storage, beside Bitcoin Core's kernel doing the same: time, peak memory, and what a
//! reorganisation costs.
//!
//! Not criterion: a run takes minutes, writes a folder, and its peak memory is a figure too, so each is a process of its own.
//! The two sides take turns. The chains come from `testchain` and stay in `target/testchain/`.
//!
//! `cargo bench --bench connect -- signed coins reorg --rounds 3 --threads 2`

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use adit_testchain::assemble::TestNetwork;
use adit_testchain::blk::{self, BlkReader};
use adit_testchain::{ChainGenerator, ChainShape, Oracle, Verdict};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainStateOptions, ChainView, CommitPolicy, Timings};
use adit_validator::import::{Prefetch, PrefetchedBlock};
use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// The coin cache of Bitcoin Core's kernel, which has no setting for it.
const CACHE_MIB: usize = 450;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    child: Option<Child>,
    /// What to measure.
    #[arg(value_enum, default_values_t = [Subject::Signed, Subject::Coins, Subject::Reorg])]
    subjects: Vec<Subject>,
    /// Runs of each side, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    size: Size,
    /// Cargo passes this flag.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Args, Clone, Copy)]
struct Size {
    /// Threads of each side.
    #[arg(long, default_value_t = 2, global = true)]
    threads: usize,
    /// Blocks that are timed, after those that make the coins they spend.
    #[arg(long, default_value_t = 300, global = true)]
    blocks: u32,
    /// Coins that are there before, in the chain heavy in coins.
    #[arg(long, default_value_t = 10_000_000, global = true)]
    coins: u32,
    /// Random seed.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// 2,000 signed inputs a block.
    Signed,
    /// 3,000 inputs and 4,000 outputs a block, scripts that cost nothing, more coins than the cache holds.
    Coins,
    /// A third of as many blocks of signed inputs taken back for as many others and one more, beside connecting them.
    Reorg,
}

#[derive(Clone, Copy, Subcommand)]
enum Child {
    #[command(hide = true)]
    Adit { subject: Subject },
    #[command(hide = true)]
    Kernel { subject: Subject },
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Subject::Signed => "signed",
            Subject::Coins => "coins",
            Subject::Reorg => "reorg",
        }
    }

    fn shape(self, size: Size) -> ChainShape {
        match self {
            Subject::Signed => ChainShape { blocks: size.blocks, ..ChainShape::signed(size.seed) },
            Subject::Coins => ChainShape { blocks: size.blocks, coins: size.coins, ..ChainShape::coins(size.seed) },
            Subject::Reorg => ChainShape { blocks: size.blocks / 3, ..ChainShape::signed(size.seed) },
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.child {
        Some(Child::Adit { subject }) => {
            let Size { threads, .. } = arguments.size;
            print(on_threads(threads, || match subject {
                Subject::Reorg => reorganise(arguments.size),
                _ => connect(subject, arguments.size),
            })??);
        }
        Some(Child::Kernel { subject }) => print(connect_with_kernel(subject, arguments.size)?),
        None => {
            for subject in &arguments.subjects {
                compare(*subject, &arguments)?;
            }
        }
    }
    Ok(())
}

fn print(result: Value) {
    println!("{result}");
}

/// Runs both sides in turn and prints a line a run, then the medians' ratio.
fn compare(subject: Subject, arguments: &Arguments) -> anyhow::Result<()> {
    if subject == Subject::Reorg {
        for _ in 0..arguments.rounds {
            let result = run("adit", subject, arguments.size)?;
            println!("reorg adit {result}");
        }
        return Ok(());
    }
    let path = blk::cached(&subject.shape(arguments.size))?;
    println!("{}: {}", subject.name(), path.display());
    let mut ratios = Vec::new();
    for _ in 0..arguments.rounds {
        let [adit, kernel] = ["adit", "kernel"].map(|side| run(side, subject, arguments.size));
        let (adit, kernel) = (adit?, kernel?);
        println!("{} adit   {adit}\n{} kernel {kernel}", subject.name(), subject.name());
        let figure = |of: &Value, what: &str| of[what].as_f64().context("a child prints numbers");
        let ratio = |what| anyhow::Ok(figure(&kernel, what)? / figure(&adit, what)?);
        ratios.push((ratio("seconds")?, ratio("peak_mib")?.recip()));
    }
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (faster, memory) = ratios[ratios.len() / 2];
    println!("{}: {faster:.2} times as fast as the kernel, {memory:.2} times its peak memory", subject.name());
    Ok(())
}

/// One run, in a process of its own.
fn run(side: &str, subject: Subject, size: Size) -> anyhow::Result<Value> {
    let output = Command::new(std::env::current_exe()?)
        .args([side, subject.name()])
        .args(["--threads", &size.threads.to_string(), "--blocks", &size.blocks.to_string()])
        .args(["--coins", &size.coins.to_string(), "--seed", &size.seed.to_string()])
        .output()?;
    ensure!(output.status.success(), "{side} {}: {}", subject.name(), String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A folder on the disk that holds the chain.
fn folder(path: &Path) -> anyhow::Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(path.parent().context("a chain lies in a folder")?)?)
}

/// The chain's file, and how many of its blocks come before those that are timed.
fn chain(subject: Subject, size: Size) -> anyhow::Result<(PathBuf, usize)> {
    let shape = subject.shape(size);
    let path = blk::cached(&shape)?;
    let count = BlkReader::open(&path, TestNetwork::Regtest.magic())?.count();
    Ok((path, count - shape.blocks as usize))
}

/// Time is taken while a validator has blocks, decoding included, up to the end of the close that makes everything durable.
/// Reading the blocks' file is no part of it, for neither side.
#[derive(Default)]
struct Timing {
    spent: Duration,
}

impl Timing {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.spent += start.elapsed();
        result
    }

    fn end(mut self, blocks: u32, phases: Value, close: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Value> {
        let before = self.spent;
        self.add(close)?;
        Ok(json!({
            "seconds": self.spent.as_secs_f64(),
            "closing_seconds": (self.spent - before).as_secs_f64(),
            "blocks": blocks,
            "peak_mib": peak_mib()?,
            "phases": phases,
        }))
    }
}

/// The largest resident size of this process so far.
fn peak_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("Linux tells the peak")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Runs `work` on so many threads, of which the one that connects is one.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(work))
}

fn connect(subject: Subject, size: Size) -> anyhow::Result<Value> {
    let (path, untimed) = chain(subject, size)?;
    let folder = folder(&path)?;
    let mut feeder = Feeder::new(open(folder.path())?);
    let mut timing = Timing::default();
    let (mut waiting, mut before) = (Duration::ZERO, Timings::default());
    for (number, block) in BlkReader::open(&path, TestNetwork::Regtest.magic())?.enumerate() {
        let block = block?;
        if number == untimed {
            feeder.drain()?;
            timing = Timing::default();
            (waiting, before) = (feeder.waiting, *feeder.chain.timings());
        }
        timing.add(|| feeder.feed(block))?;
    }
    timing.add(|| feeder.drain())?;
    let phases = phases(feeder.waiting - waiting, &before, feeder.chain.timings());
    timing.end(subject.shape(size).blocks, phases, || Ok(feeder.chain.close()?))
}

/// Feeds blocks as an import does: some are decoded ahead.
struct Feeder {
    chain: ChainState,
    prefetch: Prefetch<()>,
    /// For blocks that were still being decoded, or whose coins were still being read.
    waiting: Duration,
}

impl Feeder {
    fn new(chain: ChainState) -> Self {
        let prefetch = Prefetch::new(chain.params());
        Self { chain, prefetch, waiting: Duration::ZERO }
    }

    fn feed(&mut self, block: Vec<u8>) -> anyhow::Result<()> {
        self.prefetch.push((), block);
        if self.prefetch.is_full() { self.take().map(drop) } else { Ok(()) }
    }

    /// Connects the first block that waits; whether there was one.
    fn take(&mut self) -> anyhow::Result<bool> {
        let start = Instant::now();
        let next = self.prefetch.next(&mut self.chain)?;
        self.waiting += start.elapsed();
        let Some(PrefetchedBlock { block, .. }) = next else { return Ok(false) };
        let outcome = self.chain.accept_block(block?, u64::MAX / 2)?;
        ensure!(matches!(outcome, BlockOutcome::Connected { .. }), "{outcome:?}");
        Ok(true)
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        while self.take()? {}
        Ok(())
    }
}

/// Seconds by what they went to, until the close.
fn phases(waiting: Duration, before: &Timings, after: &Timings) -> Value {
    let of = |part: fn(&Timings) -> Duration| (part(after) - part(before)).as_secs_f64();
    json!({
        "waiting": waiting.as_secs_f64(),
        "checks": of(|timings| timings.checks),
        "fetch": of(|timings| timings.fetch),
        "coins": of(|timings| timings.coins),
        "scripts": of(|timings| timings.scripts),
        "disconnect": of(|timings| timings.disconnect),
        "append": of(|timings| timings.append),
        "commit": of(|timings| timings.commit),
    })
}

fn open(folder: &Path) -> anyhow::Result<ChainState> {
    let options = ChainStateOptions::default().with_commit(CommitPolicy::WhenFull).with_cache_bytes(CACHE_MIB << 20);
    Ok(ChainState::open(folder, ChainParams::regtest(), options)?)
}

fn connect_with_kernel(subject: Subject, size: Size) -> anyhow::Result<Value> {
    let (path, untimed) = chain(subject, size)?;
    let folder = folder(&path)?;
    // The thread that submits checks scripts too.
    let oracle = Oracle::regtest_in(folder.path(), i32::try_from(size.threads)? - 1)?;
    let mut timing = Timing::default();
    for (number, block) in BlkReader::open(&path, TestNetwork::Regtest.magic())?.enumerate() {
        let block = block?;
        if number == untimed {
            timing = Timing::default();
        }
        let submission = timing.add(|| oracle.submit(&block));
        ensure!(submission.verdict == Verdict::Accepted, "{:?}", submission.verdict);
    }
    timing.end(subject.shape(size).blocks, Value::Null, || {
        drop(oracle);
        Ok(())
    })
}

/// Connects a branch, then a longer one from the same block, so that the first is taken back.
fn reorganise(size: Size) -> anyhow::Result<Value> {
    let shape = Subject::Reorg.shape(size);
    let depth = shape.blocks as usize;
    let target = blk::cache_path(&shape);
    std::fs::create_dir_all(target.parent().context("a chain lies in a folder")?)?;
    let folder = folder(&target)?;
    let mut chain = open(folder.path())?;
    let mut generator = ChainGenerator::new(ChainShape { blocks: 2 * size.blocks, ..shape })?;
    // The whole time, and that of decoding.
    let accept = |chain: &mut ChainState, block: &[u8]| {
        let start = Instant::now();
        let block = DecodedBlock::decode(block)?;
        let decoding = start.elapsed();
        chain.accept_block(block, u64::MAX / 2)?;
        anyhow::Ok((start.elapsed(), decoding))
    };
    while !generator.is_warm() {
        accept(&mut chain, &generator.next_block())?;
    }
    let mut other = generator.fork(1);
    let branch = |generator: &mut ChainGenerator, length: usize| -> VecDeque<Vec<u8>> {
        (0..length).map(|_| generator.next_block()).collect()
    };
    let (first, second) = (branch(&mut generator, depth), branch(&mut other, depth + 1));
    let mut connecting = Duration::ZERO;
    for block in &first {
        connecting += accept(&mut chain, block)?.0;
    }
    let (mut reorganising, mut decoding, before) = (Duration::ZERO, Duration::ZERO, *chain.timings());
    for block in &second {
        let times = accept(&mut chain, block)?;
        reorganising += times.0;
        decoding += times.1;
    }
    ensure!(chain.tip().hash == DecodedBlock::decode(second[depth].as_slice())?.hash(), "the longer branch is active");
    Ok(json!({
        "blocks": depth,
        "connecting_seconds": connecting.as_secs_f64(),
        "reorganising_seconds": reorganising.as_secs_f64(),
        "ratio": reorganising.as_secs_f64() / connecting.as_secs_f64(),
        "phases": phases(decoding, &before, chain.timings()),
    }))
}
