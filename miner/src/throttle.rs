//! Keeps a device below a temperature: slows it down in steps before it pauses it, and lets it come back.
//!
//! [`Throttle`] turns temperatures into a [`DutyCycle`]; [`DutyTimer`] turns a duty cycle into idle time between batches. Neither
//! reads a clock, so tests run them with a simulated device. Idle time works for every device that draws work, without a
//! driver's help or special rights. Lower clocks would give more hashes a joule, but each vendor has its own interface for
//! them, and most need an administrator's rights.

use std::time::{Duration, Instant};

/// How much of the time a device may be busy. Later variants are slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DutyCycle {
    /// All of it.
    #[default]
    Full,
    /// 75 %.
    ThreeQuarters,
    /// 50 %.
    Half,
    /// 25 %.
    Quarter,
    /// None of it.
    Paused,
}

impl DutyCycle {
    /// The busy time in percent.
    #[must_use]
    pub const fn percent(self) -> u32 {
        match self {
            DutyCycle::Full => 100,
            DutyCycle::ThreeQuarters => 75,
            DutyCycle::Half => 50,
            DutyCycle::Quarter => 25,
            DutyCycle::Paused => 0,
        }
    }

    /// The next lower duty cycle.
    const fn slower(self) -> Self {
        match self {
            DutyCycle::Full => DutyCycle::ThreeQuarters,
            DutyCycle::ThreeQuarters => DutyCycle::Half,
            DutyCycle::Half => DutyCycle::Quarter,
            DutyCycle::Quarter | DutyCycle::Paused => DutyCycle::Paused,
        }
    }

    /// The next higher duty cycle.
    const fn faster(self) -> Self {
        match self {
            DutyCycle::Paused => DutyCycle::Quarter,
            DutyCycle::Quarter => DutyCycle::Half,
            DutyCycle::Half => DutyCycle::ThreeQuarters,
            DutyCycle::ThreeQuarters | DutyCycle::Full => DutyCycle::Full,
        }
    }

    /// The idle time that follows a busy time; `None` if the device may not be busy at all.
    fn rest_after(self, busy: Duration) -> Option<Duration> {
        match self.percent() {
            0 => None,
            percent => Some(busy * (100 - percent) / percent),
        }
    }
}

/// How temperatures become a duty cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThrottlePolicy {
    /// A device goes one step faster only when it is this many degrees Celsius below its limit. Between the two it keeps its
    /// duty cycle, so that it does not alternate between two steps.
    pub hysteresis: f64,
    /// The least time from any step to a slower one: a chip's temperature follows a step within seconds. A fifth of this applies
    /// while the device is above its limit by more than `hysteresis`, and so heats up faster than the steps cool it.
    pub slower_after: Duration,
    /// The least time from any step to a faster one: a heat sink's temperature follows a step more slowly than the chip's.
    pub faster_after: Duration,
    /// A sensor that gave temperatures once and none for this long counts as silent.
    pub blind_after: Duration,
    /// How often sensors are read.
    pub read_every: Duration,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self {
            hysteresis: 5.0,
            slower_after: Duration::from_secs(5),
            faster_after: Duration::from_secs(20),
            blind_after: Duration::from_secs(10),
            read_every: Duration::from_secs(1),
        }
    }
}

impl ThrottlePolicy {
    /// The same policy with this hysteresis in degrees Celsius.
    #[must_use]
    pub fn with_hysteresis(self, hysteresis: f64) -> Self {
        Self { hysteresis, ..self }
    }

    /// The same policy with this least time from any step to a slower one.
    #[must_use]
    pub fn with_slower_after(self, slower_after: Duration) -> Self {
        Self { slower_after, ..self }
    }

    /// The same policy with this least time from any step to a faster one.
    #[must_use]
    pub fn with_faster_after(self, faster_after: Duration) -> Self {
        Self { faster_after, ..self }
    }

    /// The same policy in which a sensor that gave temperatures is silent after this time without one.
    #[must_use]
    pub fn with_blind_after(self, blind_after: Duration) -> Self {
        Self { blind_after, ..self }
    }

    /// The same policy with sensors read this often.
    #[must_use]
    pub fn with_read_every(self, read_every: Duration) -> Self {
        Self { read_every, ..self }
    }
}

/// Turns a device's temperatures into its duty cycle.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    policy: ThrottlePolicy,
    limit: f64,
    duty_cycle: DutyCycle,
    changed: Option<Instant>,
    /// When the last temperature came.
    last_reading: Option<Instant>,
    blind: bool,
}

impl Throttle {
    /// A device that may be as hot as `limit`, in degrees Celsius.
    pub(crate) fn new(limit: f64, policy: ThrottlePolicy) -> Self {
        Self { policy, limit, duty_cycle: DutyCycle::Full, changed: None, last_reading: None, blind: false }
    }

    /// The limit in degrees Celsius.
    pub(crate) fn limit(&self) -> f64 {
        self.limit
    }

    /// Whether the sensor gave temperatures once and is silent now.
    pub(crate) fn is_blind(&self) -> bool {
        self.blind
    }

    /// Takes the temperature at `now` in degrees Celsius, or `None` if there is none, and returns the duty cycle.
    ///
    /// Above the limit the device goes a step slower, and well below it a step faster. If its sensor falls silent, it runs at a
    /// quarter until the sensor answers: at full duty it could overheat, and a pause would end mining with every driver that
    /// loses a sensor. A device that never gave a temperature is not slowed down.
    pub(crate) fn observe(&mut self, now: Instant, temperature: Option<f64>) -> DutyCycle {
        let Some(temperature) = temperature.filter(|temperature| temperature.is_finite()) else {
            let silence = self.last_reading.map(|last_reading| now.saturating_duration_since(last_reading));
            if silence.is_some_and(|silence| silence >= self.policy.blind_after) {
                self.blind = true;
                self.change(now, self.duty_cycle.max(DutyCycle::Quarter));
            }
            return self.duty_cycle;
        };
        self.last_reading = Some(now);
        self.blind = false;
        let settled = |time| self.changed.is_none_or(|changed| now.saturating_duration_since(changed) >= time);
        let is_far_above = temperature > self.limit + self.policy.hysteresis;
        let slower_after = if is_far_above { self.policy.slower_after / 5 } else { self.policy.slower_after };
        if temperature > self.limit && settled(slower_after) {
            self.change(now, self.duty_cycle.slower());
        } else if temperature <= self.limit - self.policy.hysteresis && settled(self.policy.faster_after) {
            self.change(now, self.duty_cycle.faster());
        }
        self.duty_cycle
    }

    fn change(&mut self, now: Instant, duty_cycle: DutyCycle) {
        if duty_cycle != self.duty_cycle {
            self.duty_cycle = duty_cycle;
            self.changed = Some(now);
        }
    }
}

/// The least time for which a device is busy before it rests. It is short enough for a heat sink not to warm up in it, and long
/// compared with the beginning and end of a batch.
const STRETCH: Duration = Duration::from_millis(100);

/// Delays a device's batches so that it is busy for the share of the time that its duty cycle allows.
///
/// Batches begin freely until one ends at least [`STRETCH`] after the first began. Then none begins until all have ended and the
/// device has rested in proportion to that time. So a device with several batches in flight or many threads rests as a whole,
/// and the time that one batch waits for another does not count as rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DutyTimer {
    busy_since: Option<Instant>,
    rest_until: Option<Instant>,
}

impl DutyTimer {
    /// Whether a batch may begin at `now`; `in_flight` says whether one has not ended.
    pub(crate) fn may_begin(&mut self, duty_cycle: DutyCycle, in_flight: bool, now: Instant) -> bool {
        match (duty_cycle, self.rest_until) {
            (DutyCycle::Paused, _) => {
                *self = Self::default();
                return false;
            }
            (DutyCycle::Full, _) | (_, None) => {}
            (_, Some(until)) if in_flight || now < until => return false,
            (_, Some(_)) => self.busy_since = None,
        }
        self.rest_until = None;
        self.busy_since.get_or_insert(now);
        true
    }

    /// A batch ended at `now`.
    pub(crate) fn batch_ended(&mut self, duty_cycle: DutyCycle, now: Instant) {
        if duty_cycle == DutyCycle::Full {
            self.busy_since = Some(now);
            return;
        }
        let busy = self.busy_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if self.rest_until.is_some() || busy >= STRETCH {
            self.rest_until = duty_cycle.rest_after(busy).map(|rest| now + rest);
        }
    }

    /// Nothing is in flight, and there is no work: the time from now on is not busy time.
    pub(crate) fn idle(&mut self) {
        self.busy_since = None;
    }

    /// How long no batch may begin, if that is known.
    pub(crate) fn rest_left(&self, now: Instant) -> Option<Duration> {
        self.rest_until.map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests;
