//! Headers: hashing 2,000 real ones beside `bitcoin`'s `block_hash`, and checking and indexing 102,360 beside Bitcoin Core's
//! kernel.
//!
//! Those that are checked are mainnet's first 10,236, ten times over, each time into an empty index: all that are at hand.
//! Made ones would be regtest's, where the kernel checks its whole index at every call, which would flatter us. They come from
//! `$ADIT_VECTORS` or `../shared/vectors`.

use std::hint::black_box;

use adit_hash::{Backend, HashBytes, HeaderBytes};
use adit_testchain::Oracle;
use adit_testchain::trials::read_vector;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, HeaderOutcome};
use bitcoin::consensus::deserialize;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// How many headers are hashed at once.
const HEADERS: usize = 2_000;

/// How often the headers are checked, into an empty index each time.
const INDEXES: usize = 10;

/// The headers of a file after genesis; none where there are no vectors.
fn headers_of(file: &str) -> Vec<HeaderBytes> {
    match read_vector(file) {
        Ok(bytes) => bytes.as_chunks::<80>().0[1..].to_vec(),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            Vec::new()
        }
    }
}

fn decoded(bytes: &[HeaderBytes]) -> Vec<bitcoin::block::Header> {
    bytes.iter().map(|header| deserialize(header).expect("any 80 bytes are a header")).collect()
}

fn hash(criterion: &mut Criterion) {
    let mut bytes = headers_of("mainnet/headers-0-10236.bin");
    if bytes.is_empty() {
        return;
    }
    bytes.truncate(HEADERS);
    let headers = decoded(&bytes);
    let mut out: Vec<HashBytes> = vec![[0; 32]; HEADERS];
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
    let bytes = headers_of("mainnet/headers-0-10236.bin");
    if bytes.is_empty() {
        return;
    }
    let headers = decoded(&bytes);
    let now = u64::from(headers[headers.len() - 1].time);
    let mut group = criterion.benchmark_group("check headers");
    group.throughput(Throughput::Elements((INDEXES * headers.len()) as u64));
    group.sample_size(10);
    group.bench_function("rival: bitcoinkernel process_block_header", |bencher| {
        bencher.iter_batched_ref(
            || (0..INDEXES).map(|_| Oracle::main(1).expect("a kernel")).collect::<Vec<_>>(),
            |kernels| {
                for kernel in kernels {
                    for header in &bytes {
                        assert!(matches!(kernel.submit_header(header), Ok(None)));
                    }
                }
            },
            BatchSize::PerIteration,
        );
    });
    let empty = || {
        ChainState::in_memory(ChainParams::main(), None, ChainStateOptions::default()).expect("memory does not fail")
    };
    let accepted = |outcome: &HeaderOutcome| matches!(outcome, HeaderOutcome::Accepted { .. });
    group.bench_function("adit", |bencher| {
        bencher.iter_batched_ref(
            || (0..INDEXES).map(|_| empty()).collect::<Vec<_>>(),
            |chains| {
                for chain in chains {
                    // As they come from a peer: 2,000 a message.
                    for message in headers.chunks(HEADERS) {
                        assert!(chain.accept_headers(message, now).iter().all(accepted));
                    }
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, hash, check);
criterion_main!(benches);
