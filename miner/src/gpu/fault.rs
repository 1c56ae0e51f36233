//! Where a GPU's failures are kept from the moment the driver tells them until the run loop asks.
//!
//! wgpu reports failures through callbacks, from whatever thread it happens to be in; unheard, they are panics. They are kept
//! here as values, and the first of them is what the device failed of: the rest are its consequences.

use std::sync::{Arc, Mutex};

use crate::device::DeviceError;

/// The first failure of a device, if it had any.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Arc<Mutex<Option<DeviceError>>>);

impl Fault {
    /// Hears everything that goes wrong on `device` from now on.
    pub(super) fn listen(device: &wgpu::Device) -> Self {
        let fault = Self::default();
        let lost = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { format!("{reason:?}").to_lowercase() } else { message };
            lost.record(DeviceError::Lost(message));
        });
        let uncaptured = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.record(from_wgpu(&error))));
        fault
    }

    /// The failure, if there was one.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        self.0.lock().expect("nothing that holds the fault panics").clone().map_or(Ok(()), Err)
    }

    fn record(&self, error: DeviceError) {
        self.0.lock().expect("nothing that holds the fault panics").get_or_insert(error);
    }
}

/// A wgpu error as ours, on one line.
pub(super) fn from_wgpu(error: &wgpu::Error) -> DeviceError {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        wgpu::Error::OutOfMemory { .. } => DeviceError::OutOfMemory(text),
        wgpu::Error::Validation { .. } | wgpu::Error::Internal { .. } => DeviceError::Refused(text),
    }
}
