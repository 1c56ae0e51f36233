//! Two recorded blocks with what they spend: on two threads beside one, and the scripts of one of them beside bare calls of the
//! script engine.
//!
//! Not criterion: what counts is the ratio of neighbours in time, so that each round takes one sample of everything. A sample of
//! a block is all that `adit validate --block --prevouts` does but reading the files: decoding, every rule, every script.
//! The blocks come from `$ADIT_VECTORS` or `../shared/vectors`.
//!
//! `cargo bench --bench blocks -- --rounds 20`

use std::time::{Duration, Instant};

use adit_testchain::trials::read_vector;
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::coins::Coin;
use adit_validator::prevouts::{CheckedBlock, Prevouts, check_block_with_prevouts};
use adit_validator::rules::{ConnectOptions, script_flags};
use anyhow::ensure;
use bitcoinkernel::{PrecomputedTransactionData, ScriptPubkey, Transaction, TxOut, verify};
use clap::Parser;
use rayon::ThreadPool;

/// The block whose scripts are compared with bare calls.
const SCRIPTS: u32 = 866_342;

#[derive(Parser)]
struct Arguments {
    /// Samples of everything, in turn.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Cargo passes this flag.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Recorded {
    height: u32,
    raw: Vec<u8>,
    prevouts: Prevouts,
    params: ChainParams,
}

impl Recorded {
    fn read(height: u32) -> anyhow::Result<Self> {
        let file = |ending: &str| read_vector(&format!("mainnet/block-{height}.{ending}"));
        let prevouts = Prevouts::read(&file("prevouts.json")?[..])?;
        Ok(Self { height, raw: file("bin")?, prevouts, params: ChainParams::main() })
    }

    fn check(&self) -> anyhow::Result<CheckedBlock> {
        Ok(self.check_in_steps()?.0)
    }

    /// With the time that decoding took.
    fn check_in_steps(&self) -> anyhow::Result<(CheckedBlock, Duration)> {
        let (block, decoding) = timed(|| DecodedBlock::decode(self.raw.as_slice()));
        let (block, options) = (block?, ConnectOptions::default());
        let checked = check_block_with_prevouts(&self.params.consensus, &block, &self.prevouts, u64::MAX / 2, options)?;
        Ok((checked, decoding))
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let (one, two) = (pool(1)?, pool(2)?);
    let blocks = match [SCRIPTS, 367_891].map(Recorded::read) {
        [Ok(first), Ok(second)] => [first, second],
        [Err(error), _] | [_, Err(error)] => {
            eprintln!("skipped: {error:#}");
            return Ok(());
        }
    };
    for block in &blocks {
        threads(block, &one, &two, arguments.rounds)?;
    }
    scripts(&blocks[0], &one, arguments.rounds)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn milliseconds(durations: &[Duration]) -> f64 {
    median(durations.iter().map(|duration| duration.as_secs_f64() * 1e3).collect())
}

fn ratio(over: &[Duration], under: &[Duration]) -> f64 {
    median(over.iter().zip(under).map(|(over, under)| over.as_secs_f64() / under.as_secs_f64()).collect())
}

fn threads(block: &Recorded, one: &ThreadPool, two: &ThreadPool, rounds: usize) -> anyhow::Result<()> {
    let (mut alone, mut together, mut inputs) = (Vec::new(), Vec::new(), 0);
    let mut steps: [Vec<Duration>; 4] = Default::default();
    for _ in 0..rounds {
        let (checked, duration) = timed(|| one.install(|| block.check()));
        inputs = checked?.connected.inputs;
        alone.push(duration);
        let (checked, duration) = timed(|| two.install(|| block.check_in_steps()));
        let (checked, decoding) = checked?;
        together.push(duration);
        let times = checked.connected.times;
        let rest = duration - decoding - times.coins - times.scripts;
        let all = [decoding, times.coins, times.scripts, rest];
        steps.iter_mut().zip(all).for_each(|(step, duration)| step.push(duration));
    }
    let [decoding, coins, scripts, rest] = steps.map(|step| milliseconds(&step));
    println!(
        "block {}, {inputs} inputs: one thread {:.1} ms, two threads {:.1} ms: {:.2} times as fast\n  two threads: decoding \
         {decoding:.1} ms, coins {coins:.1} ms beside scripts, then scripts {scripts:.1} ms, other \
         rules {rest:.1} ms",
        block.height,
        milliseconds(&alone),
        milliseconds(&together),
        ratio(&alone, &together),
    );
    Ok(())
}

/// A transaction as the engine wants it, made before the clock runs.
struct Prepared {
    transaction: Transaction,
    scripts: Vec<(ScriptPubkey, i64)>,
    data: PrecomputedTransactionData,
}

impl Prepared {
    fn new(raw: &[u8], spent: &[Coin]) -> anyhow::Result<Self> {
        let transaction = Transaction::new(raw)?;
        let script = |coin: &Coin| {
            let script = ScriptPubkey::new(coin.output.script_pubkey.as_bytes())?;
            anyhow::Ok((script, coin.output.value.to_sat().cast_signed()))
        };
        let scripts = spent.iter().map(script).collect::<Result<Vec<_>, _>>()?;
        let outputs: Vec<TxOut> = scripts.iter().map(|(script, value)| TxOut::new(script, *value)).collect();
        let data = PrecomputedTransactionData::new(&transaction, &outputs)?;
        Ok(Self { transaction, scripts, data })
    }
}

/// All that Adit does for a block's scripts, on one thread, beside the calls of the engine alone.
fn scripts(recorded: &Recorded, one: &ThreadPool, rounds: usize) -> anyhow::Result<()> {
    let block = DecodedBlock::decode(recorded.raw.as_slice())?;
    let flags = script_flags(&recorded.params.consensus, recorded.height, block.hash()).bits();
    let spent = one.install(|| recorded.check())?.connected.undo.spent;
    let prepare = || {
        let prepared = spent.iter().zip(1..).map(|(coins, tx)| Prepared::new(block.raw_transaction(tx), coins));
        prepared.collect::<anyhow::Result<Vec<_>>>()
    };
    let verify = |of: &Prepared| {
        of.scripts.iter().enumerate().all(|(input, (script, value))| {
            verify(script, Some(*value), &of.transaction, input, Some(flags), &of.data).is_ok()
        })
    };
    let (mut preparing, mut bare, mut adit, mut bare_by_two) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (prepared, duration) = timed(prepare);
        let prepared = prepared?;
        preparing.push(duration);
        let (good, duration) = timed(|| prepared.iter().all(verify));
        ensure!(good, "the engine refuses a script of block {}", recorded.height);
        bare.push(duration);
        let half = |odd: usize| prepared.iter().skip(odd).step_by(2).all(verify);
        let (good, duration) = timed(|| {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| half(1));
                half(0) && other.join().unwrap_or(false)
            })
        });
        ensure!(good, "the engine refuses a script of block {}", recorded.height);
        bare_by_two.push(duration);
        // On one thread nothing runs beside the coins, so that all of it is in the wait for scripts.
        adit.push(one.install(|| recorded.check())?.connected.times.scripts);
    }
    println!(
        "scripts of block {}, one thread: bare calls {:.1} ms, adit {:.1} ms: {:+.2} %; preparing them {:.1} ms",
        recorded.height,
        milliseconds(&bare),
        milliseconds(&adit),
        (ratio(&adit, &bare) - 1.0) * 100.0,
        milliseconds(&preparing),
    );
    println!(
        "  what the machine gives two threads: the same bare calls, shared out beforehand, are {:.2} times as fast",
        ratio(&bare, &bare_by_two),
    );
    Ok(())
}
