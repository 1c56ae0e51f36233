//! `adit bench`: hashrates of devices and kernels, beside a plain loop over the `sha2` crate in the same run.
//!
//! The machine may be busy with other things, so an absolute rate proves little. Everything is measured in rounds: each
//! round takes one sample of the plain loop and of every device, and the ratio is the median over the rounds' ratios. What
//! is measured becomes a [`Report`]; the table, the JSON, the comparison and the plot are views of it.

mod compare;
mod genesis;
mod machine;
mod plot;
mod report;
mod statistics;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_miner::{Device, MeasurePlan, Sample, Sensor, measure_with, sensor_of};
use anyhow::{Context, anyhow};

use crate::atomic_file::{self, Destination};
use crate::cli::{BenchArgs, Puzzle};
use crate::devices::{self, ToMeasure};
use crate::exit::{OrExit, Result};
use crate::{output, progress, tune};
use compare::Comparison;
use machine::{Build, Machine};
use report::{Report, Row, SCHEMA, SCHEMA_VERSION, Settings};

/// Before the first round: clocks settle, a GPU's batches reach their size.
const FIRST_WARM_UP: Duration = Duration::from_millis(700);

/// Before each later sample.
const WARM_UP: Duration = Duration::from_millis(100);

pub fn run(args: &BenchArgs) -> Result {
    match args.solve {
        None if args.tune => tune::run(args),
        Some(Puzzle::Genesis) => genesis::run(args),
        None => measure_and_report(args),
    }
}

fn measure_and_report(args: &BenchArgs) -> Result {
    // First, since listing GPUs may start the program anew, and a pipe can be read only once.
    let to_measure = devices::to_measure(&args.devices)?;
    // What would make the measurement worthless is looked at before it.
    let plot = args.plot.as_deref().map(Destination::check).transpose().context("--plot").or_usage()?;
    let earlier = args.compare.as_deref().map(|file| {
        let report = Report::read(file).with_context(|| file.display().to_string());
        report.context("--compare").or_usage().map(|report| (file, report))
    });
    let earlier = earlier.transpose()?;
    let mut report = measure_all(args, to_measure)?;
    report.comparison = earlier.map(|(file, earlier)| compared(file, &earlier, &report)).transpose().or_running()?;
    if args.json {
        output::line(serde_json::to_string_pretty(&report).or_running()?)?;
    } else {
        output::line(table::text(&report))?;
        if let Some(comparison) = &report.comparison {
            output::line(format_args!("\n{}", comparison.text()))?;
        }
    }
    if let Some(plot) = &plot {
        atomic_file::write(plot, plot::svg(&report).as_bytes()).context("--plot").or_running()?;
    }
    Ok(())
}

fn compared(file: &Path, earlier: &Report, now: &Report) -> anyhow::Result<Comparison> {
    Comparison::of(file, earlier, now).context("a row without a sample")
}

/// A device with one of its kernels, and its samples so far.
struct Subject {
    kernel: String,
    device: Box<dyn Device>,
    sensor: Option<Arc<dyn Sensor>>,
    /// One a round.
    samples: Vec<Sample>,
}

impl Subject {
    fn new(kernel: String, device: Box<dyn Device>) -> Self {
        let sensor = sensor_of(device.info());
        Self { kernel, device, sensor, samples: Vec::new() }
    }

    fn measure(&mut self, plan: &MeasurePlan) -> anyhow::Result<()> {
        let samples = measure_with(&mut *self.device, plan, self.sensor.as_deref());
        let samples = samples.with_context(|| format!("{} {}", self.device.info().id, self.kernel))?;
        self.samples.push(*samples.first().ok_or_else(|| anyhow!("no sample"))?);
        Ok(())
    }
}

fn measure_all(args: &BenchArgs, ToMeasure { devices, gpus_listed, rows }: ToMeasure) -> Result<Report> {
    let began = now();
    let machine = Machine::this(&devices, gpus_listed);
    let ruler = devices::ruler(args.devices.threads)?;
    let mut subjects = vec![Subject::new(ruler.kernel, ruler.device)];
    subjects.extend(rows.into_iter().map(|row| Subject::new(row.kernel, row.device)));
    measure_rounds(args, &mut subjects)?;
    let (ruler, results) = rows_of(&subjects).or_running()?;
    Ok(Report {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION,
        adit: Build::this(),
        began,
        ended: now(),
        machine,
        settings: Settings {
            seconds: args.seconds,
            rounds: usize::from(args.rounds),
            first_warm_up_seconds: FIRST_WARM_UP.as_secs_f64(),
            warm_up_seconds: WARM_UP.as_secs_f64(),
            threads: ruler.threads.unwrap_or(1),
        },
        ruler,
        results,
        comparison: None,
    })
}

/// Takes one sample of every subject a round, in the same order.
fn measure_rounds(args: &BenchArgs, subjects: &mut [Subject]) -> Result {
    let progress = progress::steps(u64::from(args.rounds) * subjects.len() as u64);
    for round in 0..args.rounds {
        let plan = MeasurePlan {
            warm_up: if round == 0 { FIRST_WARM_UP } else { WARM_UP },
            samples: 1,
            sample: Duration::from_secs_f64(args.seconds / f64::from(args.rounds)),
        };
        for subject in &mut *subjects {
            progress.set_message(format!("{} {}", subject.device.info().id, subject.kernel));
            subject.measure(&plan).or_running()?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// The first subject, which is the ruler, and the others.
fn rows_of(subjects: &[Subject]) -> anyhow::Result<(Row, Vec<Row>)> {
    let ruler = subjects.first().context("no ruler")?;
    let row = |subject: &Subject| {
        Row::new(subject.device.info(), &subject.kernel, &subject.samples, &ruler.samples).context("no sample")
    };
    Ok((row(ruler)?, subjects[1..].iter().map(row).collect::<anyhow::Result<_>>()?))
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
