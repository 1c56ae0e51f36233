//! The choice of devices that a command line makes, and which devices of a list it means.

use std::fmt;
use std::str::FromStr;

use crate::device_info::{DeviceId, DeviceInfo, InvalidDeviceId};

/// Which devices to use, as a command line says it: `auto`, `cpu`, `gpu`, `all`, or ids joined by commas.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Selection {
    /// Every real GPU, or the CPU where there is none.
    #[default]
    Auto,
    /// Every real GPU.
    Gpu,
    /// The CPU and every real GPU. Software adapters are left out, as they would use the CPU's threads, which mine faster
    /// without them.
    All,
    /// These devices, in this order. Only this selects a software adapter.
    Ids(Vec<DeviceId>),
}

/// Why a selection names no device of this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// There is no device of that id.
    #[error("there is no device {seen}; there are {known}")]
    Unknown {
        /// The id asked for.
        seen: DeviceId,
        /// The ids that there are.
        known: String,
    },
    /// A GPU was asked for, and there is no real one.
    #[error("there is no real gpu; there are {known}")]
    NoRealGpu {
        /// The ids that there are.
        known: String,
    },
}

impl Selection {
    /// Whether the list of GPUs is needed, which takes the drivers up to a second.
    #[must_use]
    pub fn needs_gpus(&self) -> bool {
        !matches!(self, Selection::Ids(ids) if ids.iter().all(|id| *id == DeviceId::Cpu))
    }
}

impl FromStr for Selection {
    type Err = InvalidDeviceId;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceId> {
        match text {
            "auto" => Ok(Selection::Auto),
            "gpu" => Ok(Selection::Gpu),
            "all" => Ok(Selection::All),
            ids => {
                let mut chosen = Vec::new();
                for id in ids.split(',') {
                    let id = id.trim().parse()?;
                    // A device that is opened twice would compete with itself.
                    if !chosen.contains(&id) {
                        chosen.push(id);
                    }
                }
                Ok(Selection::Ids(chosen))
            }
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::Auto => f.write_str("auto"),
            Selection::Gpu => f.write_str("gpu"),
            Selection::All => f.write_str("all"),
            Selection::Ids(ids) => f.write_str(&joined(ids.iter())),
        }
    }
}

fn joined<'a>(ids: impl Iterator<Item = &'a DeviceId>) -> String {
    ids.map(DeviceId::to_string).collect::<Vec<_>>().join(",")
}

/// The ids that `selection` means among `infos`.
pub(crate) fn select(infos: &[DeviceInfo], selection: &Selection) -> Result<Vec<DeviceId>, SelectError> {
    let known = || joined(infos.iter().map(|info| &info.id));
    let real_gpus: Vec<_> = infos.iter().filter(|info| info.is_real_gpu()).map(|info| info.id).collect();
    match selection {
        Selection::Auto if real_gpus.is_empty() => Ok(vec![DeviceId::Cpu]),
        Selection::Gpu if real_gpus.is_empty() => Err(SelectError::NoRealGpu { known: known() }),
        Selection::Auto | Selection::Gpu => Ok(real_gpus),
        Selection::All => Ok([DeviceId::Cpu].into_iter().chain(real_gpus).collect()),
        Selection::Ids(ids) => match ids.iter().find(|id| infos.iter().all(|info| info.id != **id)) {
            Some(&seen) => Err(SelectError::Unknown { seen, known: known() }),
            None => Ok(ids.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuDevice;
    use crate::device::Device;
    use crate::device_info::{DeviceKind, GpuInfo};

    fn gpu(number: u32, software: bool) -> DeviceInfo {
        let gpu = GpuInfo { software, ..GpuInfo::new("vulkan") };
        DeviceInfo::new(DeviceId::Gpu(number), String::new(), DeviceKind::Gpu(gpu))
    }

    fn selected(gpus: &[DeviceInfo], text: &str) -> Result<String, SelectError> {
        let cpu = CpuDevice::new(None, None).unwrap().info().clone();
        let infos: Vec<_> = [cpu].into_iter().chain(gpus.iter().cloned()).collect();
        select(&infos, &text.parse().unwrap()).map(|ids| joined(ids.iter()))
    }

    #[test]
    fn software_adapters_are_used_only_where_named() {
        let none = [gpu(0, true)];
        let some = [gpu(0, false), gpu(1, false), gpu(2, true)];
        assert_eq!(selected(&none, "auto").unwrap(), "cpu");
        assert_eq!(selected(&none, "all").unwrap(), "cpu");
        assert_eq!(selected(&none, "gpu").unwrap_err().to_string(), "there is no real gpu; there are cpu,gpu0");
        assert_eq!(selected(&none, "gpu0").unwrap(), "gpu0");
        assert_eq!(selected(&some, "auto").unwrap(), "gpu0,gpu1");
        assert_eq!(selected(&some, "gpu").unwrap(), "gpu0,gpu1");
        assert_eq!(selected(&some, "all").unwrap(), "cpu,gpu0,gpu1");
        assert_eq!(selected(&some, "gpu2, cpu,gpu2").unwrap(), "gpu2,cpu");
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        let refusal = selected(&[gpu(0, false)], "cpu,gpu3").unwrap_err();
        assert_eq!(refusal.to_string(), "there is no device gpu3; there are cpu,gpu0");
        assert!("cpu,,gpu0".parse::<Selection>().is_err());
        assert!("".parse::<Selection>().is_err());
    }

    #[test]
    fn only_a_list_of_nothing_but_cpus_needs_no_gpus() {
        for (text, needs) in [("cpu", false), ("auto", true), ("all", true), ("gpu", true), ("cpu,gpu0", true)] {
            let selection: Selection = text.parse().unwrap();
            assert_eq!((selection.needs_gpus(), selection.to_string()), (needs, text.to_owned()));
        }
    }
}
