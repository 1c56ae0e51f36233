//! Supervision: devices that hang, fail, panic, crawl and run hot, under a clock that the test moves.
//!
//! Each test runs beside a device that is well, and no step of the clock is taken before that one has reported again: so the
//! others never notice, or the test does not end.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use adit_hash::Target;
use crossbeam::channel::{Receiver, Sender, unbounded};

use super::{DeviceState, Engine, EngineOptions, Snapshot, WatchdogPolicy};
use crate::cpu::CpuDevice;
use crate::device::{Device, DeviceError, DeviceInfo, DeviceKind, DeviceOpener, Draw, Feed};
use crate::devices::{CpuSettings, Devices, Selection};
use crate::gpu::GpuSettings;
use crate::job::Work;
use crate::telemetry::{Reading, Sensor};
use crate::throttle::{Pace, ThrottlePolicy};
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
    fn new(target: Target, closed: Option<Receiver<()>>) -> Arc<Self> {
        let template = Template {
            id: TemplateId(1),
            height: 1,
            version: 0x2000_0000,
            version_mask: 0x1fff_e000,
            previous: [7; 32],
            coinbase: Coinbase { prefix: vec![1; 42], extranonce_len: 8, suffix: vec![2; 60] },
            branch: vec![],
            time: 1_700_000_000,
            max_time: 1_700_000_600,
            bits: 0x207f_ffff,
            target,
        };
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
fn draw(feed: &dyn Feed, nonces: u64) -> Option<Work> {
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
    fn wait(&self, done: impl Fn(&Snapshot) -> bool) -> Snapshot {
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
    fn step(&self) -> Snapshot {
        self.clock.advance(STEP);
        let before = self.engine.snapshot().devices[0].hashes;
        self.wait(|snapshot| snapshot.devices[0].hashes > before + (2 << 10))
    }

    /// Steps until `done`; returns how many steps that took. No time passes while device 1 is opened and tested, unless it
    /// sleeps by the clock.
    fn step_until(&self, done: impl Fn(&Snapshot) -> bool) -> (u32, Snapshot) {
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

fn never() -> Target {
    Target::from_le_bytes([0; 32])
}

/// The options of mining, with looks that are close together.
fn quick() -> EngineOptions {
    let look_every = Duration::from_millis(1);
    EngineOptions {
        watchdog: WatchdogPolicy { look_every, ..WatchdogPolicy::default() },
        throttle: ThrottlePolicy { read_every: look_every, ..ThrottlePolicy::default() },
        max_temp: None,
    }
}

fn sick(snapshot: &Snapshot, device: usize) -> Option<(&str, u32)> {
    match &snapshot.devices[device].state {
        DeviceState::Sick { reason, failures, .. } => Some((reason, *failures)),
        _ => None,
    }
}

fn mines(snapshot: &Snapshot, device: usize) -> bool {
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

#[test]
fn a_device_that_hangs_is_left_behind_and_opened_again() {
    let (clock, (drawn, on_drawn), (free, on_free)) = (clock(), unbounded(), unbounded::<()>());
    let (answered, on_answered) = unbounded();
    let opener = Opener::new(move |opening| match opening {
        0 => Ok(hung(drawn.clone(), on_free.clone(), answered.clone())),
        _ => Ok(scripted(|feed| {
            let Some(work) = draw(feed, 777) else { return Ok(()) };
            feed.report(&work, &[]);
            // Draws nothing more, and stays until the engine stops.
            while feed.is_current(&work) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        })),
    });
    let rig = Rig::with(&clock, opener);
    on_drawn.recv_timeout(FOREVER).unwrap();
    let (steps, snapshot) = rig.step_until(|snapshot| sick(snapshot, 1).is_some());
    assert!(steps > 45, "sick after {steps} s");
    let (reason, failures) = sick(&snapshot, 1).unwrap();
    assert!(reason.contains("no progress for") && failures == 1, "{reason}");
    assert_eq!((snapshot.devices[1].unsearched, snapshot.devices[1].hashes), (12_345, 0));

    let (_, snapshot) = rig.step_until(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > 0);
    assert_eq!((snapshot.devices[1].hashes, snapshot.devices[1].recoveries), (777, 1));
    // The old thread comes back from its driver: nothing that it says counts, and it is told to go.
    drop(free);
    assert!(!on_answered.recv_timeout(FOREVER).unwrap(), "its work was still current, or it was given more");
    let snapshot = rig.step();
    let device = &snapshot.devices[1];
    assert_eq!((device.hashes, device.unsearched, device.hardware_errors), (777, 12_345, 0));
    assert_eq!(snapshot.devices[0].state, DeviceState::Mining);
    let stopped = rig.engine.stop();
    assert!(stopped.devices.iter().all(|device| device.state == DeviceState::Stopped), "{stopped:#?}");
}

#[test]
fn an_opening_that_hangs_is_left_behind_too_and_a_stop_does_not_wait_for_it() {
    let clock = clock();
    let own = clock.clone();
    let opener = Opener::new(move |opening| {
        if opening == 0 {
            own.sleep(Duration::from_secs(1_000_000));
        }
        Err(lost())
    });
    let rig = Rig::with(&clock, opener);
    let (steps, snapshot) = rig.step_until(|snapshot| sick(snapshot, 1).is_some());
    assert!(steps > 120, "sick after {steps} s");
    assert!(sick(&snapshot, 1).unwrap().0.contains("no progress"));
    rig.step_until(|snapshot| sick(snapshot, 1).is_some_and(|(reason, _)| reason.contains("pulled out")));
    let stopped = rig.engine.stop();
    assert_eq!(stopped.devices[0].state, DeviceState::Stopped);
}

#[test]
fn a_device_that_fails_three_times_is_tried_with_growing_pauses_and_mines_again() {
    let clock = clock();
    let times = Arc::new(Mutex::new(Vec::new()));
    let (log, reader) = (times.clone(), clock.clone());
    let opener = Opener::new(move |opening| {
        log.lock().unwrap().push(reader.now());
        match opening {
            // Once in opening, twice in mining.
            0 => Err(lost()),
            1 | 2 => Ok(scripted(|feed| draw(feed, 500).map_or(Ok(()), |_| Err(lost())))),
            _ => Ok(scripted(diligent)),
        }
    });
    let rig = Rig::with(&clock, opener);
    for wanted in 1..=3 {
        let (_, snapshot) = rig.step_until(|snapshot| sick(snapshot, 1).is_some_and(|(_, seen)| seen == wanted));
        assert_eq!(sick(&snapshot, 1).unwrap().0, "device lost: pulled out");
        assert_eq!(snapshot.devices[1].unsearched, 500 * u64::from(wanted - 1));
    }
    let (_, snapshot) = rig.step_until(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > 0);
    assert_eq!(snapshot.devices[1].recoveries, 3, "it passed the known-answer test after each");
    let times = times.lock().unwrap();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, seconds) in pauses.iter().zip([1, 2, 4]) {
        assert!(*pause >= Duration::from_secs(seconds), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 3);
}

#[test]
fn a_device_that_always_fails_is_dead_in_the_end() {
    let clock = clock();
    let opener = Opener::new(|_| Err(lost()));
    let openings = opener.openings.clone();
    let rig = Rig::with(&clock, opener);
    let (_, snapshot) = rig.step_until(|snapshot| matches!(snapshot.devices[1].state, DeviceState::Dead { .. }));
    let dead = DeviceState::Dead { reason: "device lost: pulled out".into(), failures: 8 };
    assert_eq!(snapshot.devices[1].state, dead);
    assert!(!snapshot.all_dead());
    for _ in 0..100 {
        rig.step();
    }
    assert_eq!(openings.load(Ordering::Relaxed), 8, "and is not tried again");
}

#[test]
fn a_device_that_panics_is_opened_again() {
    let clock = clock();
    let opener = Opener::new(|opening| match opening {
        0 => panic!("a bug in an opener"),
        1 => Ok(scripted(|_| panic!("a bug in a driver"))),
        2 => Ok(scripted(|_| Ok(()))),
        _ => Ok(scripted(diligent)),
    });
    let rig = Rig::with(&clock, opener);
    for reason in ["a bug in an opener", "a bug in a driver", "ended while there was work"] {
        rig.step_until(|snapshot| sick(snapshot, 1).is_some_and(|(seen, _)| seen.contains(reason)));
    }
    rig.step_until(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > 0);
}

/// The feed of a device that takes a minute for each batch of the known-answer test, so far as the test has the patience.
struct MinuteFeed<'a>(&'a dyn Feed, &'a TestClock, AtomicUsize);

impl Feed for MinuteFeed<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        self.0.draw(nonces)
    }
    fn wait(&self) {
        self.0.wait();
    }
    fn is_current(&self, work: &Work) -> bool {
        self.0.is_current(work)
    }
    fn report(&self, work: &Work, candidates: &[u32]) {
        if self.2.fetch_add(1, Ordering::Relaxed) < 2 {
            self.1.sleep(Duration::from_secs(60));
        }
        self.0.report(work, candidates);
    }
}

/// A device that needs a minute a batch, tested or mining.
struct Slow(CpuDevice, Arc<TestClock>, bool);

impl Device for Slow {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        if !std::mem::replace(&mut self.2, true) {
            return self.0.run(&MinuteFeed(feed, &self.1, AtomicUsize::new(0)));
        }
        while let Some(work) = draw(feed, 100) {
            self.1.sleep(Duration::from_secs(60));
            feed.report(&work, &[]);
        }
        Ok(())
    }
}

#[test]
fn a_slow_device_is_not_sick() {
    let clock = clock();
    let own = clock.clone();
    let opener = Opener::new(move |_| Ok(Box::new(Slow(one_thread(), own.clone(), false))));
    let openings = opener.openings.clone();
    let rig = Rig::with(&clock, opener);
    rig.step_until(|snapshot| {
        assert_eq!(sick(snapshot, 1), None);
        snapshot.devices[1].hashes >= 300
    });
    assert_eq!(openings.load(Ordering::Relaxed), 1);
    // Its thread sleeps by the clock that nobody will move.
    *clock.now.lock().unwrap() += Duration::from_secs(3_600);
    rig.engine.stop();
}

#[test]
fn devices_without_work_and_devices_that_wait_for_the_judge_are_not_sick() {
    let (clock, (free, on_free), (open, closed)) = (clock(), unbounded::<()>(), unbounded::<()>());
    let (drawn, on_drawn) = unbounded();
    let (answered, _on_answered) = unbounded();
    let canary = Opener::new(move |opening| match opening {
        0 => Ok(hung(drawn.clone(), on_free.clone(), answered.clone())),
        _ => Err(lost()),
    });
    let finder = Opener::new(|_| {
        Ok(scripted(|feed| {
            while let Some(work) = draw(feed, 1) {
                feed.report(&work, &[work.range.first]);
            }
            Ok(())
        }))
    });
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let idler = Opener::new(move |_| {
        let count = count.clone();
        Ok(scripted(move |feed| {
            loop {
                count.fetch_add(1, Ordering::AcqRel);
                match feed.draw(1) {
                    Draw::Work(work) => feed.report(&work, &[]),
                    Draw::Empty => feed.wait(),
                    Draw::Done => return Ok(()),
                }
            }
        }))
    });
    let source = Source::new(Target::MAX, Some(closed));
    source.withdrawn.store(true, Ordering::Release);
    let openers = [canary, finder, idler].map(|opener| Arc::new(opener) as Arc<dyn DeviceOpener>);
    let reader = clock.clone();
    let engine = Engine::start_by(Box::new(move || reader.now()), source.clone(), openers.to_vec(), quick()).unwrap();
    let rig = Rig { engine, clock };
    rig.wait(|snapshot| snapshot.devices.iter().all(|device| device.state == DeviceState::Mining));
    source.withdrawn.store(false, Ordering::Release);
    on_drawn.recv_timeout(FOREVER).unwrap();
    // More than the queue holds, with the judge at a closed desk.
    rig.wait(|snapshot| snapshot.devices[1].hashes > 64);
    source.withdrawn.store(true, Ordering::Release);

    // The canary hangs: when it is found sick, the watchdog has judged the others as often.
    let start = Instant::now();
    while rig.engine.snapshot().devices[0].state == DeviceState::Mining {
        let before = asked.load(Ordering::Acquire);
        rig.wait(|_| asked.load(Ordering::Acquire) > before + 1);
        rig.clock.advance(4 * STEP);
        assert!(start.elapsed() < FOREVER);
    }
    let snapshot = rig.engine.snapshot();
    assert!(sick(&snapshot, 0).is_some_and(|(reason, _)| reason.contains("no progress")), "{snapshot:#?}");
    assert!(mines(&snapshot, 1) && mines(&snapshot, 2), "{snapshot:#?}");
    drop((open, free));
    rig.engine.stop();
}

#[test]
fn a_watchdog_that_was_itself_held_up_blames_nobody() {
    let clock = clock();
    let (drawn, on_drawn) = unbounded();
    let (free, on_free) = unbounded::<()>();
    let (answered, _on_answered) = unbounded();
    let opener = Opener::new(move |_| Ok(hung(drawn.clone(), on_free.clone(), answered.clone())));
    let rig = Rig::with(&clock, opener);
    on_drawn.recv_timeout(FOREVER).unwrap();
    // The machine slept for an hour; the silence begins anew.
    clock.advance(Duration::from_secs(3_600));
    let (steps, _) = rig.step_until(|snapshot| {
        assert!(mines(snapshot, 0));
        sick(snapshot, 1).is_some()
    });
    assert!(steps > 40, "sick {steps} s after the machine woke");
    drop(free);
}

#[test]
fn a_hot_device_slows_down_pauses_and_comes_back() {
    let clock = clock();
    let sensor = Arc::new(FakeSensor::default());
    let empties = Arc::new(AtomicU64::new(0));
    let count = empties.clone();
    let mut opener = Opener::new(move |_| {
        let count = count.clone();
        Ok(scripted(move |feed| {
            loop {
                match feed.draw(64) {
                    Draw::Work(work) => feed.report(&work, &[]),
                    Draw::Empty => {
                        count.fetch_add(1, Ordering::AcqRel);
                        feed.wait();
                    }
                    Draw::Done => return Ok(()),
                }
            }
        }))
    });
    opener.sensor = Some(sensor.clone());
    let options = EngineOptions { max_temp: Some(80.0), ..quick() };
    let rig = Rig::new(Source::new(never(), None), clock, vec![opener], options);
    rig.wait(|snapshot| snapshot.devices[1].hashes > 0);
    // A temperature is seen by the throttle before the clock goes on.
    let step = || {
        let reads = sensor.reads.load(Ordering::Acquire);
        while sensor.reads.load(Ordering::Acquire) < reads + 2 {
            thread::sleep(Duration::from_millis(1));
        }
        rig.step()
    };
    // With the clock at a stand, a device at rest draws nothing however often it asks.
    let rests = || {
        let (hashes, asked) = (rig.engine.snapshot().devices[1].hashes, empties.load(Ordering::Acquire));
        rig.wait(|snapshot| snapshot.devices[1].hashes > hashes || empties.load(Ordering::Acquire) > asked + 3);
        rig.engine.snapshot().devices[1].hashes == hashes
    };
    let paces = |until: Pace| {
        let (mut seen, mut rested) = (Vec::new(), false);
        let start = Instant::now();
        while seen.last() != Some(&until) {
            assert!(start.elapsed() < FOREVER, "{seen:?}");
            let pace = step().devices[1].pace;
            if seen.last() != Some(&pace) {
                seen.push(pace);
            }
            // A stretch of a step, a rest of a step, and so on.
            rested |= pace == Pace::Half && rests();
        }
        assert_eq!(rested, seen.contains(&Pace::Half), "it rests at half pace");
        seen
    };

    sensor.temperature.store(70, Ordering::Release);
    (0..30).for_each(|_| drop(step()));
    let snapshot = rig.engine.snapshot();
    assert_eq!((snapshot.devices[1].pace, rests()), (Pace::Full, false));
    assert_eq!(snapshot.devices[1].reading.and_then(|reading| reading.temperature_celsius), Some(70.0));
    assert_eq!(snapshot.devices[0].reading, None);

    sensor.temperature.store(83, Ordering::Release);
    let down = paces(Pace::Paused);
    assert!(down.ends_with(&[Pace::ThreeQuarters, Pace::Half, Pace::Quarter, Pace::Paused]), "{down:?}");
    let paused = rig.engine.snapshot();
    for _ in 0..60 {
        let snapshot = step();
        assert!(mines(&snapshot, 1), "paused is not sick");
    }
    assert!(rests());
    let still = rig.engine.snapshot().devices[1].hashes - paused.devices[1].hashes;
    assert!(still <= 64, "{still} nonces while paused");

    sensor.temperature.store(60, Ordering::Release);
    let up = paces(Pace::Full);
    assert!(up.ends_with(&[Pace::Quarter, Pace::Half, Pace::ThreeQuarters, Pace::Full]), "{up:?}");
    assert!(!rests());

    sensor.temperature.store(SILENT, Ordering::Release);
    assert_eq!(paces(Pace::Quarter), [Pace::Full, Pace::Quarter], "a sensor that stops answering");
    sensor.temperature.store(60, Ordering::Release);
    assert!(paces(Pace::Full).ends_with(&[Pace::Half, Pace::ThreeQuarters, Pace::Full]));
}

#[test]
fn a_gpu_that_is_lost_is_opened_again_and_mines_again() {
    let devices = Devices::list(CpuSettings::default(), &Selection::All).unwrap();
    let is_gpu = |info: &&DeviceInfo| matches!(info.kind, DeviceKind::Gpu(_));
    let Some(info) = devices.infos().iter().find(is_gpu).cloned() else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no Vulkan adapter");
        println!("ignored: no Vulkan adapter to take away");
        return;
    };
    let opened: Arc<Mutex<Vec<wgpu::Device>>> = Arc::default();
    let (log, id) = (opened.clone(), info.id);
    let mut opener = Opener::new(move |_| {
        let gpu = devices.open_gpu(id, GpuSettings::default())?;
        log.lock().unwrap().push(gpu.wgpu_device().clone());
        Ok(Box::new(gpu))
    });
    opener.info = info;
    let clock = clock();
    let rig = Rig::with(&clock, opener);
    for losses in 0..2 {
        let before = rig.engine.snapshot().devices[1].hashes;
        rig.wait(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > before);
        opened.lock().unwrap().last().unwrap().destroy();
        let snapshot = rig.wait(|snapshot| sick(snapshot, 1).is_some());
        let (reason, failures) = sick(&snapshot, 1).unwrap();
        assert!(["lost", "refused"].iter().any(|word| reason.contains(word)), "{reason}");
        assert_eq!((failures, snapshot.devices[1].hardware_errors), (losses + 1, 0));
        rig.step_until(|snapshot| !matches!(snapshot.devices[1].state, DeviceState::Sick { .. }));
        let snapshot = rig.wait(|snapshot| mines(snapshot, 1));
        assert_eq!(snapshot.devices[1].recoveries, u64::from(losses) + 1);
    }
    let before = rig.engine.snapshot().devices[1].hashes;
    rig.wait(|snapshot| snapshot.devices[1].hashes > before);
    assert_eq!(opened.lock().unwrap().len(), 3);
}
