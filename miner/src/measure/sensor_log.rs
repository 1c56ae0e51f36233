//! Reads a device's sensor during a measurement.
//!
//! A driver may panic in a call of its sensor or never return from it. So two threads of their own make the calls, one the
//! readings and one the energy counter; no thread of the device does, and a thread that is stuck is left behind. The counter has
//! a thread to itself because it is read at the ends of samples, and must not wait for a reading.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::telemetry::{Reading, Sensor};

/// How long the end of a measurement waits for the sensor's last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The readings of a sensor, sample by sample.
pub(super) struct SensorLog {
    answers: Arc<Mutex<Answers>>,
    /// Asks for the energy counter as it is at this time.
    energy: Sender<Instant>,
    /// Disconnected to end the readings.
    stop: Sender<()>,
    /// Disconnected once both threads have ended.
    ended: Receiver<()>,
}

/// What the sensor has answered.
#[derive(Default)]
struct Answers {
    /// Whether the first sample has begun.
    sampling: bool,
    /// The readings of the present sample.
    sums: Sums,
    /// The energy counter in joules at the ends of samples, the beginning of the first one included.
    energies: Vec<Option<f64>>,
}

impl SensorLog {
    /// Reads `sensor` with pauses of this length until [`SensorLog::finish`]. An answer of the energy counter that takes longer
    /// than a pause is not the counter at the end of a sample, and is dropped.
    pub(super) fn start(sensor: Arc<dyn Sensor>, pause: Duration) -> Self {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let ((energy, on_energy), (stop, stopped), (alive, ended)) = (unbounded::<Instant>(), bounded(0), bounded(0));
        let (log, reader, is_alive) = (answers.clone(), sensor.clone(), alive.clone());
        spawn("sensor", move || {
            read_until(&*reader, &stopped, pause, &log);
            drop(is_alive);
        });
        let log = answers.clone();
        spawn("energy counter", move || {
            for asked in on_energy {
                let joules = catch_unwind(AssertUnwindSafe(|| sensor.energy_joules())).unwrap_or_default();
                lock(&log).energies.push(joules.filter(|_| asked.elapsed() <= pause));
            }
            drop(alive);
        });
        Self { answers, energy, stop, ended }
    }

    /// A sample ends and the next begins. Returns the means of the readings of the sample that ended, and waits for nothing.
    pub(super) fn end_sample(&self) -> Reading {
        // The thread has ended only if it could not be started.
        let _ = self.energy.send(Instant::now());
        let mut answers = lock(&self.answers);
        answers.sampling = true;
        std::mem::take(&mut answers.sums).mean()
    }

    /// The energy counter in joules at the ends of samples, the beginning of the first one included, as far as the sensor has
    /// answered.
    pub(super) fn finish(self) -> Vec<Option<f64>> {
        let Self { answers, energy, stop, ended } = self;
        drop((energy, stop));
        if ended.recv_timeout(LAST_ANSWERS) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a sensor does not answer; left behind");
        }
        std::mem::take(&mut lock(&answers).energies)
    }
}

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread that nobody joins.
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(body) {
        tracing::warn!("the system starts no thread for a sensor: {error}");
    }
}

/// Reads the sensor until `stopped` has no sender left.
fn read_until(sensor: &dyn Sensor, stopped: &Receiver<()>, pause: Duration, answers: &Mutex<Answers>) {
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        // A panic counts as an empty reading.
        let reading = catch_unwind(AssertUnwindSafe(|| sensor.read())).unwrap_or_default();
        let mut answers = lock(answers);
        if answers.sampling {
            answers.sums.add(&reading);
        }
    }
}

/// Sums of readings, each value by itself, as any of them may be missing in a reading.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    temperature_celsius: Sum,
    power_watts: Sum,
    fan_percent: Sum,
    fan_rpm: Sum,
    core_clock_mhz: Sum,
    memory_clock_mhz: Sum,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    count: u32,
}

impl Sum {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Sums {
    pub(super) fn add(&mut self, reading: &Reading) {
        self.temperature_celsius.add(reading.temperature_celsius);
        self.power_watts.add(reading.power_watts);
        self.fan_percent.add(reading.fan_percent);
        self.fan_rpm.add(reading.fan_rpm);
        self.core_clock_mhz.add(reading.core_clock_mhz);
        self.memory_clock_mhz.add(reading.memory_clock_mhz);
    }

    pub(super) fn mean(self) -> Reading {
        Reading {
            temperature_celsius: self.temperature_celsius.mean(),
            power_watts: self.power_watts.mean(),
            fan_percent: self.fan_percent.mean(),
            fan_rpm: self.fan_rpm.mean(),
            core_clock_mhz: self.core_clock_mhz.mean(),
            memory_clock_mhz: self.memory_clock_mhz.mean(),
        }
    }
}
