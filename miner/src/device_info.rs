//! What is known of a device without opening it: its id, its name, and the facts of its CPU or GPU.
//!
//! Devices and sensors both use this module, and neither uses the other to find a sensor: a PCI address is enough.

use std::fmt;
use std::str::FromStr;

use adit_hash::Backend;

/// Names a device on the command line: `cpu`, or `gpu` and a number.
///
/// GPUs are numbered in the order of their PCI addresses, software adapters last, so that the same machine gives the same
/// names at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceId {
    /// All CPU threads together.
    Cpu,
    /// A GPU adapter.
    Gpu(u32),
}

/// Text that is no device id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device id; want cpu, or gpu and a number such as gpu0")]
pub struct InvalidDeviceId(pub String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceId::Cpu => f.write_str("cpu"),
            DeviceId::Gpu(number) => write!(f, "gpu{number}"),
        }
    }
}

impl FromStr for DeviceId {
    type Err = InvalidDeviceId;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceId> {
        let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match text.strip_prefix("gpu") {
            _ if text == "cpu" => Ok(DeviceId::Cpu),
            Some(digits) => number(digits).map(DeviceId::Gpu).ok_or_else(|| InvalidDeviceId(text.to_owned())),
            None => Err(InvalidDeviceId(text.to_owned())),
        }
    }
}

/// A device's id, name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name on the command line.
    pub id: DeviceId,
    /// Its name as its maker gives it.
    pub name: String,
    /// The kind of device, and the facts of it.
    pub kind: DeviceKind,
}

/// The kinds of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The CPU.
    Cpu(CpuInfo),
    /// A GPU adapter, hardware or software.
    Gpu(GpuInfo),
}

/// The facts of the CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuInfo {
    /// The threads that will mine.
    pub threads: usize,
    /// The instruction sets that matter to hashing and that this CPU has, by the names of Rust's target features.
    pub instruction_sets: Vec<&'static str>,
    /// The kernel that will run.
    pub backend: Backend,
}

/// The facts of a GPU adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuInfo {
    /// The vendor's name, or its PCI id in hexadecimal if the name is not known.
    pub vendor: String,
    /// The vendor's PCI id; 0 if the interface does not tell.
    pub vendor_id: u32,
    /// The device's PCI id; 0 if the interface does not tell.
    pub device_id: u32,
    /// The driver's name and version, as far as they are known.
    pub driver: String,
    /// The graphics interface through which it is reached: `vulkan`, `metal`, `dx12` or `gl`.
    pub interface: &'static str,
    /// The PCI address, `domain:bus:device.function` in hexadecimal, if the interface tells it.
    pub pci: Option<String>,
    /// Whether it is a program that runs on the CPU.
    pub software: bool,
}

impl DeviceInfo {
    /// The device `id`, with its maker's name for it.
    #[must_use]
    pub fn new(id: DeviceId, name: String, kind: DeviceKind) -> Self {
        Self { id, name, kind }
    }

    /// Whether this is a GPU in hardware.
    #[must_use]
    pub fn is_real_gpu(&self) -> bool {
        matches!(&self.kind, DeviceKind::Gpu(gpu) if !gpu.software)
    }
}

impl CpuInfo {
    /// A CPU that mines with `threads` threads of `backend`. `instruction_sets` has the names of Rust's target features.
    #[must_use]
    pub fn new(threads: usize, instruction_sets: Vec<&'static str>, backend: Backend) -> Self {
        Self { threads, instruction_sets, backend }
    }
}

impl GpuInfo {
    /// A real GPU that is reached through the graphics interface `interface`, and of which nothing else is known.
    #[must_use]
    pub fn new(interface: &'static str) -> Self {
        let (vendor, driver) = (String::new(), String::new());
        Self { vendor, vendor_id: 0, device_id: 0, driver, interface, pci: None, software: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written_and_others_are_refused() {
        for id in [DeviceId::Cpu, DeviceId::Gpu(0), DeviceId::Gpu(17)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "gpu", "gpu-1", "gpu+1", "gpu1x", "CPU", "cpu0", "gpu4294967296"] {
            assert_eq!(text.parse::<DeviceId>(), Err(InvalidDeviceId(text.to_owned())));
        }
    }
}
