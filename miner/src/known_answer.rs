//! The known-answer test that every device passes before it mines: hits planted where kernels go wrong.
//!
//! A kernel that misses hits costs its owner money and shows nothing. The questions and their answers are the hash crate's
//! (`hash/src/known_answers.rs`), which puts them to the CPU's kernels by themselves; here they go through a feed, so that
//! what is tested is the device as it mines: its batches, its buffers, its threads, its driver.
//!
//! Those questions are small. After them come batches as large as the device asks for, which only mining would reach
//! otherwise, with the genesis block's nonce at their edges. As devices size batches by time, a slow one is asked small ones.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_hash::{GENESIS, KnownAnswer, NonceRange, ScanJob, ScanTarget, known_answers};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{CheckedCandidate, Extranonce, HeaderWork};
use crate::work::TemplateId;

/// Hits stand at the first and last nonces of groups of these sizes: a CPU kernel's lanes, up to two interleaved groups of
/// 16; a GPU's workgroups; and the batch that every device begins with.
const GROUPS: [u32; 8] = [1, 4, 8, 16, 32, 64, 256, 1 << 14];

/// A batch that is larger than all before by this factor begins the questions about whole batches anew.
const GROWTH: f64 = 1.5;

/// Whole batches at most: a device whose batches still grow then has grown by 2^16 and more, or is of no settled mind.
const MOST_BATCHES: u32 = 48;

/// The largest batch asked. The genesis block's nonce can be its first and its last without a wrap at 2^32.
const LARGEST_BATCH: u64 = 1 << 30;

/// Runs `device` on all known answers. `stop` ends the test early, as passed.
///
/// # Errors
/// If the device fails, misses a hit, reports a nonce that is none, or leaves a nonce unsearched.
pub fn test(device: &mut dyn Device, stop: &AtomicBool) -> Result<(), DeviceError> {
    examine(device, &|| stop.load(Ordering::Acquire), &|| {})
}

/// The same. `over` says whether to end early; `answered` hears of every answer.
pub(crate) fn examine(
    device: &mut dyn Device,
    over: &(dyn Fn() -> bool + Sync),
    answered: &(dyn Fn() + Sync),
) -> Result<(), DeviceError> {
    let feed = Examination::new(device.row(), over, answered);
    device.run(&feed)?;
    if over() { Ok(()) } else { feed.verdict().map_err(DeviceError::KnownAnswer) }
}

/// What is asked, each once. Answers about no nonces are left out: a feed never gives such work.
fn questions() -> Vec<KnownAnswer> {
    let mut questions: Vec<KnownAnswer> = Vec::new();
    for group in GROUPS {
        for answer in known_answers(group) {
            if answer.range.count > 0 && !questions.contains(&answer) {
                questions.push(answer);
            }
        }
    }
    questions
}

/// A feed that hands out the questions and gathers the answers.
struct Examination<'a> {
    over: &'a (dyn Fn() -> bool + Sync),
    answered: &'a (dyn Fn() + Sync),
    sheet: Mutex<Sheet>,
}

struct Sheet {
    questions: Vec<KnownAnswer>,
    /// What is still to be drawn, the next piece last.
    open: Vec<HeaderWork>,
    batches: Batches,
    /// For each question, the nonces searched and the candidates reported.
    answers: Vec<(u64, Vec<u32>)>,
}

/// The questions about whole batches.
struct Batches {
    /// After how many nonces of a batch another row of the device's threads begins.
    row: Option<u64>,
    asked: u32,
    /// The size that the questions since are about, give or take [`GROWTH`].
    size: u64,
    /// How many of them were asked.
    of_size: usize,
}

impl Batches {
    /// The next question for a device that asks for `nonces`; none where the batches have settled and every edge was asked.
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
        if self.asked == MOST_BATCHES {
            return None;
        }
        self.of_size += 1;
        self.asked += 1;
        Some(genesis_at(place, count))
    }
}

/// A range of `count` nonces, at most [`LARGEST_BATCH`], in which the genesis block's stands behind `place` others. There may
/// be more that meet its target.
fn genesis_at(place: u64, count: u64) -> KnownAnswer {
    let [.., a, b, c, d] = GENESIS;
    let nonce = u32::from_le_bytes([a, b, c, d]);
    let mut target = [0; 32];
    [target[26], target[27]] = [0xff, 0xff];
    // The place is below 2^30, and the nonce is not.
    let range = NonceRange::new(nonce - place as u32, count);
    KnownAnswer { job: ScanJob::new(&GENESIS), range, target: ScanTarget::from_le_bytes(target), hits: vec![nonce] }
}

impl<'a> Examination<'a> {
    fn new(row: Option<u64>, over: &'a (dyn Fn() -> bool + Sync), answered: &'a (dyn Fn() + Sync)) -> Self {
        let questions = questions();
        let mut open: Vec<_> = (0..).zip(&questions).map(|(id, question)| work(id, question)).collect();
        open.reverse();
        let answers = vec![(0, Vec::new()); questions.len()];
        let batches = Batches { row, asked: 0, size: 0, of_size: 0 };
        Self { over, answered, sheet: Mutex::new(Sheet { questions, open, batches, answers }) }
    }

    fn verdict(self) -> Result<(), String> {
        let sheet = self.sheet.into_inner().expect("nothing that holds the sheet panics");
        let answers = sheet.answers.into_iter();
        (0..).zip(sheet.questions).zip(answers).try_for_each(|((id, question), (searched, candidates))| {
            let (NonceRange { first, count }, top) = (question.range, question.target.top());
            check(&question, &work(id, &question), searched, candidates)
                .map_err(|fault| format!("{count} nonces from {first} at top word {top:#010x}: {fault}"))
        })
    }
}

impl Sheet {
    /// The next work of at most `nonces` nonces.
    fn draw(&mut self, nonces: u64) -> Option<HeaderWork> {
        let Some(work) = self.open.pop() else {
            let question = self.batches.next(nonces)?;
            let work = work(self.questions.len() as u64, &question);
            self.questions.push(question);
            self.answers.push((0, Vec::new()));
            return Some(work);
        };
        let (piece, rest) = work.split_at(nonces);
        self.open.extend(rest);
        Some(piece)
    }
}

/// A question as a device draws it. The template's id is the question's place in the list.
fn work(id: u64, question: &KnownAnswer) -> HeaderWork {
    HeaderWork {
        template: TemplateId(id),
        scan: question.job,
        range: question.range,
        target: question.target,
        extranonce: Extranonce::default(),
    }
}

/// What is wrong with an answer, if anything is.
fn check(question: &KnownAnswer, work: &HeaderWork, searched: u64, mut candidates: Vec<u32>) -> Result<(), String> {
    if searched != question.range.count {
        return Err(format!("{searched} nonces searched"));
    }
    let place = |nonce: &u32| nonce.wrapping_sub(question.range.first);
    candidates.sort_unstable_by_key(place);
    if let Some(pair) = candidates.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("nonce {} reported twice", pair[0]));
    }
    let reported = |hit: &&u32| candidates.binary_search_by_key(&place(hit), place).is_ok();
    if let Some(hit) = question.hits.iter().find(|hit| !reported(hit)) {
        return Err(format!("nonce {hit} missed"));
    }
    // A device compares the most significant word only, so there may be more candidates than hits.
    let is_hit = |nonce: &u32| question.hits.binary_search_by_key(&place(nonce), place).is_ok();
    match candidates
        .iter()
        .find(|nonce| !is_hit(nonce) && work.check_candidate(**nonce) == CheckedCandidate::HardwareError)
    {
        Some(nonce) if u64::from(place(nonce)) < question.range.count => {
            Err(format!("nonce {nonce} reported, and is no hit"))
        }
        Some(nonce) => Err(format!("nonce {nonce} reported, and is outside the range")),
        None => Ok(()),
    }
}

impl Feed for Examination<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        if (self.over)() {
            return Draw::Done;
        }
        let mut sheet = self.sheet.lock().expect("nothing that holds the sheet panics");
        sheet.draw(nonces).map_or(Draw::Done, Draw::Work)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        !(self.over)()
    }

    fn has_given_up(&self) -> bool {
        (self.over)()
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let mut sheet = self.sheet.lock().expect("nothing that holds the sheet panics");
        // Ids are the places in the list.
        let answer = &mut sheet.answers[work.template.0 as usize];
        answer.0 += work.range.count;
        answer.1.extend_from_slice(candidates);
        drop(sheet);
        (self.answered)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuDevice;
    use crate::device_info::DeviceInfo;

    /// The CPU, with its reports falsified on the way to the feed.
    struct Forger<F>(CpuDevice, F);

    struct ForgedFeed<'a, F>(&'a dyn Feed, &'a F);

    impl<F: Fn(&HeaderWork, &mut Vec<u32>) + Sync + Send> Device for Forger<F> {
        fn info(&self) -> &DeviceInfo {
            self.0.info()
        }

        fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
            self.0.run(&ForgedFeed(feed, &self.1))
        }
    }

    impl<F: Fn(&HeaderWork, &mut Vec<u32>) + Sync> Feed for ForgedFeed<'_, F> {
        fn draw(&self, nonces: u64) -> Draw {
            self.0.draw(nonces)
        }
        fn wait(&self) {
            self.0.wait();
        }
        fn is_current(&self, work: &HeaderWork) -> bool {
            self.0.is_current(work)
        }
        fn report(&self, work: &HeaderWork, candidates: &[u32]) {
            let mut candidates = candidates.to_vec();
            (self.1)(work, &mut candidates);
            self.0.report(work, &candidates);
        }
    }

    fn examine(forge: impl Fn(&HeaderWork, &mut Vec<u32>) + Sync + Send) -> Result<(), DeviceError> {
        let cpu = CpuDevice::new(None, None).unwrap();
        test(&mut Forger(cpu, forge), &AtomicBool::new(false))
    }

    fn fails(forge: impl Fn(&HeaderWork, &mut Vec<u32>) + Sync + Send, with: &str) {
        let Err(DeviceError::KnownAnswer(why)) = examine(forge) else { panic!("passed, or failed otherwise: {with}") };
        assert!(why.contains(with), "{why}");
    }

    #[test]
    fn a_sound_device_passes_and_every_answer_is_heard() {
        assert_eq!(examine(|_, _| {}), Ok(()));
        let answers = std::sync::atomic::AtomicUsize::new(0);
        let mut cpu = CpuDevice::new(None, None).unwrap();
        let answered = || {
            answers.fetch_add(1, Ordering::Relaxed);
        };
        assert_eq!(super::examine(&mut cpu, &|| false, &answered), Ok(()));
        assert!(answers.into_inner() >= questions().len());
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
        fn examined(misses: impl Fn(u64, u64) -> bool + Send) -> bool {
            let info = CpuDevice::new(None, None).unwrap().info().clone();
            test(&mut Grown { info, misses }, &AtomicBool::new(false)).is_ok()
        }
        assert!(examined(|_, _| false));
        for place in [0, GROWN - 1, ROW - 1, ROW, 3 * ROW - 1, 3 * ROW] {
            assert!(!examined(|missed, count| (missed, count) == (place, GROWN)), "{place}");
        }
        assert!(!examined(|place, _| place >= ROW), "every row but the first");
    }
}
