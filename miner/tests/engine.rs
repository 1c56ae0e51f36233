//! The engine against a source that the test controls and devices that fail on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use adit_hash::{Backend, ScanTarget};
use adit_miner::{
    Coinbase, CpuDevice, CpuSettings, Device, DeviceError, DeviceInfo, DeviceOpener, DeviceSnapshot, DeviceState,
    Devices, Draw, Engine, EngineOptions, EngineSnapshot, Feed, HeaderWork, Selection, Solution, Submission, Template,
    TemplateId, WatchdogPolicy, WorkSource, sha256d,
};
use crossbeam::channel::{Receiver, Sender, unbounded};

/// A source whose template the test sets, and which answers every solution in the way it was told to.
struct Desk {
    template: Mutex<Option<Arc<Template>>>,
    changed: Condvar,
    submitted: Mutex<Vec<Solution>>,
    answer: Submission,
    /// Whether an accepted solution makes the next template, as a chain does.
    chain: bool,
}

impl Desk {
    fn new(template: Template, answer: Submission, chain: bool) -> Arc<Self> {
        let template = Mutex::new(Some(Arc::new(template)));
        Arc::new(Self { template, changed: Condvar::new(), submitted: Mutex::default(), answer, chain })
    }

    fn set(&self, template: Template) {
        *self.template.lock().unwrap() = Some(Arc::new(template));
        self.changed.notify_all();
    }

    fn submitted(&self) -> Vec<Solution> {
        self.submitted.lock().unwrap().clone()
    }
}

impl WorkSource for Desk {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        let stays = |now: &mut Option<Arc<Template>>| now.as_ref().is_none_or(|template| Some(template.id) == seen);
        let (now, waited) = self.changed.wait_timeout_while(self.template.lock().unwrap(), timeout, stays).unwrap();
        if waited.timed_out() { None } else { now.clone() }
    }

    fn newest(&self) -> Option<TemplateId> {
        self.template.lock().unwrap().as_ref().map(|template| template.id)
    }

    fn submit(&self, solution: &Solution) -> Submission {
        self.submitted.lock().unwrap().push(solution.clone());
        if self.chain {
            let next = template(solution.template.0 + 1, self.template.lock().unwrap().as_ref().unwrap().target);
            self.set(Template { prev_hash: solution.hash, ..next });
        }
        self.answer.clone()
    }
}

fn target_with_top(top: u32) -> ScanTarget {
    let mut bytes = [0xff; 32];
    bytes[28..].copy_from_slice(&top.to_le_bytes());
    ScanTarget::from_le_bytes(bytes)
}

/// One hash in about 65,000.
fn moderate() -> ScanTarget {
    target_with_top(0x0000_ffff)
}

fn never() -> ScanTarget {
    ScanTarget::from_le_bytes([0; 32])
}

fn template(id: u64, target: ScanTarget) -> Template {
    Template {
        id: TemplateId(id),
        height: 100 + id as u32,
        version: 0x2000_0000,
        version_mask: 0x1fff_e000,
        prev_hash: [7; 32],
        coinbase: Coinbase { prefix: vec![1; 42], extranonce_len: 4, suffix: vec![2; 60] },
        merkle_branch: vec![[3; 32], [4; 32]],
        time: 1_700_000_000,
        max_time: 1_700_000_600,
        bits: 0x207f_ffff,
        target,
    }
}

type Script = Box<dyn FnMut(&dyn Feed) -> Result<(), DeviceError> + Send>;

/// A device that passes the known-answer test as the CPU does, and then follows its script.
struct Scripted {
    cpu: CpuDevice,
    tested: bool,
    script: Script,
}

impl Scripted {
    fn boxed(script: impl FnMut(&dyn Feed) -> Result<(), DeviceError> + Send + 'static) -> Box<dyn Device> {
        Box::new(Self { cpu: one_thread(), tested: false, script: Box::new(script) })
    }
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

fn one_thread() -> CpuDevice {
    CpuDevice::new(NonZeroUsize::new(1), None).unwrap()
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

fn hits(work: &HeaderWork) -> Vec<u32> {
    let mut hits = Vec::new();
    Backend::Portable.scan(&work.scan, work.range, &work.target, &mut hits);
    hits
}

/// Looks at the engine until `done`; a minute is far beyond what any of these tests needs on the slowest machine.
fn wait_for(engine: &Engine, done: impl Fn(&EngineSnapshot) -> bool) -> EngineSnapshot {
    let start = Instant::now();
    loop {
        let snapshot = engine.snapshot();
        if done(&snapshot) {
            return snapshot;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never came: {snapshot:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A device that is there once.
struct OnlyOne(DeviceInfo, Mutex<Option<Box<dyn Device>>>);

impl DeviceOpener for OnlyOne {
    fn info(&self) -> &DeviceInfo {
        &self.0
    }

    fn open(&self) -> Result<Box<dyn Device>, DeviceError> {
        self.1.lock().unwrap().take().ok_or_else(|| DeviceError::Lost("gone".into()))
    }
}

/// Starts an engine that gives a device up at its first failure. What it does otherwise is tested beside the engine.
fn start_on(source: Arc<dyn WorkSource>, devices: Vec<Box<dyn Device>>) -> Engine {
    let opener = |device: Box<dyn Device>| -> Arc<dyn DeviceOpener> {
        Arc::new(OnlyOne(device.info().clone(), Mutex::new(Some(device))))
    };
    let watchdog = WatchdogPolicy { failures: 1, ..WatchdogPolicy::default() };
    let options = EngineOptions { watchdog, ..EngineOptions::default() };
    Engine::start(source, devices.into_iter().map(opener).collect(), options).unwrap()
}

fn start(desk: &Arc<Desk>, devices: Vec<Box<dyn Device>>) -> Engine {
    start_on(Arc::clone(desk) as Arc<dyn WorkSource>, devices)
}

#[test]
fn a_chain_grows_by_solutions_that_rebuild() {
    let desk = Desk::new(template(1, moderate()), Submission::Accepted, true);
    let cpu = CpuDevice::new(NonZeroUsize::new(2), None).unwrap();
    let engine = start(&desk, vec![Box::new(cpu)]);
    wait_for(&engine, |snapshot| snapshot.devices[0].accepted >= 12);
    let device = engine.stop().devices.remove(0);

    let solutions = desk.submitted();
    assert_eq!(device.state, DeviceState::Stopped);
    assert_eq!((device.accepted, device.rejected, device.hardware_errors), (solutions.len() as u64, 0, 0));
    assert_eq!(device.stale, 0, "nobody else mines here");
    assert!(device.hashes >= 12);
    let mut previous = [7; 32];
    for (solution, id) in solutions.iter().zip(1..) {
        let made_from = template(id, moderate());
        assert_eq!(solution.template, TemplateId(id));
        assert_eq!(solution.hash, sha256d(&solution.header));
        assert!(made_from.target.is_met_by(&solution.hash));
        assert_eq!(solution.header[4..36], previous);
        let coinbase = [&made_from.coinbase.prefix[..], &solution.extranonce, &made_from.coinbase.suffix].concat();
        let root =
            made_from.merkle_branch.iter().fold(sha256d(&coinbase), |left, right| sha256d(&[left, *right].concat()));
        assert_eq!(solution.header[36..68], root);
        previous = solution.hash;
    }
}

#[test]
fn cpu_and_gpu_mine_together_and_stop_together() {
    let devices = Devices::list(CpuSettings::default(), &Selection::All).unwrap();
    let Some(gpu) = devices.infos().get(1) else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no Vulkan adapter, and CI must have one");
        println!("ignored: no Vulkan adapter");
        return;
    };
    let desk = Desk::new(template(1, moderate()), Submission::Accepted, false);
    let engine = start(&desk, vec![Box::new(one_thread()), devices.open(gpu.id).unwrap()]);
    wait_for(&engine, |snapshot| snapshot.devices.iter().all(|device| device.accepted >= 3));
    desk.set(Template { prev_hash: [8; 32], ..template(2, ScanTarget::MAX) });
    let answered = |snapshot: &EngineSnapshot| snapshot.template.map(|(id, _)| id) == Some(TemplateId(2));
    wait_for(&engine, |snapshot| answered(snapshot) && snapshot.devices.iter().all(|device| device.accepted >= 10_000));
    let snapshot = engine.stop();
    for device in &snapshot.devices {
        assert_eq!((&device.state, device.hardware_errors), (&DeviceState::Stopped, 0), "{}", device.info.id);
    }
    let solutions = desk.submitted();
    let distinct: HashSet<_> = solutions.iter().map(|solution| solution.header).collect();
    assert_eq!(distinct.len(), solutions.len());
    assert!(solutions.iter().any(|solution| solution.template == TemplateId(2)));
}

#[test]
fn what_is_found_after_our_own_solution_is_surplus_not_stale() {
    let desk = Desk::new(template(1, ScanTarget::MAX), Submission::Accepted, true);
    let engine = start(&desk, vec![Box::new(one_thread())]);
    let snapshot = wait_for(&engine, |snapshot| snapshot.devices[0].surplus > 0);
    engine.stop();
    assert_eq!(snapshot.devices[0].stale, 0);
    let ids: Vec<_> = desk.submitted().iter().map(|solution| solution.template.0).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "a template was solved twice: {ids:?}");
}

#[test]
fn shares_of_one_template_are_all_handed_in_once_by_all_devices() {
    let desk = Desk::new(template(1, moderate()), Submission::Accepted, false);
    let engine = start(&desk, vec![Box::new(one_thread()), Box::new(one_thread())]);
    wait_for(&engine, |snapshot| snapshot.devices.iter().all(|device| device.accepted >= 5));
    let snapshot = engine.stop();
    let solutions = desk.submitted();
    assert_eq!(snapshot.devices.iter().map(|device| device.accepted).sum::<u64>(), solutions.len() as u64);
    let distinct: HashSet<_> = solutions.iter().map(|solution| solution.header).collect();
    assert_eq!(distinct.len(), solutions.len());
}

#[test]
fn a_lost_a_panicking_and_a_lying_device_leave_the_others_mining() {
    let desk = Desk::new(template(1, moderate()), Submission::Accepted, false);
    let lost = Scripted::boxed(|feed| {
        let _ = draw(feed, 1 << 20);
        Err(DeviceError::Lost("pulled out".into()))
    });
    let panicking = Scripted::boxed(|_| panic!("a bug in a driver"));
    let mut liar = Scripted { cpu: one_thread(), tested: true, script: Box::new(|_| Ok(())) };
    liar.script = Box::new(|feed| {
        while let Some(work) = draw(feed, 1 << 20) {
            feed.report(&work, &[]);
        }
        Ok(())
    });
    let engine = start(&desk, vec![lost, panicking, Box::new(liar), Box::new(one_thread())]);
    let failed = |device: &DeviceSnapshot, with: &str| matches!(&device.state, DeviceState::Dead { reason, .. } if reason.contains(with));
    let snapshot = wait_for(&engine, |snapshot| {
        let [lost, panicking, liar, _] = &snapshot.devices[..] else { return false };
        failed(lost, "pulled out") && failed(panicking, "a bug in a driver") && failed(liar, "missed")
    });
    assert_eq!(snapshot.devices[2].hashes, 0, "a device that fails the test never mines");
    assert!(!snapshot.all_dead());
    let before = snapshot.devices[3].accepted;
    let after = wait_for(&engine, |snapshot| snapshot.devices[3].accepted > before);
    assert_eq!(after.devices[3].state, DeviceState::Mining);
    engine.stop();
}

#[test]
fn a_wrong_candidate_is_a_hardware_error_and_is_not_handed_in() {
    let desk = Desk::new(template(1, moderate()), Submission::Accepted, false);
    let device = Scripted::boxed(|feed| {
        while let Some(work) = draw(feed, 1 << 12) {
            let hits = hits(&work);
            let wrong = (0..).map(|i| work.range.first + i).find(|nonce| !hits.contains(nonce)).unwrap();
            feed.report(&work, &[wrong]);
        }
        Ok(())
    });
    let engine = start(&desk, vec![device]);
    wait_for(&engine, |snapshot| snapshot.devices[0].hardware_errors >= 3);
    let snapshot = engine.stop();
    assert_eq!(snapshot.devices[0].accepted, 0);
    assert_eq!(desk.submitted(), []);
}

#[test]
fn solutions_of_a_replaced_template_are_stale_and_not_handed_in() {
    let desk = Desk::new(template(1, moderate()), Submission::Accepted, false);
    let (drawn, on_drawn) = unbounded();
    let (go, on_go): (Sender<()>, Receiver<()>) = unbounded();
    let device = Scripted::boxed(move |feed| {
        let Some(work) = draw(feed, 1 << 22) else { return Ok(()) };
        let hits = hits(&work);
        let _ = drawn.send(hits.len());
        let _ = on_go.recv();
        feed.report(&work, &hits);
        while let Some(work) = draw(feed, 1 << 16) {
            assert_eq!(work.template, TemplateId(2), "stale work was given out");
            feed.report(&work, &[]);
        }
        Ok(())
    });
    let engine = start(&desk, vec![device]);
    let found = on_drawn.recv().unwrap() as u64;
    assert!(found > 0);
    desk.set(template(2, never()));
    go.send(()).unwrap();
    wait_for(&engine, |snapshot| snapshot.devices[0].stale == found);
    let snapshot = engine.stop();
    assert_eq!(snapshot.devices[0].state, DeviceState::Stopped);
    assert_eq!(desk.submitted(), []);
}

#[test]
fn the_source_s_own_refusals_are_counted() {
    for (answer, stale, rejected) in
        [(Submission::Stale, true, false), (Submission::Rejected("no".into()), false, true)]
    {
        let desk = Desk::new(template(1, moderate()), answer, false);
        let engine = start(&desk, vec![Box::new(one_thread())]);
        let snapshot = wait_for(&engine, |snapshot| snapshot.devices[0].stale + snapshot.devices[0].rejected > 0);
        engine.stop();
        let device = &snapshot.devices[0];
        assert_eq!((device.stale > 0, device.rejected > 0, device.accepted), (stale, rejected, 0));
    }
}

#[test]
fn a_new_template_reaches_every_device_at_its_next_draw() {
    let desk = Desk::new(template(1, never()), Submission::Accepted, false);
    let (drawn, on_drawn) = unbounded();
    let recorder = |name: usize| {
        let drawn = drawn.clone();
        Scripted::boxed(move |feed| {
            while let Some(work) = draw(feed, 1 << 20) {
                let _ = drawn.send((name, work.template.0));
                feed.report(&work, &[]);
            }
            Ok(())
        })
    };
    let engine = start(&desk, vec![recorder(0), recorder(1), recorder(2)]);
    for id in 2..6 {
        // What was drawn before the change may still be in the channel; it ends, and nothing older comes after newer work.
        desk.set(template(id, never()));
        let mut reached = [false; 3];
        while reached != [true; 3] {
            let (name, seen) = on_drawn.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(seen <= id && (!reached[name] || seen == id), "device {name} went back to template {seen}");
            reached[name] |= seen == id;
        }
    }
    engine.stop();
}

#[test]
fn an_exhausted_template_is_said_to_be_and_a_new_one_is_mined() {
    let narrow = |id| Template {
        version_mask: 0,
        coinbase: Coinbase { prefix: vec![1], extranonce_len: 0, suffix: vec![id as u8] },
        max_time: 1_700_000_001,
        ..template(id, never())
    };
    let desk = Desk::new(narrow(1), Submission::Accepted, false);
    let pretender = || {
        Scripted::boxed(|feed| {
            while let Some(work) = draw(feed, 1 << 28) {
                feed.report(&work, &[]);
            }
            Ok(())
        })
    };
    let engine = start(&desk, vec![pretender(), pretender()]);
    let all_of_one = 2_u64 << 32;
    let hashes = |snapshot: &EngineSnapshot| snapshot.devices.iter().map(|device| device.hashes).sum::<u64>();
    let snapshot = wait_for(&engine, |snapshot| snapshot.exhausted && hashes(snapshot) >= all_of_one);
    assert_eq!(hashes(&snapshot), all_of_one);
    assert_eq!(snapshot.template, Some((TemplateId(1), 101)));
    desk.set(narrow(2));
    wait_for(&engine, |snapshot| snapshot.template == Some((TemplateId(2), 102)) && hashes(snapshot) == 2 * all_of_one);
    engine.stop();
}

#[test]
fn a_template_that_cannot_be_mined_is_passed_over() {
    let desk = Desk::new(Template { max_time: 0, ..template(1, moderate()) }, Submission::Accepted, false);
    let engine = start(&desk, vec![Box::new(one_thread())]);
    wait_for(&engine, |snapshot| snapshot.devices[0].state == DeviceState::Mining);
    assert_eq!(engine.snapshot().template, None);
    desk.set(template(2, moderate()));
    wait_for(&engine, |snapshot| snapshot.devices[0].accepted > 0);
    engine.stop();
    assert!(desk.submitted().iter().all(|solution| solution.template == TemplateId(2)));
}

#[test]
fn stopping_does_not_wait_for_a_device_that_is_stuck() {
    let desk = Desk::new(template(1, never()), Submission::Accepted, false);
    let (free, on_free): (Sender<()>, Receiver<()>) = unbounded();
    let stuck_now = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stuck_now);
    let stuck = Scripted::boxed(move |_| {
        flag.store(true, Ordering::Release);
        let _ = on_free.recv();
        Ok(())
    });
    let engine = start(&desk, vec![stuck, Box::new(one_thread())]);
    wait_for(&engine, |snapshot| stuck_now.load(Ordering::Acquire) && snapshot.devices[1].state == DeviceState::Mining);
    // Returns although the device does not: it is freed only afterwards.
    let snapshot = engine.stop();
    assert_eq!(snapshot.devices[0].state, DeviceState::Mining);
    assert_eq!(snapshot.devices[1].state, DeviceState::Stopped);
    drop(free);
}

/// A source that breaks when something is found.
struct Broken(Arc<Desk>);

impl WorkSource for Broken {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        self.0.wait_newer(seen, timeout)
    }

    fn newest(&self) -> Option<TemplateId> {
        self.0.newest()
    }

    fn submit(&self, _solution: &Solution) -> Submission {
        panic!("the disk is on fire")
    }
}

#[test]
fn a_source_that_panics_ends_the_engine_which_says_so() {
    let source = Arc::new(Broken(Desk::new(template(1, moderate()), Submission::Accepted, false)));
    let engine = start_on(source, vec![Box::new(one_thread())]);
    let snapshot = wait_for(&engine, |snapshot| snapshot.failure.is_some());
    assert_eq!(snapshot.failure.as_deref(), Some("the disk is on fire"));
    wait_for(&engine, |snapshot| snapshot.devices[0].state == DeviceState::Stopped);
}
