//! Measures the rate of one device without an engine.
//!
//! The measurement is a feed, so the device runs the same loop as when it mines.

mod sensor_log;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{Extranonce, HeaderWork};
use crate::report_timeout::{self, ReportTimeout};
use crate::telemetry::{Reading, Sensor};
use crate::work::TemplateId;
use sensor_log::SensorLog;

/// The samples of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeasurePlan {
    /// Time before the first sample, for clocks to settle and batches to reach their size.
    pub warm_up: Duration,
    /// The number of samples.
    pub samples: usize,
    /// The least time of a sample. It ends with the first batch that ends after this time.
    pub sample: Duration,
}

impl MeasurePlan {
    /// So many samples that take at least so long each, without a warm-up.
    #[must_use]
    pub const fn new(samples: usize, sample: Duration) -> Self {
        Self { warm_up: Duration::ZERO, samples, sample }
    }

    /// The same plan with this warm-up.
    #[must_use]
    pub const fn with_warm_up(self, warm_up: Duration) -> Self {
        Self { warm_up, ..self }
    }
}

/// One sample of a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// The number of hashes.
    pub hashes: u64,
    /// How long it took, in seconds; more than zero.
    pub seconds: f64,
    /// CPU time of the whole process during the sample, in seconds, where the system tells it.
    pub cpu_seconds: Option<f64>,
    /// The device's energy during the sample in joules, as the hardware counted it.
    pub counted_joules: Option<f64>,
    /// The means of the sensor's readings during the sample, each value by itself.
    pub mean: Reading,
}

impl Measurement {
    /// Hashes a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.hashes as f64 / self.seconds
    }

    /// The device's energy during the sample in joules: as the hardware counted it, or else the mean of the readings of power
    /// times the seconds.
    #[must_use]
    pub fn joules(&self) -> Option<f64> {
        self.counted_joules.or_else(|| Some(self.mean.power_watts? * self.seconds))
    }
}

/// Measures `device` by `plan` on a target that is never met and returns each sample in hashes a second.
///
/// # Errors
/// If the device fails. One that reports nothing for two minutes is given up.
pub fn measure(device: &mut dyn Device, plan: &MeasurePlan) -> Result<Vec<f64>, DeviceError> {
    Ok(measure_with(device, plan, None)?.iter().map(Measurement::rate).collect())
}

/// Measures `device` by `plan` on a target that is never met, and reads its sensor during each sample. What a sensor that panics
/// or hangs does not tell is missing from the samples.
///
/// # Errors
/// If the device fails. One that reports nothing for two minutes is given up.
pub fn measure_with(
    device: &mut dyn Device,
    plan: &MeasurePlan,
    sensor: Option<Arc<dyn Sensor>>,
) -> Result<Vec<Measurement>, DeviceError> {
    measure_within(report_timeout::LIMIT, device, plan, sensor)
}

/// [`measure_with`] that gives up a device that reports nothing for `limit`.
fn measure_within(
    limit: Duration,
    device: &mut dyn Device,
    plan: &MeasurePlan,
    sensor: Option<Arc<dyn Sensor>>,
) -> Result<Vec<Measurement>, DeviceError> {
    let pause = (plan.sample / 4).clamp(Duration::from_millis(10), Duration::from_millis(200));
    let feed = MeasureFeed {
        plan: *plan,
        log: sensor.map(|sensor| SensorLog::start(sensor, pause)),
        position: AtomicU64::new(0),
        timeout: ReportTimeout::new(limit),
        state: Mutex::new(MeasureState { begun: Instant::now(), from: None, hashes: 0, samples: Vec::new() }),
    };
    device.run(&feed)?;
    let mut samples = feed.state.into_inner().expect(NO_PANIC).samples;
    let energies = feed.log.map(SensorLog::finish).unwrap_or_default();
    for (sample, ends) in samples.iter_mut().zip(energies.windows(2)) {
        // A driver that was loaded again during the sample counts from zero.
        sample.counted_joules = ends[0].zip(ends[1]).map(|(from, to)| to - from).filter(|joules| *joules > 0.0);
    }
    Ok(samples)
}

/// The reason why the lock is never poisoned.
const NO_PANIC: &str = "nothing that holds the state panics";

/// A feed without end that times the reports.
struct MeasureFeed {
    plan: MeasurePlan,
    log: Option<SensorLog>,
    /// The first nonce that is not drawn, counted over all headers.
    position: AtomicU64,
    timeout: ReportTimeout,
    state: Mutex<MeasureState>,
}

struct MeasureState {
    /// When the measurement began.
    begun: Instant,
    /// The beginning of the present sample; `None` during the warm-up.
    from: Option<SampleEnd>,
    /// Hashes since `from`.
    hashes: u64,
    samples: Vec<Measurement>,
}

/// The clocks at the end of one sample, which is the beginning of the next.
#[derive(Clone, Copy)]
struct SampleEnd {
    at: Instant,
    cpu: Option<Duration>,
}

impl MeasureFeed {
    /// Ends a sample and begins the next. Also returns the means of the readings since the last such end.
    fn end_sample(&self, at: Instant) -> (SampleEnd, Reading) {
        let mean = self.log.as_ref().map(SensorLog::end_sample).unwrap_or_default();
        (SampleEnd { at, cpu: process_cpu_time() }, mean)
    }
}

/// CPU time of all threads of this process, user and system.
#[cfg(unix)]
fn process_cpu_time() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into().ok()
}

#[cfg(not(unix))]
fn process_cpu_time() -> Option<Duration> {
    None
}

impl Feed for MeasureFeed {
    fn draw(&self, nonces: u64) -> Draw {
        if self.state.lock().expect(NO_PANIC).samples.len() >= self.plan.samples {
            return Draw::Done;
        }
        let position = self.position.fetch_add(nonces, Ordering::Relaxed);
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&(position >> 32).to_le_bytes());
        // A range may wrap and repeat some nonces of the header, which does not matter to a measurement.
        Draw::Work(HeaderWork {
            template: TemplateId(0),
            scan: ScanJob::new(&header),
            range: NonceRange::new(position as u32, nonces),
            target: ScanTarget::from_le_bytes([0; 32]),
            extranonce: Extranonce::default(),
        })
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        true
    }

    fn has_given_up(&self) -> bool {
        self.timeout.has_passed()
    }

    fn report(&self, work: &HeaderWork, _candidates: &[u32]) {
        let now = Instant::now();
        self.timeout.restart();
        let mut state = self.state.lock().expect(NO_PANIC);
        // Samples begin and end with a report. Cut by the clock, each would gain or lose up to a batch.
        let Some(from) = state.from else {
            if now - state.begun >= self.plan.warm_up {
                state.from = Some(self.end_sample(now).0);
            }
            return;
        };
        state.hashes += work.range.count;
        let took = now.saturating_duration_since(from.at);
        if took >= self.plan.sample && !took.is_zero() {
            let (to, mean) = self.end_sample(now);
            let sample = Measurement {
                hashes: std::mem::take(&mut state.hashes),
                seconds: took.as_secs_f64(),
                cpu_seconds: from.cpu.zip(to.cpu).map(|(from, to)| to.saturating_sub(from).as_secs_f64()),
                // Known when the sensor has answered.
                counted_joules: None,
                mean,
            };
            state.samples.push(sample);
            state.from = Some(to);
        }
    }
}
