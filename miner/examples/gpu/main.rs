//! Both GPU kernels in one run, and on an NVIDIA machine a CUDA rival too, as one JSON object. `benches/gpu` starts it.
//!
//! The kernels take turns in many short samples, because a machine that is busy with other things slows both alike: the ratio
//! of neighbours says more than either rate. Fields whose value is unknown are null.
//!
//! ```text
//! cargo run --release -p adit-miner --example gpu -- [--device gpuN] [--seconds S] [--lanes N] [--clock-mhz F]
//!     [--rival FILE.cu] [--cache FILE]
//! ```

#![forbid(unsafe_code)]

mod host;
mod nvidia;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use adit_miner::{
    CpuSettings, Device, DeviceId, DeviceInfo, DeviceKind, Devices, GpuDevice, GpuKernel, MeasurePlan, Measurement,
    Operations, Selection, Sensor, TuningCache, measure_with, sensor_of, test_known_answers,
};
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error>;

/// What the command line says.
struct Args {
    device: Option<DeviceId>,
    /// For both kernels together.
    seconds: f64,
    /// How many 32-bit integer operations the device begins in a cycle.
    lanes: Option<f64>,
    clock_mhz: Option<f64>,
    rival: PathBuf,
    /// Where tuned settings are kept.
    cache: Option<PathBuf>,
}

/// One sample of each kernel, a warm-up before it.
const SAMPLE: Duration = Duration::from_millis(250);
const WARM_UP: Duration = Duration::from_millis(60);

fn main() -> ExitCode {
    match args().and_then(|args| run(&args)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args, Error> {
    let rival = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/rivals/sha256d_scan.cu").into();
    let mut args = Args { device: None, seconds: 10.0, lanes: None, clock_mhz: None, rival, cache: None };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--device" => args.device = Some(value.parse()?),
            "--seconds" => args.seconds = value.parse()?,
            "--lanes" => args.lanes = Some(value.parse()?),
            "--clock-mhz" => args.clock_mhz = Some(value.parse()?),
            "--rival" => args.rival = value.into(),
            "--cache" => args.cache = Some(value.into()),
            _ => {
                return Err(format!(
                    "{flag} is no flag; there are --device, --seconds, --lanes, --clock-mhz, --rival and --cache"
                )
                .into());
            }
        }
    }
    Ok(args)
}

/// A kernel on the device, and its samples.
struct KernelRun {
    gpu: GpuDevice,
    samples: Vec<Measurement>,
    /// The share of a core that the feeding thread had in each.
    host: Vec<f64>,
}

fn run(args: &Args) -> Result<Value, Error> {
    let cache = args.cache.clone().map(TuningCache::at);
    let mut devices = Devices::list(CpuSettings::default(), &Selection::All)?;
    if let Some(cache) = cache.clone() {
        devices = devices.with_tuning_cache(cache);
    }
    let gpu = |info: &&DeviceInfo| {
        matches!(info.kind, DeviceKind::Gpu(_)) && args.device.is_none_or(|wanted| wanted == info.id)
    };
    let info = devices.infos().iter().find(gpu).ok_or("there is no such gpu")?.clone();
    let DeviceKind::Gpu(about) = &info.kind else { return Err(format!("{} is no gpu", info.id).into()) };

    let tuning =
        cache.and_then(|cache| cache.get(&info)).map_or_else(|| devices.tune(info.id).map(|tuned| tuned.tuning), Ok)?;
    let open = |kernel| -> Result<KernelRun, Error> {
        let mut gpu = devices.open_gpu(info.id, tuning.settings().with_kernel(kernel))?;
        test_known_answers(&mut gpu, &AtomicBool::new(false)).map_err(|error| format!("{}: {error}", kernel.name()))?;
        Ok(KernelRun { gpu, samples: Vec::new(), host: Vec::new() })
    };
    let [mut pruned, mut reference] = [open(GpuKernel::Pruned)?, open(GpuKernel::Reference)?];
    let sensor = sensor_of(&info);
    let begun = Instant::now();
    while pruned.samples.len() < 3 || begun.elapsed().as_secs_f64() < args.seconds {
        pruned.sample(sensor.as_ref())?;
        reference.sample(sensor.as_ref())?;
    }

    let rival = if about.vendor_id == nvidia::VENDOR { nvidia::rival(&args.rival) } else { None };
    let (rates, reference_rates) = (pruned.rates(), reference.rates());
    let rate = median(&rates);
    let clock_mhz = args.clock_mhz.or_else(|| pruned.median(|sample| sample.mean.core_clock_mhz));
    let lanes = args.lanes.or_else(|| rival.as_ref().map(nvidia::Rival::lanes));
    let operations = GpuKernel::Pruned.operations();
    let bound = lanes.zip(clock_mhz).map(|(lanes, mhz)| lanes * mhz * 1e6 / f64::from(operations.instructions()));
    Ok(json!({
        "device": info.name,
        "vendor": about.vendor,
        "driver": about.driver,
        "interface": about.interface,
        "software": about.software,
        "adit": env!("CARGO_PKG_VERSION"),
        "commit": host::commit(),
        "workgroup": tuning.workgroup,
        "nonces_per_thread": tuning.nonces_per_thread,
        "dispatch_ms": tuning.dispatch.as_secs_f64() * 1e3,
        "rate_mhs": rate / 1e6,
        "reference_mhs": median(&reference_rates) / 1e6,
        "ratio": median_of(rates.iter().zip(&reference_rates).map(|(one, other)| one / other)),
        "ratio_of_bests": best(&rates) / best(&reference_rates),
        "samples_mhs": mega(&rates),
        "reference_samples_mhs": mega(&reference_rates),
        "rival_mhs": rival.as_ref().map(|rival| rival.rate / 1e6),
        "ratio_to_rival": rival.as_ref().map(|rival| rate / rival.rate),
        "operations_a_hash": as_json(&operations),
        "reference_operations_a_hash": as_json(&GpuKernel::Reference.operations()),
        "bound_mhs": bound.map(|bound| bound / 1e6),
        "share_of_bound": bound.map(|bound| rate / bound),
        "host_thread_share_of_core": median_of(pruned.host.iter().copied()),
        "process_share_of_core": pruned.median(|sample| Some(sample.cpu_seconds? / sample.seconds)),
        "clock_mhz": clock_mhz,
        "watts": pruned.median(|sample| Some(sample.joules()? / sample.seconds)),
    }))
}

impl KernelRun {
    fn sample(&mut self, sensor: Option<&Arc<dyn Sensor>>) -> Result<(), Error> {
        let plan = MeasurePlan::new(1, SAMPLE).with_warm_up(WARM_UP);
        let before = host::ThreadTimes::now();
        let samples = measure_with(&mut self.gpu, &plan, sensor.cloned())?;
        self.host.extend(before.share());
        self.samples.push(*samples.first().ok_or_else(|| format!("{} gave no sample", self.gpu.info().name))?);
        Ok(())
    }

    /// Hashes a second.
    fn rates(&self) -> Vec<f64> {
        self.samples.iter().map(Measurement::rate).collect()
    }

    /// Of the samples that know it.
    fn median(&self, figure: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
        median_of(self.samples.iter().filter_map(figure))
    }
}

fn as_json(operations: &Operations) -> Value {
    let Operations { rotates, shifts, xors, selections, additions, others, .. } = *operations;
    json!({
        "rotates": rotates,
        "shifts": shifts,
        "three_input_xors": xors,
        "choose_and_majority": selections,
        "additions": additions,
        "others": others,
        "sum": operations.sum(),
        "instructions": operations.instructions(),
    })
}

fn mega(samples: &[f64]) -> Vec<f64> {
    samples.iter().map(|rate| rate / 1e6).collect()
}

fn best(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(0.0, f64::max)
}

fn median(samples: &[f64]) -> f64 {
    median_of(samples.iter().copied()).unwrap_or(0.0)
}

/// Of an even number, the lower of the two in the middle.
fn median_of(samples: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}
