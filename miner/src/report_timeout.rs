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
        self.restart_at(Instant::now());
    }

    fn restart_at(&self, now: Instant) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Whether no report came for too long.
    pub(crate) fn has_passed(&self) -> bool {
        self.has_passed_at(Instant::now())
    }

    fn has_passed_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(*self.last.lock().unwrap_or_else(PoisonError::into_inner)) >= self.limit
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
        let second = Duration::from_secs(1);
        let timeout = ReportTimeout::new(4 * second);
        let mut now = Instant::now();
        timeout.restart_at(now);
        for _ in 0..5 {
            now += 3 * second;
            assert!(!timeout.has_passed_at(now));
            timeout.restart_at(now);
        }
        now += 4 * second;
        assert!(timeout.has_passed_at(now));
        timeout.restart_at(now);
        assert!(!timeout.has_passed_at(now));
    }
}
