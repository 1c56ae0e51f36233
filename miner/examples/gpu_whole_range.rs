//! Every GPU kernel over all 2^32 nonces of a header, its hits beside the CPU's. Takes minutes, and where the GPU is a
//! software one, some ten of them.
//!
//! ```text
//! cargo run --release -p adit-miner --example gpu_whole_range -- [gpu0]
//! ```

#![forbid(unsafe_code)]

#[path = "../tests/support/collector.rs"]
mod collector;

use std::process::ExitCode;
use std::time::Instant;

use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};
use adit_miner::{
    CheckedCandidate, CpuSettings, Device, DeviceId, Devices, Extranonce, GpuKernel, GpuSettings, HeaderWork,
    Selection, TemplateId,
};

use collector::{Reported, collect};

type Error = Box<dyn std::error::Error>;

/// The target's most significant 32 bits: 512 of 2^32 hashes are expected to meet it.
const TOP: u32 = 0x1ff;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu_whole_range: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let id: DeviceId = std::env::args().nth(1).unwrap_or_else(|| "gpu0".to_owned()).parse()?;
    let devices = Devices::list(CpuSettings::default(), &Selection::All)?;
    let expected = hits("cpu", &mut *devices.open(DeviceId::Cpu)?)?;
    for kernel in GpuKernel::ALL {
        let mut gpu = devices.open_gpu(id, GpuSettings::default().with_kernel(kernel))?;
        let found = hits(&format!("{id} {}", kernel.name()), &mut gpu)?;
        if let Some(nonce) = expected.iter().find(|nonce| !found.contains(nonce)) {
            return Err(format!("{id} {}: nonce {nonce} missed", kernel.name()).into());
        }
        if found != expected {
            return Err(
                format!("{id} {}: {} hits; the cpu found {}", kernel.name(), found.len(), expected.len()).into()
            );
        }
    }
    println!("the same {} hits by all", expected.len());
    Ok(())
}

/// The hits of `device`, sorted.
fn hits(name: &str, device: &mut dyn Device) -> Result<Vec<u32>, Error> {
    let (scan, target) = (ScanJob::new(&[0x5a; HEADER_LEN]), ScanTarget::from_top(TOP));
    let work = HeaderWork::new(TemplateId(0), scan, NonceRange::ALL, target, Extranonce::default());
    let begun = Instant::now();
    let Reported { searched, candidates: mut nonces } = collect(device, &work)?;
    nonces.sort_unstable();
    if searched != work.range.count {
        return Err(format!("{name}: {searched} nonces searched; wanted {}", work.range.count).into());
    }
    if let Some(nonce) =
        nonces.iter().find(|&&nonce| matches!(work.check_nonce(nonce), CheckedCandidate::HardwareError))
    {
        return Err(format!("{name}: nonce {nonce} was reported and is no hit").into());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{name}: {} hits in {seconds:.0} s, {:.1} MH/s", nonces.len(), searched as f64 / seconds / 1e6);
    Ok(nonces)
}
