//! The time limit for a device's next report, for feeds that no watchdog looks after.
//!
//! A driver that hangs never returns. The engine's watchdog notices that by the missing reports; a measurement, a search of one
//! header and a known-answer test without an engine notice it with this.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest time between two reports. A device that takes longer is given up.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Measures the time since a device's last report.
#[derive(Debug)]
pub(crate) struct ReportTimeout {
    limit: Duration,
    /// When the last report came, or when the timeout was made.
    last: Mutex<Instant>,
}

impl ReportTimeout {
    /// A timeout that passes when no report comes for `limit` from now on.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, last: Mutex::new(Instant::now()) }
    }

    /// A report came.
    pub(crate) fn restart(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether no report came for too long.
    pub(crate) fn has_passed(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= self.limit
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::thread;

    use super::*;
    use crate::cpu::CpuDevice;
    use crate::device::{Device, DeviceError, Draw, Feed};
    use crate::device_info::DeviceInfo;

    /// A device that reports the work of `reports` draws and then hangs until its feed gives it up, as a GPU in a driver does.
    pub(crate) struct HangingDevice {
        info: DeviceInfo,
        reports: usize,
    }

    impl HangingDevice {
        pub(crate) fn new(reports: usize) -> Self {
            Self { info: CpuDevice::new(None, None).unwrap().info().clone(), reports }
        }
    }

    impl Device for HangingDevice {
        fn info(&self) -> &DeviceInfo {
            &self.info
        }

        fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
            let begun = Instant::now();
            for _ in 0..self.reports {
                let Draw::Work(work) = feed.draw(1) else { return Ok(()) };
                thread::sleep(Duration::from_millis(5));
                feed.report(&work, &[]);
            }
            while !feed.has_given_up() {
                assert!(begun.elapsed() < Duration::from_secs(60), "the feed never gives the device up");
                thread::sleep(Duration::from_millis(1));
            }
            Err(DeviceError::Hung { nonces: 1, seconds: begun.elapsed().as_secs() })
        }
    }

    #[test]
    fn each_report_starts_the_time_again() {
        let timeout = ReportTimeout::new(Duration::from_millis(400));
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(100));
            assert!(!timeout.has_passed());
            timeout.restart();
        }
        thread::sleep(Duration::from_millis(400));
        assert!(timeout.has_passed());
        timeout.restart();
        assert!(!timeout.has_passed());
    }
}
