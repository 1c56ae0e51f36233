//! The engine with devices that follow a script, and supervision under a clock that the test moves.
//!
//! In a [`Rig`] device 0 is always healthy; the clock moves only after it has reported. So a test ends only if the device that it
//! is about does not disturb that one.

mod failures;
mod hot;
mod patience;
mod solutions;
#[path = "../../../tests/support/engine.rs"]
mod support;

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
use support::{FOREVER, TestSource, moderate, template, wait_for};

/// How far the clock goes at once: less than a watchdog may be absent.
const STEP: Duration = Duration::from_secs(1);

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

/// A source that does something before it takes a solution.
struct BeforeSubmit {
    source: Arc<TestSource>,
    before: Box<dyn Fn() + Send + Sync>,
}

impl BeforeSubmit {
    fn new(source: Arc<TestSource>, before: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { source, before: Box::new(before) })
    }
}

impl WorkSource for BeforeSubmit {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        self.source.wait_newer(seen, timeout)
    }

    fn newest(&self) -> Option<TemplateId> {
        self.source.newest()
    }

    fn submit(&self, solution: &Solution) -> Submission {
        (self.before)();
        self.source.submit(solution)
    }
}

/// A feed that changes the candidates of each report of the device, or does something else before it passes them on.
pub(crate) struct BeforeReport<'a> {
    pub(crate) feed: &'a dyn Feed,
    pub(crate) before: &'a (dyn Fn(&HeaderWork, &mut Vec<u32>) + Sync),
}

impl Feed for BeforeReport<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        self.feed.draw(nonces)
    }

    fn wait(&self) {
        self.feed.wait();
    }

    fn is_current(&self, work: &HeaderWork) -> bool {
        self.feed.is_current(work)
    }

    fn has_given_up(&self) -> bool {
        self.feed.has_given_up()
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let mut candidates = candidates.to_vec();
        (self.before)(work, &mut candidates);
        self.feed.report(work, &candidates);
    }
}

type Script = Box<dyn FnMut(&dyn Feed) -> Result<(), DeviceError> + Send>;

/// A device that passes the known-answer test as the CPU does, and then follows its script.
struct ScriptedDevice {
    cpu: CpuDevice,
    tested: bool,
    script: Script,
}

impl Device for ScriptedDevice {
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
    Box::new(ScriptedDevice { cpu: one_thread(), tested: false, script: Box::new(script) })
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

/// Searches nothing and reports all of it as searched, without an end.
fn search_nothing(feed: &dyn Feed) -> Result<(), DeviceError> {
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

/// An engine whose device 0 is healthy and whose device 1 is what is tested.
struct Rig {
    engine: Engine,
    clock: Arc<TestClock>,
}

impl Rig {
    fn new(source: Arc<dyn WorkSource>, clock: Arc<TestClock>, tested: Vec<Opener>, options: EngineOptions) -> Self {
        let healthy = Opener::new(|_| Ok(scripted(search_nothing)));
        let openers = [healthy].into_iter().chain(tested).map(|opener| Arc::new(opener) as Arc<dyn DeviceOpener>);
        let reader = clock.clone();
        let engine = Engine::start_by(Box::new(move || reader.now()), source, openers.collect(), options).unwrap();
        let rig = Self { engine, clock };
        rig.wait(|snapshot| snapshot.devices[0].hashes > 0);
        rig
    }

    fn with(clock: &Arc<TestClock>, tested: Opener) -> Self {
        Self::new(without_hits(), clock.clone(), vec![tested], quick())
    }

    /// Waits with the clock at a stand.
    fn wait(&self, done: impl Fn(&EngineSnapshot) -> bool) -> EngineSnapshot {
        wait_for(&self.engine, done)
    }

    /// Moves the clock on, and waits until the healthy device has reported since.
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

/// A source of one template that no hash meets.
fn without_hits() -> Arc<TestSource> {
    TestSource::new(template(1, never()), Submission::Accepted, false)
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
