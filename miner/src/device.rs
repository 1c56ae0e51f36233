//! What a mining device is: something that draws work from a feed, searches all of it, and reports what it found.
//!
//! The device pulls. Only it knows how many nonces make a good batch and how many batches it can hold in flight, so the
//! other way round (an engine that pushes batches) would need a second conversation about sizes. And since a feed is all
//! that a device sees, mining, the known-answer test, the benchmark and the search of one header run the same code.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use adit_hash::Backend;

use crate::job::HeaderWork;
use crate::telemetry::{Sensor, sensor_of};

/// Names a device on the command line: `cpu`, or `gpu` and a number.
///
/// GPUs are numbered in the order of their PCI addresses, software adapters last, so that the same machine gives the same
/// names at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceId {
    /// All CPU threads together.
    Cpu,
    /// A GPU adapter.
    Gpu(u32),
}

/// Text that is no device id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device id; want cpu, or gpu and a number such as gpu0")]
pub struct InvalidDeviceId(pub String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceId::Cpu => f.write_str("cpu"),
            DeviceId::Gpu(number) => write!(f, "gpu{number}"),
        }
    }
}

impl FromStr for DeviceId {
    type Err = InvalidDeviceId;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceId> {
        let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match text.strip_prefix("gpu") {
            _ if text == "cpu" => Ok(DeviceId::Cpu),
            Some(digits) => number(digits).map(DeviceId::Gpu).ok_or_else(|| InvalidDeviceId(text.to_owned())),
            None => Err(InvalidDeviceId(text.to_owned())),
        }
    }
}

/// What is known of a device without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name on the command line.
    pub id: DeviceId,
    /// Its name as its maker gives it.
    pub name: String,
    /// What sort of device it is, and what is known of that sort.
    pub kind: DeviceKind,
}

/// The sorts of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The CPU.
    Cpu(CpuInfo),
    /// A GPU adapter, real or software.
    Gpu(GpuInfo),
}

/// What is known of the CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuInfo {
    /// The threads that will mine.
    pub threads: usize,
    /// The instruction sets that matter to hashing and that this CPU has, by the names of Rust's target features.
    pub instruction_sets: Vec<&'static str>,
    /// The kernel that will run.
    pub backend: Backend,
}

/// What is known of a GPU adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// The vendor's name, or its PCI id in hexadecimal where we know no name.
    pub vendor: String,
    /// The vendor's PCI id; 0 where the backend does not tell.
    pub vendor_id: u32,
    /// The device's PCI id; 0 where the backend does not tell.
    pub device_id: u32,
    /// The driver's name and version, as far as it tells.
    pub driver: String,
    /// The interface through which it is reached: `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: &'static str,
    /// The PCI address, `domain:bus:device.function` in hexadecimal, where the backend tells it.
    pub pci: Option<String>,
    /// Whether it is a program on the CPU rather than a GPU.
    pub software: bool,
}

impl DeviceInfo {
    /// Whether this is a GPU, and no software that behaves as one.
    #[must_use]
    pub fn is_real_gpu(&self) -> bool {
        matches!(&self.kind, DeviceKind::Gpu(gpu) if !gpu.software)
    }
}

/// Why a device does not mine, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The driver gave the device up, or it was taken away.
    #[error("device lost: {0}")]
    Lost(String),
    /// The driver has no memory for what we asked.
    #[error("device out of memory: {0}")]
    OutOfMemory(String),
    /// The driver refused the shader, the pipeline or a command.
    #[error("device refused: {0}")]
    Refused(String),
    /// A dispatch had not ended when the device was given up.
    #[error("device hung: a dispatch of {nonces} nonces did not end within {seconds} s")]
    Hung {
        /// The nonces of the dispatch.
        nonces: u64,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
    /// The device gave no sign of life while it had work.
    #[error("device hung: no progress for {seconds} s")]
    Stalled {
        /// How long it was silent, in seconds.
        seconds: u64,
    },
    /// The known-answer test at start failed.
    #[error("known-answer test failed: {0}")]
    KnownAnswer(String),
    /// The device's code panicked, which is a bug.
    #[error("device panicked: {0}")]
    Panicked(String),
}

/// What a feed answers to a device that asks for work.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once a batch of milliseconds; a box would cost an allocation instead"
)]
pub enum Draw {
    /// Search this.
    Work(HeaderWork),
    /// There is nothing now. Finish what is in flight, then [`Feed::wait`].
    Empty,
    /// There will be nothing more. Finish what is in flight, report it and return.
    Done,
}

/// Where a device's work comes from and its findings go. Every method may be called from several threads at once.
pub trait Feed: Sync {
    /// Gives out work of at least one and at most `nonces` nonces. Never waits.
    fn draw(&self, nonces: u64) -> Draw;

    /// Sleeps until [`Feed::draw`] is worth another call. May return early.
    fn wait(&self);

    /// Whether a hit in this work could still count. Work that could not need not be finished.
    fn is_current(&self, work: &HeaderWork) -> bool;

    /// Whether nobody waits for what is in flight any more: the device was silent for too long, or did not stop. One that
    /// notices this in a wait returns an error. Only the feed can tell, as a slow device is not sick.
    fn has_given_up(&self) -> bool {
        false
    }

    /// Says that every nonce of `work` has been searched. `candidates` holds every nonce whose hash meets the target, in any
    /// order; it may hold others whose hash is not above the target in the most significant 32 bits.
    fn report(&self, work: &HeaderWork, candidates: &[u32]);
}

/// A device that searches nonces.
pub trait Device: Send {
    /// What it is.
    fn info(&self) -> &DeviceInfo;

    /// After how many nonces of a batch the device begins another row of threads, if it works in rows: an edge for the
    /// known-answer test to try.
    fn row(&self) -> Option<u64> {
        None
    }

    /// Draws, searches and reports until the feed is done. A batch takes at most 250 ms, so that a change of template or a
    /// stop is noticed soon. May be called again after it has returned `Ok`.
    ///
    /// # Errors
    /// If the device fails. Work that it had drawn and not reported is then unsearched.
    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError>;
}

/// How to come by a device, as often as it takes: one that fails is given up and opened anew.
pub trait DeviceOpener: Send + Sync {
    /// What will be opened.
    fn info(&self) -> &DeviceInfo;

    /// Makes the device ready to run. For a GPU this compiles the kernel, which may take some seconds.
    ///
    /// # Errors
    /// If the device is not there or its driver refuses.
    fn open(&self) -> Result<Box<dyn Device>, DeviceError>;

    /// The device's sensor, where the system has one.
    fn sensor(&self) -> Option<Arc<dyn Sensor>> {
        sensor_of(self.info())
    }
}

/// The largest batch whose expected number of candidates at `top`, the target's most significant 32 bits, is at most
/// `candidates`; at least one nonce.
///
/// Hashes are uniform, so `(top + 1) / 2^32` of them are candidates: one in 2^32 where mining is hard, every second on a
/// regression-test chain.
#[must_use]
pub(crate) fn batch_for_candidates(top: u32, candidates: u64) -> u64 {
    ((candidates << 32) / (u64::from(top) + 1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written_and_others_are_refused() {
        for id in [DeviceId::Cpu, DeviceId::Gpu(0), DeviceId::Gpu(17)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "gpu", "gpu-1", "gpu+1", "gpu1x", "CPU", "cpu0", "gpu4294967296"] {
            assert_eq!(text.parse::<DeviceId>(), Err(InvalidDeviceId(text.to_owned())));
        }
    }

    #[test]
    fn easy_targets_make_small_batches() {
        assert_eq!(batch_for_candidates(0, 100), 100 << 32);
        assert_eq!(batch_for_candidates(0x7fff_ffff, 100), 200);
        assert_eq!(batch_for_candidates(u32::MAX, 100), 100);
        assert_eq!(batch_for_candidates(u32::MAX, 0), 1);
    }
}
