//! What the system tells of a device's temperature, power, fan and clocks, where it tells anything.

use std::sync::Arc;

use crate::device::DeviceInfo;

/// One look at a device's sensors. `None`: the system does not offer it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// In degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// In watts.
    pub power_watts: Option<f64>,
    /// In percent of the fan's full speed.
    pub fan_percent: Option<f64>,
    /// In turns a minute.
    pub fan_rpm: Option<f64>,
    /// The clock of the cores that hash, in megahertz.
    pub core_clock_mhz: Option<f64>,
    /// The memory's clock, in megahertz.
    pub memory_clock_mhz: Option<f64>,
}

/// Where readings come from.
pub trait Sensor: Send + Sync {
    /// Looks at every sensor once. May take some milliseconds.
    fn read(&self) -> Reading;
}

/// The sensor of a device, where the system has one.
#[must_use]
pub fn sensor_of(_info: &DeviceInfo) -> Option<Arc<dyn Sensor>> {
    None
}
