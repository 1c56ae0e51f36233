//! Reads the CPU's sensors on Linux: temperature from `hwmon`, power from the energy counters, clock from `cpufreq`.
//!
//! Sources: the kernel's `Documentation/hwmon/{coretemp,k10temp}.rst` and `Documentation/admin-guide/pm/cpufreq.rst`;
//! `zenpower` is a driver outside the kernel that takes k10temp's place.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::rapl::Rapl;
use super::sysfs::{entries, is_numbered, scaled, text};
use super::{Reading, Sensor};

/// The drivers of CPU sensors; `cpu_thermal` is that of small ARM boards. Other chips under `hwmon` are on the main board, in
/// disks and in network cards.
const DRIVERS: [&str; 4] = ["coretemp", "k10temp", "zenpower", "cpu_thermal"];

/// The labels of the whole package's temperature, best first. `Tctl` is for fan control: on some models it is 10 to 27 °C above
/// the true temperature, which is then `Tdie`; on others the two are equal.
const PACKAGE: [&str; 3] = ["Tdie", "Package id", "Tctl"];

/// The CPU's sensors.
#[derive(Debug)]
pub(super) struct CpuSensor {
    root: PathBuf,
    rapl: Option<Rapl>,
}

impl CpuSensor {
    /// The sensor, if any value can be read.
    pub(super) fn open(root: &Path) -> Option<Self> {
        let sensor = Self { root: root.to_owned(), rapl: Rapl::open(root) };
        (sensor.rapl.is_some() || !sensor.read().is_empty()).then_some(sensor)
    }

    /// The folders of the CPU's chips, one a socket. Their numbers change when a driver is loaded again.
    fn chips(&self) -> Vec<PathBuf> {
        let mut chips = entries(&self.root.join("class/hwmon"), |name| is_numbered(name, "hwmon"));
        chips.retain(|chip| text(&chip.join("name")).is_some_and(|name| DRIVERS.contains(&name.as_str())));
        chips
    }

    /// The mean of the cores in MHz.
    fn clock(&self) -> Option<f64> {
        const KILOHERTZ_A_MEGAHERTZ: f64 = 1e3;
        let cores = entries(&self.root.join("devices/system/cpu"), |name| is_numbered(name, "cpu"));
        let clocks: Vec<_> = cores
            .iter()
            .filter_map(|core| scaled(&core.join("cpufreq/scaling_cur_freq"), KILOHERTZ_A_MEGAHERTZ))
            .collect();
        (!clocks.is_empty()).then(|| clocks.iter().sum::<f64>() / clocks.len() as f64)
    }
}

impl Sensor for CpuSensor {
    fn read(&self) -> Reading {
        let chips = self.chips();
        let counted = self.rapl.as_ref().and_then(|rapl| rapl.watts(Instant::now()));
        Reading {
            temperature_celsius: chips.iter().filter_map(|chip| temperature(chip)).reduce(f64::max),
            power_watts: counted.or_else(|| zenpower_watts(&chips)),
            core_clock_mhz: self.clock(),
            ..Reading::default()
        }
    }

    fn energy_joules(&self) -> Option<f64> {
        self.rapl.as_ref()?.joules()
    }
}

/// A chip's inputs of this `kind`: the label of each, and the file with its value.
fn labelled(chip: &Path, kind: &str) -> Vec<(Option<String>, PathBuf)> {
    let is_input = |name: &str| name.strip_suffix("_input").is_some_and(|name| is_numbered(name, kind));
    let label = |input: &Path| {
        let name = input.file_name()?.to_str()?.strip_suffix("_input")?;
        text(&input.with_file_name(format!("{name}_label")))
    };
    entries(chip, is_input).into_iter().map(|input| (label(&input), input)).collect()
}

/// A package's temperature in degrees Celsius, or that of its hottest core if the package has none.
fn temperature(chip: &Path) -> Option<f64> {
    let inputs: Vec<_> = labelled(chip, "temp")
        .into_iter()
        .filter_map(|(label, input)| Some((label.unwrap_or_default(), scaled(&input, 1e3)?)))
        .collect();
    let package =
        |wanted: &&str| inputs.iter().find(|(label, _)| label.starts_with(wanted)).map(|(_, celsius)| *celsius);
    PACKAGE.iter().find_map(package).or_else(|| inputs.iter().map(|(_, celsius)| *celsius).reduce(f64::max))
}

/// The power of the CPU in watts as zenpower measures it: cores plus the rest of the chip. With one part missing, none.
fn zenpower_watts(chips: &[PathBuf]) -> Option<f64> {
    let part = |chip: &Path, name: &str| {
        let inputs = labelled(chip, "power");
        let (_, input) = inputs.iter().find(|(label, _)| label.as_deref() == Some(name))?;
        scaled(input, 1e6)
    };
    let zenpower = chips.iter().filter(|chip| text(&chip.join("name")).as_deref() == Some("zenpower"));
    let sockets: Option<Vec<f64>> =
        zenpower.map(|chip| Some(part(chip, "SVI2_P_Core")? + part(chip, "SVI2_P_SoC")?)).collect();
    sockets.filter(|sockets| !sockets.is_empty()).map(|sockets| sockets.iter().sum())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::sysfs::lay_out;
    use super::*;

    fn chip(root: &Path, number: u32, files: &[(&str, &str)]) {
        for (name, content) in files {
            lay_out(root, &[(&format!("class/hwmon/hwmon{number}/{name}"), content)]);
        }
    }

    fn celsius(root: &Path) -> Option<f64> {
        CpuSensor::open(root)?.read().temperature_celsius
    }

    #[test]
    fn coretemp_gives_the_package_and_two_sockets_the_hotter() {
        let root = tempfile::tempdir().unwrap();
        chip(root.path(), 0, &[("name", "nvme\n"), ("temp1_input", "99000\n")]);
        let socket = |celsius: &'static str, label: &'static str| {
            [
                ("name", "coretemp\n"),
                ("temp1_label", label),
                ("temp1_input", celsius),
                ("temp1_max", "100000\n"),
                ("temp2_label", "Core 0\n"),
                ("temp2_input", "90000\n"),
            ]
        };
        chip(root.path(), 1, &socket("61000\n", "Package id 0\n"));
        assert_eq!(celsius(root.path()), Some(61.0));
        chip(root.path(), 2, &socket("67000\n", "Package id 1\n"));
        assert_eq!(celsius(root.path()), Some(67.0));
    }

    #[test]
    fn coretemp_without_a_package_gives_the_hottest_core() {
        let root = tempfile::tempdir().unwrap();
        let cores = [("temp2_label", "Core 0\n"), ("temp2_input", "41000\n"), ("temp3_label", "Core 1\n")];
        chip(root.path(), 1, &[("name", "coretemp\n"), ("temp3_input", "44000\n")]);
        chip(root.path(), 1, &cores);
        assert_eq!(celsius(root.path()), Some(44.0));
    }

    #[test]
    fn k10temp_gives_the_die_rather_than_the_control_figure() {
        let root = tempfile::tempdir().unwrap();
        let tctl = [("name", "k10temp\n"), ("temp1_label", "Tctl\n"), ("temp1_input", "78250\n")];
        chip(root.path(), 3, &tctl);
        chip(root.path(), 3, &[("temp3_label", "Tccd1\n"), ("temp3_input", "88000\n")]);
        assert_eq!(celsius(root.path()), Some(78.25));
        chip(root.path(), 3, &[("temp2_label", "Tdie\n"), ("temp2_input", "51250\n")]);
        assert_eq!(celsius(root.path()), Some(51.25));
        // A figure that cannot be read falls back on the next best.
        chip(root.path(), 3, &[("temp2_input", "none\n")]);
        assert_eq!(celsius(root.path()), Some(78.25));
    }

    #[test]
    fn a_small_board_gives_its_only_figure() {
        let root = tempfile::tempdir().unwrap();
        chip(root.path(), 0, &[("name", "cpu_thermal\n"), ("temp1_input", "48312\n")]);
        assert_eq!(celsius(root.path()), Some(48.312));
    }

    #[test]
    fn zenpower_gives_watts_where_the_counters_do_not() {
        let root = tempfile::tempdir().unwrap();
        chip(root.path(), 2, &[("name", "zenpower\n"), ("temp1_label", "Tdie\n"), ("temp1_input", "55000\n")]);
        chip(root.path(), 2, &[("power1_label", "SVI2_P_Core\n"), ("power1_input", "61500000\n")]);
        let sensor = CpuSensor::open(root.path()).unwrap();
        assert_eq!(sensor.read().power_watts, None, "the cores alone");
        chip(root.path(), 2, &[("power2_label", "SVI2_P_SoC\n"), ("power2_input", "9500000\n")]);
        assert_eq!((sensor.read().power_watts, sensor.energy_joules()), (Some(71.0), None));
    }

    #[test]
    fn the_counters_and_the_clock_are_read_alongside() {
        let root = tempfile::tempdir().unwrap();
        let zone = "class/powercap/intel-rapl:0";
        lay_out(root.path(), &[(&format!("{zone}/name"), "package-0\n"), (&format!("{zone}/energy_uj"), "1000000\n")]);
        lay_out(root.path(), &[("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3600000\n")]);
        lay_out(root.path(), &[("devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2400000\n")]);
        lay_out(root.path(), &[("devices/system/cpu/cpufreq/scaling_cur_freq", "1\n")]);
        let sensor = CpuSensor::open(root.path()).unwrap();
        lay_out(root.path(), &[(&format!("{zone}/energy_uj"), "4000000\n")]);
        assert_eq!((sensor.read().core_clock_mhz, sensor.energy_joules()), (Some(3000.0), Some(3.0)));
    }

    #[test]
    fn a_machine_that_tells_nothing_has_no_sensor() {
        let root = tempfile::tempdir().unwrap();
        assert!(CpuSensor::open(root.path()).is_none());
        chip(root.path(), 0, &[("name", "acpitz\n"), ("temp1_input", "27800\n")]);
        chip(root.path(), 1, &[("name", "k10temp\n"), ("temp1_label", "Tctl\n"), ("temp1_input", "")]);
        chip(root.path(), 2, &[("temp1_input", "27800\n")]);
        assert!(CpuSensor::open(root.path()).is_none());
    }

    #[test]
    fn a_chip_that_goes_away_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        chip(root.path(), 0, &[("name", "cpu_thermal\n"), ("temp1_input", "48312\n")]);
        let sensor = CpuSensor::open(root.path()).unwrap();
        fs::remove_dir_all(root.path().join("class")).unwrap();
        assert!(sensor.read().is_empty());
    }
}
