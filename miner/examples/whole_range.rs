//! Every GPU kernel over all 2^32 nonces of a header, its hits beside the CPU's. Takes minutes, and where the GPU is a
//! software one, some ten of them.
//!
//! ```text
//! cargo run --release -p adit-miner --example whole_range -- [gpu0]
//! ```

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};
use adit_miner::{
    CheckedCandidate, CpuSettings, Device, DeviceId, Devices, Draw, Extranonce, Feed, GpuKernel, GpuSettings,
    HeaderWork, Selection, TemplateId,
};

type Error = Box<dyn std::error::Error>;

/// The target's most significant 32 bits: 512 of 2^32 hashes are expected to meet it.
const TOP: u32 = 0x1ff;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("whole_range: {error}");
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

/// All nonces of one header, and the candidates reported among them.
struct Whole(Mutex<(Option<HeaderWork>, u64, Vec<u32>)>);

impl Feed for Whole {
    fn draw(&self, nonces: u64) -> Draw {
        let mut state = self.0.lock().expect("nothing that holds the state panics");
        let Some(work) = state.0.take() else { return Draw::Done };
        let (piece, rest) = work.split_at(nonces);
        state.0 = rest;
        Draw::Work(piece)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        true
    }

    fn has_given_up(&self) -> bool {
        false
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let mut state = self.0.lock().expect("nothing that holds the state panics");
        state.1 += work.range.count;
        state.2.extend(candidates);
    }
}

/// The hits of `device`, sorted.
fn hits(name: &str, device: &mut dyn Device) -> Result<Vec<u32>, Error> {
    let (scan, target) = (ScanJob::new(&[0x5a; HEADER_LEN]), ScanTarget::from_top(TOP));
    let work = HeaderWork::new(TemplateId(0), scan, NonceRange::ALL, target, Extranonce::default());
    let feed = Whole(Mutex::new((Some(work.clone()), 0, Vec::new())));
    let begun = Instant::now();
    device.run(&feed)?;
    let (_, searched, mut nonces) = feed.0.into_inner().expect("nothing that holds the state panics");
    nonces.sort_unstable();
    if searched != work.range.count {
        return Err(format!("{name}: {searched} nonces searched; wanted {}", work.range.count).into());
    }
    if let Some(nonce) =
        nonces.iter().find(|&&nonce| matches!(work.check_candidate(nonce), CheckedCandidate::HardwareError))
    {
        return Err(format!("{name}: nonce {nonce} was reported and is no hit").into());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{name}: {} hits in {seconds:.0} s, {:.1} MH/s", nonces.len(), searched as f64 / seconds / 1e6);
    Ok(nonces)
}
