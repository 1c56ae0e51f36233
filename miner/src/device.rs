//! The interface of a mining device: it draws work from a feed, searches all of it, and reports the candidates.
//!
//! The device pulls, because only it knows how large its batches should be and how many it can hold in flight. An engine that
//! pushed batches would have to ask for both. A device sees nothing but a feed, so mining, the known-answer test, the
//! benchmark and the search of one header all run the same code of a device.

use std::sync::Arc;

use crate::device_info::DeviceInfo;
use crate::job::HeaderWork;
use crate::telemetry::{Sensor, sensor_of};

/// Why a device cannot mine, or stopped mining.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The driver gave the device up, or it was taken away.
    #[error("device lost: {0}")]
    Lost(String),
    /// The driver is out of memory.
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
    /// The device reported nothing while it had work.
    #[error("device hung: no progress for {seconds} s")]
    Stalled {
        /// The time since its last report, in seconds.
        seconds: u64,
    },
    /// The known-answer test at start failed.
    #[error("known-answer test failed: {0}")]
    KnownAnswer(String),
    /// The device's code panicked, which is a bug.
    #[error("device panicked: {0}")]
    Panicked(String),
}

/// A feed's answer to a device that asks for work.
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

/// The source of a device's work, which takes its reports. Every method may be called from several threads at once.
pub trait Feed: Sync {
    /// Gives out work of 1 to `nonces` nonces. Never waits.
    fn draw(&self, nonces: u64) -> Draw;

    /// Sleeps until there may be work again. May return early.
    fn wait(&self);

    /// Whether a hit in this work could still count. A device may drop work that is not current.
    fn is_current(&self, work: &HeaderWork) -> bool;

    /// Whether the device is given up: it reported nothing for too long, or did not stop. A device that sees this during a wait
    /// returns an error. The feed decides it, because a slow device is not a hung one. A feed that never gives a device up
    /// returns `false`; one that wraps another feed asks that.
    fn has_given_up(&self) -> bool;

    /// Reports that every nonce of `work` was searched. `candidates` has every nonce whose hash meets the target, in any order.
    /// It may have others whose hash is not above the target in its most significant 32 bits.
    fn report(&self, work: &HeaderWork, candidates: &[u32]);
}

/// A device that searches nonces.
pub trait Device: Send {
    /// Id, name and kind.
    fn info(&self) -> &DeviceInfo;

    /// After how many nonces of a batch the device begins another row of threads, if it works in rows. The known-answer test
    /// puts hits at such edges.
    fn row(&self) -> Option<u64> {
        None
    }

    /// Draws, searches and reports until the feed is done. A batch takes at most 250 ms, so that a new template or a stop is
    /// noticed soon. May be called again after it returned `Ok`.
    ///
    /// # Errors
    /// If the device fails. Work that it drew and did not report is then unsearched.
    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError>;
}

/// Opens a device, and reopens it after a failure.
pub trait DeviceOpener: Send + Sync {
    /// The device that it opens.
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
