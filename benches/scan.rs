//! Nonce scans: every kernel of this CPU beside a plain loop over the `sha2` crate, on one thread.

use std::hint::black_box;

use adit_hash::{Backend, NonceRange, ScanJob, ScanTarget};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sha2::block_api::compress256;

/// Nonces an iteration: some milliseconds on the slowest kernel.
const NONCES: u64 = 1 << 14;

/// The rival: two compressions a nonce from the midstate, as anyone would write it with the crate.
fn plain_loop(job: &ScanJob, range: NonceRange) -> u32 {
    const IV: [u32; 8] =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    let mut first = [0; 64];
    first[..16].copy_from_slice(&job.header(0)[64..]);
    first[16] = 0x80;
    first[62..].copy_from_slice(&640_u16.to_be_bytes());
    let mut second = [0; 64];
    second[32] = 0x80;
    second[62..].copy_from_slice(&256_u16.to_be_bytes());
    let mut hits = 0;
    for i in 0..range.count {
        first[12..16].copy_from_slice(&range.first.wrapping_add(i as u32).to_le_bytes());
        let mut state = job.midstate();
        compress256(&mut state, &[first]);
        for (bytes, word) in second.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        let mut state = IV;
        compress256(&mut state, &[second]);
        hits += u32::from(state[7] == 0);
    }
    hits
}

fn scan(criterion: &mut Criterion) {
    let job = ScanJob::new(&[0x5a; 80]);
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(NONCES));
    let mut first = 0_u32;
    let mut range = || {
        first = first.wrapping_add(NONCES as u32);
        NonceRange::new(first, NONCES)
    };
    group.bench_function("rival: plain loop over sha2", |bencher| {
        bencher.iter(|| plain_loop(black_box(&job), range()));
    });
    let target = ScanTarget::from_le_bytes([0; 32]);
    for backend in Backend::supported() {
        let mut hits = Vec::new();
        group.bench_function(backend.name(), |bencher| {
            bencher.iter(|| backend.scan(black_box(&job), range(), &target, &mut hits));
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
