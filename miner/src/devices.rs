//! The devices of this machine: their list, and how each is opened.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock};

use adit_hash::Backend;

use crate::cpu::CpuDevice;
use crate::device::{Device, DeviceError, DeviceOpener};
use crate::device_info::{DeviceId, DeviceInfo};
#[cfg(feature = "gpu")]
use crate::gpu::{GpuDevice, GpuList, GpuSettings, Tuned, TuningCache};
#[cfg(not(feature = "gpu"))]
use crate::no_gpu::{GpuList, GpuSettings};
use crate::selection::{SelectError, Selection, select};

/// How the CPU mines. The default is all threads with the fastest kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CpuSettings {
    /// The threads. `None`: as many as the system grants this process.
    pub threads: Option<NonZeroUsize>,
    /// The kernel. `None`: the fastest that the CPU runs.
    pub backend: Option<Backend>,
}

impl CpuSettings {
    /// The same settings with so many threads. `None`: as many as the system grants this process.
    #[must_use]
    pub fn with_threads(self, threads: Option<NonZeroUsize>) -> Self {
        Self { threads, ..self }
    }

    /// The same settings with this kernel. `None`: the fastest that the CPU runs.
    #[must_use]
    pub fn with_backend(self, backend: Option<Backend>) -> Self {
        Self { backend, ..self }
    }
}

/// The devices of this machine, in the order of their ids.
#[derive(Debug)]
pub struct Devices {
    cpu: CpuSettings,
    /// The CPU, then the GPUs.
    infos: Vec<DeviceInfo>,
    gpus: GpuList,
}

impl Devices {
    /// Lists the CPU and, if `selection` may need them, the GPUs.
    ///
    /// # Errors
    /// If the CPU lacks the instructions of the backend that `cpu` names.
    pub fn list(cpu: CpuSettings, selection: &Selection) -> Result<Self, DeviceError> {
        let gpus = if selection.needs_gpus() { GpuList::of_this_machine() } else { GpuList::none() };
        let mut infos = vec![CpuDevice::new(cpu.threads, cpu.backend)?.info().clone()];
        infos.extend(gpus.infos().cloned());
        Ok(Self { cpu, infos, gpus })
    }

    /// The same devices, with GPUs opened with the settings that `cache` has for them. A GPU that the cache does not know is
    /// tuned when it is opened, which takes a second or two, and its settings are saved in the cache.
    #[cfg(feature = "gpu")]
    #[must_use]
    pub fn with_tuning_cache(mut self, cache: TuningCache) -> Self {
        self.gpus.set_cache(cache);
        self
    }

    /// The CPU, then the GPUs.
    #[must_use]
    pub fn infos(&self) -> &[DeviceInfo] {
        &self.infos
    }

    /// The ids that `selection` means on this machine, at least one.
    ///
    /// # Errors
    /// If it means a device that is not there.
    pub fn select(&self, selection: &Selection) -> Result<Vec<DeviceId>, SelectError> {
        select(&self.infos, selection)
    }

    /// Makes a device ready to run. For a GPU this compiles the kernel, which may take some seconds.
    ///
    /// # Errors
    /// If there is no such device or its driver refuses.
    pub fn open(&self, id: DeviceId) -> Result<Box<dyn Device>, DeviceError> {
        match id {
            DeviceId::Cpu => Ok(Box::new(CpuDevice::new(self.cpu.threads, self.cpu.backend)?)),
            DeviceId::Gpu(_) => Ok(Box::new(self.gpus.open(id, self.gpus.settings(id))?)),
        }
    }

    /// Measures which settings a GPU is fastest with, even if the cache knows some, and saves them if there is a cache. Takes
    /// at most 20 seconds and the time that the driver needs to compile the last setting.
    ///
    /// # Errors
    /// If there is no such GPU, or none of its settings works.
    #[cfg(feature = "gpu")]
    pub fn tune(&self, id: DeviceId) -> Result<Tuned, DeviceError> {
        self.gpus.tune(id)
    }

    /// Makes a GPU ready to run with settings other than mining's, for tests and measurements.
    ///
    /// # Errors
    /// If there is no such GPU or its driver refuses.
    #[cfg(feature = "gpu")]
    pub fn open_gpu(&self, id: DeviceId, settings: GpuSettings) -> Result<GpuDevice, DeviceError> {
        self.gpus.open(id, settings)
    }

    /// Gives the opener of a device, which opens it as [`Devices::open`] does, any number of times. Nothing is opened or
    /// tuned yet: a driver may hang in either, so both belong into a thread that can be left behind. From the second opening
    /// on, the drivers are asked for their devices anew, as a driver that failed may not know its former ones.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn opener(&self, id: DeviceId) -> Result<Arc<dyn DeviceOpener>, DeviceError> {
        let gpus = match id {
            DeviceId::Cpu => GpuList::none(),
            DeviceId::Gpu(_) => self.gpus.only(id)?,
        };
        let info = gpus.infos().next().unwrap_or(&self.infos[0]).clone();
        let first = Mutex::new(Some(gpus));
        Ok(Arc::new(LocalOpener { info, cpu: self.cpu, first, settings: OnceLock::new() }))
    }

    /// The id that the device of another list has in this one. Numbers move when a card is added or gone.
    fn same_as(&self, other: &DeviceInfo) -> Option<DeviceId> {
        let alike = |info: &&DeviceInfo| (&info.name, &info.kind) == (&other.name, &other.kind);
        let mut found: Vec<_> = self.infos.iter().filter(alike).map(|info| info.id).collect();
        // Several are alike only where no PCI address tells them apart.
        if found.len() > 1 {
            found.retain(|id| *id == other.id);
        }
        found.first().copied()
    }
}

/// Opens a device of this machine, and reopens it after a failure.
struct LocalOpener {
    info: DeviceInfo,
    cpu: CpuSettings,
    /// The list that the device was chosen from, cut down to it, until the first opening.
    first: Mutex<Option<GpuList>>,
    /// The settings that the first opening found. If it failed before that, the device is opened with the defaults from
    /// then on: it may be the tuning that its driver fails in.
    settings: OnceLock<GpuSettings>,
}

impl DeviceOpener for LocalOpener {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn open(&self) -> Result<Box<dyn Device>, DeviceError> {
        let first = self.first.lock().expect("nothing that holds the list panics").take();
        if self.info.id == DeviceId::Cpu {
            return Ok(Box::new(CpuDevice::new(self.cpu.threads, self.cpu.backend)?));
        }
        if let Some(gpus) = first {
            let settings = gpus.settings(self.info.id);
            return Ok(Box::new(gpus.open(self.info.id, *self.settings.get_or_init(|| settings))?));
        }
        let devices = Devices::list(self.cpu, &Selection::Ids(vec![self.info.id]))?;
        let id = devices.same_as(&self.info).ok_or_else(|| DeviceError::Lost("it is no longer listed".into()))?;
        Ok(Box::new(devices.gpus.open(id, self.settings.get().copied().unwrap_or_default())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_info::{DeviceKind, GpuInfo};

    fn gpu(number: u32, pci: Option<&str>) -> DeviceInfo {
        let gpu = GpuInfo { pci: pci.map(str::to_owned), ..GpuInfo::new("vulkan") };
        DeviceInfo::new(DeviceId::Gpu(number), String::new(), DeviceKind::Gpu(gpu))
    }

    fn three_threads() -> (CpuSettings, Devices) {
        let cpu = CpuSettings::default().with_threads(NonZeroUsize::new(3)).with_backend(Some(Backend::Portable));
        (cpu, Devices::list(cpu, &"cpu".parse().unwrap()).unwrap())
    }

    #[test]
    fn the_cpu_opens_with_the_settings_given() {
        let (_, devices) = three_threads();
        assert_eq!(devices.infos().len(), 1);
        let DeviceKind::Cpu(cpu) = &devices.infos()[0].kind else { panic!("the CPU is first") };
        assert_eq!((cpu.threads, cpu.backend), (3, Backend::Portable));
        assert_eq!(devices.open(DeviceId::Cpu).unwrap().info(), &devices.infos()[0]);
        assert!(devices.open(DeviceId::Gpu(0)).is_err());
    }

    #[test]
    fn an_opener_opens_the_same_device_again_and_again() {
        let (_, devices) = three_threads();
        let opener = devices.opener(DeviceId::Cpu).unwrap();
        for _ in 0..3 {
            assert_eq!(opener.open().unwrap().info(), &devices.infos()[0]);
        }
        assert!(devices.opener(DeviceId::Gpu(0)).is_err());
    }

    /// An adapter that is gone, or a driver that hangs, is the opening's failure and not the caller's.
    #[test]
    fn nothing_is_opened_before_it_is_asked_for() {
        let (cpu, _) = three_threads();
        let first = Mutex::new(Some(GpuList::none()));
        let gone = LocalOpener { info: gpu(77, None), cpu, first, settings: OnceLock::new() };
        assert_eq!(gone.info().id, DeviceId::Gpu(77));
        for _ in 0..2 {
            assert!(gone.open().is_err());
        }
    }

    #[test]
    fn a_gpu_is_found_again_by_its_address_or_else_by_its_number() {
        let list = |infos| Devices { cpu: CpuSettings::default(), infos, gpus: GpuList::none() };
        let one = Some("0000:01:00.0");
        let two = Some("0000:02:00.0");
        let after = list(vec![gpu(0, two)]);
        assert_eq!(after.same_as(&gpu(1, two)), Some(DeviceId::Gpu(0)), "the card before it is gone");
        assert_eq!(after.same_as(&gpu(0, one)), None);
        let alike = list(vec![gpu(0, None), gpu(1, None)]);
        assert_eq!(alike.same_as(&gpu(1, None)), Some(DeviceId::Gpu(1)));
        assert_eq!(alike.same_as(&gpu(2, None)), None);
    }
}
