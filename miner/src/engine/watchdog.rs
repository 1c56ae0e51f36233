//! The watchdog's rules: when a device is sick, when it is tried again, and when it is given up.
//!
//! Nothing here reads a clock or starts a thread: [`super::supervise`] does, and asks. So the rules can be tested minute by
//! minute without waiting for one.

use std::time::{Duration, Instant};

use crate::device::DeviceError;

/// When a device is sick, how often it is tried again, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogPolicy {
    /// A device that has work and reports nothing for this long hangs, unless [`WatchdogPolicy::slack`] grants it more. A
    /// GPU's dispatch is meant to take a twentieth of a second and a CPU's batch a hundredth, so this is no question of speed.
    /// Nothing else gives a device up for its silence, and whoever knows that a driver may be held up for longer, by another
    /// program or by a debugger, can raise it.
    pub stall: Duration,
    /// The times that a device may be slower than it has been of late before it hangs. A slow device is not sick: one that takes
    /// 10 s a batch has 100 s for the next, however short `stall` is. Ten, as batches grow by less at a time.
    pub slack: u32,
    /// The same as `stall` for the opening and the known-answer test, in which drivers compile the kernel.
    pub opening: Duration,
    /// The pause before the first try after a failure. Each pause is twice the one before.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A device is given up at this many failures in a row.
    pub failures: u32,
    /// Failures before are forgiven once a device has mined this long: what happens once a day is not one illness.
    pub forgiven_after: Duration,
    /// How often the watchdog looks. Failures that a device tells of are dealt with at once.
    pub look_every: Duration,
}

impl Default for WatchdogPolicy {
    /// Eight tries within two minutes and the time that each takes: a driver that was reset or updated is back within that.
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

/// A device's illnesses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    /// Failures in a row.
    failures: u32,
    /// Since when it mines, if it does.
    mining_since: Option<Instant>,
}

impl Backoff {
    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The device passed the known-answer test.
    pub(super) fn mines(&mut self, now: Instant) {
        self.mining_since = Some(now);
    }

    /// Forgives what is long ago.
    pub(super) fn forgive(&mut self, policy: &WatchdogPolicy, now: Instant) {
        let well = self.mining_since.map(|since| now.saturating_duration_since(since));
        if well.is_some_and(|well| well >= policy.forgiven_after) {
            self.failures = 0;
        }
    }

    /// The device failed.
    ///
    /// One that gives wrong answers and has no failure behind it is given up at once: its driver works and it computes
    /// wrongly, so another try would show the same or, worse, pass by luck. After a failure wrong answers are part of it.
    pub(super) fn fails(&mut self, policy: &WatchdogPolicy, error: &DeviceError, now: Instant) -> FailureAction {
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

/// A device's signs of life.
///
/// What counts is a report, or, while the device holds no work, any call to its feed: a device without work asks for some
/// several times a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    last: Instant,
    /// The longest time from one report to the next, the opening left out; an eighth fades with every report of mining, so
    /// that a kernel's compilation or one bad moment is not the measure for good.
    longest: Duration,
    /// Calls to the feed that have not returned. A device that waits in there, for a verifier that has its hands full, waits
    /// for us.
    in_feed: usize,
}

impl Heartbeat {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, longest: Duration::ZERO, in_feed: 0 }
    }

    /// A report of the known-answer test. Its batches are small and tell less than those of mining, so none fades.
    pub(super) fn answers(&mut self, now: Instant) {
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = now;
    }

    /// A report of mining.
    pub(super) fn reports(&mut self, now: Instant) {
        self.longest -= self.longest / 8;
        self.answers(now);
    }

    /// A sign of life that tells nothing of the device's speed.
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

    /// How long the device has given no sign of life, if that is too long: longer than `patience`, and longer than
    /// [`WatchdogPolicy::slack`] times what it took of late.
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
        let pauses: Vec<_> = std::iter::from_fn(|| match backoff.fails(&policy, &lost(), now) {
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
                backoff.fails(&policy, &lost(), start);
            }
            backoff.mines(start);
            backoff.fails(&policy, &lost(), start + Duration::from_secs(mined));
            assert_eq!(backoff.failures(), failures, "after {mined} s of mining");
            // Time that passes while it does not mine forgives nothing.
            backoff.fails(&policy, &lost(), start + Duration::from_secs(10_000));
            assert_eq!(backoff.failures(), failures + 1);
        }
    }

    #[test]
    fn wrong_answers_end_a_device_at_once_unless_its_driver_failed_before() {
        let policy = WatchdogPolicy::default();
        let now = Instant::now();
        let wrong = DeviceError::KnownAnswer("missed".into());
        assert_eq!(Backoff::default().fails(&policy, &wrong, now), FailureAction::GiveUp);
        let mut backoff = Backoff::default();
        backoff.fails(&policy, &lost(), now);
        assert_eq!(backoff.fails(&policy, &wrong, now), FailureAction::Retry(now + Duration::from_secs(2)));
    }

    #[test]
    fn a_slow_device_is_granted_ten_times_what_it_takes_and_a_quick_one_the_constant() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let stalled = |heartbeat: &Heartbeat, now| heartbeat.stalled(Duration::from_secs(5), 10, now);
        let mut slow = Heartbeat::new(start);
        (1..=10).for_each(|i| slow.reports(at(10 * i)));
        assert_eq!(stalled(&slow, at(200)), None, "10 s a batch and 5 s of patience: not sick");
        assert_eq!(stalled(&slow, at(201)), Some(Duration::from_secs(101)));
        let mut quick = Heartbeat::new(start);
        (1..=10).for_each(|i| quick.reports(start + Duration::from_millis(50 * i)));
        assert_eq!(stalled(&quick, at(5)), None);
        assert!(stalled(&quick, at(6)).is_some());
        // What the test took is kept through the test, and fades in mining.
        let mut compiles = Heartbeat::new(start);
        compiles.answers(at(20));
        (0..500).for_each(|_| compiles.answers(at(20)));
        assert_eq!(stalled(&compiles, at(220)), None);
        (0..100).for_each(|_| compiles.reports(at(20)));
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
