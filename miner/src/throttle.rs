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
    /// Every duty cycle, the highest first.
    pub const ALL: [DutyCycle; 5] =
        [DutyCycle::Full, DutyCycle::ThreeQuarters, DutyCycle::Half, DutyCycle::Quarter, DutyCycle::Paused];

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

    /// The same policy with sensors read this often.
    #[must_use]
    pub fn with_read_every(self, read_every: Duration) -> Self {
        Self { read_every, ..self }
    }
}

/// Turns a device's temperatures into its duty cycle.
#[derive(Clone, Debug)]
pub struct Throttle {
    policy: ThrottlePolicy,
    limit: f64,
    duty_cycle: DutyCycle,
    changed: Option<Instant>,
    /// When the last temperature came.
    heard: Option<Instant>,
    blind: bool,
}

impl Throttle {
    /// A device that may be as hot as `limit`, in degrees Celsius.
    #[must_use]
    pub fn new(limit: f64, policy: ThrottlePolicy) -> Self {
        Self { policy, limit, duty_cycle: DutyCycle::Full, changed: None, heard: None, blind: false }
    }

    /// The limit in degrees Celsius.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// Whether the sensor gave temperatures once and is silent now.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Takes the temperature at `now` in degrees Celsius, or `None` if there is none, and returns the duty cycle.
    ///
    /// Above the limit the device goes a step slower, and well below it a step faster. If its sensor falls silent, it runs at a
    /// quarter until the sensor answers: at full duty it could overheat, and a pause would end mining with every driver that
    /// loses a sensor. A device that never gave a temperature is not slowed down.
    pub fn observe(&mut self, now: Instant, temperature: Option<f64>) -> DutyCycle {
        let Some(temperature) = temperature.filter(|temperature| temperature.is_finite()) else {
            let silence = self.heard.map(|heard| now.saturating_duration_since(heard));
            if silence.is_some_and(|silence| silence >= self.policy.blind_after) {
                self.blind = true;
                self.change(now, self.duty_cycle.max(DutyCycle::Quarter));
            }
            return self.duty_cycle;
        };
        self.heard = Some(now);
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
mod tests {
    use super::*;

    const LIMIT: f64 = 80.0;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A chip on a heat sink: `rise` degrees above the room at full duty in the end, with time constant `slowness` seconds.
    struct Chip {
        room: f64,
        rise: f64,
        slowness: f64,
        temperature: f64,
    }

    impl Chip {
        fn new(room: f64, rise: f64, slowness: f64) -> Self {
            Self { room, rise, slowness, temperature: room }
        }

        /// Runs for a second at `duty_cycle`.
        fn run(&mut self, duty_cycle: DutyCycle) {
            let end = self.room + self.rise * f64::from(duty_cycle.percent()) / 100.0;
            self.temperature += (end - self.temperature) * (1.0 - (-1.0 / self.slowness).exp());
        }
    }

    /// Runs `chip` under a throttle for `time` seconds; gives temperature and duty cycle of each.
    fn run(chip: &mut Chip, throttle: &mut Throttle, from: Instant, time: u32) -> Vec<(f64, DutyCycle)> {
        (0..time)
            .map(|second| {
                let duty_cycle = throttle.observe(from + seconds(second.into()), Some(chip.temperature));
                chip.run(duty_cycle);
                (chip.temperature, duty_cycle)
            })
            .collect()
    }

    fn throttle() -> Throttle {
        Throttle::new(LIMIT, ThrottlePolicy::default())
    }

    fn changes(course: &[(f64, DutyCycle)]) -> usize {
        course.windows(2).filter(|pair| pair[0].1 != pair[1].1).count()
    }

    #[test]
    fn a_cool_device_is_left_alone() {
        let course = run(&mut Chip::new(25.0, 54.0, 40.0), &mut throttle(), Instant::now(), 3_000);
        assert!(course.iter().all(|(_, duty_cycle)| *duty_cycle == DutyCycle::Full));
    }

    #[test]
    fn hot_devices_end_near_the_limit_without_a_pause() {
        // Rises such that each of the three slowed duty cycles is the right one once; with fast and slow heat sinks.
        for (rise, steady) in [(65.0, DutyCycle::ThreeQuarters), (95.0, DutyCycle::Half), (160.0, DutyCycle::Quarter)] {
            for slowness in [20.0, 60.0, 240.0] {
                let course = run(&mut Chip::new(25.0, rise, slowness), &mut throttle(), Instant::now(), 6_000);
                let (before, after) = course.split_at(3_000);
                let hottest = before.iter().map(|(temperature, _)| *temperature).fold(0.0, f64::max);
                assert!(hottest < LIMIT + 12.0, "{rise}, {slowness}: {hottest}");
                assert!(after.iter().all(|(temperature, _)| *temperature < LIMIT + 5.0), "{rise}, {slowness}");
                assert!(before.iter().all(|(_, duty_cycle)| *duty_cycle <= steady.slower()), "{rise}, {slowness}");
                // Where no duty cycle is the right one, two take turns, no faster than the policy allows.
                assert!(changes(after) <= 2 * 3_000 / 25 + 1, "{rise}, {slowness}: {} changes", changes(after));
                let mean = after.iter().map(|(_, duty_cycle)| f64::from(duty_cycle.percent())).sum::<f64>() / 3_000.0;
                assert!((f64::from(steady.percent()) - 15.0..=100.0).contains(&mean), "{rise}, {slowness}: {mean}");
            }
        }
    }

    #[test]
    fn the_pace_falls_step_by_step_to_a_pause_and_rises_step_by_step() {
        let start = Instant::now();
        let mut throttle = throttle();
        let mut chip = Chip::new(90.0, 60.0, 30.0);
        let course = run(&mut chip, &mut throttle, start, 600);
        assert_eq!(course[599].1, DutyCycle::Paused, "a room above the limit");
        let mut seen: Vec<_> = course.iter().map(|(_, duty_cycle)| *duty_cycle).collect();
        seen.dedup();
        assert_eq!(seen, [DutyCycle::ThreeQuarters, DutyCycle::Half, DutyCycle::Quarter, DutyCycle::Paused]);

        chip.room = 10.0;
        let course = run(&mut chip, &mut throttle, start + seconds(600.0), 600);
        let mut seen: Vec<_> = course.iter().map(|(_, duty_cycle)| *duty_cycle).collect();
        seen.dedup();
        assert_eq!(
            seen,
            [DutyCycle::Paused, DutyCycle::Quarter, DutyCycle::Half, DutyCycle::ThreeQuarters, DutyCycle::Full]
        );
    }

    #[test]
    fn steps_down_are_seconds_apart_and_quicker_far_above_the_limit() {
        let start = Instant::now();
        let mut throttle = throttle();
        let mut at = |second, temperature| throttle.observe(start + seconds(second), Some(temperature));
        assert_eq!(at(0.0, 84.0), DutyCycle::ThreeQuarters);
        assert_eq!((at(4.9, 84.0), at(5.0, 84.0)), (DutyCycle::ThreeQuarters, DutyCycle::Half));
        assert_eq!((at(5.9, 86.0), at(6.0, 86.0)), (DutyCycle::Half, DutyCycle::Quarter));
        assert_eq!((at(6.1, 120.0), at(7.0, 120.0)), (DutyCycle::Quarter, DutyCycle::Paused));
    }

    #[test]
    fn between_limit_and_hysteresis_the_pace_stays() {
        let start = Instant::now();
        let mut throttle = throttle();
        assert_eq!(throttle.observe(start, Some(80.0)), DutyCycle::Full, "at the limit is not above it");
        assert_eq!(throttle.observe(start, Some(80.1)), DutyCycle::ThreeQuarters);
        for (second, temperature) in [(100.0, 79.9), (200.0, 75.1), (300.0, 78.0)] {
            assert_eq!(throttle.observe(start + seconds(second), Some(temperature)), DutyCycle::ThreeQuarters);
        }
        assert_eq!(throttle.observe(start + seconds(400.0), Some(75.0)), DutyCycle::Full);
    }

    #[test]
    fn a_sensor_that_falls_silent_slows_the_device_down_until_it_answers() {
        let start = Instant::now();
        let at = |second| start + seconds(second);
        let mut throttle = throttle();
        for second in 0..100 {
            assert_eq!(throttle.observe(at(f64::from(second)), None), DutyCycle::Full, "never heard");
        }
        assert_eq!(throttle.observe(at(100.0), Some(60.0)), DutyCycle::Full);
        assert_eq!(throttle.observe(at(109.9), None), DutyCycle::Full, "some misses are no silence");
        assert_eq!((throttle.observe(at(110.0), None), throttle.is_blind()), (DutyCycle::Quarter, true));
        assert_eq!(throttle.observe(at(1_000.0), Some(f64::NAN)), DutyCycle::Quarter);
        assert_eq!((throttle.observe(at(1_001.0), Some(60.0)), throttle.is_blind()), (DutyCycle::Half, false));
        // Paused it stays paused.
        for second in 0..4 {
            throttle.observe(at(2_000.0 + f64::from(second)), Some(99.0));
        }
        assert_eq!(throttle.observe(at(2_100.0), None), DutyCycle::Paused);
    }

    /// Runs a device whose threads take `batches` each, over and over, for four minutes, and returns the share of time in
    /// which any of them was busy.
    fn busy_share(duty_cycle: DutyCycle, batches: &[Duration]) -> f64 {
        const TICK: Duration = Duration::from_millis(1);
        const TICKS: u32 = 240_000;
        let (mut duty_timer, mut now, mut busy) = (DutyTimer::default(), Instant::now(), 0);
        let mut threads: Vec<(Duration, Option<Instant>)> = batches.iter().map(|batch| (*batch, None)).collect();
        for _ in 0..TICKS {
            for (_, end) in &mut threads {
                if end.is_some_and(|end| end <= now) {
                    *end = None;
                    duty_timer.batch_ended(duty_cycle, now);
                }
            }
            let mut in_flight = threads.iter().any(|(_, end)| end.is_some());
            for (batch, end) in &mut threads {
                if end.is_none() && duty_timer.may_begin(duty_cycle, in_flight, now) {
                    *end = Some(now + *batch);
                    in_flight = true;
                }
            }
            busy += u32::from(in_flight);
            now += TICK;
        }
        f64::from(busy) / f64::from(TICKS)
    }

    #[test]
    fn idle_time_is_in_proportion_to_the_batches() {
        let millis = Duration::from_millis;
        for duty_cycle in DutyCycle::ALL {
            let wanted = f64::from(duty_cycle.percent()) / 100.0;
            for batches in [
                vec![millis(1)],
                vec![millis(50)],
                vec![millis(3_000)],
                vec![millis(7), millis(10), millis(9), millis(2)],
                vec![millis(40), millis(170)],
            ] {
                let share = busy_share(duty_cycle, &batches);
                assert!((share - wanted).abs() < 0.03, "{duty_cycle:?} of {batches:?}: {share}");
            }
        }
    }

    #[test]
    fn a_gpu_s_second_dispatch_is_busy_time_and_waiting_for_work_is_not() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut duty_timer = DutyTimer::default();
        // Two dispatches of 100 ms in flight, one behind the other, at half the duty cycle: 200 ms busy, 200 ms at rest.
        assert!(
            duty_timer.may_begin(DutyCycle::Half, false, at(0)) && duty_timer.may_begin(DutyCycle::Half, true, at(0))
        );
        duty_timer.batch_ended(DutyCycle::Half, at(100));
        assert!(!duty_timer.may_begin(DutyCycle::Half, true, at(100)));
        duty_timer.batch_ended(DutyCycle::Half, at(200));
        assert_eq!(duty_timer.rest_left(at(250)), Some(Duration::from_millis(150)));
        assert!(
            !duty_timer.may_begin(DutyCycle::Half, false, at(399))
                && duty_timer.may_begin(DutyCycle::Half, false, at(400))
        );
        duty_timer.batch_ended(DutyCycle::Half, at(410));
        // A minute without a template.
        duty_timer.idle();
        assert!(duty_timer.may_begin(DutyCycle::Half, false, at(60_000)));
        duty_timer.batch_ended(DutyCycle::Half, at(60_050));
        assert_eq!(duty_timer.rest_left(at(60_050)), None);
        // A device that goes back to full duty does not sit out its rest.
        duty_timer.batch_ended(DutyCycle::Half, at(60_150));
        assert!(
            !duty_timer.may_begin(DutyCycle::Half, false, at(60_151))
                && duty_timer.may_begin(DutyCycle::Full, false, at(60_151))
        );
    }
}
