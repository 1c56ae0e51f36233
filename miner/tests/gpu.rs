//! A GPU in the engine, and a GPU that its driver loses.
//!
//! A machine without a Vulkan adapter, software ones included, reports every trial as ignored; with `CI=true` they fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/engine.rs"]
mod engine;
#[path = "support/trials.rs"]
mod trials;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};
use adit_miner::{
    CpuSettings, Device, DeviceError, DeviceId, DeviceInfo, DeviceOpener, DeviceState, Devices, Draw, Engine,
    EngineOptions, EngineSnapshot, Extranonce, Feed, GpuSettings, HeaderWork, Selection, Submission, TemplateId,
    WatchdogPolicy,
};
use engine::{TestSource, moderate, template, wait_for};
use libtest_mimic::{Arguments, Completion, Trial};

/// Loses the device that it belongs to.
type LossTrigger = Box<dyn Fn() + Send + Sync>;

/// Work without end; the device is lost when it reports the third batch.
struct LosingFeed {
    lose: LossTrigger,
    reports: AtomicU64,
}

impl Feed for LosingFeed {
    fn draw(&self, nonces: u64) -> Draw {
        let (scan, never) = (ScanJob::new(&[1; HEADER_LEN]), ScanTarget::from_le_bytes([0; 32]));
        Draw::Work(HeaderWork::new(TemplateId(0), scan, NonceRange::new(0, nonces), never, Extranonce::default()))
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        true
    }

    fn has_given_up(&self) -> bool {
        false
    }

    fn report(&self, _work: &HeaderWork, _candidates: &[u32]) {
        if self.reports.fetch_add(1, Ordering::Relaxed) == 2 {
            (self.lose)();
        }
    }
}

fn a_lost_device_is_an_error_and_not_a_panic(devices: &Devices, id: DeviceId) {
    let mut gpu = devices.open_gpu(id, GpuSettings::default()).unwrap();
    let feed = |gpu: &adit_miner::GpuDevice| LosingFeed { lose: gpu.loss_trigger(), reports: AtomicU64::new(0) };
    let first = feed(&gpu);
    let error = gpu.run(&first).unwrap_err();
    assert!(matches!(error, DeviceError::Lost(_) | DeviceError::Refused(_)), "{error}");
    assert!(first.reports.into_inner() >= 3);
    // And it stays an error.
    let second = feed(&gpu);
    assert!(gpu.run(&second).is_err());
}

/// Opens a GPU and keeps how to lose it.
struct LosableGpu {
    info: DeviceInfo,
    devices: Devices,
    opened: Arc<Mutex<Vec<LossTrigger>>>,
}

impl DeviceOpener for LosableGpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn open(&self) -> Result<Box<dyn Device>, DeviceError> {
        let gpu = self.devices.open_gpu(self.info.id, GpuSettings::default())?;
        self.opened.lock().unwrap().push(gpu.loss_trigger());
        Ok(Box::new(gpu))
    }
}

/// The opener of the CPU with one thread.
fn one_thread() -> Arc<dyn DeviceOpener> {
    let settings = CpuSettings::default().with_threads(NonZeroUsize::new(1));
    Devices::list(settings, &Selection::Ids(vec![DeviceId::Cpu])).unwrap().opener(DeviceId::Cpu).unwrap()
}

fn a_lost_gpu_is_opened_again_and_leaves_the_cpu_mining(devices: Devices, id: DeviceId) {
    let info = devices.infos().iter().find(|info| info.id == id).unwrap().clone();
    let opened = Arc::default();
    let gpu = Arc::new(LosableGpu { info, devices, opened: Arc::clone(&opened) });
    // Pauses that are long enough for this test to see the device sick.
    let watchdog = WatchdogPolicy::default().with_first_pause(Duration::from_millis(300));
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let options = EngineOptions::default().with_watchdog(watchdog);
    let engine = Engine::start(source, vec![one_thread(), gpu], options).unwrap();
    let mines_beyond = |snapshot: &EngineSnapshot, device: usize, hashes: u64| {
        snapshot.devices[device].state == DeviceState::Mining && snapshot.devices[device].hashes > hashes
    };
    wait_for(&engine, |snapshot| mines_beyond(snapshot, 0, 0));
    let mut hashes = 0;
    for losses in 0..2 {
        let snapshot = wait_for(&engine, |snapshot| mines_beyond(snapshot, 1, hashes));
        assert_eq!(snapshot.devices[1].recoveries, losses, "it passed the known-answer test after each loss");
        opened.lock().unwrap().last().unwrap()();
        let sick = |snapshot: &EngineSnapshot| matches!(snapshot.devices[1].state, DeviceState::Sick { .. });
        let snapshot = wait_for(&engine, sick);
        let DeviceState::Sick { reason, failures, .. } = &snapshot.devices[1].state else { unreachable!() };
        assert!(["lost", "refused"].iter().any(|word| reason.contains(word)), "{reason}");
        assert_eq!((u64::from(*failures), snapshot.devices[1].hardware_errors), (losses + 1, 0));
        hashes = snapshot.devices[1].hashes;
        // The CPU notices nothing.
        let by_cpu = snapshot.devices[0].hashes;
        wait_for(&engine, |snapshot| mines_beyond(snapshot, 0, by_cpu));
    }
    let snapshot = wait_for(&engine, |snapshot| mines_beyond(snapshot, 1, hashes));
    let cpu = &snapshot.devices[0];
    assert_eq!((&cpu.state, cpu.recoveries, cpu.unsearched), (&DeviceState::Mining, 0, 0));
    assert_eq!(opened.lock().unwrap().len(), 3);
}

fn cpu_and_gpu_mine_together_and_stop_together(devices: &Devices, id: DeviceId) {
    let openers = vec![one_thread(), devices.opener(id).unwrap()];
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let engine = Engine::start(source.clone(), openers, EngineOptions::default()).unwrap();
    wait_for(&engine, |snapshot| snapshot.devices.iter().all(|device| device.accepted >= 3));
    let mut next = template(2, ScanTarget::MAX);
    next.prev_hash = [8; 32];
    source.set(next);
    let answered = |snapshot: &EngineSnapshot| snapshot.template.map(|(id, _)| id) == Some(TemplateId(2));
    wait_for(&engine, |snapshot| answered(snapshot) && snapshot.devices.iter().all(|device| device.accepted >= 10_000));
    let snapshot = engine.stop();
    for device in &snapshot.devices {
        assert_eq!((&device.state, device.hardware_errors), (&DeviceState::Stopped, 0), "{}", device.info.id);
    }
    let solutions = source.submitted();
    let distinct: HashSet<_> = solutions.iter().map(|solution| solution.header).collect();
    assert_eq!(distinct.len(), solutions.len());
    assert!(solutions.iter().any(|solution| solution.template == TemplateId(2)));
}

/// A trial of `test` on the first GPU.
fn on_gpu(name: &str, test: impl FnOnce(Devices, DeviceId) + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        let Some((devices, gpus)) = trials::gpus()? else { return trials::without(trials::NO_GPU) };
        test(devices, gpus[0]);
        Ok(Completion::Completed)
    })
}

fn main() -> ExitCode {
    let trials = vec![
        on_gpu("a_lost_device_is_an_error_and_not_a_panic", |devices, id| {
            a_lost_device_is_an_error_and_not_a_panic(&devices, id);
        }),
        on_gpu(
            "a_lost_gpu_is_opened_again_and_leaves_the_cpu_mining",
            a_lost_gpu_is_opened_again_and_leaves_the_cpu_mining,
        ),
        on_gpu("cpu_and_gpu_mine_together_and_stop_together", |devices, id| {
            cpu_and_gpu_mine_together_and_stop_together(&devices, id);
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
