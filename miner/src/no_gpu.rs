//! The list of GPUs in a build without the feature `gpu`: there are none.
//!
//! It has the methods of `gpu::GpuList` that [`Devices`](crate::Devices) uses, so that the feature is asked for in one place.

use std::convert::Infallible;

use crate::device::{Device, DeviceError, Feed};
use crate::device_info::{DeviceId, DeviceInfo};

/// No GPUs.
#[derive(Debug)]
pub(crate) struct GpuList;

/// The settings of no GPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GpuSettings;

/// A GPU that cannot exist.
pub(crate) struct GpuDevice(Infallible);

impl GpuList {
    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn of_this_machine() -> Self {
        Self
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = &DeviceInfo> {
        std::iter::empty()
    }

    pub(crate) fn only(&self, id: DeviceId) -> Result<Self, DeviceError> {
        Err(none(id))
    }

    pub(crate) fn open(&self, id: DeviceId, _settings: GpuSettings) -> Result<GpuDevice, DeviceError> {
        Err(none(id))
    }

    pub(crate) fn settings(&self, _id: DeviceId) -> GpuSettings {
        GpuSettings
    }
}

impl Device for GpuDevice {
    fn info(&self) -> &DeviceInfo {
        match self.0 {}
    }

    fn run(&mut self, _feed: &dyn Feed) -> Result<(), DeviceError> {
        match self.0 {}
    }
}

fn none(id: DeviceId) -> DeviceError {
    DeviceError::Refused(format!("there is no gpu {id}: this build has no support for GPUs"))
}
