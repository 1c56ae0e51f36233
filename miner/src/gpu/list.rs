//! The GPUs of this machine: their list, their tuned settings, and their opening.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::adapters;
use super::device::GpuDevice;
use super::settings::GpuSettings;
use super::tune::{self, Tuning, TuningOutcome};
use super::tuning_cache::TuningCache;
use crate::device::DeviceError;
use crate::device_info::{DeviceId, DeviceInfo};

/// The result of tuning a GPU.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tuned {
    /// The fastest settings.
    pub tuning: Tuning,
    /// How many settings were tried before the time was over.
    pub tried: usize,
    /// How many settings there are to try.
    pub settings: usize,
    /// The file that holds the settings now, or why they could not be saved.
    pub kept: io::Result<PathBuf>,
}

/// GPUs in the order of their ids.
#[derive(Debug)]
pub(crate) struct GpuList {
    gpus: Vec<(DeviceInfo, wgpu::Adapter)>,
    /// Where tuned settings are saved. Without it, GPUs are opened with the default settings.
    cache: Option<TuningCache>,
}

impl GpuList {
    /// A list of no GPUs.
    pub(crate) fn none() -> Self {
        Self { gpus: Vec::new(), cache: None }
    }

    /// Asks the drivers for their adapters, which takes up to a second.
    pub(crate) fn of_this_machine() -> Self {
        Self { gpus: adapters::list(), cache: None }
    }

    pub(crate) fn set_cache(&mut self, cache: TuningCache) {
        self.cache = Some(cache);
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = &DeviceInfo> {
        self.gpus.iter().map(|(info, _)| info)
    }

    /// A list of one GPU of this list.
    pub(crate) fn only(&self, id: DeviceId) -> Result<Self, DeviceError> {
        let (info, adapter) = self.get(id)?;
        Ok(Self { gpus: vec![(info.clone(), adapter.clone())], cache: self.cache.clone() })
    }

    pub(crate) fn open(&self, id: DeviceId, settings: GpuSettings) -> Result<GpuDevice, DeviceError> {
        let (info, adapter) = self.get(id)?;
        GpuDevice::open(info.clone(), adapter, settings)
    }

    /// Tunes a GPU for as long as a user waits who asked for it, and saves the result.
    pub(crate) fn tune(&self, id: DeviceId) -> Result<Tuned, DeviceError> {
        self.tune_within(tune::ON_REQUEST, id)
    }

    fn tune_within(&self, budget: Duration, id: DeviceId) -> Result<Tuned, DeviceError> {
        let (info, adapter) = self.get(id)?;
        let TuningOutcome { tuning, tried } = tune::tune(info, adapter, budget)?;
        let kept = match &self.cache {
            Some(cache) => cache.put(info, &tuning).map(|()| cache.path().to_owned()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no folder is known for it")),
        };
        Ok(Tuned { tuning, tried, settings: tune::SETTINGS, kept })
    }

    /// The settings that a GPU is opened with: those of the cache, or those that tuning finds now, or the defaults. A GPU
    /// that cannot be tuned may still mine with the defaults: its opening and its known-answer test decide.
    pub(crate) fn settings(&self, id: DeviceId) -> GpuSettings {
        let (Some(cache), Ok((info, _))) = (&self.cache, self.get(id)) else { return GpuSettings::default() };
        if let Some(known) = cache.get(info) {
            return known.settings();
        }
        match self.tune_within(tune::AT_START, id) {
            Ok(Tuned { tuning, kept, .. }) => {
                if let Err(error) = kept {
                    tracing::warn!("{}: tuned settings cannot be kept: {error}", cache.path().display());
                }
                tuning.settings()
            }
            Err(error) => {
                tracing::warn!("{id} cannot be tuned and runs with the default settings: {error}");
                GpuSettings::default()
            }
        }
    }

    fn get(&self, id: DeviceId) -> Result<(&DeviceInfo, &wgpu::Adapter), DeviceError> {
        let found = self.gpus.iter().find(|(info, _)| info.id == id);
        found
            .map(|(info, adapter)| (info, adapter))
            .ok_or_else(|| DeviceError::Refused(format!("there is no gpu {id}")))
    }
}
