//! Merkle roots of 4,096 leaves: every kernel of this CPU beside `bitcoin_hashes` doing the same.

use std::hint::black_box;

use adit_hash::{Backend, HashBytes, merkle_root};
use bitcoin::merkle_tree::calculate_root;
use bitcoin_hashes::{Hash, sha256d};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const LEAVES: usize = 4_096;

fn leaves() -> Vec<HashBytes> {
    (0..LEAVES as u64).map(|i| sha256d::Hash::hash(&i.to_le_bytes()).to_byte_array()).collect()
}

fn merkle(criterion: &mut Criterion) {
    let leaves = leaves();
    let hashes: Vec<sha256d::Hash> = leaves.iter().map(|leaf| sha256d::Hash::from_byte_array(*leaf)).collect();
    let wanted = calculate_root(hashes.iter().copied()).expect("there are leaves").to_byte_array();
    let mut group = criterion.benchmark_group("merkle");
    group.throughput(Throughput::Elements(LEAVES as u64));
    group.bench_function("rival: bitcoin_hashes", |bencher| {
        bencher.iter(|| calculate_root(black_box(&hashes).iter().copied()));
    });
    for backend in Backend::supported() {
        let root = merkle_root(backend, &mut leaves.clone()).expect("there are leaves").root;
        assert_eq!(root, wanted, "{backend}");
        group.bench_function(backend.name(), |bencher| {
            bencher.iter_batched_ref(|| leaves.clone(), |leaves| merkle_root(backend, leaves), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, merkle);
criterion_main!(benches);
