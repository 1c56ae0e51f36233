//! The CPU as a mining device: threads that scan with one of the hash crate's kernels.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adit_hash::Backend;

use crate::device::{Device, DeviceError, Draw, Feed, batch_for_candidates};
use crate::device_info::{CpuInfo, DeviceId, DeviceInfo, DeviceKind};
use crate::job::HeaderWork;

/// A thread's first batch in nonces: under 10 ms with any kernel on any CPU of the last ten years.
const FIRST_BATCH: u64 = 1 << 14;

/// The largest batch in nonces. It bounds the growth where the clock jumps.
const LARGEST_BATCH: u64 = 1 << 24;

/// A batch that took less time is followed by one twice as large.
const SHORT: Duration = Duration::from_micros(2_500);

/// A batch that took more time is followed by one half as large.
const LONG: Duration = Duration::from_millis(10);

/// The most candidates to expect of one batch. On a chain where every second hash is a block, a batch should not go on long
/// after its first hit.
const CANDIDATES: u64 = 16;

/// CPU threads that scan.
#[derive(Debug)]
pub struct CpuDevice {
    info: DeviceInfo,
    backend: Backend,
    threads: usize,
}

impl CpuDevice {
    /// The CPU with `threads` threads (by default as many as the system grants this process) and `backend` (by default the
    /// fastest that it runs).
    ///
    /// # Errors
    /// If the CPU lacks the instructions of `backend`.
    pub fn new(threads: Option<NonZeroUsize>, backend: Option<Backend>) -> Result<Self, DeviceError> {
        let backend = backend.unwrap_or_else(Backend::fastest);
        if !backend.is_supported() {
            return Err(DeviceError::Refused(format!("this CPU lacks the instructions of backend {backend}")));
        }
        let threads = threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let kind = DeviceKind::Cpu(CpuInfo { threads, instruction_sets: instruction_sets(), backend });
        Ok(Self { info: DeviceInfo { id: DeviceId::Cpu, name: model(), kind }, backend, threads })
    }

    /// Searches in one thread until the feed is done, or until another thread has panicked.
    fn search(&self, feed: &dyn Feed, panicked: &AtomicBool) {
        let _flag = PanicFlag(panicked);
        let mut batch = FIRST_BATCH;
        let mut most = FIRST_BATCH;
        let mut hits = Vec::new();
        while !panicked.load(Ordering::Relaxed) {
            let work = match feed.draw(batch.min(most)) {
                Draw::Work(work) => work,
                Draw::Empty => {
                    feed.wait();
                    continue;
                }
                Draw::Done => return,
            };
            let allowed = batch_for_candidates(work.target.top(), CANDIDATES);
            let full = work.range.count >= batch;
            let took = self.scan(feed, work, allowed, &mut hits);
            // The time of a smaller draw, at the end of a header or with an easy target, does not show the kernel's speed.
            if full && took < SHORT {
                batch = (batch * 2).min(LARGEST_BATCH);
            } else if took > LONG {
                batch = (batch / 2).max(1);
            }
            most = allowed;
        }
    }

    /// Searches `work` in pieces of at most `allowed` nonces, reports them, and returns how long it took. Only the first draw
    /// after a change of target needs more than one piece.
    fn scan(&self, feed: &dyn Feed, work: HeaderWork, allowed: u64, hits: &mut Vec<u32>) -> Duration {
        let start = Instant::now();
        let mut rest = Some(work);
        while let Some(work) = rest {
            if !feed.is_current(&work) {
                break;
            }
            let (piece, left) = work.split_at(allowed);
            hits.clear();
            self.backend.scan(&piece.scan, piece.range, &piece.target, hits);
            feed.report(&piece, hits);
            rest = left;
        }
        start.elapsed()
    }
}

/// Sets a flag when its thread panics, so that the other threads end and the panic is reported.
struct PanicFlag<'a>(&'a AtomicBool);

impl Drop for PanicFlag<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        let this = &*self;
        let panicked = &AtomicBool::new(false);
        thread::scope(|scope| {
            let mut threads = Vec::with_capacity(this.threads);
            for i in 0..this.threads {
                let search = move || this.search(feed, panicked);
                let started = thread::Builder::new().name(format!("cpu{i}")).spawn_scoped(scope, search);
                match started {
                    Ok(thread) => threads.push(thread),
                    // The device runs on the threads that did start.
                    Err(error) => {
                        tracing::warn!("cpu thread {i} of {} does not start: {error}", this.threads);
                        break;
                    }
                }
            }
            if threads.is_empty() {
                return Err(DeviceError::Refused("the system starts no thread".into()));
            }
            let mut outcome = Ok(());
            for thread in threads {
                if thread.join().is_err() {
                    outcome = Err(DeviceError::Panicked("a scan thread".into()));
                }
            }
            outcome
        })
    }
}

/// The CPU's name, or the architecture's if the CPU has none.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn model() -> String {
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string();
    let name = brand.as_ref().map_or("", raw_cpuid::ProcessorBrandString::as_str).trim();
    if name.is_empty() { std::env::consts::ARCH.to_owned() } else { name.to_owned() }
}

/// The CPU's name, or the architecture's if the CPU has none.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn model() -> String {
    std::env::consts::ARCH.to_owned()
}

/// The instruction sets of this CPU that matter to hashing.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn instruction_sets() -> Vec<&'static str> {
    let sets = [
        ("sse2", is_x86_feature_detected!("sse2")),
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("sha", is_x86_feature_detected!("sha")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
    ];
    sets.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// The instruction sets of this CPU that matter to hashing.
#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<&'static str> {
    let sets = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    sets.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// The instruction sets that matter to hashing: none is looked for on this architecture.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};

    use super::*;
    use crate::job::Extranonce;
    use crate::work::TemplateId;

    /// A feed without end whose first report panics.
    struct Trap(AtomicBool);

    impl Feed for Trap {
        fn draw(&self, nonces: u64) -> Draw {
            Draw::Work(HeaderWork {
                template: TemplateId(0),
                scan: ScanJob::new(&[1; HEADER_LEN]),
                range: NonceRange::new(0, nonces),
                target: ScanTarget::from_le_bytes([0; 32]),
                extranonce: Extranonce::default(),
            })
        }

        fn wait(&self) {}

        fn is_current(&self, _work: &HeaderWork) -> bool {
            true
        }

        fn has_given_up(&self) -> bool {
            false
        }

        fn report(&self, _work: &HeaderWork, _candidates: &[u32]) {
            assert!(self.0.swap(true, Ordering::Relaxed), "the first report");
        }
    }

    #[test]
    fn a_thread_that_panics_ends_the_others() {
        let mut cpu = CpuDevice::new(NonZeroUsize::new(3), None).unwrap();
        let outcome = cpu.run(&Trap(AtomicBool::new(false)));
        assert!(matches!(outcome, Err(DeviceError::Panicked(_))), "{outcome:?}");
    }
}
