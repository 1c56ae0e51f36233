//! Runs one device outside the engine: to measure its rate, or to search one header.
//!
//! Both are feeds, so the device runs the very loop that it mines with.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adit_hash::{HEADER_LEN, Header, NonceRange, ScanJob, Target};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{Extranonce, Verdict, Work};
use crate::work::TemplateId;

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasurePlan {
    /// Time before the first sample, for clocks to settle and batches to reach their size.
    pub warm_up: Duration,
    /// The number of samples.
    pub samples: usize,
    /// The least time that a sample takes. It ends with the batch in hand.
    pub sample: Duration,
}

/// Measures `device` by `plan` on a target that is never met and returns each sample in hashes a second.
///
/// # Errors
/// If the device fails.
pub fn measure(device: &mut dyn Device, plan: &MeasurePlan) -> Result<Vec<f64>, DeviceError> {
    let gauge = Gauge {
        plan: *plan,
        position: AtomicU64::new(0),
        readings: Mutex::new(Readings { from: None, begun: Instant::now(), hashes: 0, rates: Vec::new() }),
    };
    device.run(&gauge)?;
    Ok(gauge.readings.into_inner().expect("nothing that holds the readings panics").rates)
}

/// A feed without end whose reports are timed.
struct Gauge {
    plan: MeasurePlan,
    /// The first nonce not drawn, counted on over headers.
    position: AtomicU64,
    readings: Mutex<Readings>,
}

struct Readings {
    /// When the sample in hand began; `None` while warming up.
    from: Option<Instant>,
    /// When the measurement began.
    begun: Instant,
    /// Hashes since `from`.
    hashes: u64,
    rates: Vec<f64>,
}

impl Feed for Gauge {
    fn draw(&self, nonces: u64) -> Draw {
        if self.readings.lock().expect("nothing that holds the readings panics").rates.len() >= self.plan.samples {
            return Draw::Done;
        }
        let position = self.position.fetch_add(nonces, Ordering::Relaxed);
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&(position >> 32).to_le_bytes());
        // A range may wrap, and repeats some of the header's nonces then: nothing is looked for.
        Draw::Work(Work {
            template: TemplateId(0),
            scan: ScanJob::new(&header),
            range: NonceRange::new(position as u32, nonces),
            target: Target::from_le_bytes([0; 32]),
            extranonce: Extranonce::default(),
        })
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &Work) -> bool {
        true
    }

    fn report(&self, work: &Work, _candidates: &[u32]) {
        let now = Instant::now();
        let mut readings = self.readings.lock().expect("nothing that holds the readings panics");
        // Samples begin and end with a report: cut by the clock, each would win or lose up to a batch.
        let Some(from) = readings.from else {
            if now - readings.begun >= self.plan.warm_up {
                readings.from = Some(now);
            }
            return;
        };
        readings.hashes += work.range.count;
        let took = now.saturating_duration_since(from);
        if took >= self.plan.sample && !took.is_zero() {
            let rate = readings.hashes as f64 / took.as_secs_f64();
            readings.rates.push(rate);
            readings.from = Some(now);
            readings.hashes = 0;
        }
    }
}

/// What a search of one header came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Solved {
    /// The first hit in the order of the range, if there is any.
    pub nonce: Option<u32>,
    /// The nonces searched.
    pub hashes: u64,
    /// The nonces that the device reported although their hash is above the target.
    pub hardware_errors: u64,
}

/// Searches `range` of `header` for the first hash that meets `target`. `progress` is told the nonces searched so far, from
/// the device's threads, after every batch.
///
/// # Errors
/// If the device fails.
pub fn solve(
    device: &mut dyn Device,
    header: &Header,
    range: NonceRange,
    target: &Target,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Solved, DeviceError> {
    let whole = Work {
        template: TemplateId(0),
        scan: ScanJob::new(header),
        range,
        target: *target,
        extranonce: Extranonce::default(),
    };
    let search = Search {
        first: range.first,
        progress,
        state: Mutex::new(SearchState { rest: (range.count > 0).then_some(whole), solved: Solved::default() }),
    };
    device.run(&search)?;
    Ok(search.state.into_inner().expect("nothing that holds the search panics").solved)
}

/// A feed that gives out one header's nonces until one is a hit.
struct Search<'a> {
    first: u32,
    progress: &'a (dyn Fn(u64) + Sync),
    state: Mutex<SearchState>,
}

struct SearchState {
    rest: Option<Work>,
    solved: Solved,
}

impl Feed for Search<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        let mut state = self.state.lock().expect("nothing that holds the search panics");
        // After a hit only what is in flight is finished: it may hold an earlier one, what was not drawn cannot.
        if state.solved.nonce.is_some() {
            return Draw::Done;
        }
        let Some(work) = state.rest.take() else { return Draw::Done };
        let (piece, rest) = work.split_at(nonces);
        state.rest = rest;
        Draw::Work(piece)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &Work) -> bool {
        true
    }

    fn report(&self, work: &Work, candidates: &[u32]) {
        let hashes = {
            let mut state = self.state.lock().expect("nothing that holds the search panics");
            let solved = &mut state.solved;
            solved.hashes += work.range.count;
            for &nonce in candidates {
                match work.judge(nonce) {
                    Verdict::Solution(_) => {
                        let place = |nonce: u32| nonce.wrapping_sub(self.first);
                        if solved.nonce.is_none_or(|best| place(nonce) < place(best)) {
                            solved.nonce = Some(nonce);
                        }
                    }
                    Verdict::Near => {}
                    Verdict::Wrong => solved.hardware_errors += 1,
                }
            }
            solved.hashes
        };
        (self.progress)(hashes);
    }
}

#[cfg(test)]
mod tests {
    use adit_hash::GENESIS;

    use super::*;
    use crate::cpu::CpuDevice;

    #[test]
    fn the_first_hit_of_the_range_is_found_and_nothing_where_there_is_none() {
        let mut cpu = CpuDevice::new(None, None).unwrap();
        let mut bytes = [0xff; 32];
        bytes[28..].fill(0);
        let target = Target::from_le_bytes(bytes);
        let mut search = |first, count| {
            let reported = AtomicU64::new(0);
            let progress = |hashes| {
                reported.fetch_max(hashes, Ordering::Relaxed);
            };
            let solved = solve(&mut cpu, &GENESIS, NonceRange::new(first, count), &target, &progress).unwrap();
            assert_eq!((reported.into_inner(), solved.hardware_errors), (solved.hashes, 0));
            solved
        };
        assert_eq!(search(2_083_200_000, 100_000).nonce, Some(2_083_236_893));
        assert_eq!(search(2_083_200_000, 36_893), Solved { nonce: None, hashes: 36_893, hardware_errors: 0 });
        assert_eq!(search(5, 0), Solved::default());
    }

    #[test]
    fn the_first_of_many_hits_is_returned() {
        let mut cpu = CpuDevice::new(std::num::NonZeroUsize::new(4), None).unwrap();
        let target = Target::from_le_bytes([[0xff; 30].as_slice(), &[0xff, 0x00]].concat().try_into().unwrap());
        let header = [0x77; HEADER_LEN];
        let whole = Work {
            template: TemplateId(0),
            scan: ScanJob::new(&header),
            range: NonceRange::new(u32::MAX - 5, 1 << 20),
            target,
            extranonce: Extranonce::default(),
        };
        let first = (0..1 << 20)
            .map(|i| whole.range.first.wrapping_add(i))
            .find(|&n| matches!(whole.judge(n), Verdict::Solution(_)));
        for _ in 0..20 {
            assert_eq!(solve(&mut cpu, &header, whole.range, &target, &|_| {}).unwrap().nonce, first);
        }
    }

    #[test]
    fn a_measurement_gives_the_samples_asked_for() {
        let mut cpu = CpuDevice::new(None, None).unwrap();
        let plan = MeasurePlan { warm_up: Duration::from_millis(20), samples: 3, sample: Duration::from_millis(30) };
        let rates = measure(&mut cpu, &plan).unwrap();
        assert!(rates.len() >= 3 && rates.iter().all(|rate| *rate > 0.0), "{rates:?}");
    }
}
