//! Supervision under a clock that the test moves: the rig that the tests run on.
//!
//! Each test runs beside a device that is well, and no step of the clock is taken before that one has reported again: so the
//! others never notice, or the test does not end.

mod failures;
mod hot;
mod patience;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use adit_hash::ScanTarget;
use crossbeam::channel::{Receiver, Sender, unbounded};

use super::{DeviceState, Engine, EngineOptions, EngineSnapshot, WatchdogPolicy};
use crate::cpu::CpuDevice;
use crate::device::{Device, DeviceError, DeviceOpener, Draw, Feed};
use crate::device_info::DeviceInfo;
use crate::job::HeaderWork;
use crate::telemetry::{Reading, Sensor};
use crate::throttle::ThrottlePolicy;
use crate::work::{Coinbase, Solution, Submission, Template, TemplateId, WorkSource};

/// How far the clock goes at once: less than a watchdog may be absent.
const STEP: Duration = Duration::from_secs(1);

/// Far beyond what any wait needs on the slowest machine.
const FOREVER: Duration = Duration::from_secs(120);

/// A clock that stands still until it is moved.
struct TestClock {
    now: Mutex<Instant>,
    /// How often the watchdog has read it.
    looks: AtomicU64,
    /// Those who wait for it to move.
    sleepers: AtomicUsize,
}

impl TestClock {
    fn now(&self) -> Instant {
        let now = *self.now.lock().unwrap();
        if thread::current().name() == Some("watchdog") {
            self.looks.fetch_add(1, Ordering::AcqRel);
        }
        now
    }

    /// Sleeps until the clock has been moved on by `time`.
    fn sleep(&self, time: Duration) {
        let end = self.now() + time;
        self.sleepers.fetch_add(1, Ordering::AcqRel);
        while self.now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        self.sleepers.fetch_sub(1, Ordering::AcqRel);
    }

    /// Moves it on, and waits until the watchdog has looked since.
    fn advance(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
        let looks = self.looks.load(Ordering::Acquire);
        let start = Instant::now();
        // One reading may have begun before; a look that follows reads it at least once.
        while self.looks.load(Ordering::Acquire) < looks + 3 {
            assert!(start.elapsed() < FOREVER, "the watchdog does not look");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One template, which may be withdrawn, and a desk that may be closed.
struct Source {
    template: Arc<Template>,
    withdrawn: AtomicBool,
    /// Where there is a sender, solutions wait until it is gone.
    closed: Option<Receiver<()>>,
}

impl Source {
    fn new(target: ScanTarget, closed: Option<Receiver<()>>) -> Arc<Self> {
        let coinbase = Coinbase::new(vec![1; 42], 8, vec![2; 60]);
        let template = Template::new(TemplateId(1), [7; 32], coinbase, 1_700_000_000, 0x207f_ffff, target)
            .with_height(1)
            .with_version(0x2000_0000, 0x1fff_e000)
            .with_max_time(1_700_000_600);
        Arc::new(Self { template: Arc::new(template), withdrawn: AtomicBool::new(false), closed })
    }
}

impl WorkSource for Source {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        if seen.is_some() {
            thread::sleep(timeout);
            return None;
        }
        Some(self.template.clone())
    }

    fn newest(&self) -> Option<TemplateId> {
        (!self.withdrawn.load(Ordering::Acquire)).then_some(self.template.id)
    }

    fn submit(&self, _solution: &Solution) -> Submission {
        if let Some(closed) = &self.closed {
            let _ = closed.recv();
        }
        Submission::Accepted
    }
}

type Script = Box<dyn FnMut(&dyn Feed) -> Result<(), DeviceError> + Send>;

/// A device that passes the known-answer test as the CPU does, and then follows its script.
struct Scripted {
    cpu: CpuDevice,
    tested: bool,
    script: Script,
}

impl Device for Scripted {
    fn info(&self) -> &DeviceInfo {
        self.cpu.info()
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        if self.tested {
            return (self.script)(feed);
        }
        self.tested = true;
        self.cpu.run(feed)
    }
}

fn scripted(script: impl FnMut(&dyn Feed) -> Result<(), DeviceError> + Send + 'static) -> Box<dyn Device> {
    Box::new(Scripted { cpu: one_thread(), tested: false, script: Box::new(script) })
}

fn one_thread() -> CpuDevice {
    CpuDevice::new(NonZeroUsize::new(1), None).unwrap()
}

type Open = dyn Fn(usize) -> Result<Box<dyn Device>, DeviceError> + Send + Sync;

/// Opens what a function of the number of openings before gives.
struct Opener {
    info: DeviceInfo,
    openings: Arc<AtomicUsize>,
    open: Box<Open>,
    sensor: Option<Arc<FakeSensor>>,
}

impl Opener {
    fn new(open: impl Fn(usize) -> Result<Box<dyn Device>, DeviceError> + Send + Sync + 'static) -> Self {
        let info = one_thread().info().clone();
        Self { info, openings: Arc::default(), open: Box::new(open), sensor: None }
    }
}

impl DeviceOpener for Opener {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn open(&self) -> Result<Box<dyn Device>, DeviceError> {
        (self.open)(self.openings.fetch_add(1, Ordering::Relaxed))
    }

    fn sensor(&self) -> Option<Arc<dyn Sensor>> {
        self.sensor.clone().map(|sensor| sensor as Arc<dyn Sensor>)
    }
}

/// A temperature in degrees Celsius that the test sets.
#[derive(Default)]
struct FakeSensor {
    temperature: AtomicU32,
    reads: AtomicU64,
}

/// What the test sets for a sensor that does not answer.
const SILENT: u32 = u32::MAX;

impl Sensor for FakeSensor {
    fn read(&self) -> Reading {
        self.reads.fetch_add(1, Ordering::Release);
        let temperature = Some(self.temperature.load(Ordering::Acquire)).filter(|degrees| *degrees != SILENT);
        Reading { temperature_celsius: temperature.map(f64::from), ..Reading::default() }
    }
}

/// Searches nothing, claims everything, as fast as it is let.
fn diligent(feed: &dyn Feed) -> Result<(), DeviceError> {
    while let Some(work) = draw(feed, 1 << 10) {
        feed.report(&work, &[]);
        thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// Draws until there is work; `None` once the feed is done.
fn draw(feed: &dyn Feed, nonces: u64) -> Option<HeaderWork> {
    loop {
        match feed.draw(nonces) {
            Draw::Work(work) => return Some(work),
            Draw::Empty => feed.wait(),
            Draw::Done => return None,
        }
    }
}

/// An engine whose device 0 is well and whose device 1 is what is tested.
struct Rig {
    engine: Engine,
    clock: Arc<TestClock>,
}

impl Rig {
    fn new(source: Arc<Source>, clock: Arc<TestClock>, tested: Vec<Opener>, options: EngineOptions) -> Self {
        let well = Opener::new(|_| Ok(scripted(diligent)));
        let openers = [well].into_iter().chain(tested).map(|opener| Arc::new(opener) as Arc<dyn DeviceOpener>);
        let reader = clock.clone();
        let engine = Engine::start_by(Box::new(move || reader.now()), source, openers.collect(), options).unwrap();
        let rig = Self { engine, clock };
        rig.wait(|snapshot| snapshot.devices[0].hashes > 0);
        rig
    }

    fn with(clock: &Arc<TestClock>, tested: Opener) -> Self {
        Self::new(Source::new(never(), None), clock.clone(), vec![tested], quick())
    }

    /// Waits with the clock at a stand.
    fn wait(&self, done: impl Fn(&EngineSnapshot) -> bool) -> EngineSnapshot {
        let start = Instant::now();
        loop {
            let snapshot = self.engine.snapshot();
            if done(&snapshot) {
                return snapshot;
            }
            assert!(start.elapsed() < FOREVER, "never came: {snapshot:#?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Moves the clock on, and waits until the device that is well has reported since.
    fn step(&self) -> EngineSnapshot {
        self.clock.advance(STEP);
        let before = self.engine.snapshot().devices[0].hashes;
        self.wait(|snapshot| snapshot.devices[0].hashes > before + (2 << 10))
    }

    /// Steps until `done`; returns how many steps that took. No time passes while device 1 is opened and tested, unless it
    /// sleeps by the clock.
    fn step_until(&self, done: impl Fn(&EngineSnapshot) -> bool) -> (u32, EngineSnapshot) {
        let (start, mut steps) = (Instant::now(), 0);
        loop {
            let snapshot = self.engine.snapshot();
            if done(&snapshot) {
                return (steps, snapshot);
            }
            assert!(start.elapsed() < FOREVER, "never came in {steps} steps: {snapshot:#?}");
            let starting = snapshot.devices[1].state == DeviceState::Starting;
            if starting && self.clock.sleepers.load(Ordering::Acquire) == 0 {
                thread::sleep(Duration::from_millis(1));
            } else {
                self.step();
                steps += 1;
            }
        }
    }
}

fn clock() -> Arc<TestClock> {
    Arc::new(TestClock { now: Mutex::new(Instant::now()), looks: AtomicU64::new(0), sleepers: AtomicUsize::new(0) })
}

fn never() -> ScanTarget {
    ScanTarget::from_le_bytes([0; 32])
}

/// The options of mining, with looks that are close together.
fn quick() -> EngineOptions {
    let look_every = Duration::from_millis(1);
    EngineOptions::default()
        .with_watchdog(WatchdogPolicy::default().with_look_every(look_every))
        .with_throttle(ThrottlePolicy::default().with_read_every(look_every))
}

fn sick(snapshot: &EngineSnapshot, device: usize) -> Option<(&str, u32)> {
    match &snapshot.devices[device].state {
        DeviceState::Sick { reason, failures, .. } => Some((reason, *failures)),
        _ => None,
    }
}

fn mines(snapshot: &EngineSnapshot, device: usize) -> bool {
    snapshot.devices[device].state == DeviceState::Mining
}

fn lost() -> DeviceError {
    DeviceError::Lost("pulled out".into())
}

/// Draws 12,345 nonces, says so, and hangs until `free` is gone; then does all that it must no longer do.
fn hung(drawn: Sender<()>, free: Receiver<()>, answered: Sender<bool>) -> Box<dyn Device> {
    scripted(move |feed| {
        let Some(work) = draw(feed, 12_345) else { return Ok(()) };
        let _ = drawn.send(());
        let _ = free.recv();
        let current = feed.is_current(&work);
        feed.report(&work, &[work.range.first]);
        let _ = answered.send(current || !matches!(feed.draw(1), Draw::Done));
        Ok(())
    })
}
