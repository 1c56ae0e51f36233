//! The devices of this machine: the list of them, the choice from it that a command line makes, and their opening.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use adit_hash::Backend;

use crate::cpu::CpuDevice;
use crate::device::{Device, DeviceError, DeviceOpener};
use crate::device_info::{DeviceId, DeviceInfo, InvalidDeviceId};
use crate::gpu::tune::{self, TuningOutcome};
use crate::gpu::{GpuDevice, GpuSettings, Tuning, TuningCache, adapters};

/// Which devices to use, as the command line says it: `auto`, `cpu`, `gpu`, `all`, or ids joined by commas.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Selection {
    /// Every real GPU, or the CPU where there is none.
    #[default]
    Auto,
    /// Every real GPU.
    Gpu,
    /// The CPU and every real GPU. Software adapters are left out: they would take the threads that mine faster without
    /// them.
    All,
    /// These, in this order. The only way to a software adapter.
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
    /// Whether the list of GPUs is needed. Asking the drivers for it takes up to a second.
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
                    // A device opened twice would only compete with itself.
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

/// How the CPU is to mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CpuSettings {
    /// The threads; by default as many as the system grants this process.
    pub threads: Option<NonZeroUsize>,
    /// The kernel; by default the fastest that the CPU runs.
    pub backend: Option<Backend>,
}

/// What the tuning of a GPU came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tuned {
    /// The fastest settings.
    pub tuning: Tuning,
    /// How many settings were tried before the time was over.
    pub tried: usize,
    /// How many there are to try.
    pub settings: usize,
    /// The file that they are kept in, or why they are not.
    pub kept: io::Result<PathBuf>,
}

/// The devices of this machine, in the order of their ids.
#[derive(Debug)]
pub struct Devices {
    cpu: CpuSettings,
    /// The CPU, then the GPUs.
    infos: Vec<DeviceInfo>,
    /// The GPUs' adapters, in the order of `infos`.
    adapters: Vec<wgpu::Adapter>,
    /// Where the settings are that GPUs are opened with; the defaults without.
    tuning: Option<TuningCache>,
}

impl Devices {
    /// Lists the CPU and, if `selection` may need them, the GPUs.
    ///
    /// # Errors
    /// If the CPU lacks the instructions of the backend that `cpu` names.
    pub fn list(cpu: CpuSettings, selection: &Selection) -> Result<Self, DeviceError> {
        let mut infos = vec![CpuDevice::new(cpu.threads, cpu.backend)?.info().clone()];
        let mut adapters = Vec::new();
        if selection.needs_gpus() {
            for (info, adapter) in adapters::list() {
                infos.push(info);
                adapters.push(adapter);
            }
        }
        Ok(Self { cpu, infos, adapters, tuning: None })
    }

    /// The same devices, GPUs from now on opened with the settings that `cache` has for them. A GPU for which it has none is
    /// tuned when it is opened, which takes a second or two, and the cache keeps what was found.
    #[must_use]
    pub fn tuned_by(self, cache: TuningCache) -> Self {
        Self { tuning: Some(cache), ..self }
    }

    /// What there is.
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
        self.open_with(id, self.settings(id))
    }

    fn open_with(&self, id: DeviceId, settings: GpuSettings) -> Result<Box<dyn Device>, DeviceError> {
        match id {
            DeviceId::Cpu => Ok(Box::new(CpuDevice::new(self.cpu.threads, self.cpu.backend)?)),
            DeviceId::Gpu(_) => Ok(Box::new(self.open_gpu(id, settings)?)),
        }
    }

    /// Measures which settings a GPU is fastest with, whatever is known of it already, and keeps them where there is a cache.
    /// It takes some seconds, at most 20 and what the driver needs to compile the last setting.
    ///
    /// # Errors
    /// If there is no such GPU, or none of its settings works.
    pub fn tune(&self, id: DeviceId) -> Result<Tuned, DeviceError> {
        self.tune_within(tune::ON_REQUEST, id)
    }

    fn tune_within(&self, budget: Duration, id: DeviceId) -> Result<Tuned, DeviceError> {
        let (info, adapter) = self.gpu(id)?;
        let TuningOutcome { tuning, tried } = tune::tune(info, adapter, budget)?;
        let kept = match &self.tuning {
            Some(cache) => cache.put(info, &tuning).map(|()| cache.path().to_owned()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no folder is known for it")),
        };
        Ok(Tuned { tuning, tried, settings: tune::SETTINGS, kept })
    }

    /// What a GPU is opened with; of no account for the CPU. One that cannot be tuned may still mine with the defaults: its
    /// opening and its known-answer test decide.
    fn settings(&self, id: DeviceId) -> GpuSettings {
        let Some(cache) = self.tuning.as_ref().filter(|_| id != DeviceId::Cpu) else { return GpuSettings::default() };
        let known = self.gpu(id).ok().and_then(|(info, _)| cache.get(info));
        if let Some(known) = known {
            return known.settings();
        }
        match self.tune_within(tune::AT_START, id) {
            Ok(Tuned { tuning, kept, .. }) => {
                if let Err(error) = kept {
                    tracing::warn!("{}: tuned settings cannot be kept: {error}", cache.path().display());
                }
                tuning.settings()
            }
            Err(error) => {
                tracing::warn!("{id} cannot be tuned and runs with the default settings: {error}");
                GpuSettings::default()
            }
        }
    }

    fn gpu(&self, id: DeviceId) -> Result<(&DeviceInfo, &wgpu::Adapter), DeviceError> {
        let mut gpus = self.infos.iter().skip(1).zip(&self.adapters);
        gpus.find(|(info, _)| info.id == id).ok_or_else(|| DeviceError::Refused(format!("there is no gpu {id}")))
    }

    /// How to make a device ready to run, as [`Devices::open`] does, as often as it takes. Nothing is opened or tuned yet: a
    /// driver may hang over either, so both belong into a thread that can be left behind. Every time but the first, the
    /// drivers are asked for their devices anew, as a driver that failed may know nothing of its former ones.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn opener(&self, id: DeviceId) -> Result<Arc<dyn DeviceOpener>, DeviceError> {
        let (info, adapters) = match id {
            DeviceId::Cpu => (&self.infos[0], Vec::new()),
            DeviceId::Gpu(_) => self.gpu(id).map(|(info, adapter)| (info, vec![adapter.clone()]))?,
        };
        let mut infos = self.infos[..1].to_vec();
        infos.extend((id != DeviceId::Cpu).then(|| info.clone()));
        let alone = Self { cpu: self.cpu, infos, adapters, tuning: self.tuning.clone() };
        Ok(Arc::new(LocalOpener {
            info: info.clone(),
            cpu: self.cpu,
            first: Mutex::new(Some(alone)),
            settings: OnceLock::new(),
        }))
    }

    /// The id that the device of another list has in this one. Numbers move up when a card is gone.
    fn same_as(&self, other: &DeviceInfo) -> Option<DeviceId> {
        let alike = |info: &&DeviceInfo| (&info.name, &info.kind) == (&other.name, &other.kind);
        let mut found: Vec<_> = self.infos.iter().filter(alike).map(|info| info.id).collect();
        // Several are alike only where no PCI address tells them apart.
        if found.len() > 1 {
            found.retain(|id| *id == other.id);
        }
        found.first().copied()
    }

    /// Makes a GPU ready to run with settings other than mining's, for tests and measurements.
    ///
    /// # Errors
    /// If there is no such GPU or its driver refuses.
    pub fn open_gpu(&self, id: DeviceId, settings: GpuSettings) -> Result<GpuDevice, DeviceError> {
        let (info, adapter) = self.gpu(id)?;
        GpuDevice::open(info.clone(), adapter, settings)
    }
}

/// How to open a device of this machine.
struct LocalOpener {
    info: DeviceInfo,
    cpu: CpuSettings,
    /// The list that the device was chosen from, cut down to it, until it is opened for the first time.
    first: Mutex<Option<Devices>>,
    /// What the first opening found. A device whose first opening did not come so far is opened with the defaults: it may
    /// be the tuning that its driver fails over, and a device that failed is not the one to tune.
    settings: OnceLock<GpuSettings>,
}

impl DeviceOpener for LocalOpener {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn open(&self) -> Result<Box<dyn Device>, DeviceError> {
        let first = self.first.lock().expect("nothing that holds the list panics").take();
        if let Some(devices) = first {
            let settings = devices.settings(self.info.id);
            return devices.open_with(self.info.id, *self.settings.get_or_init(|| settings));
        }
        let devices = Devices::list(self.cpu, &Selection::Ids(vec![self.info.id]))?;
        match devices.same_as(&self.info) {
            Some(id) => devices.open_with(id, self.settings.get().copied().unwrap_or_default()),
            None => Err(DeviceError::Lost("it is no longer listed".into())),
        }
    }
}

fn select(infos: &[DeviceInfo], selection: &Selection) -> Result<Vec<DeviceId>, SelectError> {
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
    use crate::device_info::{DeviceKind, GpuInfo};

    fn gpu(number: u32, software: bool) -> DeviceInfo {
        let kind = GpuInfo {
            vendor: String::new(),
            vendor_id: 0,
            device_id: 0,
            driver: String::new(),
            backend: "vulkan",
            pci: None,
            software,
        };
        DeviceInfo { id: DeviceId::Gpu(number), name: String::new(), kind: DeviceKind::Gpu(kind) }
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

    #[test]
    fn the_cpu_opens_with_the_settings_given() {
        let cpu = CpuSettings { threads: NonZeroUsize::new(3), backend: Some(Backend::Portable) };
        let devices = Devices::list(cpu, &"cpu".parse().unwrap()).unwrap();
        assert_eq!(devices.infos().len(), 1);
        assert_eq!(devices.open(DeviceId::Cpu).unwrap().info(), &devices.infos()[0]);
        assert!(devices.open(DeviceId::Gpu(0)).is_err());
    }

    #[test]
    fn an_opener_opens_the_same_device_again_and_again() {
        let cpu = CpuSettings { threads: NonZeroUsize::new(3), backend: Some(Backend::Portable) };
        let devices = Devices::list(cpu, &"cpu".parse().unwrap()).unwrap();
        let opener = devices.opener(DeviceId::Cpu).unwrap();
        for _ in 0..3 {
            assert_eq!(opener.open().unwrap().info(), &devices.infos()[0]);
        }
        assert!(devices.opener(DeviceId::Gpu(0)).is_err());
    }

    /// An adapter that is gone, or a driver that hangs, is the opening's failure and not the caller's.
    #[test]
    fn nothing_is_opened_before_it_is_asked_for() {
        let cpu = CpuSettings { threads: NonZeroUsize::new(3), backend: Some(Backend::Portable) };
        let devices = Devices::list(cpu, &"cpu".parse().unwrap()).unwrap();
        let gone =
            LocalOpener { info: gpu(77, false), cpu, first: Mutex::new(Some(devices)), settings: OnceLock::new() };
        assert_eq!(gone.info().id, DeviceId::Gpu(77));
        for _ in 0..2 {
            assert!(gone.open().is_err());
        }
    }

    #[test]
    fn a_gpu_is_found_again_by_its_address_or_else_by_its_number() {
        let at = |number, address: Option<&str>| {
            let mut info = gpu(number, false);
            let DeviceKind::Gpu(kind) = &mut info.kind else { panic!("a gpu") };
            kind.pci = address.map(str::to_owned);
            info
        };
        let list = |infos| Devices { cpu: CpuSettings::default(), infos, adapters: Vec::new(), tuning: None };
        let one = Some("0000:01:00.0");
        let two = Some("0000:02:00.0");
        let after = list(vec![at(0, two)]);
        assert_eq!(after.same_as(&at(1, two)), Some(DeviceId::Gpu(0)), "the card before it is gone");
        assert_eq!(after.same_as(&at(0, one)), None);
        let alike = list(vec![at(0, None), at(1, None)]);
        assert_eq!(alike.same_as(&at(1, None)), Some(DeviceId::Gpu(1)));
        assert_eq!(alike.same_as(&at(2, None)), None);
    }
}
