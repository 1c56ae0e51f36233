//! Scans all 2^32 nonces of mainnet's genesis header with two kernels and compares every hit with the `sha2` crate.
//!
//! It takes minutes, so it is a command and no test: `cargo run --release -p adit-hash --example whole_range [backend…]`,
//! by default with every SIMD kernel that the CPU runs. The target is one that about 512 nonces meet.

use std::process::ExitCode;
use std::time::Instant;

use adit_hash::{Backend, GENESIS, GENESIS_NONCE, NonceRange, ScanJob, ScanTarget};
use sha2::{Digest as _, Sha256};

fn main() -> ExitCode {
    let mut backends: Vec<Backend> = Vec::new();
    for name in std::env::args().skip(1) {
        match name.parse() {
            Ok(backend) => backends.push(backend),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
    }
    if backends.is_empty() {
        backends.extend(Backend::supported().filter(|b| ![Backend::Sha2Crate, Backend::Portable].contains(b)));
    }

    let (job, target) = (ScanJob::new(&GENESIS), ScanTarget::from_top(511));
    let mut first: Option<Vec<u32>> = None;
    for backend in backends {
        let (start, mut hits) = (Instant::now(), Vec::new());
        backend.scan(&job, NonceRange::ALL, &target, &mut hits);
        let seconds = start.elapsed().as_secs_f64();
        println!("{backend}: {} hits, {:.2} MH/s", hits.len(), (1u64 << 32) as f64 / seconds / 1e6);
        let true_hits =
            hits.iter().all(|&nonce| target.is_met_by(&Sha256::digest(Sha256::digest(job.header(nonce))).into()));
        if !true_hits || !hits.is_sorted() || !hits.contains(&GENESIS_NONCE) {
            eprintln!("{backend}: a hit is false, missing or out of order");
            return ExitCode::FAILURE;
        }
        if first.get_or_insert_with(|| hits.clone()) != &hits {
            eprintln!("{backend}: other hits than the kernel before");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
