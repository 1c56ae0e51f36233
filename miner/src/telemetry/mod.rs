//! The sensors of devices: temperature, power, fan, clocks, and energy where the hardware counts it.
//!
//! Mining never waits for a sensor or fails with it. A missing driver, or a file that only root may read or that has no
//! number in it, leaves a field empty. Nothing is guessed, as a rig's owner acts on these figures: an unknown value is `None`
//! and never zero.
//!
//! NVIDIA's cards are read through NVML, every other card through its Linux driver's files under its PCI address, and the CPU
//! through Linux' `hwmon`, `powercap` and `cpufreq`. A card is found by its PCI address alone, because names and numbers differ
//! between the interfaces.

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

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[cfg(any(target_os = "linux", target_os = "windows"))]
use pci::PciAddress;

use crate::device_info::{DeviceInfo, DeviceKind, GpuInfo};

/// A reading of a device's sensors. `None`: the system does not give the value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The chip's temperature. For a CPU with several sensors, the highest.
    pub temperature_celsius: Option<f64>,
    /// The device's power: of a card with its memory, or of all packages of the CPU, whichever programs use them.
    pub power_watts: Option<f64>,
    /// The fan's speed in percent of its full speed, 0 to 100.
    pub fan_percent: Option<f64>,
    /// The fan's speed in turns a minute.
    pub fan_rpm: Option<f64>,
    /// The clock of the shader cores, or the mean of the CPU's cores.
    pub core_clock_mhz: Option<f64>,
    /// The clock of the card's memory.
    pub memory_clock_mhz: Option<f64>,
}

impl Reading {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A source of readings.
pub trait Sensor: Send + Sync {
    /// Reads the sensors now. Takes up to some milliseconds.
    fn read(&self) -> Reading;

    /// The energy in joules that the device has used since a fixed moment, where the hardware counts it. Call it every few
    /// minutes at least, as some counters wrap.
    fn energy_joules(&self) -> Option<f64> {
        None
    }
}

/// The sensor of a device, where the system has one.
#[must_use]
pub fn sensor_of(info: &DeviceInfo) -> Option<Arc<dyn Sensor>> {
    sensor_under(Path::new(SYSFS), info)
}

/// The present readings of the devices' sensors; `None` for a device without a sensor. Where power is computed of an energy
/// counter, which takes two readings, this waits 100 ms.
#[must_use]
pub fn readings_of(devices: &[DeviceInfo]) -> Vec<Option<Reading>> {
    const BETWEEN: Duration = Duration::from_millis(100);
    let sensors: Vec<_> = devices.iter().map(sensor_of).collect();
    let counts = |sensor: &Arc<dyn Sensor>| sensor.energy_joules().is_some() && sensor.read().power_watts.is_none();
    if sensors.iter().flatten().any(counts) {
        thread::sleep(BETWEEN);
    }
    sensors.iter().map(|sensor| sensor.as_ref().map(|sensor| sensor.read())).collect()
}

/// The folder of Linux' sysfs. Tests use another one.
const SYSFS: &str = "/sys";

/// The sensor of a device on a system whose sysfs is at `root`.
fn sensor_under(root: &Path, info: &DeviceInfo) -> Option<Arc<dyn Sensor>> {
    match &info.kind {
        DeviceKind::Cpu(_) => cpu(root),
        // A software adapter has no power of its own.
        DeviceKind::Gpu(gpu) if gpu.software => None,
        DeviceKind::Gpu(gpu) => of_gpu(root, gpu),
    }
}

#[cfg(target_os = "linux")]
fn cpu(root: &Path) -> Option<Arc<dyn Sensor>> {
    Some(Arc::new(hwmon::CpuSensor::open(root)?))
}

#[cfg(not(target_os = "linux"))]
fn cpu(_root: &Path) -> Option<Arc<dyn Sensor>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "windows"))]
fn of_gpu(root: &Path, gpu: &GpuInfo) -> Option<Arc<dyn Sensor>> {
    const NVIDIA: u32 = 0x10de;
    let address: PciAddress = gpu.pci.as_deref()?.parse().ok()?;
    let nvml = (gpu.vendor_id == NVIDIA).then(|| nvml::NvmlSensor::open(address)).flatten();
    match nvml {
        Some(sensor) => Some(Arc::new(sensor)),
        None => through_driver(root, address),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
fn of_gpu(_: &Path, _: &GpuInfo) -> Option<Arc<dyn Sensor>> {
    None
}

#[cfg(target_os = "linux")]
fn through_driver(root: &Path, address: PciAddress) -> Option<Arc<dyn Sensor>> {
    Some(Arc::new(amdgpu::CardSensor::open(root, address)?))
}

#[cfg(target_os = "windows")]
fn through_driver(_: &Path, _: PciAddress) -> Option<Arc<dyn Sensor>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_info::DeviceId;

    fn gpu(pci: Option<&str>, software: bool) -> DeviceInfo {
        // Of AMD: NVIDIA's are looked for in this machine's NVML.
        let gpu = GpuInfo { vendor_id: 0x1002, pci: pci.map(str::to_owned), software, ..GpuInfo::new("vulkan") };
        DeviceInfo::new(DeviceId::Gpu(0), "card".to_owned(), DeviceKind::Gpu(gpu))
    }

    #[test]
    fn a_card_that_cannot_be_matched_has_no_sensor() {
        // No machine has a bus of this number in this domain.
        for pci in [None, Some(""), Some("somewhere"), Some("../../../etc"), Some("fffe:fe:1f.7")] {
            assert!(sensor_of(&gpu(pci, false)).is_none(), "{pci:?}");
        }
        assert!(sensor_of(&gpu(Some("0000:01:00.0"), true)).is_none(), "a program on the CPU");
    }

    /// The files of a machine with an AMD CPU and a card in slot 0b.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_gets_the_sensor_that_the_system_has_for_it_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let read = |info: &DeviceInfo| sensor_under(root.path(), info).map(|sensor| sensor.read());
        let cpu = crate::CpuDevice::new(None, None).unwrap();
        let cpu = crate::Device::info(&cpu);
        let card = gpu(Some("0000:0b:00.0"), false);
        assert_eq!((read(cpu), read(&card)), (None, None), "a system without sensors");

        sysfs::lay_out(
            root.path(),
            &[
                ("class/hwmon/hwmon0/name", "k10temp\n"),
                ("class/hwmon/hwmon0/temp1_input", "61500\n"),
                ("class/hwmon/hwmon0/temp1_label", "Tdie\n"),
                ("class/hwmon/hwmon1/name", "nvme\n"),
                ("class/hwmon/hwmon1/temp1_input", "99000\n"),
                ("bus/pci/devices/0000:0b:00.0/hwmon/hwmon2/temp1_input", "70250\n"),
            ],
        );
        let celsius = |celsius| Some(Reading { temperature_celsius: Some(celsius), ..Reading::default() });
        assert_eq!((read(cpu), read(&card)), (celsius(61.5), celsius(70.25)));
        assert_eq!(read(&gpu(Some("0000:0c:00.0"), false)), None, "another slot");
        assert_eq!(read(&gpu(Some("0000:0b:00.0"), true)), None, "a program on the CPU");
    }
}
