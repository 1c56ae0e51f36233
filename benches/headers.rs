//! Headers: hashing 2,000 real ones beside `bitcoin`'s `block_hash`, and checking and indexing them beside Bitcoin Core's
//! kernel.
//!
//! They are signet's first, because on the regression-test chain the kernel checks its whole index at every call, which
//! would flatter us. They come from `$ADIT_VECTORS` or `../shared/vectors`.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use adit_hash::{Backend, Digest, Header};
use adit_testchain::Oracle;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, HeaderOutcome, Options};
use bitcoin::consensus::deserialize;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const HEADERS: usize = 2_000;

/// The headers after genesis; none where there are no vectors.
fn signet_headers() -> Vec<Header> {
    let root = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"), PathBuf::from);
    let file = root.join("signet/headers-0-2015.bin");
    match std::fs::read(&file) {
        Ok(bytes) => bytes.as_chunks::<80>().0[1..=HEADERS].to_vec(),
        Err(error) => {
            eprintln!("skipped: {}: {error}", file.display());
            Vec::new()
        }
    }
}

fn decoded(bytes: &[Header]) -> Vec<bitcoin::block::Header> {
    bytes.iter().map(|header| deserialize(header).expect("any 80 bytes are a header")).collect()
}

fn hash(criterion: &mut Criterion) {
    let bytes = signet_headers();
    if bytes.is_empty() {
        return;
    }
    let headers = decoded(&bytes);
    let mut out: Vec<Digest> = vec![[0; 32]; HEADERS];
    let mut group = criterion.benchmark_group("hash headers");
    group.throughput(Throughput::Elements(HEADERS as u64));
    group.bench_function("rival: bitcoin block_hash", |bencher| {
        bencher.iter(|| {
            black_box(&headers)
                .iter()
                .map(bitcoin::block::Header::block_hash)
                .fold(0, |seen, hash| seen ^ <bitcoin::BlockHash as AsRef<[u8]>>::as_ref(&hash)[0])
        });
    });
    for backend in Backend::supported() {
        group.bench_function(backend.name(), |bencher| {
            bencher.iter(|| backend.hash_headers(black_box(&bytes), &mut out));
        });
    }
    group.finish();
}

fn check(criterion: &mut Criterion) {
    let bytes = signet_headers();
    if bytes.is_empty() {
        return;
    }
    let headers = decoded(&bytes);
    let challenge = ChainParams::signet().signet_challenge.expect("signet has one");
    let now = u64::from(headers[HEADERS - 1].time);
    let mut group = criterion.benchmark_group("check headers");
    group.throughput(Throughput::Elements(HEADERS as u64));
    group.sample_size(10);
    group.bench_function("rival: bitcoinkernel process_block_header", |bencher| {
        bencher.iter_batched_ref(
            || Oracle::signet(challenge.as_bytes(), 1).expect("a kernel"),
            |kernel| {
                for header in &bytes {
                    assert!(matches!(kernel.submit_header(header), Ok(None)));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("adit", |bencher| {
        bencher.iter_batched_ref(
            || ChainState::in_memory(ChainParams::signet(), None, Options::default()).expect("memory does not fail"),
            |chain| {
                for header in &headers {
                    assert!(matches!(chain.accept_header(header, now), HeaderOutcome::Accepted { .. }));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, hash, check);
criterion_main!(benches);
