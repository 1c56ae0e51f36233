//! What the sensors of a device say: temperature, power, fan, clocks, and energy where the hardware counts it.
//!
//! A sensor is a comfort. A driver that is not there, a file that only root may read or that holds nonsense leaves a field
//! empty, and nothing that mines waits for it or fails with it. Nothing is guessed either: a rig's owner acts on these
//! figures, so a field that is not known is `None` and never zero.
//!
//! NVIDIA's cards are read through NVML, every other card through the files that its Linux driver offers under its PCI
//! address, the CPU through Linux' `hwmon`, `powercap` and `cpufreq`. A card is known by its PCI address alone: names and
//! numbers differ between the interfaces.

#[cfg(target_os = "linux")]
mod amdgpu;
#[cfg(target_os = "linux")]
mod hwmon;
#[cfg(any(target_os = "linux", target_os = "windows"))]
mod nvml;
#[cfg(any(target_os = "linux", target_os = "windows"))]
mod pci;
#[cfg(target_os = "linux")]
mod rapl;
#[cfg(target_os = "linux")]
mod sysfs;

use std::sync::Arc;

#[cfg(any(target_os = "linux", target_os = "windows"))]
use pci::PciAddress;

use crate::device_info::{DeviceInfo, DeviceKind, GpuInfo};

/// One look at a device's sensors. `None`: the system does not offer it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// Of the chip. Where a CPU has several, of the hottest.
    pub temperature_celsius: Option<f64>,
    /// What the device draws: a card with its memory, or all packages of the CPU, whoever uses them.
    pub power_watts: Option<f64>,
    /// Share of the fan's full speed, 0 to 100.
    pub fan_percent: Option<f64>,
    /// Turns a minute.
    pub fan_rpm: Option<f64>,
    /// Of the shader cores, or the mean of the CPU's cores.
    pub core_clock_mhz: Option<f64>,
    /// Of the card's memory.
    pub memory_clock_mhz: Option<f64>,
}

impl Reading {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where readings come from.
pub trait Sensor: Send + Sync {
    /// Looks at the sensors now. Takes up to some milliseconds.
    fn read(&self) -> Reading;

    /// The energy in joules that the device has used since some moment that stays the same, where the hardware counts it.
    /// Between two calls at most a few minutes may pass: some counters wrap.
    fn energy_joules(&self) -> Option<f64> {
        None
    }
}

/// The sensor of a device, where the system has one.
#[must_use]
pub fn sensor_of(info: &DeviceInfo) -> Option<Arc<dyn Sensor>> {
    match &info.kind {
        DeviceKind::Cpu(_) => cpu(),
        // What a program on the CPU draws, nobody counts.
        DeviceKind::Gpu(gpu) if gpu.software => None,
        DeviceKind::Gpu(gpu) => of_gpu(gpu),
    }
}

#[cfg(target_os = "linux")]
fn cpu() -> Option<Arc<dyn Sensor>> {
    Some(Arc::new(hwmon::CpuSensor::open(sysfs::ROOT.as_ref())?))
}

#[cfg(not(target_os = "linux"))]
fn cpu() -> Option<Arc<dyn Sensor>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "windows"))]
fn of_gpu(gpu: &GpuInfo) -> Option<Arc<dyn Sensor>> {
    const NVIDIA: u32 = 0x10de;
    let address: PciAddress = gpu.pci.as_deref()?.parse().ok()?;
    let nvml = (gpu.vendor_id == NVIDIA).then(|| nvml::NvmlSensor::open(address)).flatten();
    match nvml {
        Some(sensor) => Some(Arc::new(sensor)),
        None => through_driver(address),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
fn of_gpu(_: &GpuInfo) -> Option<Arc<dyn Sensor>> {
    None
}

#[cfg(target_os = "linux")]
fn through_driver(address: PciAddress) -> Option<Arc<dyn Sensor>> {
    Some(Arc::new(amdgpu::CardSensor::open(sysfs::ROOT.as_ref(), address)?))
}

#[cfg(target_os = "windows")]
fn through_driver(_: PciAddress) -> Option<Arc<dyn Sensor>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_info::DeviceId;

    fn gpu(pci: Option<&str>, software: bool) -> DeviceInfo {
        let kind = GpuInfo {
            vendor: "NVIDIA".to_owned(),
            vendor_id: 0x10de,
            device_id: 0x2330,
            driver: String::new(),
            backend: "vulkan",
            pci: pci.map(str::to_owned),
            software,
        };
        DeviceInfo { id: DeviceId::Gpu(0), name: "card".to_owned(), kind: DeviceKind::Gpu(kind) }
    }

    #[test]
    fn a_card_that_cannot_be_matched_has_no_sensor() {
        // No machine has a bus of this number in this domain.
        for pci in [None, Some(""), Some("somewhere"), Some("../../../etc"), Some("fffe:fe:1f.7")] {
            assert!(sensor_of(&gpu(pci, false)).is_none(), "{pci:?}");
        }
        assert!(sensor_of(&gpu(Some("0000:01:00.0"), true)).is_none(), "a program on the CPU");
    }

    #[test]
    fn what_this_machine_says_of_its_cpu_is_sane_or_absent() {
        let info = crate::CpuDevice::new(None, None).unwrap();
        let Some(sensor) = sensor_of(crate::Device::info(&info)) else { return };
        let reading = sensor.read();
        assert!(reading.temperature_celsius.is_none_or(|celsius| (-60.0..150.0).contains(&celsius)), "{reading:?}");
        assert!(reading.core_clock_mhz.is_none_or(|mhz| (1.0..20_000.0).contains(&mhz)), "{reading:?}");
    }
}
