//! What only an NVIDIA machine has: `nvidia-smi`'s readings, and `nvcc` to compile a CUDA rival with.

use std::path::Path;
use std::process::Command;

use adit_miner::GpuInfo;
use serde_json::Value;

/// NVIDIA's PCI id.
pub const VENDOR: u32 = 0x10de;

/// Lanes for 32-bit integers in a multiprocessor, from Volta to Ada and Hopper. For other cards `--lanes` says how many there
/// are in all.
const LANES: f64 = 64.0;

/// A card that `nvidia-smi` knows.
pub struct Sensor {
    pci: Option<String>,
}

/// What it says at a moment.
pub struct Reading {
    pub watts: f64,
    pub clock_mhz: f64,
}

impl Sensor {
    pub fn of(gpu: &GpuInfo) -> Option<Self> {
        let sensor = Self { pci: gpu.pci.clone() };
        (gpu.vendor_id == VENDOR && sensor.read().is_some()).then_some(sensor)
    }

    /// Read between two samples, when the card has not yet cooled or slowed down: both are averages over some 100 ms.
    pub fn read(&self) -> Option<Reading> {
        let mut command = Command::new("nvidia-smi");
        command.args(["--query-gpu=power.draw,clocks.sm", "--format=csv,noheader,nounits"]);
        if let Some(pci) = &self.pci {
            command.arg(format!("--id={pci}"));
        }
        let output = command.output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (watts, clock) = text.lines().next()?.split_once(',')?;
        Some(Reading { watts: watts.trim().parse().ok()?, clock_mhz: clock.trim().parse().ok()? })
    }
}

/// What the rival came to.
pub struct Rival {
    /// Hashes a second.
    pub rate: f64,
    multiprocessors: f64,
}

impl Rival {
    pub fn lanes(&self) -> f64 {
        self.multiprocessors * LANES
    }
}

/// Compiles and runs the rival; `None` where it cannot be, with the reason on standard error.
pub fn rival(source: &Path) -> Option<Rival> {
    let program = std::env::temp_dir().join(format!("adit-rival-{}", std::process::id()));
    let outcome = compile_and_run(source, &program);
    // Where nothing was compiled, nothing is to be removed.
    let _ = std::fs::remove_file(&program);
    outcome.inspect_err(|reason| eprintln!("gpu: no rival: {reason}")).ok()
}

fn compile_and_run(source: &Path, program: &Path) -> Result<Rival, String> {
    let run = |command: &mut Command| {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = command.output().map_err(|error| format!("{name}: {error}"))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(output.stdout) } else { Err(format!("{name}: {}", stderr.trim())) }
    };
    run(Command::new("nvcc").args(["-O3", "-arch=native"]).arg(source).arg("-o").arg(program))?;
    let json: Value = serde_json::from_slice(&run(&mut Command::new(program))?).map_err(|error| error.to_string())?;
    let number = |name: &str| json[name].as_f64().ok_or_else(|| format!("it says no {name}: {json}"));
    Ok(Rival { rate: number("ghs_median")? * 1e9, multiprocessors: number("sms")? })
}
