//! One suite that every kernel passes, on the CPU and on a GPU, through the device that mines with it: no hit is missed, and
//! none is invented.
//!
//! The kernels hash headers only, so published vectors of other lengths cannot be used; published blocks can. The second
//! source of right answers is the `sha2` crate, which those vectors do test.
//!
//! There is a trial for each kernel that this build knows. One whose instructions this CPU lacks, or that needs a GPU where
//! there is none, is reported as ignored with the reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/collector.rs"]
mod collector;
#[path = "support/trials.rs"]
mod trials;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use adit_hash::{Backend, HEADER_LEN, HeaderBytes, NonceRange, ScanJob, ScanTarget};
use adit_miner::{
    CheckedCandidate, CpuDevice, Device, Extranonce, HeaderWork, TemplateId, sha256d, test_known_answers,
};
#[cfg(feature = "gpu")]
use adit_miner::{DeviceId, Devices, GpuKernel, GpuSettings, solve};
use collector::{Reported, collect};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use trials::without;

/// The hits that `device` finds, in the order of the range. Candidates that are none in their last 224 bits are left out;
/// others that are none fail the test.
fn search(device: &mut dyn Device, header: &HeaderBytes, range: NonceRange, target: ScanTarget) -> Vec<u32> {
    let work = HeaderWork::new(TemplateId(0), ScanJob::new(header), range, target, Extranonce::default());
    let Reported { searched, mut candidates } = collect(device, &work).unwrap();
    assert_eq!(searched, range.count, "not every nonce was searched once");
    candidates.sort_unstable_by_key(|nonce| nonce.wrapping_sub(range.first));
    candidates.retain(|&nonce| match work.check_nonce(nonce) {
        CheckedCandidate::Solution(_) => true,
        CheckedCandidate::AboveTarget => false,
        CheckedCandidate::HardwareError => panic!("nonce {nonce} was reported and is no hit"),
    });
    candidates
}

/// The hits by the `sha2` crate.
fn expected(header: &HeaderBytes, range: NonceRange, target: ScanTarget) -> Vec<u32> {
    let job = ScanJob::new(header);
    let nonces = (0..range.count).map(|i| range.first.wrapping_add(i as u32));
    nonces.filter(|&nonce| target.is_met_by(&sha256d(&job.header(nonce)))).collect()
}

fn nonce(header: &HeaderBytes) -> u32 {
    u32::from_le_bytes(header[76..].try_into().unwrap())
}

/// The target that a header's bits stand for. Every header here has a positive one of at least three bytes.
fn own_target(header: &HeaderBytes) -> ScanTarget {
    let (exponent, mantissa) = (usize::from(header[75]), &header[72..75]);
    let mut bytes = [0; 32];
    bytes[exponent - 3..exponent].copy_from_slice(mantissa);
    ScanTarget::from_le_bytes(bytes)
}

/// Blocks 0, 1 and 125,552 of mainnet, with their published hashes.
fn published() -> Vec<(HeaderBytes, [u8; 32])> {
    [
        (
            "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc8\
             1bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        ),
        (
            "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1\
             a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299",
            "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048",
        ),
        (
            "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b1eb942ae710e\
             951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695",
            "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
        ),
    ]
    .map(|(header, hash)| {
        let mut hash: [u8; 32] = hex::decode(hash).unwrap().try_into().unwrap();
        hash.reverse();
        (hex::decode(header).unwrap().try_into().unwrap(), hash)
    })
    .to_vec()
}

/// The file of mainnet's first headers, which is part of the real input. `support/trials.rs` says why it is looked up here.
fn headers_file() -> PathBuf {
    let folder = std::env::var_os("ADIT_VECTORS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into());
    folder.join("mainnet/headers-0-10236.bin")
}

/// What every device passes. Hits are planted around the edges of batches of `batch` nonces.
fn suite(device: &mut dyn Device, batch: u64) {
    test_known_answers(device, &AtomicBool::new(false)).unwrap();
    published_blocks(device);
    hits_at_edges(device, batch);
    many_hits(device);
    random_ranges(device);
}

fn published_blocks(device: &mut dyn Device) {
    for (header, hash) in published() {
        assert_eq!(sha256d(&header), hash);
        let found =
            search(device, &header, NonceRange::new(nonce(&header) - 500, 1_000), ScanTarget::from_le_bytes(hash));
        assert_eq!(found, [nonce(&header)]);
    }
    // The most significant word, bit for bit, of hashes that are not small: the hit goes when the target is one less.
    for seed in 0..16_u8 {
        let header = [seed.wrapping_mul(37); HEADER_LEN];
        let hash = sha256d(&header);
        let top = u32::from_le_bytes(hash[28..].try_into().unwrap());
        let only = NonceRange::new(nonce(&header), 1);
        assert_eq!(search(device, &header, only, ScanTarget::from_top(top)), [nonce(&header)]);
        assert_eq!(search(device, &header, only, ScanTarget::from_top(top - 1)), [0; 0]);
    }
}

fn hits_at_edges(device: &mut dyn Device, batch: u64) {
    let (header, _) = published()[1];
    let hit = nonce(&header);
    let target = own_target(&header);
    let mut places: Vec<u64> = [1, 4, 8, 16, 32, 64, 128, 256, batch, 2 * batch]
        .iter()
        .flat_map(|edge| [edge.saturating_sub(2), edge - 1, *edge, edge + 1])
        .collect();
    places.push(0);
    let count = 2 * batch + 300;
    for place in places {
        let found = search(device, &header, NonceRange::new(hit.wrapping_sub(place as u32), count), target);
        assert_eq!(found, [hit], "hit planted at place {place} of {count}");
        // And as the very last nonce, with nothing after it.
        let found = search(device, &header, NonceRange::new(hit.wrapping_sub(place as u32), place + 1), target);
        assert_eq!(found, [hit], "hit planted at place {place}, the last");
        let found = search(device, &header, NonceRange::new(hit.wrapping_sub(place as u32), place.max(1)), target);
        assert_eq!(
            found,
            expected(&header, NonceRange::new(hit, u64::from(place == 0)), target),
            "place {place}, left out"
        );
    }
}

fn many_hits(device: &mut dyn Device) {
    let header = [0xc3; HEADER_LEN];
    for (first, count, top) in [
        (0, 5_000, 0x7fff_ffff),
        (99, 3_000, u32::MAX),
        (u32::MAX - 2_500, 5_000, 0x1fff_ffff),
        (u32::MAX, 1, u32::MAX),
        (u32::MAX, 2, u32::MAX),
        (77, 30_000, 0x0010_0000),
    ] {
        let (range, target) = (NonceRange::new(first, count), ScanTarget::from_top(top));
        assert_eq!(
            search(device, &header, range, target),
            expected(&header, range, target),
            "{range:?} at top {top:#x}"
        );
    }
}

/// Random headers, starts and lengths, the shortest and those that cross 2^32 more often than chance would have them, each at
/// a target that some hundreds of the nonces meet. `ADIT_KERNEL_CASES` asks for more than a test run has time for.
fn random_ranges(device: &mut dyn Device) {
    let cases = std::env::var("ADIT_KERNEL_CASES").map_or(16, |cases| cases.parse().unwrap());
    let header = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 16]>());
    let header =
        header.prop_map(|(one, two, three)| -> HeaderBytes { [&one[..], &two, &three].concat().try_into().unwrap() });
    let first = prop_oneof![3 => any::<u32>(), 1 => (0..20_000_u32).prop_map(|before| u32::MAX - before)];
    let count = prop_oneof![1 => 0..3_u64, 6 => 1_000..40_000_u64];
    let strategy = (header, first, count, 200..900_u64);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let device = Mutex::new(device);
    runner
        .run(&strategy, |(header, first, count, hits)| {
            let top = (hits << 32).checked_div(count).map_or(u32::MAX, |top| top.try_into().unwrap_or(u32::MAX));
            let (range, target) = (NonceRange::new(first, count), ScanTarget::from_top(top));
            // A device is behind a lock only because proptest wants the closure to be callable through a reference.
            let found = search(&mut **device.lock().unwrap(), &header, range, target);
            prop_assert_eq!(found, expected(&header, range, target));
            Ok(())
        })
        .unwrap();
}

fn real_blocks(device: &mut dyn Device, headers: &[HeaderBytes]) {
    for header in headers.iter().step_by(97) {
        let before = nonce(header) % 1_000;
        let range = NonceRange::new(nonce(header) - before, 2_000);
        assert_eq!(search(device, header, range, own_target(header)), [nonce(header)], "{}", hex::encode(header));
    }
}

/// The CPU with a kernel and a number of threads, or the reason why there is none.
fn on_cpu(
    backend: Backend,
    threads: usize,
    test: impl FnOnce(&mut CpuDevice) -> Result<Completion, Failed>,
) -> Result<Completion, Failed> {
    if !backend.is_supported() {
        // `.ci/run` reads the name from these words.
        return Ok(Completion::ignored_with(format!("this CPU lacks the instructions of {backend}")));
    }
    test(&mut CpuDevice::new(NonZeroUsize::new(threads), Some(backend))?)
}

/// Runs `test` on the headers of the real input.
fn with_real_headers(test: impl FnOnce(&[HeaderBytes])) -> Result<Completion, Failed> {
    let file = headers_file();
    if !file.exists() {
        return without(&format!("no real input: {}", file.display()));
    }
    test(std::fs::read(&file)?.as_chunks::<HEADER_LEN>().0);
    Ok(Completion::Completed)
}

fn cpu_trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for &backend in Backend::ALL {
        for threads in [1, 3] {
            trials.push(Trial::ignorable_test(format!("cpu::{backend}::suite_on_{threads}_threads"), move || {
                on_cpu(backend, threads, |cpu| {
                    suite(cpu, 1 << 14);
                    Ok(Completion::Completed)
                })
            }));
            trials
                .push(Trial::ignorable_test(format!("cpu::{backend}::real_blocks_on_{threads}_threads"), move || {
                    on_cpu(backend, threads, |cpu| with_real_headers(|headers| real_blocks(cpu, headers)))
                }));
        }
    }
    trials
}

/// A trial of `test` on each GPU.
#[cfg(feature = "gpu")]
fn on_each_gpu(name: impl Into<String>, test: impl Fn(&Devices, DeviceId) + Send + 'static) -> Trial {
    Trial::ignorable_test(format!("gpu::{}", name.into()), move || {
        let Some((devices, gpus)) = trials::gpus()? else { return without(trials::NO_GPU) };
        gpus.iter().for_each(|gpu| test(&devices, *gpu));
        Ok(Completion::Completed)
    })
}

#[cfg(not(feature = "gpu"))]
fn gpu_trials() -> Vec<Trial> {
    Vec::new()
}

#[cfg(feature = "gpu")]
fn gpu_trials() -> Vec<Trial> {
    let mut trials = vec![
        on_each_gpu("a_dispatch_of_several_rows_misses_nothing", several_rows),
        on_each_gpu("a_batch_with_more_candidates_than_fit_is_searched_again", more_candidates_than_fit),
        on_each_gpu("the_nonce_of_genesis_is_found", genesis),
    ];
    for kernel in GpuKernel::ALL {
        let settings = GpuSettings::default().with_kernel(kernel);
        let name = kernel.name();
        trials.push(on_each_gpu(format!("{name}::suite_sized_by_time"), move |devices, id| {
            suite(&mut devices.open_gpu(id, settings).unwrap(), 1 << 14);
        }));
        trials.push(on_each_gpu(format!("{name}::suite_in_batches_of_1000"), move |devices, id| {
            suite(&mut devices.open_gpu(id, settings.with_batch(Some(1_000))).unwrap(), 1_000);
        }));
        trials.push(Trial::ignorable_test(format!("gpu::{name}::real_blocks"), move || {
            let Some((devices, gpus)) = trials::gpus()? else { return without(trials::NO_GPU) };
            with_real_headers(|headers| {
                for id in &gpus {
                    real_blocks(&mut devices.open_gpu(*id, settings).unwrap(), headers);
                }
            })
        }));
    }
    // Threads of one nonce, of a number that divides nothing, and the same over workgroups that do not either.
    for (workgroup, nonces_per_thread) in [(64, 1), (64, 7), (48, 32), (1, 5)] {
        let settings = GpuSettings::default().with_workgroup(workgroup).with_nonces_per_thread(nonces_per_thread);
        let name = format!("pruned::workgroups_of_{workgroup}_with_{nonces_per_thread}_nonces_a_thread");
        trials.push(on_each_gpu(name, move |devices, id| {
            let mut gpu = devices.open_gpu(id, settings).unwrap();
            many_hits(&mut gpu);
            random_ranges(&mut gpu);
        }));
    }
    trials
}

#[cfg(feature = "gpu")]
fn several_rows(devices: &Devices, id: DeviceId) {
    // Workgroups of one thread with one nonce make rows of 65,535 nonces, so 200,001 nonces are three rows and a piece.
    let settings = GpuSettings::default().with_workgroup(1).with_nonces_per_thread(1).with_batch(Some(200_001));
    let mut gpu = devices.open_gpu(id, settings).unwrap();
    let header = [0x3c; HEADER_LEN];
    for first in [0, u32::MAX - 70_000] {
        let (range, target) = (NonceRange::new(first, 450_000), ScanTarget::from_top(0x00ff_ffff));
        assert_eq!(search(&mut gpu, &header, range, target), expected(&header, range, target));
    }
}

#[cfg(feature = "gpu")]
fn more_candidates_than_fit(devices: &Devices, id: DeviceId) {
    let header = [0x69; HEADER_LEN];
    for capacity in [1, 3, 64] {
        let settings = GpuSettings::default().with_capacity(capacity).with_batch(Some(2_048));
        let mut gpu = devices.open_gpu(id, settings).unwrap();
        for (top, count) in [(u32::MAX, 300), (0x7fff_ffff, 1_000), (0x03ff_ffff, 9_001)] {
            let (range, target) = (NonceRange::new(u32::MAX - 123, count), ScanTarget::from_top(top));
            let found = search(&mut gpu, &header, range, target);
            assert_eq!(found, expected(&header, range, target), "capacity {capacity}, top {top:#x}");
        }
    }
}

#[cfg(feature = "gpu")]
fn genesis(devices: &Devices, id: DeviceId) {
    let mut gpu = devices.open(id).unwrap();
    let (header, _) = published()[0];
    let range = NonceRange::new(2_083_000_000, 1 << 20);
    let solved = solve(gpu.as_mut(), &header, range, &own_target(&header), &|_| {}).unwrap();
    assert_eq!((solved.nonce, solved.hardware_errors), (Some(nonce(&header)), 0));
}

fn main() -> ExitCode {
    let trials = cpu_trials().into_iter().chain(gpu_trials()).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
