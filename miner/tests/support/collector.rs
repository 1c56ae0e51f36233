//! Runs a device on one piece of work and collects what it reports. `examples/gpu_whole_range.rs` includes this file too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use adit_miner::{Device, DeviceError, Draw, Feed, HeaderWork};

/// What a device reported.
#[derive(Default)]
pub struct Reported {
    /// The nonces searched.
    pub searched: u64,
    /// In the order of the reports.
    pub candidates: Vec<u32>,
}

/// Gives out one piece of work and collects the reports.
struct Collector(Mutex<(Option<HeaderWork>, Reported)>);

/// Runs `device` until it has searched all of `work`.
pub fn collect(device: &mut dyn Device, work: &HeaderWork) -> Result<Reported, DeviceError> {
    // No feed gives out work of no nonces.
    let open = (work.range.count > 0).then(|| work.clone());
    let collector = Collector(Mutex::new((open, Reported::default())));
    device.run(&collector)?;
    Ok(collector.0.into_inner().unwrap_or_else(PoisonError::into_inner).1)
}

impl Collector {
    fn lock(&self) -> MutexGuard<'_, (Option<HeaderWork>, Reported)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed for Collector {
    fn draw(&self, nonces: u64) -> Draw {
        let mut state = self.lock();
        let Some(work) = state.0.take() else { return Draw::Done };
        let (piece, rest) = work.split_at(nonces);
        state.0 = rest;
        Draw::Work(piece)
    }

    fn wait(&self) {}

    fn is_current(&self, _work: &HeaderWork) -> bool {
        true
    }

    fn has_given_up(&self) -> bool {
        false
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let reported = &mut self.lock().1;
        reported.searched += work.range.count;
        reported.candidates.extend(candidates);
    }
}
