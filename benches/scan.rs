//! Nonce scans: every kernel of this CPU beside a plain loop over the `sha2` crate, on one thread.
//!
//! The plain loop is the kernel `sha2` (`hash/src/sha2_crate.rs`): two compressions a nonce from the midstate, as anyone would
//! write it with the crate.

use std::hint::black_box;

use adit_hash::{Backend, NonceRange, ScanJob, ScanTarget};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Nonces an iteration: some milliseconds on the slowest kernel.
const NONCES: u64 = 1 << 14;

fn scan(criterion: &mut Criterion) {
    let job = ScanJob::new(&[0x5a; 80]);
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(NONCES));
    let mut first = 0_u32;
    let mut range = || {
        first = first.wrapping_add(NONCES as u32);
        NonceRange::new(first, NONCES)
    };
    let target = ScanTarget::from_le_bytes([0; 32]);
    let others = Backend::supported().filter(|&backend| backend != Backend::Sha2Crate);
    for backend in [Backend::Sha2Crate].into_iter().chain(others) {
        let rival = "rival: plain loop over sha2";
        let name = if backend == Backend::Sha2Crate { rival } else { backend.name() };
        let mut hits = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| backend.scan(black_box(&job), range(), &target, &mut hits));
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
