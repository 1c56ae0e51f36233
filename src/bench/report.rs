//! The report of `adit bench --json`: its schema, and how it is made of measurements.
//!
//! `docs/bench-schema.md` defines it, and a test compares the two. The schema's version goes up when a field
//! changes its meaning or goes away; new fields may come without that, so that readers ignore those that they do not know.

use adit_miner::{DeviceInfo, DeviceKind};
use serde::{Deserialize, Serialize};

use super::machine::{Build, Machine};
use super::statistics::Summary;

/// The value of `schema`.
pub const SCHEMA: &str = "adit-bench";

/// The value of `schema_version`.
///
/// Version 1 called the baseline a ruler: its fields `ruler` and `ratio_to_ruler` are read as `baseline` and
/// `ratio_to_baseline`, and the machine's `kernel` as `os_release`.
pub const SCHEMA_VERSION: u32 = 2;

/// The baseline's name in tables and plots.
pub const BASELINE: &str = "plain loop over sha2";

/// One run of `adit bench`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    pub schema: String,
    pub schema_version: u32,
    pub adit: Build,
    /// UTC, RFC 3339.
    pub began: String,
    pub ended: String,
    pub machine: Machine,
    pub settings: Settings,
    /// The plain loop over the `sha2` crate.
    #[serde(alias = "ruler")]
    pub baseline: Row,
    pub results: Vec<Row>,
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The least time of all samples of a device together.
    pub seconds: f64,
    pub rounds: usize,
    pub first_warm_up_seconds: f64,
    pub warm_up_seconds: f64,
    /// CPU threads of the baseline and of each kernel.
    pub threads: usize,
}

/// A device with one of its kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name on this command line: `cpu`, `gpu0`.
    pub device: String,
    pub kind: Kind,
    pub name: String,
    pub kernel: String,
    /// The threads of a CPU.
    pub threads: Option<usize>,
    pub hashes_per_second: Summary,
    #[serde(alias = "ratio_to_ruler")]
    pub ratio_to_baseline: Summary,
    /// CPU time of the whole process a second: 1 is one core.
    pub cpu_cores: Option<Summary>,
    pub watts: Option<Summary>,
    pub hashes_per_joule: Option<Summary>,
    /// One a round, in their order.
    pub samples: Vec<Sample>,
}

/// The kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Cpu,
    Gpu,
    /// A software adapter.
    SoftwareGpu,
}

/// One round of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub hashes: u64,
    pub seconds: f64,
    pub hashes_per_second: f64,
    #[serde(alias = "ratio_to_ruler")]
    pub ratio_to_baseline: f64,
    pub cpu_seconds: Option<f64>,
    pub joules: Option<f64>,
    pub energy_source: Option<EnergySource>,
    pub watts: Option<f64>,
    pub hashes_per_joule: Option<f64>,
    pub temperature_celsius: Option<f64>,
    pub fan_percent: Option<f64>,
    pub fan_rpm: Option<f64>,
    pub core_clock_mhz: Option<f64>,
    pub memory_clock_mhz: Option<f64>,
}

/// The source of a sample's energy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// A counter of the hardware.
    Counter,
    /// The mean of several readings of power, times the seconds.
    Readings,
}

impl Sample {
    /// A sample, with its ratio to the baseline's sample of the same round.
    pub fn new(sample: &adit_miner::Measurement, baseline: &adit_miner::Measurement) -> Self {
        let joules = sample.joules();
        let is_counted = sample.counted_joules.is_some();
        let source = if is_counted { EnergySource::Counter } else { EnergySource::Readings };
        Self {
            hashes: sample.hashes,
            seconds: sample.seconds,
            hashes_per_second: sample.rate(),
            ratio_to_baseline: sample.rate() / baseline.rate(),
            cpu_seconds: sample.cpu_seconds,
            joules,
            energy_source: joules.map(|_| source),
            watts: joules.map(|joules| joules / sample.seconds),
            hashes_per_joule: joules.filter(|joules| *joules > 0.0).map(|joules| sample.hashes as f64 / joules),
            temperature_celsius: sample.mean.temperature_celsius,
            fan_percent: sample.mean.fan_percent,
            fan_rpm: sample.mean.fan_rpm,
            core_clock_mhz: sample.mean.core_clock_mhz,
            memory_clock_mhz: sample.mean.memory_clock_mhz,
        }
    }
}

impl Row {
    /// The row of a device whose samples were taken in the rounds of `baseline`'s. `None` without a sample.
    pub fn new(
        info: &DeviceInfo,
        kernel: &str,
        samples: &[adit_miner::Measurement],
        baseline: &[adit_miner::Measurement],
    ) -> Option<Self> {
        let (kind, threads) = match &info.kind {
            DeviceKind::Cpu(cpu) => (Kind::Cpu, Some(cpu.threads)),
            DeviceKind::Gpu(gpu) if gpu.software => (Kind::SoftwareGpu, None),
            _ => (Kind::Gpu, None),
        };
        let samples: Vec<_> =
            samples.iter().zip(baseline).map(|(sample, baseline)| Sample::new(sample, baseline)).collect();
        Some(Self {
            device: info.id.to_string(),
            kind,
            name: info.name.clone(),
            kernel: kernel.to_owned(),
            threads,
            hashes_per_second: Summary::of_all(samples.iter().map(|sample| Some(sample.hashes_per_second)))?,
            ratio_to_baseline: Summary::of_all(samples.iter().map(|sample| Some(sample.ratio_to_baseline)))?,
            cpu_cores: Summary::of_all(samples.iter().map(|sample| Some(sample.cpu_seconds? / sample.seconds))),
            watts: Summary::of_all(samples.iter().map(|sample| sample.watts)),
            hashes_per_joule: Summary::of_all(samples.iter().map(|sample| sample.hashes_per_joule)),
            samples,
        })
    }

    /// What a row is called: the device, and its kernel.
    pub fn label(&self) -> String {
        match self.threads {
            Some(threads) => format!("{} {} ×{threads}", self.device, self.kernel),
            None => format!("{} {} {}", self.device, self.kernel, self.name),
        }
    }

    /// Every sample's hashes a second.
    pub fn rates(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.hashes_per_second).collect()
    }

    /// Every sample's ratio to the baseline.
    pub fn ratios(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.ratio_to_baseline).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::machine::Gpu;
    use super::super::statistics::FEWEST_SAMPLES;
    use super::*;

    /// A report with a baseline of 10 MH/s and rows of these ratios to it.
    pub fn report(rows: &[(Kind, &str, &[f64])]) -> BenchReport {
        let row = |kind: Kind, kernel: &str, ratios: &[f64]| {
            let sample = |ratio: &f64| Sample {
                hashes: (ratio * 1e7) as u64,
                seconds: 1.0,
                hashes_per_second: ratio * 1e7,
                ratio_to_baseline: *ratio,
                cpu_seconds: Some(1.0),
                joules: Some(50.0),
                energy_source: Some(EnergySource::Counter),
                watts: Some(50.0),
                hashes_per_joule: Some(ratio * 1e7 / 50.0),
                temperature_celsius: Some(61.5),
                fan_percent: None,
                fan_rpm: None,
                core_clock_mhz: Some(3600.0),
                memory_clock_mhz: None,
            };
            let samples: Vec<_> = ratios.iter().map(sample).collect();
            let summary = |of: fn(&Sample) -> f64| Summary::of_all(samples.iter().map(|sample| Some(of(sample))));
            Row {
                device: if kind == Kind::Cpu { "cpu" } else { "gpu0" }.to_owned(),
                kind,
                name: "a <device> & its \"name\"".to_owned(),
                kernel: kernel.to_owned(),
                threads: (kind == Kind::Cpu).then_some(1),
                hashes_per_second: summary(|sample| sample.hashes_per_second).unwrap(),
                ratio_to_baseline: summary(|sample| sample.ratio_to_baseline).unwrap(),
                cpu_cores: summary(|_| 1.0),
                watts: summary(|_| 50.0),
                hashes_per_joule: summary(|sample| sample.hashes_per_second / 50.0),
                samples,
            }
        };
        let rounds = rows.first().map_or(FEWEST_SAMPLES, |(_, _, ratios)| ratios.len());
        let mut machine = Machine::this(&[], false);
        machine.load_average = Some(0.25);
        BenchReport {
            schema: SCHEMA.to_owned(),
            schema_version: SCHEMA_VERSION,
            adit: Build::this(),
            began: "2026-01-02T03:04:05Z".to_owned(),
            ended: "2026-01-02T03:05:05Z".to_owned(),
            machine,
            settings: Settings { seconds: 5.0, rounds, first_warm_up_seconds: 0.7, warm_up_seconds: 0.1, threads: 1 },
            baseline: row(Kind::Cpu, "sha2", &vec![1.0; rounds]),
            results: rows.iter().map(|(kind, kernel, ratios)| row(*kind, kernel, ratios)).collect(),
        }
    }

    pub fn gpu(driver: &str) -> Gpu {
        Gpu {
            device: "gpu0".to_owned(),
            name: "card".to_owned(),
            vendor: "NVIDIA".to_owned(),
            driver: driver.to_owned(),
            interface: "vulkan".to_owned(),
            pci: None,
            software: false,
        }
    }

    #[test]
    fn energy_is_taken_from_the_counter_before_the_readings() {
        // Only the miner can make a measurement, so this is a real one, and its values are compared with each other.
        let mut cpu = adit_miner::CpuDevice::new(std::num::NonZeroUsize::new(1), None).unwrap();
        let plan = adit_miner::MeasurePlan::new(1, std::time::Duration::from_millis(20));
        let mut measured = adit_miner::measure_with(&mut cpu, &plan, None).unwrap()[0];
        let sample = |measured| Sample::new(&measured, &measured);
        assert_eq!((sample(measured).joules, sample(measured).energy_source), (None, None));
        measured.mean.power_watts = Some(40.0);
        let by_readings = sample(measured);
        assert_eq!((by_readings.energy_source, by_readings.ratio_to_baseline), (Some(EnergySource::Readings), 1.0));
        assert!((by_readings.watts.unwrap() - 40.0).abs() < 1e-9);
        measured.counted_joules = Some(2.0);
        let by_counter = sample(measured);
        assert_eq!((by_counter.energy_source, by_counter.joules), (Some(EnergySource::Counter), Some(2.0)));
        assert_eq!(by_counter.hashes_per_joule, Some(measured.hashes as f64 / 2.0));
    }
}
