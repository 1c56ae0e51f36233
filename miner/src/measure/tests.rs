//! Measurements of devices of known speed, with sensors that answer, panic and hang.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::sensor_log::Sums;
use super::*;
use crate::cpu::CpuDevice;
use crate::device_info::DeviceInfo;
use crate::report_timeout::tests::HangingDevice;

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
        let begun = Instant::now();
        let samples = measure_with(&mut steady, &plan, None).unwrap();
        let whole = begun.elapsed().as_secs_f64();
        assert_eq!(samples.len(), 3);
        for sample in &samples {
            assert!(sample.seconds >= 0.03 && sample.hashes.is_multiple_of(1_000), "{sample:?}");
            assert_eq!(sample.rate(), sample.hashes as f64 / sample.seconds);
        }
        // Of the reports, those of the warm-up are in no sample: one without a warm-up, one to four with 35 ms.
        let counted: u64 = samples.iter().map(|sample| sample.hashes).sum();
        let left_out = steady.reports - counted / 1_000;
        assert!(if warm_up == 0 { left_out == 1 } else { (1..=4).contains(&left_out) }, "{left_out}: {samples:?}");
        let sampled: f64 = samples.iter().map(|sample| sample.seconds).sum();
        let before = whole - sampled;
        assert!(before >= warm_up as f64 / 1e3, "the samples begin after {before} s");
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
    // A quarter of a sample is the time for an answer of the counter.
    let plan = MeasurePlan::new(2, Duration::from_millis(800));
    let samples = measure_with(&mut cpu, &plan, Some(Arc::new(Counting::default()))).unwrap();
    assert_eq!(samples.len(), 2);
    for sample in &samples {
        assert_eq!(sample.counted_joules, Some(30.0));
        assert!(sample.seconds >= 0.8 && sample.hashes > 0, "{sample:?}");
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

/// A sensor whose energy counter takes 100 ms to answer, and counts nothing but the calls.
struct SlowCounter(AtomicU64);

impl Sensor for SlowCounter {
    fn read(&self) -> Reading {
        Reading::default()
    }

    fn energy_joules(&self) -> Option<f64> {
        thread::sleep(Duration::from_millis(100));
        Some(self.0.fetch_add(1, Ordering::Relaxed) as f64)
    }
}

#[test]
fn an_energy_that_comes_too_late_belongs_to_no_sample() {
    let log = SensorLog::start(Arc::new(SlowCounter(AtomicU64::new(0))), Duration::from_millis(20));
    for _ in 0..3 {
        log.end_sample();
        thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(log.finish(), [None, None, None]);
}

#[test]
fn a_device_that_hangs_is_given_up() {
    let (limit, plan) = (Duration::from_millis(50), MeasurePlan::new(3, Duration::from_millis(5)));
    let outcome = measure_within(limit, &mut HangingDevice::new(2), &plan, None);
    assert!(matches!(outcome, Err(DeviceError::Hung { .. })), "{outcome:?}");
}

/// A sensor whose driver panics in every call.
struct PanickingSensor(AtomicBool);

impl Sensor for PanickingSensor {
    fn read(&self) -> Reading {
        panic!("a bug in a driver")
    }

    fn energy_joules(&self) -> Option<f64> {
        self.0.store(true, Ordering::Relaxed);
        panic!("another bug in a driver")
    }
}

#[test]
fn a_sensor_that_panics_leaves_the_rates() {
    let mut cpu = CpuDevice::new(std::num::NonZeroUsize::new(1), None).unwrap();
    let sensor = Arc::new(PanickingSensor(AtomicBool::new(false)));
    let samples =
        measure_with(&mut cpu, &MeasurePlan::new(2, Duration::from_millis(60)), Some(sensor.clone())).unwrap();
    assert!(sensor.0.load(Ordering::Relaxed), "it was asked");
    assert_eq!(samples.len(), 2);
    assert!(samples.iter().all(|sample| sample.hashes > 0 && sample.joules().is_none() && sample.mean.is_empty()));
}

/// A sensor whose driver returns from no call until the sender of its channel is gone.
struct HangingSensor {
    calls: Sender<()>,
    release: Mutex<Receiver<()>>,
}

impl HangingSensor {
    fn hang(&self) {
        let _ = self.calls.send(());
        let _ = self.release.lock().unwrap().recv();
    }
}

impl Sensor for HangingSensor {
    fn read(&self) -> Reading {
        self.hang();
        Reading { power_watts: Some(100.0), ..Reading::default() }
    }

    fn energy_joules(&self) -> Option<f64> {
        self.hang();
        Some(1.0)
    }
}

#[test]
fn a_sensor_that_hangs_holds_nothing_up() {
    let mut cpu = CpuDevice::new(std::num::NonZeroUsize::new(1), None).unwrap();
    let ((calls, called), (free, release)) = (channel(), channel());
    let sensor = Arc::new(HangingSensor { calls, release: Mutex::new(release) });
    let samples = measure_with(&mut cpu, &MeasurePlan::new(3, Duration::from_millis(60)), Some(sensor)).unwrap();
    assert!(called.try_recv().is_ok(), "it was asked");
    assert_eq!(samples.len(), 3);
    for sample in &samples {
        assert!(sample.hashes > 0 && sample.joules().is_none() && sample.mean.is_empty(), "{sample:?}");
        // The device's thread did not wait for the sensor.
        assert!(sample.seconds < 30.0, "{sample:?}");
    }
    drop(free);
}
