//! The engine: feeds any number of devices from one source of work, judges what they find, and hands solutions in.
//!
//! Three kinds of thread. One a device, in which the device pulls work. One that waits for templates, so that no device ever
//! does. One that judges, so that neither a candidate's re-hash nor a slow source holds a device up: a source may take its time
//! to connect a block or to ask a pool. A device that fails ends its own thread and nothing else.

mod judge;
mod stats;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{Job, Work};
use crate::known_answer;
use crate::work::{TemplateId, WorkSource};

use judge::Found;
use stats::DeviceStats;
pub use stats::{DeviceSnapshot, DeviceState, Snapshot};

/// How long the template thread waits at a stretch; it bounds how late it notices a stop.
const TEMPLATE_WAIT: Duration = Duration::from_millis(100);

/// How long a device without work sleeps before it looks again, should no notice reach it: the source may have withdrawn its
/// template without giving another.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How long a stop waits for threads. One that takes longer is stuck in a driver or in the source, and is left behind.
const STOP_WAIT: Duration = Duration::from_millis(900);

/// Batches with candidates that may wait for the judge. A device that finds more than can be judged waits for it.
const FOUND_QUEUE: usize = 64;

/// Mines until stopped. Dropping it stops it.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Disconnected once every thread has ended: each holds a sender that it never uses.
    ended: Receiver<()>,
}

/// What the engine's threads share.
struct Shared {
    source: Arc<dyn WorkSource>,
    stopping: AtomicBool,
    job: Mutex<Option<Arc<Job>>>,
    /// Notified when `job` changes or `stopping` is set.
    changed: Condvar,
    devices: Vec<DeviceStats>,
    /// Why the engine stopped by itself.
    failure: OnceLock<String>,
}

impl Engine {
    /// Tests each device on known answers, then mines on those that pass. Returns at once; [`Engine::snapshot`] tells how it
    /// goes.
    ///
    /// # Errors
    /// If the system starts no thread; what had started is stopped again.
    pub fn start(source: Arc<dyn WorkSource>, devices: Vec<Box<dyn Device>>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            source,
            stopping: AtomicBool::new(false),
            job: Mutex::new(None),
            changed: Condvar::new(),
            devices: devices.iter().map(|device| DeviceStats::new(device.info().clone())).collect(),
            failure: OnceLock::new(),
        });
        let (alive, ended) = bounded(0);
        let (found, finds) = bounded(FOUND_QUEUE);
        let mut engine = Self { shared, threads: Vec::new(), ended };
        engine.spawn("templates", &alive, follow_templates)?;
        engine.spawn("judge", &alive, move |shared| judge::judge(shared, &finds))?;
        for (index, device) in devices.into_iter().enumerate() {
            let found = found.clone();
            let name = device.info().id.to_string();
            engine.spawn(&name, &alive, move |shared| drive(shared, index, device, found))?;
        }
        Ok(engine)
    }

    /// The figures as of now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let job = self.shared.current_job();
        Snapshot {
            template: job.as_ref().map(|job| (job.template().id, job.template().height)),
            exhausted: job.is_some_and(|job| job.is_exhausted()),
            failure: self.shared.failure.get().cloned(),
            devices: self.shared.devices.iter().map(DeviceStats::snapshot).collect(),
        }
    }

    /// Stops all devices and returns the last figures. Takes less than a second: a thread that is stuck in a driver or in the
    /// source is left behind with a warning. What was found and not yet handed in is not handed in any more.
    pub fn stop(mut self) -> Snapshot {
        self.halt();
        self.snapshot()
    }

    fn spawn(
        &mut self,
        name: &str,
        alive: &Sender<()>,
        body: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> std::io::Result<()> {
        let (shared, alive) = (Arc::clone(&self.shared), alive.clone());
        let run = move || {
            // Only code that is not ours can panic here, the source's above all. Without one of these threads nothing can be
            // found any more, so the engine ends and says why.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&shared))) {
                shared.fail(panic_text(panic.as_ref()));
            }
            drop(alive);
        };
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    fn halt(&mut self) {
        self.shared.stop();
        if self.ended.recv_timeout(STOP_WAIT) == Err(RecvTimeoutError::Timeout) {
            for thread in self.threads.iter().filter(|thread| !thread.is_finished()) {
                tracing::warn!(
                    "thread {} does not stop; left behind",
                    thread.thread().name().unwrap_or("without name")
                );
            }
            self.threads.retain(JoinHandle::is_finished);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine panicked");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.halt();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("devices", &self.devices).finish_non_exhaustive()
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn stop(&self) {
        // Set under the lock, so that no device can look at the flag before it and sleep after the notice.
        let _job = self.lock_job();
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Stops for a reason; the first one is kept.
    fn fail(&self, reason: String) {
        tracing::error!("the miner stops: {reason}");
        let _ = self.failure.set(reason);
        self.stop();
    }

    fn replace_job(&self, job: Option<Arc<Job>>) {
        *self.lock_job() = job;
        self.changed.notify_all();
    }

    fn lock_job(&self) -> MutexGuard<'_, Option<Arc<Job>>> {
        self.job.lock().expect("nothing that holds the job panics")
    }

    fn current_job(&self) -> Option<Arc<Job>> {
        self.lock_job().clone()
    }

    /// Whether the source has nothing newer than `template`, and has not withdrawn it.
    fn is_newest(&self, template: TemplateId) -> bool {
        self.source.newest() == Some(template)
    }
}

/// The template thread: makes a job of every template that the source gives.
fn follow_templates(shared: &Arc<Shared>) {
    let mut seen = None;
    while !shared.is_stopping() {
        let Some(template) = shared.source.wait_newer(seen, TEMPLATE_WAIT) else { continue };
        seen = Some(template.id);
        let (id, height) = (template.id.0, template.height);
        match Job::new(template) {
            Ok(job) => {
                tracing::debug!("template {id}, height {height}");
                shared.replace_job(Some(Arc::new(job)));
            }
            Err(error) => {
                tracing::warn!("template {id}, height {height}, cannot be mined: {error}");
                shared.replace_job(None);
            }
        }
    }
}

/// A device's thread: the known-answer test, then mining until the engine stops or the device fails.
fn drive(shared: &Arc<Shared>, index: usize, mut device: Box<dyn Device>, found: Sender<Found>) {
    let stats = &shared.devices[index];
    // A panic in a driver's or a library's code costs this device, not the process. Nothing of the device is used after.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        known_answer::test(device.as_mut(), &shared.stopping)?;
        stats.set_state(DeviceState::Mining);
        device.run(&DeviceFeed { shared, index, found })
    }))
    .unwrap_or_else(|panic| Err(DeviceError::Panicked(panic_text(panic.as_ref()))));
    match outcome {
        Ok(()) => stats.set_state(DeviceState::Stopped),
        Err(error) => {
            tracing::warn!("{} ({}) no longer mines: {error}", stats.info().id, stats.info().name);
            stats.set_state(DeviceState::Failed(error.to_string()));
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// The feed that the engine gives to one device.
struct DeviceFeed<'a> {
    shared: &'a Shared,
    index: usize,
    found: Sender<Found>,
}

impl Feed for DeviceFeed<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        if self.shared.is_stopping() {
            return Draw::Done;
        }
        let job = self.shared.current_job().filter(|job| self.shared.is_newest(job.template().id));
        job.and_then(|job| job.draw(nonces)).map_or(Draw::Empty, Draw::Work)
    }

    fn wait(&self) {
        let idle = |job: &mut Option<Arc<Job>>| {
            let ready = job.as_ref().is_some_and(|job| self.shared.is_newest(job.template().id) && !job.is_exhausted());
            !ready && !self.shared.is_stopping()
        };
        let job = self.shared.lock_job();
        drop(self.shared.changed.wait_timeout_while(job, IDLE_WAIT, idle));
    }

    fn is_current(&self, work: &Work) -> bool {
        !self.shared.is_stopping() && self.shared.is_newest(work.template)
    }

    fn report(&self, work: &Work, candidates: &[u32]) {
        self.shared.devices[self.index].add_hashes(work.range.count);
        if !candidates.is_empty() {
            let found = Found { device: self.index, work: work.clone(), candidates: candidates.to_vec() };
            // The judge outlives every sender, unless it panicked: then the engine is stopping, and says so.
            let _ = self.found.send(found);
        }
    }
}
