//! Reads a report that an earlier `adit bench --json` wrote, for `--compare`.
//!
//! Versions 1 and 2 of the schema are read. Any other file is refused with the reason before anything is measured, and so is a
//! report that lacks what a comparison needs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::report::{BenchReport, SCHEMA, SCHEMA_VERSION};
use super::statistics::FEWEST_SAMPLES;

/// The oldest schema version that is read.
const OLDEST_VERSION: u64 = 1;

/// The most samples of a row in a file.
const MOST_SAMPLES: usize = 1000;

/// The size limit of a report's file in bytes. A sample takes some 400 bytes.
const MOST_BYTES: u64 = 64 << 20;

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
    #[error("a report of schema version {0}; this adit reads versions {OLDEST_VERSION} to {SCHEMA_VERSION}")]
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
        let is_read = |version| (OLDEST_VERSION..=SCHEMA_VERSION.into()).contains(&version);
        if !value["schema_version"].as_u64().is_some_and(is_read) {
            return Err(ReadError::Version(value["schema_version"].to_string()));
        }
        let report: Self = serde_json::from_value(value).map_err(ReadError::Fields)?;
        report.check()?;
        Ok(report)
    }

    /// What a comparison relies on.
    fn check(&self) -> Result<(), ReadError> {
        let rounds = self.settings.rounds;
        for row in [&self.baseline].into_iter().chain(&self.results) {
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
mod tests {
    use super::super::report::tests::{gpu, report};
    use super::super::report::{Kind, Row};
    use super::*;

    /// A report as `adit bench --json` of schema version 1 wrote it.
    const VERSION_1: &str = include_str!("../../tests/data/bench-report-v1.json");

    #[test]
    fn a_report_of_version_1_is_read_with_its_ruler_as_baseline() {
        let report = BenchReport::from_json(VERSION_1.as_bytes()).unwrap();
        let of = |row: &Row| (row.kernel.clone(), row.ratio_to_baseline.median, row.ratios()[0]);
        assert_eq!(of(&report.baseline), ("sha2".to_owned(), 1.0, 1.0));
        assert_eq!(of(&report.results[0]), ("sha_ni".to_owned(), 2.745729011201486, 3.178663827926404));
        assert!(report.machine.os_release.is_some(), "its kernel");
        let of_version_0 = VERSION_1.replace("\"schema_version\": 1", "\"schema_version\": 0");
        assert!(matches!(BenchReport::from_json(of_version_0.as_bytes()), Err(ReadError::Version(_))));
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
        assert!(refused(&|report| report["schema_version"] = 3.into()).contains("schema version 3"));
        assert!(refused(&|report| report["baseline"] = 2.into()).contains("damaged"));
        assert!(refused(&|report| report["results"][0]["kind"] = "fpga".into()).contains("fpga"));
        let without_samples = refused(&|report| report["results"][0]["samples"] = serde_json::json!([]));
        assert!(without_samples.contains("cpu sha_ni ×1 has 0 samples in 5 rounds"), "{without_samples}");
        let stopped = refused(&|report| report["baseline"]["samples"][3]["hashes_per_second"] = 0.into());
        assert!(stopped.contains("cpu sha2 ×1 has a rate or a ratio of 0"), "{stopped}");
    }
}
