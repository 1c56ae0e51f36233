//! The report of `adit bench --json`: its schema, how it is made of samples, and how an earlier one is read back.
//!
//! `docs/bench-schema.md` is its definition; a test holds the two together. The schema's version goes up when a field
//! changes its meaning or goes away; new fields may come without that, so that readers ignore those that they do not know.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use adit_miner::{DeviceInfo, DeviceKind};
use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use super::machine::{Build, Machine};
use super::statistics::{FEWEST_SAMPLES, Summary};

/// What `schema` holds.
pub const SCHEMA: &str = "adit-bench";

/// What `schema_version` holds.
pub const SCHEMA_VERSION: u32 = 1;

/// What the ruler is called in lines and bars.
pub const RULER: &str = "plain loop over sha2";

/// The most samples of a device, here and in files.
pub const MOST_SAMPLES: usize = 1000;

/// No report of ours is larger: a sample takes some 400 bytes.
const MOST_BYTES: u64 = 64 << 20;

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
    pub ruler: Row,
    pub results: Vec<Row>,
    /// With `--compare` only.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Of all samples of a device together, at least.
    pub seconds: f64,
    pub rounds: usize,
    pub first_warm_up_seconds: f64,
    pub warm_up_seconds: f64,
    /// CPU threads of the ruler and of each kernel.
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
    /// Of a CPU.
    pub threads: Option<usize>,
    pub hashes_per_second: Summary,
    pub ratio_to_ruler: Summary,
    /// CPU time of the whole process a second: 1 is one core.
    pub cpu_cores: Option<Summary>,
    pub watts: Option<Summary>,
    pub hashes_per_joule: Option<Summary>,
    /// One a round, in their order.
    pub samples: Vec<Sample>,
}

/// The sorts of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Cpu,
    Gpu,
    /// A GPU's interface on the CPU.
    SoftwareGpu,
}

/// One round of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub hashes: u64,
    pub seconds: f64,
    pub hashes_per_second: f64,
    pub ratio_to_ruler: f64,
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

/// Where a sample's energy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// The hardware counts it.
    Counter,
    /// The mean of several readings of power, times the seconds.
    Readings,
}

impl Sample {
    /// A sample beside the ruler's of the same round.
    pub fn new(sample: &adit_miner::Measurement, ruler: &adit_miner::Measurement) -> Self {
        let (joules, energy_source) = match (sample.counted_joules, sample.mean.power_watts) {
            (Some(joules), _) => (Some(joules), Some(EnergySource::Counter)),
            (None, Some(watts)) => (Some(watts * sample.seconds), Some(EnergySource::Readings)),
            (None, None) => (None, None),
        };
        Self {
            hashes: sample.hashes,
            seconds: sample.seconds,
            hashes_per_second: sample.rate(),
            ratio_to_ruler: sample.rate() / ruler.rate(),
            cpu_seconds: sample.cpu_seconds,
            joules,
            energy_source,
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
    /// The row of a device whose samples were taken in the rounds of `ruler`'s. `None` without a sample.
    pub fn new(
        info: &DeviceInfo,
        kernel: &str,
        samples: &[adit_miner::Measurement],
        ruler: &[adit_miner::Measurement],
    ) -> Option<Self> {
        let (kind, threads) = match &info.kind {
            DeviceKind::Cpu(cpu) => (Kind::Cpu, Some(cpu.threads)),
            DeviceKind::Gpu(gpu) if gpu.software => (Kind::SoftwareGpu, None),
            _ => (Kind::Gpu, None),
        };
        let samples: Vec<_> = samples.iter().zip(ruler).map(|(sample, ruler)| Sample::new(sample, ruler)).collect();
        Some(Self {
            device: info.id.to_string(),
            kind,
            name: info.name.clone(),
            kernel: kernel.to_owned(),
            threads,
            hashes_per_second: Summary::of_all(samples.iter().map(|sample| Some(sample.hashes_per_second)))?,
            ratio_to_ruler: Summary::of_all(samples.iter().map(|sample| Some(sample.ratio_to_ruler)))?,
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

    /// Every sample's ratio to the ruler.
    pub fn ratios(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.ratio_to_ruler).collect()
    }
}

/// Why a file is no report that can be compared with.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the file is empty; wanted the output of adit bench --json")]
    Empty,
    #[error("the file is larger than {MOST_BYTES} bytes, which no report of adit bench is")]
    TooLarge,
    #[error("no JSON: {0}")]
    NoJson(serde_json::Error),
    #[error("no report of adit bench: \"schema\" is {0}; wanted \"{SCHEMA}\"")]
    Foreign(String),
    #[error("a report of schema version {0}; this adit reads version {SCHEMA_VERSION}")]
    Version(String),
    #[error("a damaged report: {0}")]
    Fields(serde_json::Error),
    #[error(
        "a damaged report: {row} has {seen} samples in {rounds} rounds; wanted one a round, {FEWEST_SAMPLES} to {MOST_SAMPLES}"
    )]
    Samples { row: String, seen: usize, rounds: usize },
    #[error("a damaged report: {row} has a rate or a ratio of {seen}; wanted a number above 0")]
    Rate { row: String, seen: f64 },
}

impl BenchReport {
    /// Reads a report that `adit bench --json` wrote.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(ReadError::TooLarge);
        }
        Self::from_json(&bytes)
    }

    fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        if bytes.trim_ascii().is_empty() {
            return Err(ReadError::Empty);
        }
        // First as any JSON at all, so that a foreign file is called foreign and not damaged.
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(ReadError::NoJson)?;
        if value["schema"] != SCHEMA {
            return Err(ReadError::Foreign(value["schema"].to_string()));
        }
        if value["schema_version"] != SCHEMA_VERSION {
            return Err(ReadError::Version(value["schema_version"].to_string()));
        }
        let report: Self = serde_json::from_value(value).map_err(ReadError::Fields)?;
        report.check()?;
        Ok(report)
    }

    /// What a comparison relies on.
    fn check(&self) -> Result<(), ReadError> {
        let rounds = self.settings.rounds;
        for row in [&self.ruler].into_iter().chain(&self.results) {
            let seen = row.samples.len();
            if seen != rounds || !(FEWEST_SAMPLES..=MOST_SAMPLES).contains(&seen) {
                return Err(ReadError::Samples { row: row.label(), seen, rounds });
            }
            let is_wrong = |figure: &f64| !(figure.is_finite() && *figure > 0.0);
            if let Some(seen) = row.rates().into_iter().chain(row.ratios()).find(is_wrong) {
                return Err(ReadError::Rate { row: row.label(), seen });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::machine::Gpu;
    use super::*;

    /// A report with a ruler of 10 MH/s and rows of these ratios to it.
    pub fn report(rows: &[(Kind, &str, &[f64])]) -> BenchReport {
        let row = |kind: Kind, kernel: &str, ratios: &[f64]| {
            let sample = |ratio: &f64| Sample {
                hashes: (ratio * 1e7) as u64,
                seconds: 1.0,
                hashes_per_second: ratio * 1e7,
                ratio_to_ruler: *ratio,
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
                ratio_to_ruler: summary(|sample| sample.ratio_to_ruler).unwrap(),
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
            ruler: row(Kind::Cpu, "sha2", &vec![1.0; rounds]),
            results: rows.iter().map(|(kind, kernel, ratios)| row(*kind, kernel, ratios)).collect(),
            comparison: None,
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

    fn read_back(report: &serde_json::Value) -> Result<BenchReport, ReadError> {
        BenchReport::from_json(report.to_string().as_bytes())
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let mut report =
            report(&[(Kind::Cpu, "sha_ni", &[3.0, 3.25, 3.5, 3.25, 3.0]), (Kind::Gpu, "pruned", &[700.0; 5])]);
        report.machine.gpus = Some(vec![gpu("580.1")]);
        assert_eq!(read_back(&serde_json::to_value(&report).unwrap()).unwrap(), report);
        // A newer program may know more.
        let mut value = serde_json::to_value(&report).unwrap();
        value["weather"] = "rain".into();
        value["results"][0]["samples"][0]["colour"] = 3.into();
        assert_eq!(read_back(&value).unwrap(), report);
    }

    #[test]
    fn files_that_are_no_report_are_refused_each_with_its_reason() {
        let good = report(&[(Kind::Cpu, "sha_ni", &[3.0; 5])]);
        let good = serde_json::to_value(good).unwrap();
        let refused = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut report = good.clone();
            change(&mut report);
            read_back(&report).unwrap_err().to_string()
        };
        for (bytes, reason) in
            [(&b""[..], "empty"), (b" \n", "empty"), (b"\0\xff", "no JSON"), (b"{\"schema\":", "no JSON")]
        {
            let error = BenchReport::from_json(bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for foreign in ["{}", "[]", "3", "null", "{\"schema\":\"criterion\"}"] {
            let error = BenchReport::from_json(foreign.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("no report of adit bench"), "{error}");
        }
        assert!(refused(&|report| report["schema_version"] = 2.into()).contains("schema version 2"));
        assert!(refused(&|report| report["ruler"] = 2.into()).contains("damaged"));
        assert!(refused(&|report| report["results"][0]["kind"] = "fpga".into()).contains("fpga"));
        let without_samples = refused(&|report| report["results"][0]["samples"] = serde_json::json!([]));
        assert!(without_samples.contains("cpu sha_ni ×1 has 0 samples in 5 rounds"), "{without_samples}");
        let stopped = refused(&|report| report["ruler"]["samples"][3]["hashes_per_second"] = 0.into());
        assert!(stopped.contains("cpu sha2 ×1 has a rate or a ratio of 0"), "{stopped}");
    }

    #[test]
    fn energy_is_taken_from_the_counter_before_the_readings() {
        // Only the miner makes its samples, so that these come from a real measurement and are judged by their relations.
        let mut cpu = adit_miner::CpuDevice::new(std::num::NonZeroUsize::new(1), None).unwrap();
        let plan = adit_miner::MeasurePlan {
            warm_up: std::time::Duration::ZERO,
            samples: 1,
            sample: std::time::Duration::from_millis(20),
        };
        let mut measured = adit_miner::measure_with(&mut cpu, &plan, None).unwrap()[0];
        let sample = |measured| Sample::new(&measured, &measured);
        assert_eq!((sample(measured).joules, sample(measured).energy_source), (None, None));
        measured.mean.power_watts = Some(40.0);
        let by_readings = sample(measured);
        assert_eq!((by_readings.energy_source, by_readings.ratio_to_ruler), (Some(EnergySource::Readings), 1.0));
        assert!((by_readings.watts.unwrap() - 40.0).abs() < 1e-9);
        measured.counted_joules = Some(2.0);
        let by_counter = sample(measured);
        assert_eq!((by_counter.energy_source, by_counter.joules), (Some(EnergySource::Counter), Some(2.0)));
        assert_eq!(by_counter.hashes_per_joule, Some(measured.hashes as f64 / 2.0));
    }
}
