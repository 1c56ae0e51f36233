//! Finds the settings with which a GPU is fastest, by trying a few of them.
//!
//! The best settings depend on the driver's compiler and on how many threads keep the card busy, and no name tells either. So
//! they are measured: first the threads in a workgroup, then with the best of these the nonces a thread, then how short a
//! dispatch may be. No dispatch is longer than when mining. Settings are taken only if they pass the known-answer test:
//! settings that a driver computes wrongly are often the fastest.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::batch;
use super::device::GpuDevice;
use super::settings::GpuSettings;
use crate::device::{Device, DeviceError};
use crate::device_info::DeviceInfo;
use crate::known_answer;
use crate::measure::{MeasurePlan, measure};

/// Tuned settings of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads in a workgroup.
    pub workgroup: u32,
    /// Nonces that a thread tries.
    pub nonces_per_thread: u32,
    /// How long a dispatch takes, about.
    pub dispatch: Duration,
    /// The nonces of a dispatch that took that long.
    pub batch: u64,
}

impl Tuning {
    /// The settings that mining uses after this tuning.
    #[must_use]
    pub fn settings(&self) -> GpuSettings {
        let Self { workgroup, nonces_per_thread, dispatch, batch } = *self;
        GpuSettings {
            workgroup,
            nonces_per_thread,
            dispatch,
            first_batch: batch / START_DIVISOR,
            ..GpuSettings::default()
        }
    }
}

/// The first dispatch of a run has the tuned batch divided by this, as the card may be busy or hot now. The second may already be
/// four times as large.
const START_DIVISOR: u64 = 4;

/// The workgroups to try, in threads; the default is first, and another is taken only if it is faster. Fewer threads than a
/// warp or wave are never faster.
const WORKGROUPS: [u32; 4] = [64, 128, 256, 32];

/// The nonces a thread to try, the default first.
const NONCES_PER_THREAD: [u32; 3] = [32, 16, 8];

/// Another setting must be faster by this factor. Less is noise.
const GAIN: f64 = 1.01;

/// The dispatches to try, the default first. A shorter one disturbs a desktop less and notices a new template sooner. It is
/// taken if its rate is lower by no more than `GAIN`.
const DISPATCHES: [Duration; 2] = [batch::TARGET, Duration::from_millis(25)];

/// The dispatches with which workgroups and nonces a thread are tried.
const TRIAL_DISPATCH: Duration = Duration::from_millis(20);

/// How a trial is measured: eight dispatches after two to warm up.
const TRIAL: MeasurePlan = MeasurePlan::new(4, Duration::from_millis(40)).with_warm_up(Duration::from_millis(40));

/// How long the start of a program may try settings.
pub(super) const AT_START: Duration = Duration::from_millis(1_200);

/// How long a user who asked for tuning waits for a device. Its driver may take seconds to compile each setting.
pub(super) const ON_REQUEST: Duration = Duration::from_secs(20);

/// Tunes `adapter`. No setting is begun after `budget`; the last one may take longer, as the driver compiles it.
pub(super) fn tune(info: &DeviceInfo, adapter: &wgpu::Adapter, budget: Duration) -> Result<TuningOutcome, DeviceError> {
    tune_by(&|settings| GpuDevice::open(info.clone(), adapter, settings), budget)
}

/// The result of tuning.
#[derive(Clone, Copy, Debug)]
pub(super) struct TuningOutcome {
    pub(super) tuning: Tuning,
    /// The settings that were tried.
    pub(super) tried: usize,
}

/// How many settings are tried if time allows.
pub(super) const SETTINGS: usize = WORKGROUPS.len() + NONCES_PER_THREAD.len() - 1 + DISPATCHES.len();

/// A device whose settings can be tuned.
trait Tunable: Device {
    /// The nonces of its next batch.
    fn batch(&self) -> u64;
}

impl Tunable for GpuDevice {
    fn batch(&self) -> u64 {
        self.batch()
    }
}

fn tune_by<D: Tunable>(
    open: &dyn Fn(GpuSettings) -> Result<D, DeviceError>,
    budget: Duration,
) -> Result<TuningOutcome, DeviceError> {
    let mut tuner = Tuner { open, end: Instant::now() + budget, tried: 0 };
    let default = GpuSettings { dispatch: TRIAL_DISPATCH, ..GpuSettings::default() };
    let mut best = tuner.trial(default, None).map(|trial| trial.expect("a trial without a least rate has a result"));
    for workgroup in WORKGROUPS.into_iter().skip(1) {
        tuner.try_change(&mut best, &default, |settings| GpuSettings { workgroup, ..settings });
    }
    for nonces_per_thread in NONCES_PER_THREAD.into_iter().skip(1) {
        tuner.try_change(&mut best, &default, |settings| GpuSettings { nonces_per_thread, ..settings });
    }
    let best = best?;

    let mut chosen: Option<TriedSettings> = None;
    for dispatch in DISPATCHES {
        let settings = GpuSettings { dispatch, first_batch: best.batch, ..best.settings };
        match tuner.trial(settings, chosen.as_ref().map(|longer| longer.rate / GAIN)) {
            Ok(Some(trial)) => chosen = Some(trial),
            Ok(None) => {}
            Err(error) if chosen.is_none() => return Err(error),
            Err(error) => tracing::debug!(?dispatch, "not usable: {error}"),
        }
    }
    let GpuSettings { workgroup, nonces_per_thread, .. } = best.settings;
    let TriedSettings { settings: GpuSettings { dispatch, .. }, batch, .. } = chosen.unwrap_or(best);
    Ok(TuningOutcome { tuning: Tuning { workgroup, nonces_per_thread, dispatch, batch }, tried: tuner.tried })
}

/// Settings that passed the known-answer test, with what was measured.
struct TriedSettings {
    settings: GpuSettings,
    /// Hashes a second.
    rate: f64,
    /// The nonces of a dispatch at the end.
    batch: u64,
}

struct Tuner<'a, D> {
    open: &'a dyn Fn(GpuSettings) -> Result<D, DeviceError>,
    /// After this, no setting is begun.
    end: Instant,
    tried: usize,
}

impl<D: Tunable> Tuner<'_, D> {
    /// Tries settings; `None` if their rate is not above `least_rate`. Others must pass the known-answer test: a dispatch that does
    /// nothing is the fastest of all.
    fn trial(&mut self, settings: GpuSettings, least_rate: Option<f64>) -> Result<Option<TriedSettings>, DeviceError> {
        self.tried += 1;
        let mut device = (self.open)(settings)?;
        // The best of the samples: other programs can only have slowed them down.
        let rate = measure(&mut device, &TRIAL)?.into_iter().fold(0.0, f64::max);
        let batch = device.batch();
        if least_rate.is_some_and(|least_rate| rate <= least_rate) {
            return Ok(None);
        }
        known_answer::test(&mut device, &AtomicBool::new(false))?;
        Ok(Some(TriedSettings { settings, rate, batch }))
    }

    /// Tries changed settings. They become the best if they are faster, or the first that work. Settings that the driver
    /// refuses or computes wrongly are left out.
    fn try_change(
        &mut self,
        best: &mut Result<TriedSettings, DeviceError>,
        default: &GpuSettings,
        change: impl Fn(GpuSettings) -> GpuSettings,
    ) {
        if Instant::now() >= self.end {
            return;
        }
        let base = match best {
            Ok(best) => GpuSettings { first_batch: best.batch / START_DIVISOR, ..best.settings },
            Err(_) => *default,
        };
        let settings = change(base);
        match self.trial(settings, best.as_ref().ok().map(|best| best.rate * GAIN)) {
            Ok(Some(trial)) => *best = Ok(trial),
            Ok(None) => {}
            Err(error) => tracing::debug!(
                workgroup = settings.workgroup,
                nonces_per_thread = settings.nonces_per_thread,
                "not usable: {error}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use adit_hash::Backend;

    use super::*;
    use crate::cpu::CpuDevice;
    use crate::device::{Draw, Feed};

    /// The CPU in place of a GPU. A lazy one reports batches that it never searched.
    struct Card {
        cpu: CpuDevice,
        lazy: bool,
    }

    impl Device for Card {
        fn info(&self) -> &DeviceInfo {
            self.cpu.info()
        }

        fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
            if !self.lazy {
                return self.cpu.run(feed);
            }
            while let Draw::Work(work) = feed.draw(1 << 20) {
                feed.report(&work, &[]);
            }
            Ok(())
        }
    }

    impl Tunable for Card {
        fn batch(&self) -> u64 {
            1 << 20
        }
    }

    fn tuned(is_lazy: impl Fn(&GpuSettings) -> bool, budget: Duration) -> Result<TuningOutcome, DeviceError> {
        let open = |settings: GpuSettings| {
            let cpu = CpuDevice::new(NonZeroUsize::new(1), Some(Backend::Portable))?;
            Ok(Card { cpu, lazy: is_lazy(&settings) })
        };
        tune_by(&open, budget)
    }

    #[test]
    fn settings_that_search_nothing_are_fast_and_never_taken() {
        let is_lazy = |settings: &GpuSettings| settings.workgroup == 128 || settings.nonces_per_thread == 8;
        let found = tuned(is_lazy, ON_REQUEST).unwrap();
        assert!(found.tuning.workgroup != 128 && found.tuning.nonces_per_thread != 8, "{found:?}");
        assert_eq!(found.tried, SETTINGS);

        // Not even the default, nor a dispatch.
        let found = tuned(|settings| settings.workgroup != 256, ON_REQUEST).unwrap();
        assert_eq!(found.tuning.workgroup, 256);
        let found = tuned(|settings| settings.dispatch == DISPATCHES[1], AT_START).unwrap();
        assert_eq!(found.tuning.dispatch, DISPATCHES[0]);

        let error = tuned(|_| true, Duration::ZERO).unwrap_err();
        assert!(matches!(error, DeviceError::KnownAnswer(_)), "{error}");
    }
}
