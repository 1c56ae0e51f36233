//! Devices with faults, each of which the known-answer test must find.

use super::*;
use crate::cpu::CpuDevice;
use crate::device_info::DeviceInfo;
use crate::engine::tests::BeforeReport;
use crate::report_timeout::tests::HangingDevice;

/// The CPU, with its reports falsified on the way to the feed.
struct Forger<F>(CpuDevice, F);

impl<F: Fn(&HeaderWork, &mut Vec<u32>) + Sync + Send> Device for Forger<F> {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        self.0.run(&BeforeReport { feed, before: &self.1 })
    }
}

fn tested(forge: impl Fn(&HeaderWork, &mut Vec<u32>) + Sync + Send) -> Result<(), DeviceError> {
    let cpu = CpuDevice::new(None, None).unwrap();
    test(&mut Forger(cpu, forge), &AtomicBool::new(false))
}

fn fails(forge: impl Fn(&HeaderWork, &mut Vec<u32>) + Sync + Send, with: &str) {
    let Err(DeviceError::KnownAnswer(why)) = tested(forge) else { panic!("passed, or failed otherwise: {with}") };
    assert!(why.contains(with), "{why}");
}

#[test]
fn a_sound_device_passes_and_every_report_is_counted() {
    assert_eq!(tested(|_, _| {}), Ok(()));
    let answers = std::sync::atomic::AtomicUsize::new(0);
    let mut cpu = CpuDevice::new(None, None).unwrap();
    let answered = || {
        answers.fetch_add(1, Ordering::Relaxed);
    };
    assert_eq!(test_until(&mut cpu, &|| false, &answered), Ok(()));
    assert!(answers.into_inner() >= small_scans().len());
}

#[test]
fn a_device_that_hangs_in_the_test_is_given_up() {
    for reports in [0, 3] {
        let (mut hanging, limit) = (HangingDevice::new(reports), Duration::from_millis(50));
        let outcome = test_within(&mut hanging, limit, &AtomicBool::new(false));
        assert!(matches!(outcome, Err(DeviceError::Hung { .. })), "{outcome:?}");
    }
    let stopped = test_within(&mut HangingDevice::new(0), Duration::MAX, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(DeviceError::Hung { .. })), "{stopped:?}");
}

#[test]
fn a_device_that_misses_invents_or_repeats_fails() {
    fails(|_, nonces| nonces.clear(), "missed");
    fails(
        |work, nonces| {
            if nonces.is_empty() {
                nonces.push(work.range.first);
            }
        },
        "no hit",
    );
    fails(|work, nonces| nonces.push(work.range.first.wrapping_sub(1)), "outside");
    fails(|_, nonces| nonces.extend_from_within(..), "twice");
}

/// Faults that show only at an edge, as they do in kernels.
#[test]
fn a_device_that_misses_a_hit_at_an_edge_fails() {
    let place = |work: &HeaderWork, nonce: u32| u64::from(nonce.wrapping_sub(work.range.first));
    fails(|work, nonces| nonces.retain(|nonce| place(work, *nonce) != 0), "missed");
    fails(|work, nonces| nonces.retain(|nonce| place(work, *nonce) + 1 != work.range.count), "missed");
    for group in [16, 64, 256, 1 << 14] {
        // Only where nothing else of the batch is a hit, so that neither easy targets nor small batches tell.
        let alone = |nonces: &Vec<u32>| nonces.len() == 1;
        let first_of_group = |work: &HeaderWork, nonces: &mut Vec<u32>| {
            if alone(nonces) && work.range.count > group {
                nonces.retain(|nonce| place(work, *nonce) % group != 0);
            }
        };
        let last_of_group = |work: &HeaderWork, nonces: &mut Vec<u32>| {
            if alone(nonces) && work.range.count >= group {
                nonces.retain(|nonce| place(work, *nonce) % group != group - 1);
            }
        };
        fails(first_of_group, "missed");
        fails(last_of_group, "missed");
    }
}

/// A device of one thread that grows its batches to 2^16 nonces, in rows of 20,000, and misses what `misses` says.
struct Grown<F> {
    info: DeviceInfo,
    misses: F,
}

const GROWN: u64 = 1 << 16;
const ROW: u64 = 20_000;

impl<F: Fn(u64, u64) -> bool + Send> Device for Grown<F> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn row(&self) -> Option<u64> {
        Some(ROW)
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        let mut batch = 1 << 10;
        while let Draw::Work(work) = feed.draw(batch) {
            let mut hits = Vec::new();
            adit_hash::Backend::fastest().scan(&work.scan, work.range, &work.target, &mut hits);
            let place = |nonce: u32| u64::from(nonce.wrapping_sub(work.range.first));
            hits.retain(|nonce| !(self.misses)(place(*nonce), work.range.count));
            feed.report(&work, &hits);
            if work.range.count == batch {
                batch = (batch * 4).min(GROWN);
            }
        }
        Ok(())
    }
}

#[test]
fn a_device_that_goes_wrong_only_in_batches_as_large_as_when_mining_fails() {
    fn passes(misses: impl Fn(u64, u64) -> bool + Send) -> bool {
        let info = CpuDevice::new(None, None).unwrap().info().clone();
        test(&mut Grown { info, misses }, &AtomicBool::new(false)).is_ok()
    }
    assert!(passes(|_, _| false));
    for place in [0, GROWN - 1, ROW - 1, ROW, 3 * ROW - 1, 3 * ROW] {
        assert!(!passes(|missed, count| (missed, count) == (place, GROWN)), "{place}");
    }
    assert!(!passes(|place, _| place >= ROW), "every row but the first");
}
