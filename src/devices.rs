//! `adit devices`, and the devices that the other subcommands run on.

#[cfg(target_os = "linux")]
use std::env;
use std::num::NonZeroUsize;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::sync::Arc;

use adit_hash::Backend;
use adit_miner::{
    CpuDevice, CpuSettings, Device, DeviceError, DeviceId, DeviceInfo, DeviceKind, DeviceOpener, Devices, GpuKernel,
    Reading, Selection, TuningCache, readings_of,
};
use anyhow::{Context, anyhow};
use etcetera::BaseStrategy;
use serde_json::{Value, json};

use crate::cli::{DeviceArgs, DevicesArgs};
use crate::exit::{OrExit, Result};
use crate::named_devices::NamedDevices;
use crate::output;
use crate::rate::counted;

/// The variable that turns Mesa's device-select layer off.
#[cfg(target_os = "linux")]
const NO_DEVICE_SELECT: &str = "NODEVICE_SELECT";

pub fn run(args: &DevicesArgs) -> Result {
    let devices = list(CpuSettings::default(), &Selection::All).or_running()?;
    let readings = readings_of(devices.infos());
    let listed = devices.infos().iter().zip(&readings);
    if args.json {
        let devices: Vec<_> = listed.map(|(info, reading)| as_json(info, reading.as_ref())).collect();
        output::line(json!({ "devices": devices }))?;
    } else {
        output::line(listed.map(|(info, reading)| as_text(info, reading.as_ref())).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(())
}

/// The devices that the flags name, ready to run; at least one. Called before anything is printed or opened.
pub fn open(args: &DeviceArgs) -> Result<Vec<Box<dyn Device>>> {
    open_by(args, Devices::open)
}

/// The openers of the devices that the flags name, at least one. None is opened yet.
pub fn openers(args: &DeviceArgs) -> Result<Vec<Arc<dyn DeviceOpener>>> {
    open_by(args, Devices::opener)
}

/// The devices that the flags name by their ids.
pub fn named(args: &DeviceArgs) -> Result<NamedDevices> {
    Ok(NamedDevices::new(&selection(args)?.unwrap_or_default()))
}

fn open_by<D>(
    args: &DeviceArgs,
    open: impl Fn(&Devices, DeviceId) -> std::result::Result<D, DeviceError>,
) -> Result<Vec<D>> {
    let selection = selection(args)?.unwrap_or_default();
    let devices = list_tuned(cpu_settings(args)?, &selection).context("--backend").or_usage()?;
    let ids = devices.select(&selection).context("--device").or_usage()?;
    NamedDevices::new(&selection).open_each(ids, |id| open(&devices, id))
}

/// What `adit bench` measures.
pub struct BenchDevices {
    /// Every device that was listed, measured or not.
    pub devices: Vec<DeviceInfo>,
    /// Whether GPUs were looked for.
    pub gpus_listed: bool,
    /// At least one.
    pub rows: Vec<KernelDevice>,
}

/// A device with one of its kernels.
pub struct KernelDevice {
    /// The kernel's name.
    pub kernel: String,
    pub device: Box<dyn Device>,
}

/// The devices that were listed and those of them that the flags name, none opened yet: opening a GPU takes seconds, and
/// longer where it has to be tuned.
pub struct SelectedDevices {
    devices: Devices,
    selection: Selection,
    settings: CpuSettings,
    ids: Vec<DeviceId>,
}

/// The devices that the flags name. Without `--device` that is the CPU and every real GPU. Called before anything is printed
/// or read, since it may start the program anew.
pub fn select_to_measure(args: &DeviceArgs) -> Result<SelectedDevices> {
    let selection = selection(args)?.unwrap_or(Selection::All);
    let settings = cpu_settings(args)?;
    let devices = list_tuned(settings, &selection).context("--backend").or_usage()?;
    let ids = devices.select(&selection).context("--device").or_usage()?;
    Ok(SelectedDevices { devices, selection, settings, ids })
}

impl SelectedDevices {
    /// Opens them, the CPU once for each kernel that it runs unless one is named.
    pub fn open(self) -> Result<BenchDevices> {
        let Self { devices, selection, settings, ids } = self;
        let opened = NamedDevices::new(&selection).open_each(ids, |id| match id {
            DeviceId::Cpu => {
                let backends = settings.backend.map_or_else(|| Backend::supported().collect(), |backend| vec![backend]);
                backends.into_iter().map(|backend| on_cpu(settings.threads, backend)).collect()
            }
            DeviceId::Gpu(_) => {
                Ok(vec![KernelDevice { kernel: GpuKernel::default().name().to_owned(), device: devices.open(id)? }])
            }
        })?;
        Ok(BenchDevices {
            devices: devices.infos().to_vec(),
            gpus_listed: selection.needs_gpus(),
            rows: opened.into_iter().flatten().collect(),
        })
    }
}

/// The CPU with a plain loop over the `sha2` crate, which every measurement is compared with.
pub fn baseline(threads: Option<u16>) -> Result<KernelDevice> {
    on_cpu(thread_count(threads), Backend::Sha2Crate).or_running()
}

fn on_cpu(threads: Option<NonZeroUsize>, backend: Backend) -> std::result::Result<KernelDevice, DeviceError> {
    Ok(KernelDevice { kernel: backend.name().to_owned(), device: Box::new(CpuDevice::new(threads, Some(backend))?) })
}

/// A device's label: its id, and its name or, for the CPU, its kernel and threads.
pub fn label(info: &DeviceInfo) -> String {
    match &info.kind {
        DeviceKind::Cpu(cpu) => format!("{} {} ×{}", info.id, cpu.backend, cpu.threads),
        _ => format!("{} {}", info.id, info.name),
    }
}

fn list(settings: CpuSettings, selection: &Selection) -> std::result::Result<Devices, DeviceError> {
    if selection.needs_gpus() {
        start_without_device_select();
    }
    Devices::list(settings, selection)
}

/// [`list`], with the tuned settings of GPUs.
fn list_tuned(settings: CpuSettings, selection: &Selection) -> std::result::Result<Devices, DeviceError> {
    let devices = list(settings, selection)?;
    Ok(match tuning_cache() {
        Some(cache) => devices.with_tuning_cache(cache),
        None => devices,
    })
}

/// The file of tuned settings. A user without a home folder has none, and GPUs run with the default settings.
fn tuning_cache() -> Option<TuningCache> {
    let folder = etcetera::choose_base_strategy().ok()?.cache_dir();
    Some(TuningCache::at(folder.join("adit").join("gpu-tuning.json")))
}

/// The GPUs that the flags name, and their list, for tuning.
pub fn gpus(args: &DeviceArgs) -> Result<(Devices, Vec<DeviceInfo>)> {
    let selection = selection(args)?.unwrap_or(Selection::Gpu);
    let devices = list_tuned(CpuSettings::default(), &selection).or_running()?;
    let ids = devices.select(&selection).context("--device").or_usage()?;
    let gpus: Vec<_> = devices
        .infos()
        .iter()
        .filter(|info| ids.contains(&info.id) && matches!(info.kind, DeviceKind::Gpu(_)))
        .cloned()
        .collect();
    if gpus.is_empty() {
        return Err(anyhow!("--device {selection} names no gpu, and nothing else can be tuned")).or_usage();
    }
    Ok((devices, gpus))
}

/// Starts the program again without Mesa's device-select layer, if that would write errors.
///
/// On a machine without a desktop session the layer writes "error: XDG_RUNTIME_DIR is invalid" to standard error each time
/// that Vulkan is asked for its devices, and it does nothing but reorder them. Only an environment variable turns it off, and
/// setting one in a running process is not safe. If the program cannot be started again, the error stays and does no harm.
fn start_without_device_select() {
    #[cfg(target_os = "linux")]
    if env::var_os("XDG_RUNTIME_DIR").is_none() && env::var_os(NO_DEVICE_SELECT).is_none() {
        use std::os::unix::process::CommandExt;
        if let Ok(program) = env::current_exe() {
            let error = Command::new(program).args(env::args_os().skip(1)).env(NO_DEVICE_SELECT, "1").exec();
            tracing::debug!("cannot start without Mesa's device-select layer: {error}");
        }
    }
}

fn selection(args: &DeviceArgs) -> Result<Option<Selection>> {
    args.device.as_deref().map(str::parse).transpose().context("--device").or_usage()
}

fn cpu_settings(args: &DeviceArgs) -> Result<CpuSettings> {
    let backend = args.backend.as_deref().map(str::parse).transpose().context("--backend").or_usage()?;
    Ok(CpuSettings::default().with_threads(thread_count(args.threads)).with_backend(backend))
}

fn thread_count(threads: Option<u16>) -> Option<NonZeroUsize> {
    threads.and_then(|threads| NonZeroUsize::new(usize::from(threads)))
}

/// The kernels that this CPU runs, in the order of [`Backend::ALL`].
fn kernels() -> Vec<&'static str> {
    Backend::supported().map(Backend::name).collect()
}

fn as_text(info: &DeviceInfo, reading: Option<&Reading>) -> String {
    let name = format!("{}  {}", info.id, info.name);
    let mut text = match &info.kind {
        DeviceKind::Cpu(cpu) => {
            let (threads, sets) = (counted(cpu.threads as u64, "thread"), cpu.instruction_sets.join(" "));
            let kernels = kernels().join(", ");
            format!("{name}\n      {threads}, instruction sets {sets}\n      kernel {} of {kernels}", cpu.backend)
        }
        DeviceKind::Gpu(gpu) => {
            let sort = if gpu.software { "software on the CPU, never chosen by itself" } else { "real GPU" };
            let address = gpu.pci.as_ref().map_or(String::new(), |pci| format!(", PCI {pci}"));
            let interface = format!("vendor {}, {}{address}", gpu.vendor, gpu.interface);
            format!("{name}\n      {sort}, {interface}\n      driver {}", gpu.driver)
        }
        _ => name,
    };
    let sensors = reading.map(sensors_as_text).unwrap_or_default();
    if !sensors.is_empty() {
        text.push_str(&format!("\n      {sensors}"));
    }
    text
}

/// The known values, joined by commas: `54 °C, 203.0 W, fan 40 % 1482 rpm, core 2310 MHz, memory 1000 MHz`.
fn sensors_as_text(reading: &Reading) -> String {
    let fan = [
        reading.fan_percent.map(|percent| format!("{percent:.0} %")),
        reading.fan_rpm.map(|rpm| format!("{rpm:.0} rpm")),
    ];
    let fan: Vec<_> = fan.into_iter().flatten().collect();
    let known = [
        reading.temperature_celsius.map(|celsius| format!("{celsius:.0} °C")),
        reading.power_watts.map(|watts| format!("{watts:.1} W")),
        (!fan.is_empty()).then(|| format!("fan {}", fan.join(" "))),
        reading.core_clock_mhz.map(|mhz| format!("core {mhz:.0} MHz")),
        reading.memory_clock_mhz.map(|mhz| format!("memory {mhz:.0} MHz")),
    ];
    known.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn as_json(info: &DeviceInfo, reading: Option<&Reading>) -> Value {
    let mut object = json!({ "id": info.id.to_string(), "name": info.name });
    match &info.kind {
        DeviceKind::Cpu(cpu) => {
            object["kind"] = "cpu".into();
            object["threads"] = cpu.threads.into();
            object["instruction_sets"] = json!(cpu.instruction_sets);
            object["backend"] = cpu.backend.name().into();
            object["kernels"] = json!(kernels());
        }
        DeviceKind::Gpu(gpu) => {
            object["kind"] = "gpu".into();
            object["software"] = gpu.software.into();
            object["vendor"] = gpu.vendor.clone().into();
            object["vendor_id"] = gpu.vendor_id.into();
            object["device_id"] = gpu.device_id.into();
            object["driver"] = gpu.driver.clone().into();
            object["interface"] = gpu.interface.into();
            object["pci"] = json!(gpu.pci);
        }
        _ => {}
    }
    object["sensors"] = reading.map_or(Value::Null, |reading| {
        json!({
            "temperature_celsius": reading.temperature_celsius,
            "power_watts": reading.power_watts,
            "fan_percent": reading.fan_percent,
            "fan_rpm": reading.fan_rpm,
            "core_clock_mhz": reading.core_clock_mhz,
            "memory_clock_mhz": reading.memory_clock_mhz,
        })
    });
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensors_are_shown_as_far_as_they_are_known() {
        let mut reading = Reading::default();
        assert_eq!(sensors_as_text(&reading), "");
        reading.fan_rpm = Some(1482.0);
        reading.temperature_celsius = Some(54.3);
        assert_eq!(sensors_as_text(&reading), "54 °C, fan 1482 rpm");
        reading.fan_percent = Some(40.0);
        reading.power_watts = Some(203.04);
        reading.core_clock_mhz = Some(2310.0);
        reading.memory_clock_mhz = Some(1000.0);
        let all = "54 °C, 203.0 W, fan 40 % 1482 rpm, core 2310 MHz, memory 1000 MHz";
        assert_eq!(sensors_as_text(&reading), all);

        let info = CpuDevice::new(None, None).unwrap().info().clone();
        assert!(as_text(&info, Some(&reading)).ends_with(all));
        assert_eq!(as_json(&info, Some(&reading))["sensors"]["power_watts"], 203.04);
        assert_eq!(as_text(&info, None), as_text(&info, Some(&Reading::default())));
        assert_eq!(as_json(&info, None)["sensors"], Value::Null);
    }
}
