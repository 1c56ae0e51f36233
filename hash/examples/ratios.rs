//! Measures every kernel beside its rival, in short samples taken in turn, and prints the ratio.
//!
//! An absolute rate means little on a machine that does other things too. Each line gives the kernel's and the rival's
//! best rate, the ratio of the two, and the median of the ratios of neighbouring samples. On a quiet machine the two
//! ratios agree; where other programs take the core away in the middle of samples, the median varies and the best rates do not.
//! Pin it to a core: `taskset -c 1 cargo run --release -p adit-hash --example ratios -- [scan|merkle|headers|threads]
//! [samples]`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use adit_hash::{Backend, HashBytes, HeaderBytes, NonceRange, ScanJob, ScanTarget, merkle_root};
use bitcoin::block;
use bitcoin::consensus::encode::deserialize;
use bitcoin::merkle_tree::calculate_root;
use bitcoin_hashes::{Hash as _, sha256d};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let samples = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(60);
    let wants =
        |subject: &str| args.iter().all(|arg| arg.parse::<usize>().is_ok()) || args.iter().any(|arg| arg == subject);
    if wants("scan") {
        scan(samples);
    }
    if wants("merkle") {
        merkle(samples);
    }
    if wants("headers") {
        headers(samples);
    }
    if wants("threads") {
        threads(samples);
    }
}

/// Every scan kernel beside the baseline: the plain loop over the `sha2` crate, two compressions a nonce from a midstate.
fn scan(samples: usize) {
    let job = ScanJob::new(&header(0));
    let target = ScanTarget::from_le_bytes([0; 32]);
    let search = |backend: Backend, count: u64| {
        let mut hits = Vec::new();
        backend.scan(black_box(&job), NonceRange::new(0, count), &target, &mut hits);
        black_box(hits);
    };
    for backend in Backend::supported().filter(|&backend| backend != Backend::Sha2Crate) {
        let (kernel, rival) = (|count| search(backend, count), |count| search(Backend::Sha2Crate, count));
        compare(&format!("scan {backend}"), samples, 1 << 16, 1 << 15, kernel, rival);
    }
}

/// Merkle roots of 4,096 leaves beside `bitcoin`'s walk over `bitcoin_hashes`.
fn merkle(samples: usize) {
    let hashes: Vec<sha256d::Hash> = (0..4096u32).map(|i| sha256d::Hash::hash(&i.to_le_bytes())).collect();
    let leaves: Vec<HashBytes> = hashes.iter().map(|hash| hash.to_byte_array()).collect();
    for backend in Backend::supported() {
        let kernel = |count: u64| {
            for _ in 0..count / 4096 {
                let mut level = black_box(&leaves).clone();
                black_box(merkle_root(backend, &mut level));
            }
        };
        let rival = |count: u64| {
            for _ in 0..count / 4096 {
                black_box(calculate_root(black_box(&hashes).iter().copied()));
            }
        };
        compare(&format!("merkle {backend}"), samples, 8 * 4096, 8 * 4096, kernel, rival);
    }
}

/// The hashes of 2,000 headers beside `bitcoin`'s `block_hash`.
fn headers(samples: usize) {
    let headers: Vec<HeaderBytes> = (0..2000).map(header).collect();
    let decoded: Vec<block::Header> =
        headers.iter().map(|header| deserialize(header).expect("any 80 bytes are a header")).collect();
    let mut out = vec![[0; 32]; headers.len()];
    for backend in Backend::supported() {
        let kernel = |count: u64| {
            for _ in 0..count / 2000 {
                backend.hash_headers(black_box(&headers), &mut out);
                black_box(&out);
            }
        };
        let rival = |count: u64| {
            for _ in 0..count / 2000 {
                for header in black_box(&decoded) {
                    black_box(header.block_hash());
                }
            }
        };
        compare(&format!("headers {backend}"), samples, 16 * 2000, 16 * 2000, kernel, rival);
    }
}

/// Two threads over one, in total nonces a second.
fn threads(samples: usize) {
    let job = ScanJob::new(&header(0));
    for backend in Backend::supported() {
        let one = |count: u64| {
            let mut hits = Vec::new();
            backend.scan(&job, NonceRange::new(0, count), &ScanTarget::from_le_bytes([0; 32]), &mut hits);
            black_box(hits);
        };
        let two = |count: u64| {
            std::thread::scope(|scope| {
                scope.spawn(|| one(count / 2));
                one(count / 2);
            });
        };
        compare(&format!("two threads over one {backend}"), samples, 1 << 20, 1 << 19, two, one);
    }
}

/// Samples `kernel` and `rival` in turn and prints what the ratios say.
fn compare(
    name: &str,
    samples: usize,
    work: u64,
    rival_work: u64,
    mut kernel: impl FnMut(u64),
    mut rival: impl FnMut(u64),
) {
    kernel(work);
    rival(rival_work);
    let mut ratios = Vec::with_capacity(samples);
    let (mut best, mut best_rival) = (0.0f64, 0.0f64);
    for _ in 0..samples {
        let ours = work as f64 / timed(|| kernel(work)).as_secs_f64();
        let theirs = rival_work as f64 / timed(|| rival(rival_work)).as_secs_f64();
        (best, best_rival) = (best.max(ours), best_rival.max(theirs));
        ratios.push(ours / theirs);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{name:32} {:7.2} M/s  rival {:6.2} M/s  ratio of bests {:.2}, median of ratios {:.2}",
        best / 1e6,
        best_rival / 1e6,
        best / best_rival,
        ratios[samples / 2],
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Some header, another for each `seed`.
fn header(seed: u32) -> HeaderBytes {
    let mut header = [0; 80];
    for (i, bytes) in header.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *bytes = (seed * 20 + i as u32).wrapping_mul(0x9e37_79b9).to_le_bytes();
    }
    header
}
