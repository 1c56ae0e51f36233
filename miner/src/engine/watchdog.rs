//! The watchdog's rules: when a device counts as hung, when it is opened again, and when it is given up.
//!
//! They read no clock and start no thread; [`super::supervise`] does both. So tests run hours of them in no time.

use std::time::{Duration, Instant};

use crate::device::DeviceError;

/// When a device counts as hung, how often it is opened again, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchdogPolicy {
    /// A device that has work and reports nothing for this long hangs, unless [`WatchdogPolicy::slack`] allows it more. A
    /// GPU's dispatch takes about 50 ms and a CPU's batch about 10 ms, so this is not a question of speed. Nothing else gives
    /// a device up for its silence: raise this where another program or a debugger may hold up the driver for longer.
    pub stall: Duration,
    /// A device hangs only after this many times its longest recent batch. So a slow device is not given up: one that takes
    /// 10 s a batch may take 100 s for the next, however short `stall` is. The default is ten, as batches grow by less than
    /// that at a time.
    pub slack: u32,
    /// `stall` for the opening and the known-answer test, in which drivers compile the kernel.
    pub opening: Duration,
    /// The pause before the first try after a failure. Each pause is twice the one before.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A device is given up at this many failures in a row.
    pub failures: u32,
    /// Once a device has mined for this long, its earlier failures no longer count: failures that are hours apart are not in
    /// a row.
    pub forgiven_after: Duration,
    /// How often the watchdog looks at the devices. A failure that a device reports is handled at once.
    pub look_every: Duration,
}

impl Default for WatchdogPolicy {
    /// Eight tries within two minutes and the time that each takes: a driver that is reset or updated is back within that.
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(45),
            slack: 10,
            opening: Duration::from_secs(120),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            failures: 8,
            forgiven_after: Duration::from_secs(600),
            look_every: Duration::from_millis(100),
        }
    }
}

impl WatchdogPolicy {
    /// The same policy with this time without a report before a device hangs.
    #[must_use]
    pub fn with_stall(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    /// The same policy in which a device hangs only after so many times its longest recent batch.
    #[must_use]
    pub fn with_slack(self, slack: u32) -> Self {
        Self { slack, ..self }
    }

    /// The same policy with this time without a report before an opening or a known-answer test hangs.
    #[must_use]
    pub fn with_opening(self, opening: Duration) -> Self {
        Self { opening, ..self }
    }

    /// The same policy with this pause after the first failure.
    #[must_use]
    pub fn with_first_pause(self, first_pause: Duration) -> Self {
        Self { first_pause, ..self }
    }

    /// The same policy with this longest pause.
    #[must_use]
    pub fn with_longest_pause(self, longest_pause: Duration) -> Self {
        Self { longest_pause, ..self }
    }

    /// The same policy that gives a device up at so many failures in a row.
    #[must_use]
    pub fn with_failures(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// The same policy in which earlier failures no longer count after this time of mining.
    #[must_use]
    pub fn with_forgiven_after(self, forgiven_after: Duration) -> Self {
        Self { forgiven_after, ..self }
    }

    /// The same policy with a look at the devices this often.
    #[must_use]
    pub fn with_look_every(self, look_every: Duration) -> Self {
        Self { look_every, ..self }
    }

    /// The pause after the `failures`th failure in a row.
    fn pause_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureAction {
    /// Try again then.
    Retry(Instant),
    /// Give the device up.
    GiveUp,
}

/// A device's failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    /// Failures in a row.
    failures: u32,
    /// Since when it has mined, if it mines.
    mining_since: Option<Instant>,
}

impl Backoff {
    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The device passed the known-answer test.
    pub(super) fn mining(&mut self, now: Instant) {
        self.mining_since = Some(now);
    }

    /// Forgets the failures of a device that has mined for long enough since.
    pub(super) fn forgive(&mut self, policy: &WatchdogPolicy, now: Instant) {
        let well = self.mining_since.map(|since| now.saturating_duration_since(since));
        if well.is_some_and(|well| well >= policy.forgiven_after) {
            self.failures = 0;
        }
    }

    /// The device failed.
    ///
    /// If wrong answers are its first failure, the device is given up at once: its driver works and it computes wrongly, so
    /// another try would give the same or pass by luck. After another failure, wrong answers are a consequence of that one.
    pub(super) fn failed(&mut self, policy: &WatchdogPolicy, error: &DeviceError, now: Instant) -> FailureAction {
        self.forgive(policy, now);
        self.mining_since = None;
        self.failures += 1;
        let is_wrong = matches!(error, DeviceError::KnownAnswer(_));
        if self.failures >= policy.failures || (is_wrong && self.failures == 1) {
            FailureAction::GiveUp
        } else {
            FailureAction::Retry(now + policy.pause_after(self.failures))
        }
    }
}

/// The time since a device's last heartbeat.
///
/// A heartbeat is a report or, while the device holds no work, any call of its feed: a device without work asks for some
/// several times a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    last: Instant,
    /// The longest time from one report to the next, without the opening. It shrinks by an eighth with every report of mining, so
    /// that the compilation of a kernel or one long batch does not count for ever.
    longest: Duration,
    /// Reports that have not returned. A device that waits in one waits for the verifier and is not to blame.
    in_feed: usize,
}

impl Heartbeat {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, longest: Duration::ZERO, in_feed: 0 }
    }

    /// A report of the known-answer test. Its batches are smaller than those of mining, so nothing shrinks.
    pub(super) fn test_report(&mut self, now: Instant) {
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = now;
    }

    /// A report of mining.
    pub(super) fn report(&mut self, now: Instant) {
        self.longest -= self.longest / 8;
        self.test_report(now);
    }

    /// A heartbeat that does not show the device's speed.
    pub(super) fn reset(&mut self, now: Instant) {
        self.last = now;
    }

    pub(super) fn enter_feed(&mut self) {
        self.in_feed += 1;
    }

    pub(super) fn leave_feed(&mut self, now: Instant) {
        self.in_feed = self.in_feed.saturating_sub(1);
        self.reset(now);
    }

    /// The time since the last heartbeat, if that is too long: longer than `patience`, and longer than `slack` times the longest
    /// recent time between two reports.
    pub(super) fn stalled(&self, patience: Duration, slack: u32, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(self.last);
        let allowed = patience.max(self.longest.saturating_mul(slack));
        (self.in_feed == 0 && silence > allowed).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> DeviceError {
        DeviceError::Lost("unplugged".into())
    }

    #[test]
    fn pauses_grow_to_the_longest_and_the_last_failure_is_the_end() {
        let policy = WatchdogPolicy::default();
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = std::iter::from_fn(|| match backoff.failed(&policy, &lost(), now) {
            FailureAction::Retry(at) => Some((at - now).as_secs()),
            FailureAction::GiveUp => None,
        })
        .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(backoff.failures(), policy.failures);
    }

    #[test]
    fn failures_are_forgiven_after_long_enough_and_not_before() {
        let policy = WatchdogPolicy::default();
        let start = Instant::now();
        for (mined, failures) in [(599, 4), (600, 1)] {
            let mut backoff = Backoff::default();
            for _ in 0..3 {
                backoff.failed(&policy, &lost(), start);
            }
            backoff.mining(start);
            backoff.failed(&policy, &lost(), start + Duration::from_secs(mined));
            assert_eq!(backoff.failures(), failures, "after {mined} s of mining");
            // Time that passes while it does not mine forgives nothing.
            backoff.failed(&policy, &lost(), start + Duration::from_secs(10_000));
            assert_eq!(backoff.failures(), failures + 1);
        }
    }

    #[test]
    fn wrong_answers_end_a_device_at_once_unless_its_driver_failed_before() {
        let policy = WatchdogPolicy::default();
        let now = Instant::now();
        let wrong = DeviceError::KnownAnswer("missed".into());
        assert_eq!(Backoff::default().failed(&policy, &wrong, now), FailureAction::GiveUp);
        let mut backoff = Backoff::default();
        backoff.failed(&policy, &lost(), now);
        assert_eq!(backoff.failed(&policy, &wrong, now), FailureAction::Retry(now + Duration::from_secs(2)));
    }

    #[test]
    fn a_slow_device_is_granted_ten_times_what_it_takes_and_a_quick_one_the_constant() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let stalled = |heartbeat: &Heartbeat, now| heartbeat.stalled(Duration::from_secs(5), 10, now);
        let mut slow = Heartbeat::new(start);
        (1..=10).for_each(|i| slow.report(at(10 * i)));
        assert_eq!(stalled(&slow, at(200)), None, "10 s a batch and 5 s of patience: not sick");
        assert_eq!(stalled(&slow, at(201)), Some(Duration::from_secs(101)));
        let mut quick = Heartbeat::new(start);
        (1..=10).for_each(|i| quick.report(start + Duration::from_millis(50 * i)));
        assert_eq!(stalled(&quick, at(5)), None);
        assert!(stalled(&quick, at(6)).is_some());
        // What the test took is kept through the test, and fades in mining.
        let mut compiles = Heartbeat::new(start);
        compiles.test_report(at(20));
        (0..500).for_each(|_| compiles.test_report(at(20)));
        assert_eq!(stalled(&compiles, at(220)), None);
        (0..100).for_each(|_| compiles.report(at(20)));
        assert!(stalled(&compiles, at(26)).is_some());
        // Time without work is no measure of speed.
        quick.reset(at(1_000));
        assert!(stalled(&quick, at(1_006)).is_some());
        // Nor is time in the feed the device's.
        quick.enter_feed();
        assert_eq!(stalled(&quick, at(2_000)), None);
        quick.leave_feed(at(2_000));
        assert_eq!(stalled(&quick, at(2_005)), None);
        assert!(stalled(&quick, at(2_006)).is_some());
    }
}
