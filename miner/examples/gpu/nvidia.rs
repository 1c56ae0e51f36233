//! What only an NVIDIA machine has: `nvcc` to compile a CUDA rival with.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// NVIDIA's PCI id.
pub const VENDOR: u32 = 0x10de;

/// Lanes for 32-bit integers in a multiprocessor, from Volta to Ada and Hopper. For other cards `--lanes` says how many there
/// are in all.
const LANES: f64 = 64.0;

/// The rival's result.
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
