//! `adit up`: one private chain, mined, validated and kept by this process.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use adit_miner::{
    DeviceInfo, DeviceOpener, DeviceSnapshot, DeviceState, DutyCycle, Engine, EngineOptions, EngineSnapshot,
    WatchdogPolicy,
};
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainView, PruneLock};
use adit_validator::headers::Entry;
use anyhow::{Context, anyhow};
use bitcoin::{CompactTarget, ScriptBuf, Target};
use etcetera::BaseStrategy;
use serde_json::json;

use crate::cli::UpArgs;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::local_work::{LocalWork, MinedBlock, MinedChain, MiningEvent};
use crate::named_devices::NamedDevices;
use crate::output::{self, PipeEnd};
use crate::rate::{counted, hashrate, significant};
use crate::{chain, devices, filters, interrupt, recheck};

/// How often a terminal's line is redrawn.
const REDRAW: Duration = Duration::from_millis(200);

/// How often a line is written to a pipe.
const LINE: Duration = Duration::from_secs(5);

/// The digits of a hash that a terminal's line shows.
const TERMINAL_HASH: usize = 12;

pub fn run(args: &UpArgs) -> Result {
    let params = private_chain(&args.chain)?;
    let mut named_devices = devices::named(&args.devices)?;
    let devices = devices::openers(&args.devices)?;
    let payout = args.payout.clone().unwrap_or_else(anyone_can_spend);
    let interrupted = interrupt::flag().or_running()?;

    let folder = match &args.datadir {
        Some(datadir) => datadir.clone(),
        None => default_datadir()?,
    };
    let name = params.name.clone();
    let folder = recheck::find_store(&folder, &name)?;
    // Nothing is pruned until the index is open and says what it has read.
    let filters_lock = PruneLock::new(if args.filters { 0 } else { u32::MAX });
    let options = args.chain_options(&params).with_prune_lock(filters_lock.clone());
    let chain = ChainState::open(&folder, params, options)
        .map_err(|error| recheck::store_failure(error, &folder, &args.chain))?;

    let filters = if args.filters {
        let goes_on = || !interrupted.load(Ordering::Relaxed);
        Some(filters::open(&chain, &folder, filters_lock, goes_on)?)
    } else {
        None
    };
    let tip = chain.tip();
    let mut display = Display::new(args.json, tip);
    display.say(&format!(
        "chain {name} in {}: height {}; mining on {}",
        folder.display(),
        tip.height,
        devices.iter().map(|device| named(device.info())).collect::<Vec<_>>().join(", ")
    ))?;

    let (sender, events) = channel();
    let source = Arc::new(LocalWork::new(MinedChain { chain, filters }, args.blocks, payout, sender));
    if args.max_temp.is_some() {
        warn_of_no_sensor(&devices);
    }
    let engine = Engine::start(source.clone(), devices, engine_options(args));
    let engine = engine.context("cannot start the miner").or_running()?;
    let outcome = watch(&engine, &events, &interrupted, args.blocks, &mut named_devices, &mut display);
    // The chain is closed first: what the devices find from here on is stale.
    let closed = source.close().context("cannot make the chain durable").or_running();
    let snapshot = engine.stop();
    // A block may have been connected after the last event was taken.
    let late = events.try_iter().try_for_each(|event| display.take(event));
    let shown = display.finish(&snapshot);
    outcome.and(late).and(closed).and(shown)
}

fn engine_options(args: &UpArgs) -> EngineOptions {
    let watchdog = WatchdogPolicy::default().with_stall(Duration::from_secs(args.stall));
    EngineOptions::default().with_watchdog(watchdog).with_max_temp(args.max_temp.map(f64::from))
}

/// Names the devices that --max-temp cannot protect.
fn warn_of_no_sensor(devices: &[Arc<dyn DeviceOpener>]) {
    let is_blind = |device: &&Arc<dyn DeviceOpener>| {
        device.sensor().and_then(|sensor| sensor.read().temperature_celsius).is_none()
    };
    let blind: Vec<_> = devices.iter().filter(is_blind).map(|device| named(device.info())).collect();
    if !blind.is_empty() {
        tracing::warn!("--max-temp: no temperature is known of {}, which mines without a limit", blind.join(", "));
    }
}

/// The chain to mine: private, and without block signatures.
fn private_chain(name: &str) -> Result<ChainParams> {
    let params = chain::named(name)?;
    if params.is_public() {
        let error = anyhow!("--chain: {name} is a public chain; wanted dev, regtest or a chain file");
        return Err(Exit::new(Failure::Usage, error));
    }
    if params.consensus.signet_challenge.is_some() {
        let signers = chain::signers(&params).map_or_else(String::new, |signers| format!(" by {signers} signers"));
        let error = anyhow!(
            "--chain: {name}: every block of {} must be signed{signers} (BIP325), and `adit up` makes no signatures",
            params.name
        );
        return Err(Exit::new(Failure::Usage, error));
    }
    Ok(params)
}

/// Prints blocks and figures until the run is over.
fn watch(
    engine: &Engine,
    events: &Receiver<MiningEvent>,
    interrupted: &AtomicBool,
    blocks: Option<u64>,
    named: &mut NamedDevices,
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
        named.check(&snapshot)?;
        if snapshot.all_dead() {
            return Err(Exit::new(Failure::Running, anyhow!("no device is left: {}", failures(&snapshot))));
        }
        display.redraw(&snapshot)?;
        if display.unread {
            break;
        }
    }
    Ok(())
}

fn failures(snapshot: &EngineSnapshot) -> String {
    snapshot
        .devices
        .iter()
        .filter_map(|device| match &device.state {
            DeviceState::Dead { reason, .. } => Some(format!("{}: {reason}", device.info.id)),
            _ => None,
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// `OP_TRUE`, the default payout: anyone can spend it.
fn anyone_can_spend() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

fn default_datadir() -> Result<PathBuf> {
    let home = etcetera::choose_base_strategy().context("no home folder for the chain; name one with --datadir");
    Ok(home.or_usage()?.data_dir().join("adit"))
}

/// Standard output: one JSON object a block, or one line that is redrawn.
struct Display {
    json: bool,
    /// Hidden where standard output is no terminal.
    line: indicatif::ProgressBar,
    terminal: bool,
    printed: Instant,
    height: u32,
    tip: String,
    difficulty: f64,
    mined: u64,
    /// Whether standard output is closed, which ends the run.
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

    /// Prints a line, unless the output is JSON.
    fn say(&mut self, sentence: &str) -> Result {
        if self.json { Ok(()) } else { self.print(sentence) }
    }

    fn print(&mut self, text: &str) -> Result {
        if self.terminal {
            self.line.println(text);
        } else if output::line(text)? == PipeEnd::Closed {
            self.unread = true;
        }
        Ok(())
    }

    fn take(&mut self, event: MiningEvent) -> Result {
        match event {
            MiningEvent::Mined(block) => {
                self.mined += 1;
                self.height = block.height;
                self.tip = block.hash.to_string();
                self.difficulty = difficulty(block.bits);
                if self.json {
                    self.print(&as_json(&block, self.difficulty).to_string())?;
                }
                Ok(())
            }
            MiningEvent::Refused(reason) => {
                Err(Exit::new(Failure::Running, anyhow!("our block on height {} was refused: {reason}", self.height)))
            }
            MiningEvent::StoreFailed(error) => Err(error).context("the store failed").or_running(),
        }
    }

    fn redraw(&mut self, snapshot: &EngineSnapshot) -> Result {
        if self.terminal {
            self.line.set_message(self.status(snapshot));
        } else if !self.json && self.printed.elapsed() >= LINE {
            self.printed = Instant::now();
            self.print(&self.status(snapshot))?;
        }
        Ok(())
    }

    fn finish(&mut self, snapshot: &EngineSnapshot) -> Result {
        self.line.finish_and_clear();
        self.say(&format!("stopped; {}", self.status(snapshot)))
    }

    /// The tip's hash, shortened on a terminal.
    fn shown_tip(&self) -> String {
        match self.tip.get(..TERMINAL_HASH) {
            Some(beginning) if self.terminal => format!("{beginning}…"),
            _ => self.tip.clone(),
        }
    }

    fn status(&self, snapshot: &EngineSnapshot) -> String {
        use std::fmt::Write;
        let (mined, height) = (counted(self.mined, "block"), self.height);
        let (tip, difficulty) = (self.shown_tip(), self.difficulty);
        let mut line = format!("{mined}  height {height}  {tip}  difficulty {}", significant(difficulty));
        let mining = |device: &DeviceSnapshot| device.state == DeviceState::Mining;
        if snapshot.template.is_none() && snapshot.devices.iter().any(mining) {
            line += "  waiting for the clock";
        }
        for device in &snapshot.devices {
            line += &device_status(device, Instant::now());
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

/// A device's part of the line: its rate and what its sensors say, or its failure.
fn device_status(device: &DeviceSnapshot, now: Instant) -> String {
    let id = device.info.id;
    match &device.state {
        DeviceState::Stopped => String::new(),
        DeviceState::Starting => format!("  {id} starting"),
        DeviceState::Sick { reason, next_try, .. } => {
            let left = next_try.saturating_duration_since(now).as_secs_f64().ceil();
            format!("  {id} sick: {reason}; next try in {left} s")
        }
        DeviceState::Dead { reason, .. } => format!("  {id} dead: {reason}"),
        _ => {
            let mut status = format!("  {id} {}", hashrate(device.hashrate));
            let reading = device.reading.unwrap_or_default();
            if let Some(degrees) = reading.temperature_celsius {
                status += &format!(" {degrees:.0} °C");
            }
            if let Some(watts) = reading.power_watts {
                status += &format!(" {watts:.0} W");
            }
            match device.duty_cycle {
                DutyCycle::Full => {}
                DutyCycle::Paused => status += " paused",
                duty_cycle => status += &format!(" slowed to {} %", duty_cycle.percent()),
            }
            status
        }
    }
}

fn named(info: &DeviceInfo) -> String {
    format!("{} ({})", info.id, info.name)
}

/// The difficulty: mainnet's easiest target over this one.
fn difficulty(bits: CompactTarget) -> f64 {
    Target::from(bits).difficulty_float()
}

fn as_json(block: &MinedBlock, difficulty: f64) -> serde_json::Value {
    let mut object = json!({
        "height": block.height,
        "hash": block.hash.to_string(),
        "previous": block.previous.to_string(),
        "time": block.time,
        "bits": format!("{:08x}", block.bits.to_consensus()),
        "difficulty": difficulty,
        "transactions": block.transactions,
        "size": block.size,
    });
    if let Some(header) = block.filter_header {
        object["filter_header"] = header.to_string().into();
    }
    object
}

#[cfg(test)]
mod tests {
    use adit_miner::{CpuDevice, Device, DeviceError, Reading, Selection};
    use adit_validator::chainstate::ChainStateOptions;

    use super::*;
    use crate::named_devices::tests::NoWork;

    /// A device that cannot be opened.
    struct Broken(DeviceInfo);

    impl DeviceOpener for Broken {
        fn info(&self) -> &DeviceInfo {
            &self.0
        }

        fn open(&self) -> std::result::Result<Box<dyn Device>, DeviceError> {
            Err(DeviceError::Lost("unplugged".to_owned()))
        }
    }

    fn broken() -> Arc<dyn DeviceOpener> {
        Arc::new(Broken(CpuDevice::new(None, None).expect("a CPU").info().clone()))
    }

    #[test]
    fn a_run_whose_devices_are_all_dead_ends_and_names_them() {
        let watchdog = WatchdogPolicy::default().with_first_pause(Duration::from_millis(1)).with_failures(3);
        let options = EngineOptions::default().with_watchdog(watchdog);
        let engine = Engine::start(Arc::new(NoWork), vec![broken()], options).expect("threads");
        let (_sender, events) = channel();
        let params = ChainParams::by_name("regtest").expect("a chain");
        let chain = ChainState::in_memory(params, None, ChainStateOptions::default()).expect("a chain");
        let mut display = Display::new(true, chain.tip());
        let ended = watch(
            &engine,
            &events,
            &AtomicBool::new(false),
            None,
            &mut NamedDevices::new(&Selection::Auto),
            &mut display,
        )
        .expect_err("no device is left");
        assert_eq!(ended.to_string(), "no device is left: cpu: device lost: unplugged");
    }

    #[test]
    fn the_line_has_a_device_s_failure() {
        let engine = Engine::start(Arc::new(NoWork), vec![broken()], EngineOptions::default());
        let mut device = engine.expect("threads").stop().devices.remove(0);
        let (now, reason) = (Instant::now(), "device lost: unplugged".to_owned());
        let mut status = |state: DeviceState, duty_cycle: DutyCycle, reading: Option<Reading>| {
            (device.state, device.duty_cycle, device.reading) = (state, duty_cycle, reading);
            device_status(&device, now)
        };
        let next_try = now + Duration::from_millis(3_200);
        let sick = DeviceState::Sick { reason: reason.clone(), failures: 2, since: now, next_try };
        assert_eq!(status(sick, DutyCycle::Full, None), "  cpu sick: device lost: unplugged; next try in 4 s");
        let dead = DeviceState::Dead { reason, failures: 8 };
        assert_eq!(status(dead, DutyCycle::Full, None), "  cpu dead: device lost: unplugged");
        assert_eq!(status(DeviceState::Starting, DutyCycle::Full, None), "  cpu starting");
        let mut reading = Reading::default();
        assert_eq!(status(DeviceState::Mining, DutyCycle::Full, Some(reading)), "  cpu 0.00 H/s");
        (reading.temperature_celsius, reading.power_watts) = (Some(81.6), Some(212.3));
        assert_eq!(
            status(DeviceState::Mining, DutyCycle::Half, Some(reading)),
            "  cpu 0.00 H/s 82 °C 212 W slowed to 50 %"
        );
        assert_eq!(status(DeviceState::Mining, DutyCycle::Paused, None), "  cpu 0.00 H/s paused");
        assert_eq!(status(DeviceState::Stopped, DutyCycle::Full, Some(reading)), "");
    }
}
