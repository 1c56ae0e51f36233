//! `adit devices`, and the devices that the other subcommands run on.

use std::num::NonZeroUsize;

use adit_hash::Backend;
use adit_miner::{CpuDevice, CpuSettings, Device, DeviceInfo, DeviceKind, Devices, Selection};
use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::{DeviceArgs, DevicesArgs};
use crate::exit::{OrExit, Result};
use crate::rate::counted;

pub fn run(args: &DevicesArgs) -> Result {
    let devices = Devices::list(CpuSettings::default(), &Selection::All).or_running()?;
    if args.json {
        println!("{}", json!({ "devices": devices.infos().iter().map(as_json).collect::<Vec<_>>() }));
    } else {
        devices.infos().iter().for_each(print);
    }
    Ok(())
}

/// The devices that the flags name, ready to run; at least one.
pub fn open(args: &DeviceArgs) -> Result<Vec<Box<dyn Device>>> {
    let selection = selection(args)?.unwrap_or_default();
    let devices = Devices::list(cpu_settings(args)?, &selection).context("--backend").or_usage()?;
    let ids = devices.select(&selection).context("--device").or_usage()?;
    ids.into_iter().map(|id| devices.open(id).with_context(|| id.to_string()).or_running()).collect()
}

/// What `adit bench` measures: the devices that the flags name, the CPU once for each kernel that it runs unless one is
/// named. Without `--device` that is the CPU and every real GPU.
pub fn to_measure(args: &DeviceArgs) -> Result<Vec<Box<dyn Device>>> {
    let selection = selection(args)?.unwrap_or(Selection::All);
    let settings = cpu_settings(args)?;
    let devices = Devices::list(settings, &selection).context("--backend").or_usage()?;
    let mut opened: Vec<Box<dyn Device>> = Vec::new();
    for id in devices.select(&selection).context("--device").or_usage()? {
        match id {
            adit_miner::DeviceId::Cpu if settings.backend.is_none() => {
                for backend in Backend::supported() {
                    opened.push(Box::new(CpuDevice::new(settings.threads, Some(backend)).or_running()?));
                }
            }
            _ => opened.push(devices.open(id).with_context(|| id.to_string()).or_running()?),
        }
    }
    Ok(opened)
}

/// The CPU as a plain loop over the `sha2` crate, which every measurement is held against.
pub fn ruler(threads: Option<u16>) -> Result<Box<dyn Device>> {
    Ok(Box::new(CpuDevice::new(thread_count(threads), Some(Backend::Sha2Crate)).or_running()?))
}

fn selection(args: &DeviceArgs) -> Result<Option<Selection>> {
    args.device.as_deref().map(str::parse).transpose().context("--device").or_usage()
}

fn cpu_settings(args: &DeviceArgs) -> Result<CpuSettings> {
    let backend = args.backend.as_deref().map(str::parse).transpose().context("--backend").or_usage()?;
    Ok(CpuSettings { threads: thread_count(args.threads), backend })
}

fn thread_count(threads: Option<u16>) -> Option<NonZeroUsize> {
    threads.and_then(|threads| NonZeroUsize::new(usize::from(threads)))
}

/// The kernels that this CPU runs, fastest first.
fn kernels() -> Vec<&'static str> {
    Backend::supported().map(Backend::name).collect()
}

fn print(info: &DeviceInfo) {
    println!("{}  {}", info.id, info.name);
    match &info.kind {
        DeviceKind::Cpu(cpu) => {
            println!("      {}, instruction sets {}", counted(cpu.threads as u64, "thread"), cpu.instruction_sets.join(" "));
            println!("      kernel {} of {}", cpu.backend, kernels().join(", "));
        }
        DeviceKind::Gpu(gpu) => {
            let sort = if gpu.software { "software on the CPU, never chosen by itself" } else { "real GPU" };
            let address = gpu.pci.as_ref().map_or(String::new(), |pci| format!(", PCI {pci}"));
            println!("      {sort}, vendor {}, {}{address}", gpu.vendor, gpu.backend);
            println!("      driver {}", gpu.driver);
        }
        _ => {}
    }
}

fn as_json(info: &DeviceInfo) -> Value {
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
            object["backend"] = gpu.backend.into();
            object["pci"] = json!(gpu.pci);
        }
        _ => {}
    }
    object
}
