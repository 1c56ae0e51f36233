//! Measures the rate of one device without an engine.
//!
//! The measurement is a feed, so the device runs the same loop as when it mines.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};
use crossbeam::channel;

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{Extranonce, HeaderWork};
use crate::telemetry::{Reading, Sensor};
use crate::work::TemplateId;

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
}

/// Measures `device` by `plan` on a target that is never met and returns each sample in hashes a second.
///
/// # Errors
/// If the device fails.
pub fn measure(device: &mut dyn Device, plan: &MeasurePlan) -> Result<Vec<f64>, DeviceError> {
    Ok(measure_with(device, plan, None)?.iter().map(Measurement::rate).collect())
}

/// Measures `device` by `plan` on a target that is never met, and reads its sensor during each sample.
///
/// # Errors
/// If the device fails.
pub fn measure_with(
    device: &mut dyn Device,
    plan: &MeasurePlan,
    sensor: Option<&dyn Sensor>,
) -> Result<Vec<Measurement>, DeviceError> {
    let feed = MeasureFeed {
        plan: *plan,
        sensor,
        position: AtomicU64::new(0),
        state: Mutex::new(MeasureState {
            begun: Instant::now(),
            heard: Instant::now(),
            from: None,
            hashes: 0,
            sums: Sums::default(),
            samples: Vec::new(),
        }),
    };
    thread::scope(|scope| {
        let (stop, stopped) = channel::bounded::<()>(0);
        if let Some(sensor) = sensor {
            let feed = &feed;
            scope.spawn(move || feed.watch(sensor, &stopped));
        }
        let outcome = device.run(&feed);
        drop(stop);
        outcome
    })?;
    Ok(feed.state.into_inner().expect(NO_PANIC).samples)
}

/// The longest time between two reports, after which the device is given up. No watchdog looks on here.
const PATIENCE: Duration = Duration::from_secs(120);

/// The reason why the lock is never poisoned.
const NO_PANIC: &str = "nothing that holds the state panics";

/// A feed without end that times the reports.
struct MeasureFeed<'a> {
    plan: MeasurePlan,
    sensor: Option<&'a dyn Sensor>,
    /// The first nonce that is not drawn, counted over all headers.
    position: AtomicU64,
    state: Mutex<MeasureState>,
}

struct MeasureState {
    /// When the measurement began.
    begun: Instant,
    /// When the last report came, or when the measurement began.
    heard: Instant,
    /// The beginning of the present sample; `None` during the warm-up.
    from: Option<Mark>,
    /// Hashes since `from`.
    hashes: u64,
    /// Readings since `from`.
    sums: Sums,
    samples: Vec<Measurement>,
}

/// The counters at one time.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Option<Duration>,
    joules: Option<f64>,
}

impl MeasureFeed<'_> {
    /// Reads the sensor some times a sample, until `stopped` has no sender left.
    fn watch(&self, sensor: &dyn Sensor, stopped: &channel::Receiver<()>) {
        let pause = (self.plan.sample / 4).clamp(Duration::from_millis(10), Duration::from_millis(200));
        while stopped.recv_timeout(pause) == Err(channel::RecvTimeoutError::Timeout) {
            let reading = sensor.read();
            let mut state = self.state.lock().expect(NO_PANIC);
            if state.from.is_some() {
                state.sums.add(&reading);
            }
        }
    }

    fn mark(&self, at: Instant) -> Mark {
        Mark { at, cpu: process_cpu_time(), joules: self.sensor.and_then(Sensor::energy_joules) }
    }
}

/// Sums of readings, each value by itself, as any of them may be missing in a reading.
#[derive(Clone, Copy, Default)]
struct Sums {
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
    fn add(&mut self, reading: &Reading) {
        self.temperature_celsius.add(reading.temperature_celsius);
        self.power_watts.add(reading.power_watts);
        self.fan_percent.add(reading.fan_percent);
        self.fan_rpm.add(reading.fan_rpm);
        self.core_clock_mhz.add(reading.core_clock_mhz);
        self.memory_clock_mhz.add(reading.memory_clock_mhz);
    }

    fn mean(self) -> Reading {
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

/// CPU time of all threads of this process, user and system.
#[cfg(unix)]
fn process_cpu_time() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into().ok()
}

#[cfg(not(unix))]
fn process_cpu_time() -> Option<Duration> {
    None
}

impl Feed for MeasureFeed<'_> {
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
        self.state.lock().expect(NO_PANIC).heard.elapsed() >= PATIENCE
    }

    fn report(&self, work: &HeaderWork, _candidates: &[u32]) {
        let now = Instant::now();
        let mut state = self.state.lock().expect(NO_PANIC);
        state.heard = now;
        // Samples begin and end with a report. Cut by the clock, each would gain or lose up to a batch.
        let Some(from) = state.from else {
            if now - state.begun >= self.plan.warm_up {
                state.from = Some(self.mark(now));
            }
            return;
        };
        state.hashes += work.range.count;
        let took = now.saturating_duration_since(from.at);
        if took >= self.plan.sample && !took.is_zero() {
            let to = self.mark(now);
            let sample = Measurement {
                hashes: state.hashes,
                seconds: took.as_secs_f64(),
                cpu_seconds: from.cpu.zip(to.cpu).map(|(from, to)| to.saturating_sub(from).as_secs_f64()),
                // A driver that was loaded again during the sample counts from zero.
                counted_joules: from.joules.zip(to.joules).map(|(from, to)| to - from).filter(|joules| *joules > 0.0),
                mean: std::mem::take(&mut state.sums).mean(),
            };
            state.samples.push(sample);
            state.from = Some(to);
            state.hashes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuDevice;
    use crate::device_info::DeviceInfo;

    /// A device that reports 1,000 nonces every 10 ms or so, and counts its reports.
    struct Steady {
        info: DeviceInfo,
        reports: u64,
    }

    impl Device for Steady {
        fn info(&self) -> &DeviceInfo {
            &self.info
        }

        fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
            while let Draw::Work(work) = feed.draw(1_000) {
                thread::sleep(Duration::from_millis(10));
                feed.report(&work, &[]);
                self.reports += 1;
            }
            Ok(())
        }
    }

    #[test]
    fn samples_have_every_report_after_the_warm_up_once() {
        let info = CpuDevice::new(None, None).unwrap().info().clone();
        for warm_up in [0, 35] {
            let mut steady = Steady { info: info.clone(), reports: 0 };
            let plan = MeasurePlan::new(3, Duration::from_millis(30)).with_warm_up(Duration::from_millis(warm_up));
            let samples = measure_with(&mut steady, &plan, None).unwrap();
            assert_eq!(samples.len(), 3);
            for sample in &samples {
                assert!(sample.seconds >= 0.03 && sample.hashes.is_multiple_of(1_000), "{sample:?}");
                assert_eq!(sample.rate(), sample.hashes as f64 / sample.seconds);
            }
            // Of the reports, those of the warm-up are in no sample: one without a warm-up, at most four with 35 ms.
            let counted: u64 = samples.iter().map(|sample| sample.hashes).sum();
            let left_out = steady.reports - counted / 1_000;
            assert!(if warm_up == 0 { left_out == 1 } else { (2..=4).contains(&left_out) }, "{left_out}: {samples:?}");
        }
        let rates = measure(&mut Steady { info, reports: 0 }, &MeasurePlan::new(2, Duration::from_millis(20))).unwrap();
        // 1,000 nonces in 10 ms at most, and no slower than one in 10 s.
        assert!(rates.len() == 2 && rates.iter().all(|rate| (100.0..=100_000.0).contains(rate)), "{rates:?}");
    }

    /// A sensor whose energy counter rises by 30 joules at each reading, and that gives the fan every other time.
    #[derive(Default)]
    struct Counting {
        looks: AtomicU64,
        readings: AtomicU64,
    }

    impl Sensor for Counting {
        fn read(&self) -> Reading {
            let number = self.readings.fetch_add(1, Ordering::Relaxed);
            Reading {
                power_watts: Some(100.0),
                fan_percent: number.is_multiple_of(2).then_some(40.0),
                ..Reading::default()
            }
        }

        fn energy_joules(&self) -> Option<f64> {
            Some(30.0 * self.looks.fetch_add(1, Ordering::Relaxed) as f64)
        }
    }

    #[test]
    fn a_sample_has_the_energy_between_its_ends_and_the_mean_of_its_readings() {
        let mut cpu = CpuDevice::new(std::num::NonZeroUsize::new(1), None).unwrap();
        let plan = MeasurePlan::new(2, Duration::from_millis(200));
        let samples = measure_with(&mut cpu, &plan, Some(&Counting::default())).unwrap();
        assert_eq!(samples.len(), 2);
        for sample in &samples {
            assert_eq!(sample.counted_joules, Some(30.0));
            assert!(sample.seconds >= 0.2 && sample.hashes > 0, "{sample:?}");
            // The device's thread was busy all the time that the system gave it.
            assert_eq!(sample.cpu_seconds.is_some_and(|seconds| seconds > 0.0), cfg!(unix), "{sample:?}");
        }
        let blind = measure_with(&mut cpu, &plan, None).unwrap();
        assert!(blind.iter().all(|sample| sample.counted_joules.is_none() && sample.mean.is_empty()));
    }

    #[test]
    fn the_mean_of_readings_leaves_out_what_is_missing() {
        let mut sums = Sums::default();
        assert!(sums.mean().is_empty());
        let sensor = Counting::default();
        for _ in 0..4 {
            sums.add(&sensor.read());
        }
        sums.add(&Reading { power_watts: Some(150.0), ..Reading::default() });
        let wanted = Reading { power_watts: Some(110.0), fan_percent: Some(40.0), ..Reading::default() };
        assert_eq!(sums.mean(), wanted);
    }
}
