//! `adit up`: one private chain, mined, validated and kept by this process.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use adit_miner::{DeviceInfo, DeviceSnapshot, DeviceState, Engine, Snapshot};
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, Options};
use adit_validator::headers::tree::Entry;
use anyhow::{Context, anyhow};
use bitcoin::{CompactTarget, ScriptBuf, Target};
use etcetera::BaseStrategy;
use serde_json::json;

use crate::cli::UpArgs;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::local_work::{Event, LocalWork, MinedBlock};
use crate::output::{self, Reader};
use crate::rate::{counted, hashrate, significant};
use crate::{devices, interrupt, recheck};

/// How often a terminal's line is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// How often a pipe gets a line.
const LINE: Duration = Duration::from_secs(5);

/// How many digits of a hash a terminal's line has room for.
const TERMINAL_HASH: usize = 12;

pub fn run(args: &UpArgs) -> Result {
    let params = ChainParams::by_name(args.chain.name()).or_usage()?;
    let devices = devices::open(&args.devices)?;
    let payout = args.payout.clone().unwrap_or_else(anyone_can_spend);
    let interrupted = interrupt::flag().or_running()?;

    let folder = match &args.datadir {
        Some(datadir) => datadir.clone(),
        None => default_datadir()?,
    };
    let folder = folder.join(args.chain.name());
    let chain = ChainState::open(&folder, params, Options::default())
        .map_err(|error| recheck::store_failure(error, &folder, args.chain.name()))?;

    let tip = chain.tip();
    let mut display = Display::new(args.json, tip);
    display.say(&format!(
        "chain {} in {}: height {}; mining on {}",
        args.chain.name(),
        folder.display(),
        tip.height,
        devices.iter().map(|device| named(device.info())).collect::<Vec<_>>().join(", ")
    ))?;

    let (sender, events) = channel();
    let source = Arc::new(LocalWork::new(chain, args.blocks, payout, sender));
    let engine = Engine::start(source.clone(), devices).context("cannot start the miner").or_running()?;
    let outcome = watch(&engine, &events, &interrupted, args.blocks, &mut display);
    // The chain first: what is in flight in the devices is stale from here on.
    let closed = source.close().context("cannot make the chain durable").or_running();
    let snapshot = engine.stop();
    // A block may have been connected after the last look at the events.
    let late = events.try_iter().try_for_each(|event| display.take(event));
    let shown = display.finish(&snapshot);
    outcome.and(late).and(closed).and(shown)
}

/// Shows what happens until there is nothing more to wait for.
fn watch(
    engine: &Engine,
    events: &Receiver<Event>,
    interrupted: &AtomicBool,
    blocks: Option<u64>,
    display: &mut Display,
) -> Result {
    while !interrupted.load(Ordering::Relaxed) {
        match events.recv_timeout(REDRAW) {
            Ok(event) => display.take(event)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if blocks.is_some_and(|blocks| display.mined >= blocks) {
            break;
        }
        let snapshot = engine.snapshot();
        if let Some(failure) = &snapshot.failure {
            return Err(Exit::new(Failure::Running, anyhow!("the miner stopped: {failure}")));
        }
        if snapshot.all_failed() {
            return Err(Exit::new(Failure::Running, anyhow!("no device is left: {}", failures(&snapshot))));
        }
        display.redraw(&snapshot)?;
        if display.unread {
            break;
        }
    }
    Ok(())
}

fn failures(snapshot: &Snapshot) -> String {
    snapshot
        .devices
        .iter()
        .filter_map(|device| match &device.state {
            DeviceState::Failed(error) => Some(format!("{}: {error}", device.info.id)),
            _ => None,
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// `OP_TRUE`: a chain without wallets pays whoever comes first.
fn anyone_can_spend() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

fn default_datadir() -> Result<PathBuf> {
    let home = etcetera::choose_base_strategy().context("no home folder for the chain; name one with --datadir");
    Ok(home.or_usage()?.data_dir().join("adit"))
}

/// Standard output: one JSON object a block, or one line that is drawn anew.
struct Display {
    json: bool,
    /// Draws on a terminal; hidden where standard output is none.
    line: indicatif::ProgressBar,
    terminal: bool,
    printed: Instant,
    height: u32,
    tip: String,
    difficulty: f64,
    mined: u64,
    /// Nobody reads standard output any more: a run whose blocks nobody sees is over.
    unread: bool,
}

impl Display {
    fn new(json: bool, tip: &Entry) -> Self {
        let terminal = !json && std::io::stdout().is_terminal();
        let target =
            if terminal { indicatif::ProgressDrawTarget::stdout() } else { indicatif::ProgressDrawTarget::hidden() };
        let style = indicatif::ProgressStyle::with_template("{wide_msg}").expect("a valid template");
        let line = indicatif::ProgressBar::with_draw_target(None, target).with_style(style);
        Self {
            json,
            line,
            terminal,
            printed: Instant::now(),
            height: tip.height,
            tip: tip.hash.to_string(),
            difficulty: difficulty(tip.header.bits),
            mined: 0,
            unread: false,
        }
    }

    /// A sentence for people, once.
    fn say(&mut self, sentence: &str) -> Result {
        if self.json { Ok(()) } else { self.print(sentence) }
    }

    fn print(&mut self, text: &str) -> Result {
        if self.terminal {
            self.line.println(text);
        } else if output::line(text)? == Reader::Gone {
            self.unread = true;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result {
        match event {
            Event::Mined(block) => {
                self.mined += 1;
                self.height = block.height;
                self.tip = block.hash.to_string();
                self.difficulty = difficulty(block.bits);
                if self.json {
                    self.print(&as_json(&block, self.difficulty).to_string())?;
                }
                Ok(())
            }
            Event::Refused(reason) => {
                Err(Exit::new(Failure::Running, anyhow!("our block on height {} was refused: {reason}", self.height)))
            }
            Event::StoreFailed(error) => Err(error).context("the store failed").or_running(),
        }
    }

    fn redraw(&mut self, snapshot: &Snapshot) -> Result {
        if self.terminal {
            self.line.set_message(self.status(snapshot));
        } else if !self.json && self.printed.elapsed() >= LINE {
            self.printed = Instant::now();
            self.print(&self.status(snapshot))?;
        }
        Ok(())
    }

    fn finish(&mut self, snapshot: &Snapshot) -> Result {
        self.line.finish_and_clear();
        self.say(&format!("stopped; {}", self.status(snapshot)))
    }

    /// The tip's hash, cut short where a terminal's width is what there is.
    fn shown_tip(&self) -> String {
        match self.tip.get(..TERMINAL_HASH) {
            Some(beginning) if self.terminal => format!("{beginning}…"),
            _ => self.tip.clone(),
        }
    }

    fn status(&self, snapshot: &Snapshot) -> String {
        use std::fmt::Write;
        let (mined, height) = (counted(self.mined, "block"), self.height);
        let (tip, difficulty) = (self.shown_tip(), self.difficulty);
        let mut line = format!("{mined}  height {height}  {tip}  difficulty {}", significant(difficulty));
        let mining = |device: &DeviceSnapshot| device.state == DeviceState::Mining;
        if snapshot.template.is_none() && snapshot.devices.iter().any(mining) {
            line += "  waiting for the clock";
        }
        for device in &snapshot.devices {
            let _ = match &device.state {
                DeviceState::Failed(error) => write!(line, "  {} failed: {error}", device.info.id),
                DeviceState::Stopped => Ok(()),
                _ => write!(line, "  {} {}", device.info.id, hashrate(device.hashrate)),
            };
        }
        let sum = |count: fn(&DeviceSnapshot) -> u64| snapshot.devices.iter().map(count).sum::<u64>();
        let _ = write!(
            line,
            "  accepted {}  stale {}  errors {}",
            sum(|device| device.accepted),
            sum(|device| device.stale),
            sum(|device| device.hardware_errors)
        );
        line
    }
}

fn named(info: &DeviceInfo) -> String {
    format!("{} ({})", info.id, info.name)
}

/// How many times harder than Bitcoin's easiest target.
fn difficulty(bits: CompactTarget) -> f64 {
    Target::from(bits).difficulty_float()
}

fn as_json(block: &MinedBlock, difficulty: f64) -> serde_json::Value {
    json!({
        "height": block.height,
        "hash": block.hash.to_string(),
        "previous": block.previous.to_string(),
        "time": block.time,
        "bits": format!("{:08x}", block.bits.to_consensus()),
        "difficulty": difficulty,
        "transactions": block.transactions,
        "size": block.size,
    })
}
