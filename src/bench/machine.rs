//! The machine and the program of a measurement, as far as a reader needs them to judge it.
//!
//! Reports are made to be published, so the host's name, users and serial numbers are left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use adit_miner::{DeviceInfo, DeviceKind};
use serde::{Deserialize, Serialize};

/// The program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    pub version: String,
    /// The commit's full hash, or "unknown" outside of a checkout.
    pub commit: String,
    /// Whether the sources differed from the commit.
    pub dirty: bool,
    /// `release` or `debug`.
    pub profile: String,
    pub target: String,
    pub rustc: String,
    pub rustflags: String,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub os: String,
    pub distribution: Option<String>,
    /// The release of the operating system's kernel. Schema version 1 calls it `kernel`.
    #[serde(alias = "kernel")]
    pub os_release: Option<String>,
    pub arch: String,
    /// Whether the CPU has the flag of a virtual machine.
    pub virtual_machine: Option<bool>,
    /// The load average of the minute before the measurement.
    pub load_average: Option<f64>,
    pub cpu: Cpu,
    /// `None` if GPUs were not looked for.
    pub gpus: Option<Vec<Gpu>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    pub model: String,
    /// Family, model and stepping by the CPU's own numbers: virtual machines hide the name.
    pub family: Option<u32>,
    pub model_number: Option<u32>,
    pub stepping: Option<u32>,
    pub microcode: Option<String>,
    pub cores: Option<usize>,
    /// Logical CPUs of the machine.
    pub threads: Option<usize>,
    /// Logical CPUs that the system grants this process.
    pub threads_granted: usize,
    pub governor: Option<String>,
    pub instruction_sets: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub device: String,
    pub name: String,
    pub vendor: String,
    pub driver: String,
    pub interface: String,
    pub pci: Option<String>,
    pub software: bool,
}

impl Build {
    /// This program's.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("ADIT_COMMIT").to_owned(),
            dirty: env!("ADIT_DIRTY") == "true",
            profile: env!("ADIT_PROFILE").to_owned(),
            target: env!("ADIT_TARGET").to_owned(),
            rustc: env!("ADIT_RUSTC").to_owned(),
            rustflags: env!("ADIT_RUSTFLAGS").to_owned(),
        }
    }

    /// `adit 0.1.0 (ffb14eec2b61, dirty), release`.
    pub fn line(&self) -> String {
        let commit: String = self.commit.chars().take(12).collect();
        let dirty = if self.dirty { ", dirty" } else { "" };
        format!("adit {} ({commit}{dirty}), {}", self.version, self.profile)
    }
}

impl Machine {
    /// This machine, with the devices that were listed.
    pub fn this(devices: &[DeviceInfo], gpus_listed: bool) -> Self {
        let root = Path::new("/");
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let cpuinfo = read("proc/cpuinfo");
        Self {
            os: std::env::consts::OS.to_owned(),
            distribution: distribution(&read("etc/os-release")),
            os_release: os_release(),
            arch: std::env::consts::ARCH.to_owned(),
            virtual_machine: is_virtual(&cpuinfo),
            load_average: read("proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
            cpu: cpu(root, &cpuinfo, devices),
            gpus: gpus_listed.then(|| devices.iter().filter_map(gpu).collect()),
        }
    }

    /// `AMD EPYC, 2 cores, 2 threads, linux 6.18.44`.
    pub fn line(&self) -> String {
        let mut parts = vec![self.cpu.model.clone()];
        parts.extend(self.cpu.cores.map(|cores| crate::rate::counted(cores as u64, "core")));
        parts.push(crate::rate::counted(self.cpu.threads_granted as u64, "thread"));
        parts.push([self.os.as_str(), self.os_release.as_deref().unwrap_or_default()].join(" ").trim().to_owned());
        if self.virtual_machine == Some(true) {
            parts.push("virtual".to_owned());
        }
        parts.join(", ")
    }
}

fn cpu(root: &Path, cpuinfo: &str, devices: &[DeviceInfo]) -> Cpu {
    let (model, instruction_sets) = devices
        .iter()
        .find_map(|info| match &info.kind {
            DeviceKind::Cpu(cpu) => Some((info.name.clone(), cpu.instruction_sets.clone())),
            _ => None,
        })
        .unwrap_or_default();
    let (cores, threads) = topology(root);
    let number = |key| field(cpuinfo, key).and_then(|value| value.parse().ok());
    Cpu {
        model,
        family: number("cpu family"),
        model_number: number("model"),
        stepping: number("stepping"),
        microcode: field(cpuinfo, "microcode").map(str::to_owned),
        cores,
        threads,
        threads_granted: thread::available_parallelism().map_or(1, usize::from),
        governor: line(&root.join("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        instruction_sets: instruction_sets.into_iter().map(str::to_owned).collect(),
    }
}

fn gpu(info: &DeviceInfo) -> Option<Gpu> {
    let DeviceKind::Gpu(gpu) = &info.kind else { return None };
    Some(Gpu {
        device: info.id.to_string(),
        name: info.name.clone(),
        vendor: gpu.vendor.clone(),
        driver: gpu.driver.clone(),
        interface: gpu.interface.to_owned(),
        pci: gpu.pci.clone(),
        software: gpu.software,
    })
}

/// The release of the operating system's kernel. Nothing else of `uname` is used, as it also has the host's name.
#[cfg(unix)]
fn os_release() -> Option<String> {
    rustix::system::uname().release().to_str().ok().map(str::to_owned)
}

#[cfg(not(unix))]
fn os_release() -> Option<String> {
    None
}

/// The first `key` of Linux' `/proc/cpuinfo`, which has tabs before its colons.
fn field<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

/// Whether the machine is virtual. Only x86 has a flag for it.
fn is_virtual(cpuinfo: &str) -> Option<bool> {
    field(cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor"))
}

/// `PRETTY_NAME` of os-release(5).
fn distribution(file: &str) -> Option<String> {
    let value = file.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// Cores and logical CPUs that are online, from Linux' list of which logical CPUs share a core.
fn topology(root: &Path) -> (Option<usize>, Option<usize>) {
    let Ok(entries) = fs::read_dir(root.join("sys/devices/system/cpu")) else { return (None, None) };
    let siblings: Vec<_> =
        entries.flatten().filter_map(|entry| line(&entry.path().join("topology/thread_siblings_list"))).collect();
    if siblings.is_empty() {
        return (None, None);
    }
    (Some(siblings.iter().collect::<BTreeSet<_>>().len()), Some(siblings.len()))
}

/// The text of a file, unless it is empty.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_gives_its_first_processor() {
        let text = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\
                    microcode\t: 0xa101148\nflags\t\t: fpu avx2 hypervisor sha_ni\n\nprocessor\t: 1\nmodel\t\t: 18\n";
        let got = cpu(Path::new("/nowhere"), text, &[]);
        assert_eq!((got.family, got.model_number, got.stepping), (Some(25), Some(17), Some(1)));
        assert_eq!((got.microcode.as_deref(), got.cores, got.governor), (Some("0xa101148"), None, None));
        assert_eq!(is_virtual(text), Some(true));
        assert_eq!(is_virtual(&text.replace("hypervisor ", "")), Some(false));
        assert_eq!((is_virtual(""), is_virtual("Features\t: asimd sha2")), (None, None));
    }

    #[test]
    fn os_release_is_read_with_and_without_quotes() {
        assert_eq!(distribution("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n").unwrap(), "Debian GNU/Linux 12");
        assert_eq!(distribution("PRETTY_NAME=Alpine\n").unwrap(), "Alpine");
        assert_eq!((distribution(""), distribution("PRETTY_NAME=\"\"\n")), (None, None));
    }

    #[test]
    fn cores_are_counted_by_their_siblings() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(topology(root.path()), (None, None));
        for (cpu, siblings) in [(0, "0,2\n"), (1, "1,3\n"), (2, "0,2\n"), (3, "1,3\n")] {
            let folder = root.path().join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("thread_siblings_list"), siblings).unwrap();
        }
        fs::create_dir_all(root.path().join("sys/devices/system/cpu/cpufreq")).unwrap();
        assert_eq!(topology(root.path()), (Some(2), Some(4)));
    }

    #[test]
    fn the_lines_name_what_matters() {
        let mut build = Build::this();
        (build.commit, build.dirty, build.profile) = ("0123456789abcdef".to_owned(), true, "release".to_owned());
        assert_eq!(build.line(), format!("adit {} (0123456789ab, dirty), release", env!("CARGO_PKG_VERSION")));
        let mut machine = Machine::this(&[], false);
        assert_eq!(machine.gpus, None);
        machine.cpu.model = "AMD EPYC".to_owned();
        (machine.cpu.cores, machine.cpu.threads_granted, machine.os) = (Some(1), 2, "linux".to_owned());
        (machine.os_release, machine.virtual_machine) = (Some("6.18".to_owned()), Some(true));
        assert_eq!(machine.line(), "AMD EPYC, 1 core, 2 threads, linux 6.18, virtual");
    }
}
