//! A GPU as a mining device: keeps two dispatches in flight, so that the device never waits for the host.
//!
//! The host sleeps in the driver until the older dispatch ends, reads its candidates, hands the next one in and sleeps again.
//! A new template is in the next dispatch; what is in flight then is finished, as nothing can be taken back from a GPU.

pub(crate) mod adapters;
mod batch;
mod fault;
mod kernel;
mod operations;
mod prepare;
pub(crate) mod tune;
mod tuning_cache;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::device::{Device, DeviceError, Draw, Feed, batch_for_candidates};
use crate::device_info::DeviceInfo;
use crate::job::HeaderWork;

use batch::BatchSizer;
use kernel::{BatchBuffers, BatchOutcome, Dispatch, Kernel};

pub use kernel::GpuKernel;
pub use operations::Operations;
pub use tune::Tuning;
pub use tuning_cache::TuningCache;

/// Dispatches in flight: while the host deals with one, the device has the other.
const IN_FLIGHT: usize = 2;

/// How a GPU runs the kernel. The default is what mining uses where nothing was tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuSettings {
    /// The kernel.
    pub kernel: GpuKernel,
    /// Threads in a workgroup, 1 to 256.
    pub workgroup: u32,
    /// Nonces that a thread of the pruned kernel tries, 1 to 32. The reference kernel's tries one.
    pub nonces_per_thread: u32,
    /// The candidates that a batch can report, at least one. More make the range be searched again in halves.
    pub capacity: u32,
    /// The nonces of every batch, at most 2^30, or `None` to size them by time.
    pub batch: Option<u64>,
    /// How long a dispatch sized by time should take, 1 to 50 ms.
    pub dispatch: Duration,
    /// The nonces of the first dispatch sized by time.
    pub first_batch: u64,
}

impl Default for GpuSettings {
    fn default() -> Self {
        Self {
            kernel: GpuKernel::default(),
            workgroup: 64,
            nonces_per_thread: 32,
            capacity: 4_096,
            batch: None,
            dispatch: batch::TARGET,
            first_batch: batch::FIRST,
        }
    }
}

/// A GPU, or a program that behaves as one, with the kernel compiled.
#[derive(Debug)]
pub struct GpuDevice {
    info: DeviceInfo,
    kernel: Kernel,
    settings: GpuSettings,
    sizer: BatchSizer,
}

impl GpuDevice {
    /// Opens `adapter` and compiles the kernel, which takes up to some seconds.
    pub(crate) fn open(info: DeviceInfo, adapter: &wgpu::Adapter, settings: GpuSettings) -> Result<Self, DeviceError> {
        let settings = GpuSettings {
            workgroup: settings.workgroup.clamp(1, 256),
            nonces_per_thread: settings.nonces_per_thread.clamp(1, 32),
            capacity: settings.capacity.max(1),
            batch: settings.batch.map(|nonces| nonces.clamp(1, batch::LARGEST)),
            ..settings
        };
        let kernel = Kernel::new(adapter, &settings)?;
        Ok(Self { info, kernel, settings, sizer: BatchSizer::new(settings.dispatch, settings.first_batch) })
    }

    /// The device, for tests that take it away.
    #[cfg(test)]
    pub(crate) fn wgpu_device(&self) -> &wgpu::Device {
        self.kernel.device()
    }

    fn batch(&self) -> u64 {
        self.settings.batch.unwrap_or_else(|| self.sizer.nonces())
    }

    /// The largest batch for `work` whose candidates can be expected to fit: half the capacity is 32 standard deviations of
    /// the expected number away from all of it.
    fn allowed(&self, work: &HeaderWork) -> u64 {
        match self.settings.batch {
            Some(nonces) => nonces,
            None => batch_for_candidates(work.target.top(), u64::from(self.settings.capacity / 2)),
        }
    }
}

impl Device for GpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn row(&self) -> Option<u64> {
        Some(self.kernel.row())
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        let mut run = Run::new(feed);
        for _ in 0..IN_FLIGHT {
            run.free.push(self.kernel.create_buffers()?);
        }
        loop {
            run.fill(self)?;
            match run.in_flight.pop_front() {
                Some(dispatch) => run.finish(self, dispatch)?,
                None if run.done => return Ok(()),
                None => feed.wait(),
            }
        }
    }
}

/// The state of one [`Device::run`].
struct Run<'a> {
    feed: &'a dyn Feed,
    free: Vec<BatchBuffers>,
    /// Oldest first.
    in_flight: VecDeque<Dispatch>,
    /// Work drawn and not dispatched: the rest of a draw that was larger than the target allows, halves of a batch that
    /// overflowed. Next one last.
    held: Vec<HeaderWork>,
    /// Whether the feed has said that it is done.
    done: bool,
    /// When the last dispatch ended, which is when the one behind it began.
    last_end: Instant,
    /// What the target of the last draw allows.
    allowed: u64,
}

impl<'a> Run<'a> {
    fn new(feed: &'a dyn Feed) -> Self {
        Self {
            feed,
            free: Vec::with_capacity(IN_FLIGHT),
            in_flight: VecDeque::with_capacity(IN_FLIGHT),
            held: Vec::new(),
            done: false,
            last_end: Instant::now(),
            allowed: batch::LARGEST,
        }
    }

    /// Dispatches until all buffers are in flight or there is nothing to dispatch.
    fn fill(&mut self, gpu: &GpuDevice) -> Result<(), DeviceError> {
        while let Some(buffers) = self.free.pop() {
            let Some(work) = self.next(gpu) else {
                self.free.push(buffers);
                break;
            };
            self.in_flight.push_back(gpu.kernel.dispatch(buffers, work)?);
        }
        Ok(())
    }

    fn next(&mut self, gpu: &GpuDevice) -> Option<HeaderWork> {
        let work = loop {
            match self.held.pop() {
                Some(work) if self.feed.is_current(&work) => break work,
                Some(_) => {}
                None => match self.draw(gpu) {
                    Some(work) => break work,
                    None => return None,
                },
            }
        };
        self.allowed = gpu.allowed(&work);
        let (piece, rest) = work.split_at(self.allowed.min(batch::LARGEST));
        self.held.extend(rest);
        Some(piece)
    }

    fn draw(&mut self, gpu: &GpuDevice) -> Option<HeaderWork> {
        if self.done {
            return None;
        }
        match self.feed.draw(gpu.batch().min(self.allowed)) {
            Draw::Work(work) => Some(work),
            Draw::Empty => None,
            Draw::Done => {
                self.done = true;
                None
            }
        }
    }

    fn finish(&mut self, gpu: &mut GpuDevice, dispatch: Dispatch) -> Result<(), DeviceError> {
        let outcome = gpu.kernel.collect(&dispatch, || self.feed.has_given_up())?;
        let Dispatch { buffers, work, submitted, .. } = dispatch;
        let now = Instant::now();
        gpu.sizer.observe(work.range.count, now - submitted.max(self.last_end));
        self.last_end = now;
        self.free.push(buffers);
        match outcome {
            BatchOutcome::Candidates(nonces) => self.feed.report(&work, &nonces),
            // At least two nonces, as the capacity is at least one.
            BatchOutcome::Overflow => {
                let (first, second) = work.split_at(work.range.count / 2);
                self.held.extend(second);
                self.held.push(first);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::devices::{CpuSettings, Devices, Selection};
    use crate::job::Extranonce;
    use crate::work::TemplateId;
    use adit_hash::{HEADER_LEN, NonceRange, ScanJob, ScanTarget};

    /// Work without end; the device is taken away when it reports the third batch.
    struct Saboteur {
        device: wgpu::Device,
        reports: AtomicU64,
    }

    impl Feed for Saboteur {
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

        fn report(&self, _work: &HeaderWork, _candidates: &[u32]) {
            if self.reports.fetch_add(1, Ordering::Relaxed) == 2 {
                self.device.destroy();
            }
        }
    }

    #[test]
    fn a_device_that_is_taken_away_is_an_error_and_not_a_panic() {
        let devices = Devices::list(CpuSettings::default(), &Selection::All).unwrap();
        let Some(gpu) = devices.infos().get(1) else {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no Vulkan adapter");
            println!("ignored: no Vulkan adapter to take away");
            return;
        };
        let mut gpu = devices.open_gpu(gpu.id, GpuSettings::default()).unwrap();
        let feed = Saboteur { device: gpu.kernel.device().clone(), reports: AtomicU64::new(0) };
        let error = gpu.run(&feed).unwrap_err();
        assert!(matches!(error, DeviceError::Lost(_) | DeviceError::Refused(_)), "{error}");
        assert!(feed.reports.into_inner() >= 3);
        // And it stays an error.
        let feed = Saboteur { device: gpu.kernel.device().clone(), reports: AtomicU64::new(0) };
        assert!(gpu.run(&feed).is_err());
    }
}
