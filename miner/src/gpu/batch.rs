//! Sizes dispatches by time: long enough that their overhead is small, short enough that a desktop stays usable and that a new
//! template is searched soon.

use std::time::Duration;

/// How long a dispatch takes by default.
pub(super) const TARGET: Duration = Duration::from_millis(50);

/// A dispatch that took longer is followed by one of the right size at once. Growth is limited so that none comes near it.
pub(super) const LIMIT: Duration = Duration::from_millis(250);

/// The first dispatch by default: 65 ms at 0.25 MH/s, which is slower than any GPU.
pub(super) const FIRST: u64 = 1 << 14;

/// The largest dispatch in nonces. 2^30 nonces in 50 ms are 21 GH/s, and the count must fit 32 bits.
pub(super) const LARGEST: u64 = 1 << 30;

/// The factor by which a dispatch may exceed the one before.
const GROWTH: f64 = 4.0;

/// Sizes dispatches by the time that earlier ones took.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSizer {
    /// How long a dispatch should take.
    target: Duration,
    nonces: u64,
}

impl BatchSizer {
    /// Sizes dispatches to take `target`, at most a fifth of [`LIMIT`]; the first has `first` nonces.
    pub(super) fn new(target: Duration, first: u64) -> Self {
        Self { target: target.clamp(Duration::from_millis(1), LIMIT / 5), nonces: first.clamp(1, LARGEST) }
    }

    /// The nonces of the next dispatch.
    pub(super) fn nonces(&self) -> u64 {
        self.nonces
    }

    /// Learns that a dispatch of `nonces` took `took` on the device.
    ///
    /// Dispatches overlap, so the one that ended was begun before the last correction. The new size is computed from its own
    /// size and not from the present one, so that no error is corrected twice.
    pub(super) fn observe(&mut self, nonces: u64, took: Duration) {
        let wanted = self.target.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let next = (nonces as f64 * wanted.min(GROWTH)) as u64;
        // One short for another reason than speed (the end of a header, an easy target) says nothing against larger ones.
        if next > self.nonces || nonces * 2 > self.nonces || took > LIMIT {
            self.nonces = next.clamp(1, LARGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a device of `rate` nonces a second, two dispatches in flight, and returns the durations of 30 dispatches.
    fn durations(sizer: &mut BatchSizer, rate: f64) -> Vec<Duration> {
        let took = |nonces: u64| Duration::from_secs_f64(nonces as f64 / rate + 20e-6);
        let mut in_flight = sizer.nonces();
        (0..30)
            .map(|_| {
                let next = sizer.nonces();
                let duration = took(in_flight);
                sizer.observe(in_flight, duration);
                in_flight = next;
                duration
            })
            .collect()
    }

    #[test]
    fn every_rate_comes_to_the_target_and_none_passes_the_limit() {
        for rate in [3e5, 1e6, 4e7, 1e9, 8e9, 2e10] {
            let durations = durations(&mut BatchSizer::new(TARGET, FIRST), rate);
            assert!(durations.iter().all(|took| *took < LIMIT), "{rate}: {durations:?}");
            let last = durations[29].as_secs_f64() / TARGET.as_secs_f64();
            assert!((0.9..1.1).contains(&last), "{rate}: {durations:?}");
            let short = Duration::from_millis(20);
            let last = self::durations(&mut BatchSizer::new(short, FIRST), rate)[29].as_secs_f64();
            assert!((0.9..1.1).contains(&(last / short.as_secs_f64())), "{rate}: {last} s");
        }
    }

    #[test]
    fn a_device_that_slows_down_gets_smaller_dispatches() {
        let mut sizer = BatchSizer::new(TARGET, FIRST);
        durations(&mut sizer, 1e9);
        let durations = durations(&mut sizer, 1e8);
        assert!(durations[4] < LIMIT && durations[29] < TARGET * 2, "{durations:?}");
    }

    #[test]
    fn short_dispatches_do_not_shrink_the_size() {
        let mut sizer = BatchSizer::new(TARGET, FIRST);
        durations(&mut sizer, 1e9);
        let before = sizer.nonces();
        sizer.observe(100, Duration::from_micros(30));
        assert_eq!(sizer.nonces(), before);
    }
}
