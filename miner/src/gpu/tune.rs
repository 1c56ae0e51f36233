//! The settings with which a GPU is fastest, found by trying a few of them.
//!
//! What a driver's compiler makes of a kernel, and how many threads a card needs to be busy, cannot be known from its name.
//! So each is measured, for as long as a user at the start of a program does not mind: threads in a workgroup first, nonces
//! a thread with the best of these, then how short a dispatch may be. No dispatch is longer than when mining.

use std::time::{Duration, Instant};

use super::{GpuDevice, GpuSettings, batch};
use crate::device::{DeviceError, DeviceInfo};
use crate::measure::{MeasurePlan, measure};

/// What tuning decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Threads in a workgroup.
    pub workgroup: u32,
    /// Nonces that a thread tries.
    pub nonces_per_thread: u32,
    /// How long a dispatch is meant to take.
    pub dispatch: Duration,
    /// The nonces of a dispatch that took that long.
    pub batch: u64,
}

impl Tuning {
    /// The settings that mining uses after this tuning.
    #[must_use]
    pub fn settings(&self) -> GpuSettings {
        let Self { workgroup, nonces_per_thread, dispatch, batch } = *self;
        GpuSettings { workgroup, nonces_per_thread, dispatch, first_batch: batch / CAUTION, ..GpuSettings::default() }
    }
}

/// The first dispatch of a run gets this part of the tuned batch: the card may be busy or hot today, and the second dispatch
/// may already be four times as large.
const CAUTION: u64 = 4;

/// Threads in a workgroup, the default first: another must be faster to be taken. Less than a warp or wave is never good.
const WORKGROUPS: [u32; 4] = [64, 128, 256, 32];

/// Nonces a thread, the default first.
const NONCES_PER_THREAD: [u32; 3] = [32, 16, 8];

/// How much faster another setting must be: less is noise.
const GAIN: f64 = 1.01;

/// The dispatches to try, the default first. A shorter one makes a desktop smoother and a template fresher, and is taken if
/// it costs no more than `GAIN`.
const DISPATCHES: [Duration; 2] = [batch::TARGET, Duration::from_millis(25)];

/// Dispatches while workgroups and nonces a thread are tried.
const TRIAL_DISPATCH: Duration = Duration::from_millis(20);

/// What a trial takes after the compilation: eight dispatches, and two before them.
const TRIAL: MeasurePlan =
    MeasurePlan { warm_up: Duration::from_millis(40), samples: 4, sample: Duration::from_millis(40) };

/// No further setting is tried after this time; how long one takes is the driver's affair, which compiles it.
const BUDGET: Duration = Duration::from_millis(1_200);

/// Tunes `adapter`, which takes a second or two.
pub(crate) fn tune(info: &DeviceInfo, adapter: &wgpu::Adapter) -> Result<Tuning, DeviceError> {
    let begun = Instant::now();
    let open = |settings| GpuDevice::open(info.clone(), adapter, settings);
    let mut best = Trial::of(open(GpuSettings { dispatch: TRIAL_DISPATCH, ..GpuSettings::default() })?)?;
    for workgroup in WORKGROUPS.into_iter().skip(1) {
        best.challenge(begun, &open, |settings| GpuSettings { workgroup, ..settings });
    }
    for nonces_per_thread in NONCES_PER_THREAD.into_iter().skip(1) {
        best.challenge(begun, &open, |settings| GpuSettings { nonces_per_thread, ..settings });
    }
    let GpuSettings { workgroup, nonces_per_thread, .. } = best.settings;

    let mut chosen: Option<Trial> = None;
    for dispatch in DISPATCHES {
        let trial = Trial::of(open(GpuSettings { dispatch, first_batch: best.batch, ..best.settings })?)?;
        if chosen.as_ref().is_none_or(|longer| trial.rate * GAIN > longer.rate) {
            chosen = Some(trial);
        }
    }
    let chosen = chosen.unwrap_or(best);
    Ok(Tuning { workgroup, nonces_per_thread, dispatch: chosen.settings.dispatch, batch: chosen.batch })
}

/// Settings, and what they came to.
struct Trial {
    settings: GpuSettings,
    /// Hashes a second.
    rate: f64,
    /// The nonces of a dispatch at the end.
    batch: u64,
}

impl Trial {
    fn of(mut gpu: GpuDevice) -> Result<Self, DeviceError> {
        let rates = measure(&mut gpu, &TRIAL)?;
        // The best of the samples: what else ran on the machine can only have slowed them.
        let rate = rates.into_iter().fold(0.0, f64::max);
        Ok(Self { settings: gpu.settings, rate, batch: gpu.sizer.nonces() })
    }

    /// Tries other settings and becomes them where they are faster. Settings that the driver refuses are not.
    fn challenge(
        &mut self,
        begun: Instant,
        open: &impl Fn(GpuSettings) -> Result<GpuDevice, DeviceError>,
        change: impl Fn(GpuSettings) -> GpuSettings,
    ) {
        if begun.elapsed() >= BUDGET {
            return;
        }
        let settings = GpuSettings { first_batch: self.batch / CAUTION, ..change(self.settings) };
        match open(settings).and_then(Trial::of) {
            Ok(trial) if trial.rate > self.rate * GAIN => *self = trial,
            Ok(_) => {}
            Err(error) => tracing::debug!(
                workgroup = settings.workgroup,
                nonces_per_thread = settings.nonces_per_thread,
                "not usable: {error}"
            ),
        }
    }
}
