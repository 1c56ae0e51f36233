//! Holds a GPU's first failure until the run loop asks for it.
//!
//! wgpu reports failures through callbacks, from any thread, and panics where there is no callback. The first failure is the
//! cause; the later ones follow from it and are dropped.

use std::sync::{Arc, Mutex};

use crate::device::DeviceError;

/// The first failure of a device, if it had any.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstFailure(Arc<Mutex<Option<DeviceError>>>);

impl FirstFailure {
    /// Records the failures of `device` from now on.
    pub(super) fn listen(device: &wgpu::Device) -> Self {
        let failure = Self::default();
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { format!("{reason:?}").to_lowercase() } else { message };
            lost.record(DeviceError::Lost(message));
        });
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.record(from_wgpu(&error))));
        failure
    }

    /// The failure, if there was one.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        self.0.lock().expect("nothing that holds the failure panics").clone().map_or(Ok(()), Err)
    }

    fn record(&self, error: DeviceError) {
        self.0.lock().expect("nothing that holds the failure panics").get_or_insert(error);
    }
}

/// A wgpu error as a [`DeviceError`], on one line.
pub(super) fn from_wgpu(error: &wgpu::Error) -> DeviceError {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        wgpu::Error::OutOfMemory { .. } => DeviceError::OutOfMemory(text),
        wgpu::Error::Validation { .. } | wgpu::Error::Internal { .. } => DeviceError::Refused(text),
    }
}
