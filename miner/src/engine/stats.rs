//! The engine's counters for each device, and the snapshots of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::device_info::DeviceInfo;
use crate::telemetry::Reading;
use crate::throttle::DutyCycle;
use crate::work::TemplateId;

/// The hashrate is the mean over this time.
const WINDOW: Duration = Duration::from_secs(10);

/// Reports within this time share an entry of the window, so that it has at most 100 entries.
const GRAIN: Duration = Duration::from_millis(100);

/// What a device is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceState {
    /// It is being opened and tested on known answers.
    Starting,
    /// It draws work, or waits for some; [`DeviceSnapshot::duty_cycle`] says how much of the time it may be busy.
    Mining,
    /// It failed, and is opened again later. The other devices go on.
    Sick {
        /// Its last failure.
        reason: String,
        /// Its failures in a row.
        failures: u32,
        /// Since when it has not mined.
        since: Instant,
        /// When it is opened again.
        next_try: Instant,
    },
    /// It failed and is given up. The other devices go on.
    Dead {
        /// Its last failure.
        reason: String,
        /// Its failures in a row.
        failures: u32,
    },
    /// The engine was stopped.
    Stopped,
}

/// A device's figures at one time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceSnapshot {
    /// The device.
    pub info: DeviceInfo,
    /// Its state.
    pub state: DeviceState,
    /// Nonces searched since it began to mine.
    pub hashes: u64,
    /// Hashes a second, over the last ten seconds or since it began to mine.
    pub hashrate: f64,
    /// Solutions that the source accepted.
    pub accepted: u64,
    /// Solutions that the source refused.
    pub rejected: u64,
    /// Solutions of a template that was replaced before we solved it.
    pub stale: u64,
    /// Further solutions of a template that we had solved, found before the next one came. Where blocks are easy there are many
    /// of them, and nothing is lost with them.
    pub surplus: u64,
    /// Nonces that the device reported although their hash is above the target. A device that computes correctly has none.
    pub hardware_errors: u64,
    /// Nonces that were drawn and not reported because the device failed. They are not searched again.
    pub unsearched: u64,
    /// How often the device failed and mined again.
    pub recoveries: u64,
    /// The last reading of its sensor; `None` before the first.
    pub reading: Option<Reading>,
    /// How much of the time it may be busy at its temperature.
    pub duty_cycle: DutyCycle,
}

/// The engine's figures at one time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EngineSnapshot {
    /// The template being searched and the height of its block; `None` while there is nothing to search.
    pub template: Option<(TemplateId, u32)>,
    /// Whether everything that the template lets roll was searched, so that the devices wait for a new one.
    pub exhausted: bool,
    /// Why the engine stopped without being asked to; `None` while it has not.
    pub failure: Option<String>,
    /// Each device, in the order in which the engine was given them.
    pub devices: Vec<DeviceSnapshot>,
}

impl EngineSnapshot {
    /// Hashes a second of all devices together.
    #[must_use]
    pub fn hashrate(&self) -> f64 {
        self.devices.iter().map(|device| device.hashrate).sum()
    }

    /// Whether every device is given up.
    #[must_use]
    pub fn all_dead(&self) -> bool {
        self.devices.iter().all(|device| matches!(device.state, DeviceState::Dead { .. }))
    }
}

/// The counters of one device.
#[derive(Debug)]
pub(super) struct DeviceStats {
    info: DeviceInfo,
    state: Mutex<DeviceState>,
    rate: Mutex<RateWindow>,
    reading: Mutex<Option<(Instant, Reading)>>,
    duty_cycle: Mutex<DutyCycle>,
    hashes: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) surplus: AtomicU64,
    pub(super) hardware_errors: AtomicU64,
    pub(super) unsearched: AtomicU64,
    pub(super) recoveries: AtomicU64,
}

impl DeviceStats {
    pub(super) fn new(info: DeviceInfo) -> Self {
        Self {
            info,
            state: Mutex::new(DeviceState::Starting),
            rate: Mutex::new(RateWindow::new(Instant::now())),
            reading: Mutex::new(None),
            duty_cycle: Mutex::new(DutyCycle::Full),
            hashes: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            surplus: AtomicU64::new(0),
            hardware_errors: AtomicU64::new(0),
            unsearched: AtomicU64::new(0),
            recoveries: AtomicU64::new(0),
        }
    }

    pub(super) fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(super) fn set_state(&self, state: DeviceState) {
        if state == DeviceState::Mining {
            *self.rate() = RateWindow::new(Instant::now());
        }
        *self.state.lock().expect("nothing that holds the state panics") = state;
    }

    pub(super) fn add_hashes(&self, hashes: u64) {
        self.hashes.fetch_add(hashes, Ordering::Relaxed);
        self.rate().add(Instant::now(), hashes);
    }

    /// The last reading and when it was taken.
    pub(super) fn reading(&self) -> Option<(Instant, Reading)> {
        *self.reading.lock().expect("nothing that holds the reading panics")
    }

    pub(super) fn set_reading(&self, taken: Instant, reading: Reading) {
        *self.reading.lock().expect("nothing that holds the reading panics") = Some((taken, reading));
    }

    pub(super) fn duty_cycle(&self) -> DutyCycle {
        *self.duty_cycle.lock().expect("nothing that holds the duty cycle panics")
    }

    pub(super) fn set_duty_cycle(&self, duty_cycle: DutyCycle) {
        *self.duty_cycle.lock().expect("nothing that holds the duty cycle panics") = duty_cycle;
    }

    pub(super) fn snapshot(&self) -> DeviceSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.state.lock().expect("nothing that holds the state panics").clone();
        let mining = state == DeviceState::Mining;
        DeviceSnapshot {
            info: self.info.clone(),
            state,
            hashes: read(&self.hashes),
            hashrate: if mining { self.rate().hashrate(Instant::now()) } else { 0.0 },
            accepted: read(&self.accepted),
            rejected: read(&self.rejected),
            stale: read(&self.stale),
            surplus: read(&self.surplus),
            hardware_errors: read(&self.hardware_errors),
            unsearched: read(&self.unsearched),
            recoveries: read(&self.recoveries),
            reading: self.reading().map(|(_, reading)| reading),
            duty_cycle: self.duty_cycle(),
        }
    }

    fn rate(&self) -> MutexGuard<'_, RateWindow> {
        self.rate.lock().expect("nothing that holds the window panics")
    }
}

/// The hashes of the last [`WINDOW`], in entries of [`GRAIN`].
#[derive(Debug)]
struct RateWindow {
    since: Instant,
    entries: VecDeque<(Instant, u64)>,
}

impl RateWindow {
    fn new(now: Instant) -> Self {
        Self { since: now, entries: VecDeque::new() }
    }

    fn add(&mut self, now: Instant, hashes: u64) {
        match self.entries.back_mut() {
            Some((begun, sum)) if now.saturating_duration_since(*begun) < GRAIN => *sum += hashes,
            _ => self.entries.push_back((now, hashes)),
        }
        self.forget(now);
    }

    fn hashrate(&mut self, now: Instant) -> f64 {
        self.forget(now);
        let span = now.saturating_duration_since(self.since).min(WINDOW).as_secs_f64();
        let hashes: u64 = self.entries.iter().map(|(_, hashes)| hashes).sum();
        if span > 0.0 { hashes as f64 / span } else { 0.0 }
    }

    fn forget(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|(begun, _)| now.saturating_duration_since(*begun) > WINDOW) {
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_a_mean_over_the_window_and_sinks_when_nothing_comes() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut window = RateWindow::new(start);
        assert_eq!(window.hashrate(at(0)), 0.0);
        for tick in 1..=20 {
            window.add(at(tick * 50), 1_000);
        }
        assert_eq!(window.hashrate(at(1_000)), 20_000.0);
        assert!(window.entries.len() <= 10, "reports close together share an entry");
        assert_eq!(window.hashrate(at(10_000)), 2_000.0);
        assert_eq!(window.hashrate(at(30_000)), 0.0);
    }
}
