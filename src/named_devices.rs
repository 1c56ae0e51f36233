//! Which failures of devices end a run: one that the user named must work, another is left out.
//!
//! A run without a device that `--device` names is not the run that was asked for.

use adit_miner::{DeviceError, DeviceId, DeviceState, EngineSnapshot, Selection};
use anyhow::{Context, anyhow};

use crate::exit::{Exit, Failure, OrExit, Result};

/// The devices of a run, and whether the user named them.
pub struct NamedDevices {
    named: bool,
    /// Which have begun to mine.
    began: Vec<bool>,
}

impl NamedDevices {
    /// Of the devices that `selection` means.
    pub fn new(selection: &Selection) -> Self {
        Self { named: matches!(selection, Selection::Ids(_)), began: Vec::new() }
    }

    /// Opens each of `ids`.
    ///
    /// # Errors
    /// A named device does not open, or no device does.
    pub fn open_each<D>(
        &self,
        ids: Vec<DeviceId>,
        open: impl Fn(DeviceId) -> std::result::Result<D, DeviceError>,
    ) -> Result<Vec<D>> {
        let mut opened = Vec::new();
        let mut failure = None;
        for id in ids {
            match open(id).with_context(|| id.to_string()) {
                Ok(device) => opened.push(device),
                Err(error) if self.named => return Err(error).or_running(),
                Err(error) => {
                    tracing::warn!("{error:#}; going on without it");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if opened.is_empty() => Err(error).or_running(),
            _ => Ok(opened),
        }
    }

    /// Checks devices that the engine opens.
    ///
    /// # Errors
    /// A named device failed before it began to mine. Others, and later failures, are the engine's matter.
    pub fn check(&mut self, snapshot: &EngineSnapshot) -> Result {
        self.began.resize(snapshot.devices.len(), false);
        for (device, began) in snapshot.devices.iter().zip(&mut self.began) {
            // One may begin and fail between two looks.
            *began |= device.state == DeviceState::Mining || device.hashes > 0;
            if let DeviceState::Sick { reason, .. } | DeviceState::Dead { reason, .. } = &device.state
                && self.named
                && !*began
            {
                return Err(Exit::new(Failure::Running, anyhow!("{}: {reason}", device.info.id)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use adit_miner::{
        CpuSettings, Devices, Engine, EngineOptions, Solution, Submission, Template, TemplateId, WorkSource,
    };

    use super::*;

    /// A source without work.
    pub struct NoWork;

    impl WorkSource for NoWork {
        fn wait_newer(&self, _seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
            std::thread::sleep(timeout);
            None
        }

        fn newest(&self) -> Option<TemplateId> {
            None
        }

        fn submit(&self, _solution: &Solution) -> Submission {
            Submission::Stale
        }
    }

    fn try_to_open(selection: &Selection, ids: &[DeviceId]) -> Option<Vec<DeviceId>> {
        let broken = |id| match id {
            DeviceId::Gpu(0) => Err(DeviceError::Lost("unplugged".to_owned())),
            _ => Ok(id),
        };
        NamedDevices::new(selection).open_each(ids.to_vec(), broken).ok()
    }

    #[test]
    fn a_device_that_does_not_open_leaves_the_others_unless_it_was_named() {
        let both = [DeviceId::Gpu(0), DeviceId::Gpu(1)];
        assert_eq!(try_to_open(&Selection::Auto, &both), Some(vec![DeviceId::Gpu(1)]));
        assert_eq!(try_to_open(&Selection::All, &[DeviceId::Cpu, DeviceId::Gpu(0)]), Some(vec![DeviceId::Cpu]));
        assert_eq!(try_to_open(&Selection::Auto, &both[..1]), None);
        assert_eq!(try_to_open(&Selection::Ids(both.to_vec()), &both), None);
    }

    #[test]
    fn a_named_device_that_fails_at_start_ends_the_run_and_one_that_mined_does_not() {
        let cpu = Selection::Ids(vec![DeviceId::Cpu]);
        let opener = Devices::list(CpuSettings::default(), &cpu).unwrap().opener(DeviceId::Cpu).unwrap();
        let engine = Engine::start(Arc::new(NoWork), vec![opener], EngineOptions::default()).unwrap();
        let mut snapshot = engine.stop();
        snapshot.devices[0].hashes = 0;
        let now = Instant::now();
        let sick = DeviceState::Sick { reason: "unplugged".to_owned(), failures: 1, since: now, next_try: now };
        let check =
            |snapshot: &EngineSnapshot, named: &mut NamedDevices| named.check(snapshot).map_err(|end| end.to_string());
        let [mut named, mut other] = [cpu, Selection::Auto].map(|selection| NamedDevices::new(&selection));
        for state in [DeviceState::Starting, sick.clone()] {
            snapshot.devices[0].state = state;
            assert_eq!(check(&snapshot, &mut other), Ok(()));
        }
        assert_eq!(check(&snapshot, &mut named), Err("cpu: unplugged".to_owned()));
        for state in [DeviceState::Mining, sick] {
            snapshot.devices[0].state = state;
            assert_eq!(check(&snapshot, &mut named), Ok(()));
        }
    }
}
