//! Reads an NVIDIA card through NVML, the library that comes with its driver.
//!
//! The library is loaded once at run time. A machine without the driver has no library, and so no sensor. Tests cannot reach
//! the calls without a card, so they only pass values on; the computations are in `pci.rs` and in [`reading`].

use std::sync::OnceLock;

use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::{Device, Nvml};

use super::pci::PciAddress;
use super::{Reading, Sensor};

/// A card that NVML knows.
pub(super) struct NvmlSensor {
    card: Device<'static>,
}

impl NvmlSensor {
    /// The sensor of the card at `address`, if NVML is installed and knows the card.
    pub(super) fn open(address: PciAddress) -> Option<Self> {
        static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
        let init = || Nvml::init().inspect_err(|error| tracing::debug!("no nvml: {error}")).ok();
        let card = NVML.get_or_init(init).as_ref()?.device_by_pci_bus_id(address.in_nvml());
        let card =
            card.inspect_err(|error| tracing::debug!("nvml does not know {}: {error}", address.in_nvml())).ok()?;
        Some(Self { card })
    }
}

impl Sensor for NvmlSensor {
    fn read(&self) -> Reading {
        let card = &self.card;
        reading(&Raw {
            celsius: card.temperature(TemperatureSensor::Gpu).ok(),
            milliwatts: card.power_usage().ok(),
            fan_percent: card.fan_speed(0).ok(),
            fan_rpm: card.fan_speed_rpm(0).ok(),
            sm_megahertz: card.clock_info(Clock::SM).ok(),
            memory_megahertz: card.clock_info(Clock::Memory).ok(),
        })
    }

    fn energy_joules(&self) -> Option<f64> {
        const MILLIJOULES: f64 = 1e3;
        self.card.total_energy_consumption().ok().map(|millijoules| millijoules as f64 / MILLIJOULES)
    }
}

/// The values as NVML gives them.
struct Raw {
    celsius: Option<u32>,
    milliwatts: Option<u32>,
    fan_percent: Option<u32>,
    fan_rpm: Option<u32>,
    sm_megahertz: Option<u32>,
    memory_megahertz: Option<u32>,
}

fn reading(raw: &Raw) -> Reading {
    Reading {
        temperature_celsius: raw.celsius.map(f64::from),
        power_watts: raw.milliwatts.map(|milliwatts| f64::from(milliwatts) / 1e3),
        // NVML gives more than 100 for a fan that is driven above its rated speed.
        fan_percent: raw.fan_percent.map(|percent| f64::from(percent.min(100))),
        fan_rpm: raw.fan_rpm.map(f64::from),
        core_clock_mhz: raw.sm_megahertz.map(f64::from),
        memory_clock_mhz: raw.memory_megahertz.map(f64::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_our_units_and_missing_ones_stay_missing() {
        // An H100 PCIe under load: no fan of its own.
        let mut raw = Raw {
            celsius: Some(61),
            milliwatts: Some(309_870),
            fan_percent: None,
            fan_rpm: None,
            sm_megahertz: Some(1755),
            memory_megahertz: Some(1593),
        };
        let server = reading(&raw);
        assert_eq!((server.temperature_celsius, server.power_watts), (Some(61.0), Some(309.87)));
        assert_eq!((server.core_clock_mhz, server.memory_clock_mhz), (Some(1755.0), Some(1593.0)));
        assert_eq!((server.fan_percent, server.fan_rpm), (None, None));
        (raw.fan_percent, raw.fan_rpm) = (Some(104), Some(3_120));
        let desktop = reading(&raw);
        assert_eq!((desktop.fan_percent, desktop.fan_rpm), (Some(100.0), Some(3_120.0)));
    }
}
