//! The known-answer test that every device passes before it mines: hits planted where kernels go wrong.
//!
//! A kernel that misses hits costs its owner money and shows nothing, so the answers come from elsewhere: mainnet's genesis
//! header, whose one hit is known, and the `sha2` crate at easy targets. The hit of the genesis header stands first, last
//! and alone in ranges whose length is around the sizes of lanes, workgroups and batches; the easy targets fill the
//! candidate buffer; one range crosses 2^32.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_hash::{HEADER_LEN, Header, NonceRange, ScanJob, Target};

use crate::device::{Device, DeviceError, Draw, Feed};
use crate::job::{Extranonce, Verdict, Work};
use crate::work::TemplateId;

/// The nonce of mainnet's genesis block.
const GENESIS_NONCE: u32 = 2_083_236_893;

/// The ranges that end or begin at the genesis nonce have these lengths.
const LENGTHS: [u64; 8] = [1, 7, 16, 64, 255, 256, 257, 4_096];

/// Mainnet's genesis header, nonce included.
#[must_use]
pub(crate) fn genesis_header() -> Header {
    const MERKLE_ROOT: [u8; 32] = [
        0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f, 0x61, 0x7f, 0xc8,
        0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e, 0x5e, 0x4a,
    ];
    let mut header = [0; HEADER_LEN];
    header[0] = 1;
    header[36..68].copy_from_slice(&MERKLE_ROOT);
    header[68..72].copy_from_slice(&1_231_006_505_u32.to_le_bytes());
    header[72..76].copy_from_slice(&0x1d00_ffff_u32.to_le_bytes());
    header[76..].copy_from_slice(&GENESIS_NONCE.to_le_bytes());
    header
}

/// The target with `top` as its most significant 32 bits and ones below.
const fn target_with_top(top: u32) -> Target {
    let mut bytes = [0xff; 32];
    let top = top.to_le_bytes();
    let mut i = 0;
    while i < 4 {
        bytes[28 + i] = top[i];
        i += 1;
    }
    Target::from_le_bytes(bytes)
}

/// Runs `device` on all known answers. `stop` ends the test early, as passed.
///
/// # Errors
/// If the device fails, misses a hit, reports a nonce that is none, or leaves a nonce unsearched.
pub fn test(device: &mut dyn Device, stop: &AtomicBool) -> Result<(), DeviceError> {
    let feed = Examination::new(questions(), stop);
    device.run(&feed)?;
    if stop.load(Ordering::Acquire) { Ok(()) } else { feed.verdict().map_err(DeviceError::KnownAnswer) }
}

/// The work of the test. The id of each is its place in the list.
fn questions() -> Vec<Work> {
    let genesis = ScanJob::new(&genesis_header());
    let other = ScanJob::new(&[0xa5; HEADER_LEN]);
    let ask = |scan, first, count, top| Work {
        template: TemplateId(0),
        scan,
        range: NonceRange::new(first, count),
        target: target_with_top(top),
        extranonce: Extranonce::default(),
    };
    let mut questions = Vec::new();
    for count in LENGTHS {
        // `count` is at most 4,096.
        questions.push(ask(genesis, GENESIS_NONCE, count, 0));
        questions.push(ask(genesis, GENESIS_NONCE - (count as u32 - 1), count, 0));
        questions.push(ask(genesis, GENESIS_NONCE - count as u32, count, 0));
    }
    questions.push(ask(other, 12_345, 8_192, 0x00ff_ffff));
    questions.push(ask(other, u32::MAX - 999, 2_000, 0x07ff_ffff));
    questions.push(ask(genesis, 1, 513, 0x7fff_ffff));
    questions.push(ask(other, 7, 100, u32::MAX));
    for (id, question) in (0..).zip(&mut questions) {
        question.template = TemplateId(id);
    }
    questions
}

/// A feed that hands out the questions and gathers the answers.
struct Examination<'a> {
    questions: Vec<Work>,
    stop: &'a AtomicBool,
    sheet: Mutex<Sheet>,
}

struct Sheet {
    /// What is still to be drawn, the next piece last.
    open: Vec<Work>,
    /// For each question, the nonces searched and the candidates reported.
    answers: Vec<(u64, Vec<u32>)>,
}

impl<'a> Examination<'a> {
    fn new(questions: Vec<Work>, stop: &'a AtomicBool) -> Self {
        let open = questions.iter().rev().cloned().collect();
        let answers = vec![(0, Vec::new()); questions.len()];
        Self { questions, stop, sheet: Mutex::new(Sheet { open, answers }) }
    }

    fn verdict(self) -> Result<(), String> {
        let sheet = self.sheet.into_inner().expect("nothing that holds the sheet panics");
        for (question, (searched, mut candidates)) in self.questions.iter().zip(sheet.answers) {
            let NonceRange { first, count } = question.range;
            let place = format!("{count} nonces from {first} at top word {:#010x}", question.target.top());
            if searched != count {
                return Err(format!("{place}: {searched} nonces searched"));
            }
            candidates.sort_unstable();
            if let Some(pair) = candidates.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!("{place}: nonce {} reported twice", pair[0]));
            }
            for i in 0..count {
                // Below 2^32, as `count` is.
                let nonce = first.wrapping_add(i as u32);
                let is_hit = matches!(question.judge(nonce), Verdict::Solution(_));
                match (is_hit, candidates.binary_search(&nonce)) {
                    (true, Err(_)) => return Err(format!("{place}: nonce {nonce} missed")),
                    (false, Ok(_)) => return Err(format!("{place}: nonce {nonce} reported, and is no hit")),
                    (true, Ok(at)) => {
                        candidates.remove(at);
                    }
                    (false, Err(_)) => {}
                }
            }
            if let Some(nonce) = candidates.first() {
                return Err(format!("{place}: nonce {nonce} reported, and is outside the range"));
            }
        }
        Ok(())
    }
}

impl Feed for Examination<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        if self.stop.load(Ordering::Acquire) {
            return Draw::Done;
        }
        let mut sheet = self.sheet.lock().expect("nothing that holds the sheet panics");
        let Some(work) = sheet.open.pop() else { return Draw::Done };
        let (piece, rest) = work.split_at(nonces);
        sheet.open.extend(rest);
        Draw::Work(piece)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &Work) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn report(&self, work: &Work, candidates: &[u32]) {
        let mut sheet = self.sheet.lock().expect("nothing that holds the sheet panics");
        // Ids are the places in the list.
        let answer = &mut sheet.answers[work.template.0 as usize];
        answer.0 += work.range.count;
        answer.1.extend_from_slice(candidates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuDevice;
    use crate::device::DeviceInfo;
    use crate::job::sha256d;

    /// The CPU, with its reports falsified on the way to the feed.
    struct Forger<F>(CpuDevice, F);

    struct ForgedFeed<'a, F>(&'a dyn Feed, &'a F);

    impl<F: Fn(&mut Vec<u32>) + Sync + Send> Device for Forger<F> {
        fn info(&self) -> &DeviceInfo {
            self.0.info()
        }

        fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
            self.0.run(&ForgedFeed(feed, &self.1))
        }
    }

    impl<F: Fn(&mut Vec<u32>) + Sync> Feed for ForgedFeed<'_, F> {
        fn draw(&self, nonces: u64) -> Draw {
            self.0.draw(nonces)
        }
        fn wait(&self) {
            self.0.wait();
        }
        fn is_current(&self, work: &Work) -> bool {
            self.0.is_current(work)
        }
        fn report(&self, work: &Work, candidates: &[u32]) {
            let mut candidates = candidates.to_vec();
            (self.1)(&mut candidates);
            self.0.report(work, &candidates);
        }
    }

    fn examine(forge: impl Fn(&mut Vec<u32>) + Sync + Send) -> Result<(), DeviceError> {
        let cpu = CpuDevice::new(None, None).unwrap();
        test(&mut Forger(cpu, forge), &AtomicBool::new(false))
    }

    #[test]
    fn the_genesis_header_is_the_real_one() {
        let mut hash = sha256d(&genesis_header());
        hash.reverse();
        assert_eq!(hex::encode(hash), "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
    }

    #[test]
    fn a_sound_device_passes() {
        assert_eq!(examine(|_| {}), Ok(()));
    }

    #[test]
    fn a_device_that_misses_invents_or_repeats_fails() {
        let fails = |outcome: Result<(), DeviceError>, with: &str| {
            let Err(DeviceError::KnownAnswer(why)) = outcome else { panic!("passed, or failed otherwise") };
            assert!(why.contains(with), "{why}");
        };
        fails(examine(|nonces| nonces.retain(|nonce| *nonce != GENESIS_NONCE)), "missed");
        let invented = AtomicBool::new(false);
        let invent_once = |nonces: &mut Vec<u32>| {
            if nonces.iter().any(|nonce| (12_345..20_537).contains(nonce)) && !invented.swap(true, Ordering::Relaxed) {
                nonces.push(12_346);
            }
        };
        fails(examine(invent_once), "no hit");
        fails(examine(|nonces| nonces.push(3)), "outside");
        fails(examine(|nonces| nonces.extend_from_within(..)), "twice");
    }
}
