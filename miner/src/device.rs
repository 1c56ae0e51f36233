//! What a mining device is: something that draws work from a feed, searches all of it, and reports what it found.
//!
//! The device pulls. Only it knows how many nonces make a good batch and how many batches it can hold in flight, so the
//! other way round (an engine that pushes batches) would need a second conversation about sizes. And since a feed is all
//! that a device sees, mining, the known-answer test, the benchmark and the search of one header run the same code.

use std::sync::Arc;

use crate::device_info::DeviceInfo;
use crate::job::HeaderWork;
use crate::telemetry::{Sensor, sensor_of};

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
    fn easy_targets_make_small_batches() {
        assert_eq!(batch_for_candidates(0, 100), 100 << 32);
        assert_eq!(batch_for_candidates(0x7fff_ffff, 100), 200);
        assert_eq!(batch_for_candidates(u32::MAX, 100), 100);
        assert_eq!(batch_for_candidates(u32::MAX, 0), 1);
    }
}
