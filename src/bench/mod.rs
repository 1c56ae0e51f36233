//! `adit bench`: hashrates of devices and kernels, beside a plain loop over the `sha2` crate in the same run.
//!
//! Other programs may run on the machine, so an absolute rate means little. The measurement is made in rounds: each round takes
//! one sample of the plain loop and of every device, and the ratio is the median of the rounds' ratios. The result is a
//! [`BenchReport`]; the table, the JSON, the comparison and the plot are made of it.

mod compare;
mod genesis;
mod machine;
mod plot;
mod read;
mod report;
mod rounds;
mod statistics;
mod table;

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;

use crate::cli::{BenchArgs, KnownHeader};
use crate::devices::{self, BenchDevices};
use crate::exit::{OrExit, Result};
use crate::replaced_file::ReplacedFile;
use crate::{output, tune};
use compare::Comparison;
use machine::{Build, Machine};
use report::{BenchReport, Row, SCHEMA, SCHEMA_VERSION, Settings};
use rounds::{FIRST_WARM_UP, Subject, Subjects, WARM_UP, ensure_none_failed};

/// What `--json` prints: the report, and with `--compare` what differs from the earlier one.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a BenchReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

pub fn run(args: &BenchArgs) -> Result {
    match args.solve {
        None if args.tune => tune::run(args),
        Some(KnownHeader::Genesis) => genesis::run(args),
        None => measure_and_report(args),
    }
}

fn measure_and_report(args: &BenchArgs) -> Result {
    // Before anything is read, because listing GPUs may start the program again, and a pipe can be read only once.
    let selected = devices::select_to_measure(&args.devices)?;
    // Files that cannot be used are refused before GPUs are opened, tuned and measured.
    let plot = args.plot.as_deref().map(ReplacedFile::check).transpose().context("--plot").or_usage()?;
    let earlier = args.compare.as_deref().map(|file| {
        let report = BenchReport::read(file).with_context(|| file.display().to_string());
        report.context("--compare").or_usage().map(|report| (file, report))
    });
    let earlier = earlier.transpose()?;
    let (report, failed) = measure_all(args, selected.open()?)?;
    let comparison = earlier.map(|(file, earlier)| compared(file, &earlier, &report)).transpose().or_running()?;
    if args.json {
        output::line(
            serde_json::to_string_pretty(&Printed { report: &report, comparison: comparison.as_ref() }).or_running()?,
        )?;
    } else {
        output::line(table::text(&report))?;
        if let Some(comparison) = &comparison {
            output::line(format_args!("\n{}", comparison.text()))?;
        }
    }
    if let Some(plot) = plot {
        plot.replace(plot::svg(&report).as_bytes()).context("--plot").or_running()?;
    }
    ensure_none_failed(&failed).or_running()
}

fn compared(file: &Path, earlier: &BenchReport, now: &BenchReport) -> anyhow::Result<Comparison> {
    Comparison::of(file, earlier, now).context("a row without a sample")
}

/// The report, and the labels of the rows that it lacks because they failed.
fn measure_all(
    args: &BenchArgs,
    BenchDevices { devices, gpus_listed, rows }: BenchDevices,
) -> Result<(BenchReport, Vec<String>)> {
    let began = now();
    let machine = Machine::this(&devices, gpus_listed);
    let baseline = devices::baseline(args.devices.threads)?;
    let mut subjects = Subjects {
        baseline: Subject::new(baseline.kernel, baseline.device),
        others: rows.into_iter().map(|row| Subject::new(row.kernel, row.device)).collect(),
        failed: Vec::new(),
    };
    subjects.measure(args.rounds, args.seconds).or_running()?;
    let (baseline, results) = rows_of(&subjects).or_running()?;
    let report = BenchReport {
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
            threads: baseline.threads.unwrap_or(1),
        },
        baseline,
        results,
    };
    Ok((report, subjects.failed))
}

/// The row of the baseline, and the rows of the others.
fn rows_of(Subjects { baseline, others, .. }: &Subjects) -> anyhow::Result<(Row, Vec<Row>)> {
    let row = |subject: &Subject| {
        Row::new(subject.device.info(), &subject.kernel, &subject.samples, &baseline.samples).context("no sample")
    };
    Ok((row(baseline)?, others.iter().map(row).collect::<anyhow::Result<_>>()?))
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
