//! The engine: feeds any number of devices from one source of work, verifies their candidates, and submits the solutions.
//!
//! It has five kinds of thread:
//! - one for each device, in which the device draws work;
//! - one for each sensor, which reads it;
//! - one that waits for templates, so that no device does;
//! - the verifier, so that neither hashing a candidate nor a slow source holds up a device: a source may connect a block or ask
//!   a pool before it answers;
//! - the watchdog, which opens devices and handles those that fail, hang or run hot.

mod session;
mod stats;
mod supervise;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod watchdog;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::device::DeviceOpener;
use crate::job::Job;
use crate::throttle::ThrottlePolicy;
use crate::work::{TemplateId, WorkSource};

use stats::DeviceStats;
pub use stats::{DeviceSnapshot, DeviceState, EngineSnapshot};
use supervise::Supervisor;
pub use watchdog::WatchdogPolicy;

/// How long the template thread waits at a time, which is how late it notices a stop.
const TEMPLATE_WAIT: Duration = Duration::from_millis(100);

/// How long a device without work sleeps before it asks again. A source may withdraw and restore its template without a
/// notification.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How long a stop waits for threads. A thread that takes longer is stuck in the source or in a sensor, and is left behind.
const STOP_WAIT: Duration = Duration::from_millis(900);

/// How many batches with candidates may wait for the verifier. Beyond that, devices wait for it.
const FOUND_QUEUE: usize = 64;

/// How the engine handles devices that fail or run hot. The default is for mining.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// When a device counts as failed, and when it is opened again.
    pub watchdog: WatchdogPolicy,
    /// The temperature in degrees Celsius above which a device is slowed down and in the end paused. `None`: no limit.
    pub max_temp: Option<f64>,
    /// How temperatures become duty cycles.
    pub throttle: ThrottlePolicy,
}

impl EngineOptions {
    /// The same options with this policy for devices that fail.
    #[must_use]
    pub fn with_watchdog(self, watchdog: WatchdogPolicy) -> Self {
        Self { watchdog, ..self }
    }

    /// The same options with this limit in degrees Celsius. `None`: no limit.
    #[must_use]
    pub fn with_max_temp(self, max_temp: Option<f64>) -> Self {
        Self { max_temp, ..self }
    }

    /// The same options with this policy for devices that run hot.
    #[must_use]
    pub fn with_throttle(self, throttle: ThrottlePolicy) -> Self {
        Self { throttle, ..self }
    }
}

/// Mines until stopped. Dropping it stops it.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Disconnected once every thread except the devices' has ended: each holds a sender that it never uses. The watchdog waits
    /// for the devices' threads.
    ended: Receiver<()>,
}

/// The engine's clock. Tests use one that they set.
type Clock = dyn Fn() -> Instant + Send + Sync;

/// What the engine's threads share.
struct Shared {
    source: Arc<dyn WorkSource>,
    clock: Box<Clock>,
    stopping: AtomicBool,
    job: Mutex<Option<Arc<Job>>>,
    /// Notified when `job` changes or `stopping` is set.
    changed: Condvar,
    devices: Vec<DeviceStats>,
    /// Why the engine stopped without being asked to.
    failure: OnceLock<String>,
}

impl Engine {
    /// Opens each device, tests it on known answers, and mines on those that pass. Returns at once; [`Engine::snapshot`] has the
    /// devices' states. A device that fails later is opened and tested again, by the rules of `options`.
    ///
    /// # Errors
    /// If the system cannot start a thread. Those that were started are stopped.
    pub fn start(
        source: Arc<dyn WorkSource>,
        devices: Vec<Arc<dyn DeviceOpener>>,
        options: EngineOptions,
    ) -> std::io::Result<Self> {
        Self::start_by(Box::new(Instant::now), source, devices, options)
    }

    fn start_by(
        clock: Box<Clock>,
        source: Arc<dyn WorkSource>,
        devices: Vec<Arc<dyn DeviceOpener>>,
        options: EngineOptions,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            source,
            clock,
            stopping: AtomicBool::new(false),
            job: Mutex::new(None),
            changed: Condvar::new(),
            devices: devices.iter().map(|device| DeviceStats::new(device.info().clone())).collect(),
            failure: OnceLock::new(),
        });
        let (alive, ended) = bounded(0);
        let mut engine = Self { shared, threads: Vec::new(), ended };
        // The threads end when no sender is left. If one cannot be started, ours are gone before the engine stops the others.
        engine.spawn_all(alive, devices, options)?;
        Ok(engine)
    }

    /// Starts every thread. Each gets a sender of `alive`.
    fn spawn_all(
        &mut self,
        alive: Sender<()>,
        devices: Vec<Arc<dyn DeviceOpener>>,
        options: EngineOptions,
    ) -> std::io::Result<()> {
        let (found, batches) = bounded(FOUND_QUEUE);
        self.spawn("templates", &alive, follow_templates)?;
        self.spawn("verifier", &alive, move |shared| verify::verify_candidates(shared, &batches))?;
        for (index, device) in devices.iter().enumerate() {
            let Some(sensor) = device.sensor() else { continue };
            let (name, every) = (format!("{} sensor", device.info().id), options.throttle.read_every);
            self.spawn(&name, &alive, move |shared| supervise::sense(shared, index, &*sensor, every))?;
        }
        let supervisor = Supervisor::new(self.shared.clone(), devices, options, found);
        self.spawn("watchdog", &alive, move |_| supervisor.run())
    }

    /// The present figures.
    #[must_use]
    pub fn snapshot(&self) -> EngineSnapshot {
        let job = self.shared.current_job();
        EngineSnapshot {
            template: job.as_ref().map(|job| (job.template().id, job.template().height)),
            exhausted: job.is_some_and(|job| job.is_exhausted()),
            failure: self.shared.failure.get().cloned(),
            devices: self.shared.devices.iter().map(DeviceStats::snapshot).collect(),
        }
    }

    /// Stops all devices and returns the last figures. Takes less than a second: a thread that is stuck in a driver or in the
    /// source is left behind with a warning. Candidates that are not yet verified are dropped.
    pub fn stop(mut self) -> EngineSnapshot {
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
            // A source may panic, and so may a sensor. Without one of these threads nothing can be found, so the engine stops
            // and keeps the reason.
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
    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn stop(&self) {
        // Set under the lock: otherwise a device could read the flag before this and begin to sleep after the notification.
        let _job = self.lock_job();
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Stops for a reason. The first reason is kept.
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

    /// Whether `template` is the source's newest one, and not withdrawn.
    fn is_newest(&self, template: TemplateId) -> bool {
        self.source.newest() == Some(template)
    }
}

/// The template thread: makes a job of every template of the source.
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

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
