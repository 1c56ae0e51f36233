//! The known-answer test that every device passes before it mines: hits at the places where kernels go wrong.
//!
//! A kernel that misses hits has the same hashrate as a correct one. The scans and their answers come from the hash crate
//! (`hash/src/known_answers.rs`). There they test a kernel alone; here they go through a feed, and so test the device as it
//! mines: its batches, buffers, threads and driver.
//!
//! Those scans are small. After them come batches as large as the device asks for, with the genesis block's nonce at their
//! edges: sizes that only mining reaches otherwise. Devices size batches by time, so a slow one gets small batches.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_hash::{GENESIS, GENESIS_NONCE, GENESIS_TARGET, KnownAnswer, NonceRange, ScanJob, known_answers};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{CheckedCandidate, Extranonce, HeaderWork};
use crate::report_timeout::{self, ReportTimeout};
use crate::work::TemplateId;

/// Hits are at the first and last nonces of groups of these sizes: a CPU kernel's lanes (up to two interleaved groups of 16), a
/// GPU's workgroups, and the batch that every device begins with.
const GROUPS: [u32; 8] = [1, 4, 8, 16, 32, 64, 256, 1 << 14];

/// The scans of whole batches begin anew with a batch that is larger than all before by this factor.
const GROWTH: f64 = 1.5;

/// The most whole batches. A device whose batches still grow after them has grown by 2^16 and more, or does not settle.
const MOST_BATCHES: u32 = 48;

/// The largest batch. The genesis block's nonce can be its first and its last nonce without a wrap at 2^32.
const LARGEST_BATCH: u64 = 1 << 30;

/// Runs `device` on all known answers. `stop` ends the test early, as passed.
///
/// # Errors
/// If the device fails, misses a hit, reports a nonce that is none, or leaves a nonce unsearched. A device that reports nothing
/// for two minutes is given up.
pub fn test(device: &mut dyn Device, stop: &AtomicBool) -> Result<(), DeviceError> {
    test_within(device, report_timeout::LIMIT, stop)
}

/// [`test`] that gives up a device that reports nothing for `limit`.
fn test_within(device: &mut dyn Device, limit: Duration, stop: &AtomicBool) -> Result<(), DeviceError> {
    let (timeout, stopped) = (ReportTimeout::new(limit), || stop.load(Ordering::Acquire));
    test_by(device, &stopped, &|| stopped() || timeout.has_passed(), &|| timeout.restart())
}

/// [`test`] under a watchdog: `over` says whether the test ends early, which also gives the device up; `answered` is called
/// at every report.
pub(crate) fn test_until(
    device: &mut dyn Device,
    over: &(dyn Fn() -> bool + Sync),
    answered: &(dyn Fn() + Sync),
) -> Result<(), DeviceError> {
    test_by(device, over, over, answered)
}

fn test_by(
    device: &mut dyn Device,
    over: &(dyn Fn() -> bool + Sync),
    given_up: &(dyn Fn() -> bool + Sync),
    answered: &(dyn Fn() + Sync),
) -> Result<(), DeviceError> {
    let feed = TestFeed::new(device.row(), over, given_up, answered);
    device.run(&feed)?;
    if over() { Ok(()) } else { feed.result().map_err(DeviceError::KnownAnswer) }
}

/// The small scans, each once. Scans of no nonces are left out: a feed never gives such work.
fn small_scans() -> Vec<KnownAnswer> {
    let mut scans: Vec<KnownAnswer> = Vec::new();
    for group in GROUPS {
        for answer in known_answers(group) {
            if answer.range.count > 0 && !scans.contains(&answer) {
                scans.push(answer);
            }
        }
    }
    scans
}

/// A feed that gives out the scans and collects what the device reports.
struct TestFeed<'a> {
    over: &'a (dyn Fn() -> bool + Sync),
    given_up: &'a (dyn Fn() -> bool + Sync),
    answered: &'a (dyn Fn() + Sync),
    state: Mutex<TestState>,
}

struct TestState {
    scans: Vec<KnownAnswer>,
    /// What is not yet drawn of the small scans, the next piece last.
    open: Vec<HeaderWork>,
    batches: Batches,
    /// For each scan, the nonces searched and the candidates reported.
    answers: Vec<(u64, Vec<u32>)>,
}

/// The scans of whole batches.
struct Batches {
    /// After how many nonces of a batch another row of the device's threads begins.
    row: Option<u64>,
    /// How many were given out.
    given: u32,
    /// The size of the last ones, give or take [`GROWTH`].
    size: u64,
    /// How many were given out of that size.
    of_size: usize,
}

impl Batches {
    /// The next scan for a device that asks for `nonces`; `None` once the batches have settled and every edge had its hit.
    fn next(&mut self, nonces: u64) -> Option<KnownAnswer> {
        let count = nonces.clamp(1, LARGEST_BATCH);
        if count as f64 > self.size as f64 * GROWTH {
            (self.size, self.of_size) = (count, 0);
        }
        let mut places = vec![0, count - 1];
        if let Some(row) = self.row.filter(|row| (1..count).contains(row)) {
            let last_row = (count - 1) / row * row;
            places.extend([row - 1, row, last_row - 1, last_row]);
        }
        let place = *places.get(self.of_size)?;
        if self.given == MOST_BATCHES {
            return None;
        }
        self.of_size += 1;
        self.given += 1;
        Some(genesis_at(place, count))
    }
}

/// A scan of `count` nonces, at most [`LARGEST_BATCH`], in which `place` nonces come before the genesis block's. Others may
/// meet its target, too.
fn genesis_at(place: u64, count: u64) -> KnownAnswer {
    // The place is below 2^30, and the nonce is not.
    let range = NonceRange::new(GENESIS_NONCE - place as u32, count);
    KnownAnswer::new(ScanJob::new(&GENESIS), range, GENESIS_TARGET, vec![GENESIS_NONCE])
}

impl<'a> TestFeed<'a> {
    fn new(
        row: Option<u64>,
        over: &'a (dyn Fn() -> bool + Sync),
        given_up: &'a (dyn Fn() -> bool + Sync),
        answered: &'a (dyn Fn() + Sync),
    ) -> Self {
        let scans = small_scans();
        let mut open: Vec<_> = (0..).zip(&scans).map(|(id, scan)| work(id, scan)).collect();
        open.reverse();
        let answers = vec![(0, Vec::new()); scans.len()];
        let batches = Batches { row, given: 0, size: 0, of_size: 0 };
        Self { over, given_up, answered, state: Mutex::new(TestState { scans, open, batches, answers }) }
    }

    fn result(self) -> Result<(), String> {
        let state = self.state.into_inner().expect("nothing that holds the state panics");
        let answers = state.answers.into_iter();
        (0..).zip(state.scans).zip(answers).try_for_each(|((id, scan), (searched, candidates))| {
            let (NonceRange { first, count, .. }, top) = (scan.range, scan.target.top());
            check(&scan, &work(id, &scan), searched, candidates)
                .map_err(|fault| format!("{count} nonces from {first} at top word {top:#010x}: {fault}"))
        })
    }
}

impl TestState {
    /// The next work of at most `nonces` nonces.
    fn draw(&mut self, nonces: u64) -> Option<HeaderWork> {
        let Some(work) = self.open.pop() else {
            let scan = self.batches.next(nonces)?;
            let work = work(self.scans.len() as u64, &scan);
            self.scans.push(scan);
            self.answers.push((0, Vec::new()));
            return Some(work);
        };
        let (piece, rest) = work.split_at(nonces);
        self.open.extend(rest);
        Some(piece)
    }
}

/// A scan as a device draws it. The template's id is the scan's place in the list.
fn work(id: u64, scan: &KnownAnswer) -> HeaderWork {
    HeaderWork {
        template: TemplateId(id),
        scan: scan.job,
        range: scan.range,
        target: scan.target,
        extranonce: Extranonce::default(),
    }
}

/// Compares what a device reported for a scan with its known answer.
fn check(scan: &KnownAnswer, work: &HeaderWork, searched: u64, mut candidates: Vec<u32>) -> Result<(), String> {
    if searched != scan.range.count {
        return Err(format!("{searched} nonces searched"));
    }
    let place = |nonce: &u32| nonce.wrapping_sub(scan.range.first);
    candidates.sort_unstable_by_key(place);
    if let Some(pair) = candidates.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("nonce {} reported twice", pair[0]));
    }
    let reported = |hit: &&u32| candidates.binary_search_by_key(&place(hit), place).is_ok();
    if let Some(hit) = scan.hits.iter().find(|hit| !reported(hit)) {
        return Err(format!("nonce {hit} missed"));
    }
    // A device compares the most significant word only, so there may be more candidates than hits.
    let is_hit = |nonce: &u32| scan.hits.binary_search_by_key(&place(nonce), place).is_ok();
    match candidates.iter().find(|nonce| !is_hit(nonce) && work.check_nonce(**nonce) == CheckedCandidate::HardwareError)
    {
        Some(nonce) if u64::from(place(nonce)) < scan.range.count => {
            Err(format!("nonce {nonce} reported, and is no hit"))
        }
        Some(nonce) => Err(format!("nonce {nonce} reported, and is outside the range")),
        None => Ok(()),
    }
}

impl Feed for TestFeed<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        if (self.over)() {
            return Draw::Done;
        }
        let mut state = self.state.lock().expect("nothing that holds the state panics");
        state.draw(nonces).map_or(Draw::Done, Draw::Work)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        !(self.over)()
    }

    fn has_given_up(&self) -> bool {
        (self.given_up)()
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let mut state = self.state.lock().expect("nothing that holds the state panics");
        // Ids are the places in the list.
        let answer = &mut state.answers[work.template.0 as usize];
        answer.0 += work.range.count;
        answer.1.extend_from_slice(candidates);
        drop(state);
        (self.answered)();
    }
}

#[cfg(test)]
mod tests;
