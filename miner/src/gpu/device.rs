//! A GPU as a mining device: keeps two dispatches in flight, so that the device never waits for the host.
//!
//! The host sleeps in the driver until the older dispatch ends, reads its candidates, dispatches the next batch and sleeps
//! again. A new template begins with the next dispatch. Dispatches in flight are finished, as a GPU cannot cancel one.

use std::collections::VecDeque;
use std::time::Instant;

use super::batch::{self, BatchSizer};
use super::kernel::{BatchBuffers, BatchOutcome, Dispatch, Kernel};
use super::settings::GpuSettings;
use crate::device::{Device, DeviceError, Draw, Feed, batch_for_candidates};
use crate::device_info::DeviceInfo;
use crate::job::HeaderWork;

/// Dispatches in flight: while the host reads one, the device runs the other.
const IN_FLIGHT: usize = 2;

/// A GPU, or a software adapter, with the kernel compiled.
#[derive(Debug)]
pub struct GpuDevice {
    info: DeviceInfo,
    kernel: Kernel,
    settings: GpuSettings,
    sizer: BatchSizer,
}

impl GpuDevice {
    /// Opens `adapter` and compiles the kernel, which takes up to some seconds.
    pub(super) fn open(info: DeviceInfo, adapter: &wgpu::Adapter, settings: GpuSettings) -> Result<Self, DeviceError> {
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

    /// A function that destroys the device, as a driver does that loses it. For this crate's own tests of a lost GPU.
    #[doc(hidden)]
    #[must_use]
    pub fn loss_trigger(&self) -> Box<dyn Fn() + Send + Sync> {
        let device = self.kernel.device().clone();
        Box::new(move || device.destroy())
    }

    /// The nonces of the next batch.
    pub(super) fn batch(&self) -> u64 {
        self.settings.batch.unwrap_or_else(|| self.sizer.nonces())
    }

    /// The largest batch for `work` whose candidates fit: the expected number is half the capacity, and the whole capacity is
    /// 32 standard deviations above it.
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
        let mut run = GpuRun::new(feed);
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
struct GpuRun<'a> {
    feed: &'a dyn Feed,
    free: Vec<BatchBuffers>,
    /// Oldest first.
    in_flight: VecDeque<Dispatch>,
    /// Work drawn and not dispatched, the next one last: the rest of a draw that was larger than the target allows, and halves
    /// of a batch that overflowed.
    held: Vec<HeaderWork>,
    /// Whether the feed has answered [`Draw::Done`].
    done: bool,
    /// When the last dispatch ended. The next one began then.
    last_end: Instant,
    /// The largest batch for the target of the last draw.
    allowed: u64,
}

impl<'a> GpuRun<'a> {
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
