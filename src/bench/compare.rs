//! Compares a run of `adit bench` with an earlier one: what changed, and whether the change is more than noise.
//!
//! **The rule.** A row is faster or slower if the intervals of both runs (see [`interval`]: from the least to the most of five
//! samples) do not touch and their medians differ by more than [`LEAST_DIFFERENCE`]; otherwise the difference is within noise.
//! The ratios to the baseline are compared: other programs on the machine slow the baseline and the kernel alike, and the ratio
//! stays. The noise of a real GPU is not the CPU's, so its rates are compared.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::report::{BASELINE, BenchReport, Kind, Row};
use super::statistics::{interval, median};

/// The least relative difference of medians that counts, by convention. The addresses of code and data, which change from one
/// start to the next, make about as much of a difference, and no sample of a single run shows it (Mytkowicz et al., "Producing
/// wrong data without doing anything obviously wrong!", ASPLOS 2009).
pub const LEAST_DIFFERENCE: f64 = 0.01;

/// Fields that differ between any two runs.
const VOLATILE: [&str; 1] = ["machine.load_average"];

/// The difference between this run and an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The file's name, without its folder.
    pub file: String,
    /// When the earlier run began.
    pub began: String,
    /// The program that made it.
    pub adit: String,
    /// What else differs: each may be the reason for a difference of rates.
    pub differences: Vec<Difference>,
    /// The baseline's rates.
    pub baseline: RelativeChange,
    pub rows: Vec<Compared>,
    /// Rows of this run that the earlier one does not have.
    pub appeared: Vec<String>,
    /// Rows of the earlier run that this one does not have.
    pub disappeared: Vec<String>,
}

/// A field whose values differ, or that one of the reports lacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its path in the report.
    pub field: String,
    pub earlier: Value,
    pub now: Value,
}

/// One row in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub label: String,
    pub hashes_per_second: RelativeChange,
    pub ratio_to_baseline: RelativeChange,
    pub judged_by: Figure,
    pub significance: Significance,
}

/// This run's figure over the earlier run's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RelativeChange {
    /// Median over median.
    pub factor: f64,
    /// This run's lower end over the earlier run's upper end.
    pub low: f64,
    /// This run's upper end over the earlier run's lower end.
    pub high: f64,
}

/// The figure that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    RatioToBaseline,
    HashesPerSecond,
}

/// Whether a change is more than noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Significance {
    WithinNoise,
    Faster,
    Slower,
}

impl RelativeChange {
    /// The change from the samples `earlier` to the samples `now`; `None` if either is empty.
    fn of(earlier: &[f64], now: &[f64]) -> Option<Self> {
        let ((earlier_low, earlier_high), (now_low, now_high)) = (interval(earlier)?, interval(now)?);
        Some(Self {
            factor: median(now)? / median(earlier)?,
            low: now_low / earlier_high,
            high: now_high / earlier_low,
        })
    }

    fn significance(self) -> Significance {
        if self.low > 1.0 && self.factor > 1.0 + LEAST_DIFFERENCE {
            Significance::Faster
        } else if self.high < 1.0 && self.factor < 1.0 - LEAST_DIFFERENCE {
            Significance::Slower
        } else {
            Significance::WithinNoise
        }
    }
}

impl Significance {
    fn name(self) -> &'static str {
        match self {
            Significance::WithinNoise => "within noise",
            Significance::Faster => "faster",
            Significance::Slower => "slower",
        }
    }
}

impl Comparison {
    /// Compares `now` with `earlier`, which was read from `file`. `None` if a row of either has no sample.
    pub fn of(file: &Path, earlier: &BenchReport, now: &BenchReport) -> Option<Self> {
        let mut before: HashMap<_, _> = keyed(earlier).collect();
        let mut rows = Vec::new();
        let mut appeared = Vec::new();
        for (key, row) in keyed(now) {
            match before.remove(&key) {
                Some(old) => rows.push(Compared::of(old, row)?),
                None => appeared.push(row.label()),
            }
        }
        let gone = keyed(earlier).filter(|(key, _)| before.contains_key(key));
        Some(Self {
            file: file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
            began: earlier.began.clone(),
            adit: earlier.adit.line(),
            differences: differences(earlier, now),
            baseline: RelativeChange::of(&earlier.baseline.rates(), &now.baseline.rates())?,
            rows,
            appeared,
            disappeared: gone.map(|(_, row)| row.label()).collect(),
        })
    }

    /// The lines that `adit bench --compare` prints.
    pub fn text(&self) -> String {
        let names = self.rows.iter().map(|row| row.label.chars().count());
        let width = names.max().unwrap_or(0).max(BASELINE.len());
        let range = |change: &RelativeChange| format!("{:.3} ({:.3} to {:.3})", change.factor, change.low, change.high);
        let mut lines = vec![format!("against {}, {}, {}", self.file, self.began, self.adit)];
        for Difference { field, earlier, now } in &self.differences {
            lines.push(format!("  differs: {field} was {earlier}, is {now}"));
        }
        lines
            .push(format!("{:width$}  {:>24}  {:>24}  significance", "now over then", "rate", "ratio to the baseline"));
        lines.push(format!("{BASELINE:width$}  {:>24}", range(&self.baseline)));
        for row in &self.rows {
            let [rate, ratio] = [range(&row.hashes_per_second), range(&row.ratio_to_baseline)];
            let by = if row.judged_by == Figure::HashesPerSecond { " by rate" } else { "" };
            lines.push(format!("{:width$}  {rate:>24}  {ratio:>24}  {}{by}", row.label, row.significance.name()));
        }
        lines.extend(self.appeared.iter().map(|label| format!("{label}: not in the earlier run")));
        lines.extend(self.disappeared.iter().map(|label| format!("{label}: only in the earlier run")));
        let percent = LEAST_DIFFERENCE * 100.0;
        lines.push(format!("within noise: the samples' intervals touch, or the medians differ by {percent} % at most"));
        lines.join("\n")
    }
}

impl Compared {
    fn of(earlier: &Row, now: &Row) -> Option<Self> {
        let hashes_per_second = RelativeChange::of(&earlier.rates(), &now.rates())?;
        let ratio_to_baseline = RelativeChange::of(&earlier.ratios(), &now.ratios())?;
        let (judged_by, change) = match now.kind {
            Kind::Gpu => (Figure::HashesPerSecond, hashes_per_second),
            Kind::Cpu | Kind::SoftwareGpu => (Figure::RatioToBaseline, ratio_to_baseline),
        };
        Some(Self {
            label: now.label(),
            hashes_per_second,
            ratio_to_baseline,
            judged_by,
            significance: change.significance(),
        })
    }
}

/// Rows of two runs are the same if they agree in this: the kind, the kernel, and for GPUs the name and the place among GPUs of
/// that name. Ids such as `gpu0` change when a card is added.
type RowKey<'a> = (Kind, &'a str, &'a str, usize);

fn keyed(report: &BenchReport) -> impl Iterator<Item = (RowKey<'_>, &Row)> {
    let mut same = HashMap::new();
    report.results.iter().map(move |row| {
        let name = if row.kind == Kind::Cpu { "" } else { row.name.as_str() };
        let place: &mut usize = same.entry((row.kind, row.kernel.as_str(), name)).or_default();
        *place += 1;
        ((row.kind, row.kernel.as_str(), name, *place), row)
    })
}

/// The differences of machine, program and settings.
fn differences(earlier: &BenchReport, now: &BenchReport) -> Vec<Difference> {
    let part = |report: &BenchReport| serde_json::json!({ "adit": report.adit, "machine": report.machine, "settings": report.settings });
    let mut found = Vec::new();
    differ("", &part(earlier), &part(now), &mut found);
    found.retain(|difference| !VOLATILE.contains(&difference.field.as_str()));
    if earlier.machine.gpus.is_none() || now.machine.gpus.is_none() {
        found.retain(|difference| !difference.field.starts_with("machine.gpus"));
    }
    found
}

fn differ(path: &str, earlier: &Value, now: &Value, found: &mut Vec<Difference>) {
    match (earlier, now) {
        (Value::Object(one), Value::Object(other)) => {
            let mut fields: Vec<_> = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))).collect();
            fields.sort();
            for field in fields {
                let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                differ(&path, &earlier[field], &now[field], found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.iter().chain(other).any(Value::is_object) => {
            for i in 0..one.len().max(other.len()) {
                differ(
                    &format!("{path}[{i}]"),
                    one.get(i).unwrap_or(&Value::Null),
                    other.get(i).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        _ if earlier == now => {}
        _ => found.push(Difference { field: path.to_owned(), earlier: earlier.clone(), now: now.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    fn compared(earlier: &BenchReport, now: &BenchReport) -> Comparison {
        Comparison::of(Path::new("some/earlier.json"), earlier, now).unwrap()
    }

    fn significance(earlier: &[f64], now: &[f64]) -> Significance {
        let of = |ratios: &[f64]| report(&[(Kind::Cpu, "sha_ni", ratios)]);
        compared(&of(earlier), &of(now)).rows[0].significance
    }

    #[test]
    fn a_run_is_within_its_own_noise() {
        let report = report(&[(Kind::Cpu, "sha_ni", &[3.0, 3.1, 3.2, 3.1, 3.0]), (Kind::Gpu, "pruned", &[700.0; 5])]);
        let same = compared(&report, &report);
        assert!(
            same.rows
                .iter()
                .all(|row| row.significance == Significance::WithinNoise && row.ratio_to_baseline.factor == 1.0)
        );
        assert!(same.differences.is_empty() && same.appeared.is_empty() && same.disappeared.is_empty());
        assert_eq!((same.file.as_str(), same.baseline.factor), ("earlier.json", 1.0));
    }

    #[test]
    fn intervals_that_touch_are_noise_and_those_apart_are_not() {
        let earlier = [3.00, 3.10, 3.20, 3.12, 3.05];
        assert_eq!(significance(&earlier, &[3.19, 3.30, 3.40, 3.35, 3.38]), Significance::WithinNoise);
        assert_eq!(significance(&earlier, &[3.20, 3.30, 3.40, 3.35, 3.38]), Significance::WithinNoise);
        assert_eq!(significance(&earlier, &[3.21, 3.30, 3.40, 3.35, 3.38]), Significance::Faster);
        assert_eq!(significance(&[3.21, 3.30, 3.40, 3.35, 3.38], &earlier), Significance::Slower);
        // One slow sample widens the interval: with five samples it may be the true rate.
        assert_eq!(significance(&earlier, &[1.00, 3.30, 3.40, 3.35, 3.38]), Significance::WithinNoise);
    }

    #[test]
    fn a_difference_too_small_to_mean_anything_is_noise_however_steady() {
        assert_eq!(significance(&[3.000; 5], &[3.029; 5]), Significance::WithinNoise);
        assert_eq!(significance(&[3.000; 5], &[3.031; 5]), Significance::Faster);
        assert_eq!(significance(&[3.000; 5], &[2.969; 5]), Significance::Slower);
        assert_eq!(significance(&[3.000; 5], &[2.971; 5]), Significance::WithinNoise);
    }

    #[test]
    fn a_busy_machine_does_not_change_the_outcome_of_a_cpu_and_a_gpu_is_judged_by_its_rate() {
        let earlier = report(&[(Kind::Cpu, "avx2", &[1.5; 5]), (Kind::Gpu, "pruned", &[700.0; 5])]);
        let mut now = earlier.clone();
        // The CPU gives half its time to other programs; the GPU goes on as before.
        for sample in &mut now.baseline.samples {
            sample.hashes_per_second /= 2.0;
        }
        for sample in &mut now.results[0].samples {
            sample.hashes_per_second /= 2.0;
        }
        for sample in &mut now.results[1].samples {
            sample.ratio_to_baseline *= 2.0;
        }
        let comparison = compared(&earlier, &now);
        let figures = comparison.rows.iter().map(|row| (row.judged_by, row.significance)).collect::<Vec<_>>();
        let wanted = [
            (Figure::RatioToBaseline, Significance::WithinNoise),
            (Figure::HashesPerSecond, Significance::WithinNoise),
        ];
        assert_eq!(figures, wanted);
        assert_eq!((comparison.baseline.factor, comparison.rows[0].hashes_per_second.factor), (0.5, 0.5));
    }

    #[test]
    fn rows_are_matched_by_what_they_are() {
        let earlier = report(&[
            (Kind::Cpu, "sha_ni", &[3.0; 5]),
            (Kind::Cpu, "avx512", &[3.0; 5]),
            (Kind::Gpu, "pruned", &[100.0; 5]),
            (Kind::Gpu, "pruned", &[200.0; 5]),
        ]);
        let mut now = report(&[
            (Kind::Cpu, "avx512", &[3.0; 5]),
            (Kind::Gpu, "reference", &[90.0; 5]),
            (Kind::Gpu, "pruned", &[100.0; 5]),
            (Kind::Gpu, "pruned", &[200.0; 5]),
        ]);
        now.results[2].device = "gpu7".to_owned();
        let comparison = compared(&earlier, &now);
        let factors: Vec<_> = comparison.rows.iter().map(|row| row.ratio_to_baseline.factor).collect();
        assert_eq!(factors, [1.0; 3]);
        assert_eq!(comparison.appeared, [now.results[1].label()]);
        assert_eq!(comparison.disappeared, [earlier.results[0].label()]);
        let text = comparison.text();
        for words in ["not in the earlier run", "only in the earlier run", "within noise"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn another_machine_program_or_setting_is_named() {
        let earlier = report(&[(Kind::Cpu, "sha_ni", &[3.0; 5])]);
        let mut now = earlier.clone();
        now.machine.cpu.model = "another".to_owned();
        now.machine.load_average = Some(99.0);
        now.machine.cpu.instruction_sets.push("sha".to_owned());
        now.adit.commit = "1234".to_owned();
        now.settings.threads += 1;
        let fields = |comparison: &Comparison| -> Vec<String> {
            comparison.differences.iter().map(|difference| difference.field.clone()).collect()
        };
        let wanted = ["adit.commit", "machine.cpu.instruction_sets", "machine.cpu.model", "settings.threads"];
        assert_eq!(fields(&compared(&earlier, &now)), wanted);
        assert!(compared(&earlier, &now).text().contains("settings.threads was 1, is 2"));
        // A list of GPUs that was not asked for is no difference.
        now = earlier.clone();
        now.machine.gpus = Some(Vec::new());
        assert!(fields(&compared(&earlier, &now)).is_empty());
        let mut with_gpu = now.clone();
        with_gpu.machine.gpus = Some(vec![super::super::report::tests::gpu("580.1")]);
        assert_eq!(fields(&compared(&now, &with_gpu)), ["machine.gpus[0]"]);
        now.machine.gpus = Some(vec![super::super::report::tests::gpu("570.9")]);
        assert_eq!(fields(&compared(&now, &with_gpu)), ["machine.gpus[0].driver"]);
    }
}
