//! `adit bench`: hashrates of devices and kernels, beside a plain loop over the `sha2` crate in the same run.
//!
//! The machine may be busy with other things, so an absolute rate proves little. Everything is measured in rounds: each
//! round takes one sample of the plain loop and of every device, and the ratio is the median over the rounds' ratios.

use std::time::Duration;

use adit_hash::{Header, NonceRange, Target};
use adit_miner::{Device, DeviceKind, MeasurePlan, measure, solve};
use anyhow::{Context, anyhow};
use bitcoin::Network;
use bitcoin::blockdata::constants::genesis_block;
use bitcoin::consensus::serialize;
use serde_json::{Value, json};

use crate::cli::{BenchArgs, Puzzle};
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::rate::hashrate;
use crate::{devices, output, progress, tune};

/// Rounds, and so samples of each device.
const ROUNDS: usize = 5;

/// Before the first round: clocks settle, a GPU's batches reach their size.
const FIRST_WARM_UP: Duration = Duration::from_millis(700);

/// Before each later sample.
const WARM_UP: Duration = Duration::from_millis(100);

/// Where the search for mainnet's genesis begins, and what it must come back with.
const GENESIS_FROM: u32 = 2_083_000_000;
const GENESIS_NONCE: u32 = 2_083_236_893;

pub fn run(args: &BenchArgs) -> Result {
    match args.solve {
        None if args.tune => tune::run(args),
        Some(Puzzle::Genesis) => solve_genesis(args),
        None => measure_all(args),
    }
}

/// A device or kernel and its samples.
struct Row {
    device: Box<dyn Device>,
    /// Hashes a second, one a round.
    samples: Vec<f64>,
}

fn measure_all(args: &BenchArgs) -> Result {
    let mut ruler = Row { device: devices::ruler(args.devices.threads)?, samples: Vec::new() };
    let mut rows: Vec<Row> =
        devices::to_measure(&args.devices)?.into_iter().map(|device| Row { device, samples: Vec::new() }).collect();
    let progress = progress::steps((ROUNDS * (rows.len() + 1)) as u64);
    for round in 0..ROUNDS {
        let plan = MeasurePlan {
            warm_up: if round == 0 { FIRST_WARM_UP } else { WARM_UP },
            samples: 1,
            sample: Duration::from_secs_f64(args.seconds / ROUNDS as f64),
        };
        for row in std::iter::once(&mut ruler).chain(&mut rows) {
            let name = label(&*row.device);
            progress.set_message(name.clone());
            let samples = measure(&mut *row.device, &plan).with_context(|| name.clone()).or_running()?;
            let sample = samples.first().ok_or_else(|| anyhow!("{name} gave no sample")).or_running()?;
            row.samples.push(*sample);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    if args.json {
        output::line(as_json(&ruler, &rows))?;
    } else {
        output::line(table(&ruler, &rows))?;
    }
    Ok(())
}

/// What a row is called: the device, and the kernel where it has several.
fn label(device: &dyn Device) -> String {
    let info = device.info();
    match &info.kind {
        DeviceKind::Cpu(cpu) => format!("{} {} ×{}", info.id, cpu.backend, cpu.threads),
        _ => format!("{} {}", info.id, info.name),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// The median of the rounds' ratios to the plain loop.
fn ratio(row: &Row, ruler: &Row) -> f64 {
    median(&row.samples.iter().zip(&ruler.samples).map(|(rate, plain)| rate / plain).collect::<Vec<_>>())
}

fn table(ruler: &Row, rows: &[Row]) -> String {
    let width = rows.iter().chain([ruler]).map(|row| label(&*row.device).chars().count()).max().unwrap_or(0).max(20);
    let line = |name: &str, row: &Row| {
        let [median, least, most] = [median, least, most].map(|of| hashrate(of(&row.samples)));
        format!("{name:width$}  {median:>11}  {least:>11}  {most:>11}  {:>7.2}", ratio(row, ruler))
    };
    let mut lines = vec![format!("{:width$}  {:>11}  {:>11}  {:>11}  {:>7}", "", "median", "least", "most", "ratio")];
    lines.push(line("plain loop over sha2", ruler));
    lines.extend(rows.iter().map(|row| line(&label(&*row.device), row)));
    lines.push(format!("{ROUNDS} samples each; the plain loop ran on {} in the same rounds", threads(&*ruler.device)));
    lines.join("\n")
}

fn threads(device: &dyn Device) -> String {
    match &device.info().kind {
        DeviceKind::Cpu(cpu) => crate::rate::counted(cpu.threads as u64, "thread"),
        _ => device.info().name.clone(),
    }
}

fn as_json(ruler: &Row, rows: &[Row]) -> Value {
    json!({
        "adit": env!("CARGO_PKG_VERSION"),
        "ruler": row_as_json(ruler, ruler),
        "results": rows.iter().map(|row| row_as_json(row, ruler)).collect::<Vec<_>>(),
    })
}

fn row_as_json(row: &Row, ruler: &Row) -> Value {
    const MEGA: f64 = 1e6;
    let info = row.device.info();
    let mut object = json!({
        "device": info.id.to_string(),
        "name": info.name,
        "median_mhs": median(&row.samples) / MEGA,
        "min_mhs": least(&row.samples) / MEGA,
        "max_mhs": most(&row.samples) / MEGA,
        "ratio": ratio(row, ruler),
        "samples_mhs": row.samples.iter().map(|rate| rate / MEGA).collect::<Vec<_>>(),
    });
    if let DeviceKind::Cpu(cpu) = &info.kind {
        object["backend"] = cpu.backend.name().into();
        object["threads"] = cpu.threads.into();
    }
    object
}

/// Every device asked for searches mainnet's genesis header by itself.
fn solve_genesis(args: &BenchArgs) -> Result {
    let header = genesis_block(Network::Bitcoin).header;
    let target = Target::from_le_bytes(header.target().to_le_bytes());
    let bytes: Header = serialize(&header).try_into().expect("a header has 80 bytes");
    // What stands in the nonce's place does not matter to a search; a zero shows that the answer is not copied.
    let range = NonceRange::new(GENESIS_FROM, 1 << 32);
    for mut device in devices::open(&args.devices)? {
        let name = label(&*device);
        let progress = progress::steps(u64::from(GENESIS_NONCE - GENESIS_FROM));
        progress.set_message(name.clone());
        let begun = std::time::Instant::now();
        let solved = solve(&mut *device, &bytes, range, &target, &|searched| progress.set_position(searched));
        let solved = solved.with_context(|| name.clone()).or_running()?;
        progress.finish_and_clear();
        let took = begun.elapsed().as_secs_f64();
        let Some(nonce) = solved.nonce.filter(|nonce| *nonce == GENESIS_NONCE) else {
            let seen = solved.nonce.map_or_else(|| "none".to_owned(), |nonce| nonce.to_string());
            return Err(Exit::new(Failure::Invalid, anyhow!("{name}: found nonce {seen}; wanted {GENESIS_NONCE}")));
        };
        if args.json {
            let object = json!({
                "device": device.info().id.to_string(),
                "name": device.info().name,
                "nonce": nonce,
                "hash": header.block_hash().to_string(),
                "hashes": solved.hashes,
                "hardware_errors": solved.hardware_errors,
                "seconds": took,
            });
            output::line(object)?;
        } else {
            let (hash, hashes) = (header.block_hash(), solved.hashes);
            output::line(format_args!("{name}: nonce {nonce} gives {hash} ({hashes} hashes in {took:.2} s)"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!((least(&[2.0, 1.0]), most(&[1.0, 2.0])), (1.0, 2.0));
    }
}
