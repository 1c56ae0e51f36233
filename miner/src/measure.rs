//! Runs one device outside the engine: to measure its rate, or to search one header.
//!
//! Both are feeds, so the device runs the very loop that it mines with.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adit_hash::{HEADER_LEN, Header, NonceRange, ScanJob, ScanTarget};
use crossbeam::channel;

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{CheckedCandidate, Extranonce, HeaderWork};
use crate::telemetry::{Reading, Sensor};
use crate::work::TemplateId;

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasurePlan {
    /// Time before the first sample, for clocks to settle and batches to reach their size.
    pub warm_up: Duration,
    /// The number of samples.
    pub samples: usize,
    /// The least time that a sample takes. It ends with the batch in hand.
    pub sample: Duration,
}

/// What a device did in one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// The hashes made.
    pub hashes: u64,
    /// How long it took, in seconds; more than zero.
    pub seconds: f64,
    /// CPU time of this whole process meanwhile, in seconds, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// The device's energy meanwhile in joules, as the hardware counted it.
    pub counted_joules: Option<f64>,
    /// The mean of what the sensor said meanwhile, each value for itself.
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

/// Measures `device` by `plan` on a target that is never met, and looks at its sensor meanwhile.
///
/// # Errors
/// If the device fails.
pub fn measure_with(
    device: &mut dyn Device,
    plan: &MeasurePlan,
    sensor: Option<&dyn Sensor>,
) -> Result<Vec<Measurement>, DeviceError> {
    let gauge = Gauge {
        plan: *plan,
        sensor,
        position: AtomicU64::new(0),
        progress: Mutex::new(Progress {
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
            let gauge = &gauge;
            scope.spawn(move || gauge.watch(sensor, &stopped));
        }
        let outcome = device.run(&gauge);
        drop(stop);
        outcome
    })?;
    Ok(gauge.progress.into_inner().expect(NO_PANIC).samples)
}

/// How long a device may be silent: here no watchdog looks on, and nobody waits for one so slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why the locks here are never poisoned.
const NO_PANIC: &str = "nothing that holds the progress panics";

/// A feed without end whose reports are timed.
struct Gauge<'a> {
    plan: MeasurePlan,
    sensor: Option<&'a dyn Sensor>,
    /// The first nonce not drawn, counted on over headers.
    position: AtomicU64,
    progress: Mutex<Progress>,
}

struct Progress {
    /// When the measurement began.
    begun: Instant,
    /// When the last report came, or the measurement began.
    heard: Instant,
    /// Where the sample in hand began; `None` while warming up.
    from: Option<Mark>,
    /// Hashes since `from`.
    hashes: u64,
    /// Readings since `from`.
    sums: Sums,
    samples: Vec<Measurement>,
}

/// The counters at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Option<Duration>,
    joules: Option<f64>,
}

impl Gauge<'_> {
    /// Looks at the sensor some times a sample until `stopped` has no sender left.
    fn watch(&self, sensor: &dyn Sensor, stopped: &channel::Receiver<()>) {
        let pause = (self.plan.sample / 4).clamp(Duration::from_millis(10), Duration::from_millis(200));
        while stopped.recv_timeout(pause) == Err(channel::RecvTimeoutError::Timeout) {
            let reading = sensor.read();
            let mut progress = self.progress.lock().expect(NO_PANIC);
            if progress.from.is_some() {
                progress.sums.add(&reading);
            }
        }
    }

    fn mark(&self, at: Instant) -> Mark {
        Mark { at, cpu: process_cpu_time(), joules: self.sensor.and_then(Sensor::energy_joules) }
    }
}

/// Sums of readings, value by value: one that is missing now and then takes no other's place.
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

impl Feed for Gauge<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        if self.progress.lock().expect(NO_PANIC).samples.len() >= self.plan.samples {
            return Draw::Done;
        }
        let position = self.position.fetch_add(nonces, Ordering::Relaxed);
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&(position >> 32).to_le_bytes());
        // A range may wrap, and repeats some of the header's nonces then: nothing is looked for.
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
        self.progress.lock().expect(NO_PANIC).heard.elapsed() >= PATIENCE
    }

    fn report(&self, work: &HeaderWork, _candidates: &[u32]) {
        let now = Instant::now();
        let mut progress = self.progress.lock().expect(NO_PANIC);
        progress.heard = now;
        // Samples begin and end with a report: cut by the clock, each would win or lose up to a batch.
        let Some(from) = progress.from else {
            if now - progress.begun >= self.plan.warm_up {
                progress.from = Some(self.mark(now));
            }
            return;
        };
        progress.hashes += work.range.count;
        let took = now.saturating_duration_since(from.at);
        if took >= self.plan.sample && !took.is_zero() {
            let to = self.mark(now);
            let sample = Measurement {
                hashes: progress.hashes,
                seconds: took.as_secs_f64(),
                cpu_seconds: from.cpu.zip(to.cpu).map(|(from, to)| to.saturating_sub(from).as_secs_f64()),
                // A driver that was loaded anew in between counts from zero.
                counted_joules: from.joules.zip(to.joules).map(|(from, to)| to - from).filter(|joules| *joules > 0.0),
                mean: std::mem::take(&mut progress.sums).mean(),
            };
            progress.samples.push(sample);
            progress.from = Some(to);
            progress.hashes = 0;
        }
    }
}

/// What a search of one header came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Solved {
    /// The first hit in the order of the range, if there is any.
    pub nonce: Option<u32>,
    /// The nonces searched.
    pub hashes: u64,
    /// The nonces that the device reported although their hash is above the target.
    pub hardware_errors: u64,
}

/// Searches `range` of `header` for the first hash that meets `target`. `progress` is told the nonces searched so far, from
/// the device's threads, after every batch.
///
/// # Errors
/// If the device fails.
pub fn solve(
    device: &mut dyn Device,
    header: &Header,
    range: NonceRange,
    target: &ScanTarget,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Solved, DeviceError> {
    let whole = HeaderWork {
        template: TemplateId(0),
        scan: ScanJob::new(header),
        range,
        target: *target,
        extranonce: Extranonce::default(),
    };
    let search = Search {
        first: range.first,
        progress,
        state: Mutex::new(SearchState {
            rest: (range.count > 0).then_some(whole),
            solved: Solved::default(),
            heard: Instant::now(),
        }),
    };
    device.run(&search)?;
    Ok(search.state.into_inner().expect("nothing that holds the search panics").solved)
}

/// A feed that gives out one header's nonces until one is a hit.
struct Search<'a> {
    first: u32,
    progress: &'a (dyn Fn(u64) + Sync),
    state: Mutex<SearchState>,
}

struct SearchState {
    rest: Option<HeaderWork>,
    solved: Solved,
    /// When the last report came, or the search began.
    heard: Instant,
}

impl Feed for Search<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        let mut state = self.state.lock().expect("nothing that holds the search panics");
        // After a hit only what is in flight is finished: it may hold an earlier one, what was not drawn cannot.
        if state.solved.nonce.is_some() {
            return Draw::Done;
        }
        let Some(work) = state.rest.take() else { return Draw::Done };
        let (piece, rest) = work.split_at(nonces);
        state.rest = rest;
        Draw::Work(piece)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        true
    }

    fn has_given_up(&self) -> bool {
        self.state.lock().expect("nothing that holds the search panics").heard.elapsed() >= PATIENCE
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let hashes = {
            let mut state = self.state.lock().expect("nothing that holds the search panics");
            state.heard = Instant::now();
            let solved = &mut state.solved;
            solved.hashes += work.range.count;
            for &nonce in candidates {
                match work.check_candidate(nonce) {
                    CheckedCandidate::Solution(_) => {
                        let place = |nonce: u32| nonce.wrapping_sub(self.first);
                        if solved.nonce.is_none_or(|best| place(nonce) < place(best)) {
                            solved.nonce = Some(nonce);
                        }
                    }
                    CheckedCandidate::AboveTarget => {}
                    CheckedCandidate::HardwareError => solved.hardware_errors += 1,
                }
            }
            solved.hashes
        };
        (self.progress)(hashes);
    }
}

#[cfg(test)]
mod tests {
    use adit_hash::GENESIS;

    use super::*;
    use crate::cpu::CpuDevice;

    #[test]
    fn the_first_hit_of_the_range_is_found_and_nothing_where_there_is_none() {
        let mut cpu = CpuDevice::new(None, None).unwrap();
        let mut bytes = [0xff; 32];
        bytes[28..].fill(0);
        let target = ScanTarget::from_le_bytes(bytes);
        let mut search = |first, count| {
            let reported = AtomicU64::new(0);
            let progress = |hashes| {
                reported.fetch_max(hashes, Ordering::Relaxed);
            };
            let solved = solve(&mut cpu, &GENESIS, NonceRange::new(first, count), &target, &progress).unwrap();
            assert_eq!((reported.into_inner(), solved.hardware_errors), (solved.hashes, 0));
            solved
        };
        assert_eq!(search(2_083_200_000, 100_000).nonce, Some(2_083_236_893));
        assert_eq!(search(2_083_200_000, 36_893), Solved { nonce: None, hashes: 36_893, hardware_errors: 0 });
        assert_eq!(search(5, 0), Solved::default());
    }

    #[test]
    fn the_first_of_many_hits_is_returned() {
        let mut cpu = CpuDevice::new(std::num::NonZeroUsize::new(4), None).unwrap();
        let target = ScanTarget::from_le_bytes([[0xff; 30].as_slice(), &[0xff, 0x00]].concat().try_into().unwrap());
        let header = [0x77; HEADER_LEN];
        let whole = HeaderWork {
            template: TemplateId(0),
            scan: ScanJob::new(&header),
            range: NonceRange::new(u32::MAX - 5, 1 << 20),
            target,
            extranonce: Extranonce::default(),
        };
        let first = (0..1 << 20)
            .map(|i| whole.range.first.wrapping_add(i))
            .find(|&n| matches!(whole.check_candidate(n), CheckedCandidate::Solution(_)));
        for _ in 0..20 {
            assert_eq!(solve(&mut cpu, &header, whole.range, &target, &|_| {}).unwrap().nonce, first);
        }
    }

    #[test]
    fn a_measurement_gives_the_samples_asked_for() {
        let mut cpu = CpuDevice::new(None, None).unwrap();
        let plan = MeasurePlan { warm_up: Duration::from_millis(20), samples: 3, sample: Duration::from_millis(30) };
        let rates = measure(&mut cpu, &plan).unwrap();
        assert!(rates.len() >= 3 && rates.iter().all(|rate| *rate > 0.0), "{rates:?}");
    }

    /// A card whose counter goes on by 30 joules at each look, and that shows its fan only every other time.
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
        let plan = MeasurePlan { warm_up: Duration::ZERO, samples: 2, sample: Duration::from_millis(200) };
        let samples = measure_with(&mut cpu, &plan, Some(&Counting::default())).unwrap();
        assert_eq!(samples.len(), 2);
        for sample in &samples {
            assert_eq!(sample.counted_joules, Some(30.0));
            assert!(sample.seconds >= 0.2 && sample.hashes > 0, "{sample:?}");
            assert!(sample.cpu_seconds.is_none_or(|seconds| seconds > 0.0), "{sample:?}");
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
