//! Searches one header with one device, without an engine.
//!
//! The search is a feed, so the device runs the same loop as when it mines.

use std::sync::Mutex;
use std::time::Duration;

use adit_hash::{HeaderBytes, NonceRange, ScanJob, ScanTarget};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{CheckedCandidate, Extranonce, HeaderWork};
use crate::report_timeout::{self, ReportTimeout};
use crate::work::TemplateId;

/// The result of a search of one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Solved {
    /// The first hit in the order of the range, if there is any.
    pub nonce: Option<u32>,
    /// The nonces searched.
    pub hashes: u64,
    /// The nonces that the device reported although their hash is above the target.
    pub hardware_errors: u64,
}

/// Searches `range` of `header` for the first hash that meets `target`. After every batch, `progress` is called with the number
/// of nonces searched so far, from one of the device's threads.
///
/// # Errors
/// If the device fails. One that reports nothing for two minutes is given up.
pub fn solve(
    device: &mut dyn Device,
    header: &HeaderBytes,
    range: NonceRange,
    target: &ScanTarget,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Solved, DeviceError> {
    solve_within(report_timeout::LIMIT, device, header, range, target, progress)
}

/// [`solve`] that gives up a device that reports nothing for `limit`.
fn solve_within(
    limit: Duration,
    device: &mut dyn Device,
    header: &HeaderBytes,
    range: NonceRange,
    target: &ScanTarget,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Solved, DeviceError> {
    let whole = HeaderWork {
        template: TemplateId(0),
        scan: ScanJob::new(header),
        range,
        target: *target,
        extranonce: Extranonce::default(),
    };
    let search = Search {
        first: range.first,
        progress,
        timeout: ReportTimeout::new(limit),
        state: Mutex::new(SearchState { rest: (range.count > 0).then_some(whole), solved: Solved::default() }),
    };
    device.run(&search)?;
    Ok(search.state.into_inner().expect("nothing that holds the search panics").solved)
}

/// A feed that gives out one header's nonces until one is a hit.
struct Search<'a> {
    first: u32,
    progress: &'a (dyn Fn(u64) + Sync),
    timeout: ReportTimeout,
    state: Mutex<SearchState>,
}

struct SearchState {
    rest: Option<HeaderWork>,
    solved: Solved,
}

impl Feed for Search<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        let mut state = self.state.lock().expect("nothing that holds the search panics");
        // After a hit, work in flight is finished, as it may have an earlier hit. Work that is not drawn cannot.
        if state.solved.nonce.is_some() {
            return Draw::Done;
        }
        let Some(work) = state.rest.take() else { return Draw::Done };
        let (piece, rest) = work.split_at(nonces);
        state.rest = rest;
        Draw::Work(piece)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        true
    }

    fn has_given_up(&self) -> bool {
        self.timeout.has_passed()
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        self.timeout.restart();
        let hashes = {
            let mut state = self.state.lock().expect("nothing that holds the search panics");
            let solved = &mut state.solved;
            solved.hashes += work.range.count;
            for &nonce in candidates {
                match work.check_nonce(nonce) {
                    CheckedCandidate::Solution(_) => {
                        let place = |nonce: u32| nonce.wrapping_sub(self.first);
                        if solved.nonce.is_none_or(|best| place(nonce) < place(best)) {
                            solved.nonce = Some(nonce);
                        }
                    }
                    CheckedCandidate::AboveTarget => {}
                    CheckedCandidate::HardwareError => solved.hardware_errors += 1,
                }
            }
            solved.hashes
        };
        (self.progress)(hashes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use adit_hash::{GENESIS, GENESIS_NONCE, HEADER_LEN};

    use super::*;
    use crate::cpu::CpuDevice;
    use crate::report_timeout::tests::HangingDevice;

    #[test]
    fn the_first_hit_of_the_range_is_found_and_nothing_where_there_is_none() {
        let mut cpu = CpuDevice::new(None, None).unwrap();
        let mut bytes = [0xff; 32];
        bytes[28..].fill(0);
        let target = ScanTarget::from_le_bytes(bytes);
        let mut search = |first, count| {
            let reported = AtomicU64::new(0);
            let progress = |hashes| {
                reported.fetch_max(hashes, Ordering::Relaxed);
            };
            let solved = solve(&mut cpu, &GENESIS, NonceRange::new(first, count), &target, &progress).unwrap();
            assert_eq!((reported.into_inner(), solved.hardware_errors), (solved.hashes, 0));
            solved
        };
        assert_eq!(search(2_083_200_000, 100_000).nonce, Some(GENESIS_NONCE));
        assert_eq!(search(2_083_200_000, 36_893), Solved { nonce: None, hashes: 36_893, hardware_errors: 0 });
        assert_eq!(search(5, 0), Solved::default());
    }

    #[test]
    fn a_device_that_hangs_is_given_up() {
        let (limit, range) = (Duration::from_millis(50), NonceRange::new(0, 100));
        let hard = ScanTarget::from_le_bytes([0; 32]);
        let outcome = solve_within(limit, &mut HangingDevice::new(2), &GENESIS, range, &hard, &|_| {});
        assert!(matches!(outcome, Err(DeviceError::Hung { .. })), "{outcome:?}");
    }

    #[test]
    fn the_first_of_many_hits_is_returned() {
        let mut cpu = CpuDevice::new(std::num::NonZeroUsize::new(4), None).unwrap();
        let target = ScanTarget::from_le_bytes([[0xff; 30].as_slice(), &[0xff, 0x00]].concat().try_into().unwrap());
        let header = [0x77; HEADER_LEN];
        let whole = HeaderWork {
            template: TemplateId(0),
            scan: ScanJob::new(&header),
            range: NonceRange::new(u32::MAX - 5, 1 << 20),
            target,
            extranonce: Extranonce::default(),
        };
        let first = (0..1 << 20)
            .map(|i| whole.range.first.wrapping_add(i))
            .find(|&n| matches!(whole.check_nonce(n), CheckedCandidate::Solution(_)));
        for _ in 0..20 {
            assert_eq!(solve(&mut cpu, &header, whole.range, &target, &|_| {}).unwrap().nonce, first);
        }
    }
}
