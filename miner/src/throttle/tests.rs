//! The throttle and the timer with a simulated device and clock.

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
fn the_duty_cycle_falls_step_by_step_to_a_pause_and_rises_step_by_step() {
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
fn between_limit_and_hysteresis_the_duty_cycle_stays() {
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
    use DutyCycle::{Full, Half, Paused, Quarter, ThreeQuarters};
    for duty_cycle in [Full, ThreeQuarters, Half, Quarter, Paused] {
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
    assert!(duty_timer.may_begin(DutyCycle::Half, false, at(0)) && duty_timer.may_begin(DutyCycle::Half, true, at(0)));
    duty_timer.batch_ended(DutyCycle::Half, at(100));
    assert!(!duty_timer.may_begin(DutyCycle::Half, true, at(100)));
    duty_timer.batch_ended(DutyCycle::Half, at(200));
    assert_eq!(duty_timer.rest_left(at(250)), Some(Duration::from_millis(150)));
    assert!(
        !duty_timer.may_begin(DutyCycle::Half, false, at(399)) && duty_timer.may_begin(DutyCycle::Half, false, at(400))
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
