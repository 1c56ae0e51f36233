//! Reads a graphics card through the files of its Linux driver: amdgpu, and other drivers as far as they have the files.
//!
//! Sources: the kernel's `Documentation/hwmon/sysfs-interface.rst`, which fixes names and units for every driver, and
//! `Documentation/gpu/amdgpu/thermal.rst`. Only amdgpu has the clocks (`freq1_input`, `freq2_input`).

use std::path::{Path, PathBuf};

use super::pci::PciAddress;
use super::sysfs::{entries, is_numbered, scaled};
use super::{Reading, Sensor};

/// A card with a `hwmon` folder.
#[derive(Debug)]
pub(super) struct CardSensor {
    /// `/sys/bus/pci/devices/<address>/hwmon`.
    folder: PathBuf,
}

impl CardSensor {
    /// The sensor of the card at `address`, where its driver offers one.
    pub(super) fn open(root: &Path, address: PciAddress) -> Option<Self> {
        let folder = root.join("bus/pci/devices").join(address.in_sysfs()).join("hwmon");
        let sensor = Self { folder };
        sensor.chip().is_some().then_some(sensor)
    }

    /// The folder with the files. It is looked up at each reading, because its number changes when the driver is loaded again,
    /// which happens after some resets.
    fn chip(&self) -> Option<PathBuf> {
        entries(&self.folder, |name| is_numbered(name, "hwmon")).into_iter().next()
    }
}

impl Sensor for CardSensor {
    fn read(&self) -> Reading {
        /// `pwm1` at full speed.
        const FULL: f64 = 255.0;
        const MICRO: f64 = 1e6;
        const HERTZ_A_MEGAHERTZ: f64 = 1e6;
        let Some(chip) = self.chip() else { return Reading::default() };
        let file = |name: &str, parts| scaled(&chip.join(name), parts);
        Reading {
            temperature_celsius: file("temp1_input", 1e3),
            // Newer cards give the present power, older ones a mean over some milliseconds, and some give both.
            power_watts: file("power1_average", MICRO).or_else(|| file("power1_input", MICRO)),
            fan_percent: file("pwm1", FULL / 100.0).filter(|percent| (0.0..=100.0).contains(percent)),
            fan_rpm: file("fan1_input", 1.0),
            core_clock_mhz: file("freq1_input", HERTZ_A_MEGAHERTZ),
            memory_clock_mhz: file("freq2_input", HERTZ_A_MEGAHERTZ),
        }
    }

    fn energy_joules(&self) -> Option<f64> {
        // Intel's drivers count it; amdgpu does not.
        scaled(&self.chip()?.join("energy1_input"), 1e6)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::sysfs::lay_out;
    use super::*;

    const CARD: &str = "bus/pci/devices/0000:0b:00.0/hwmon/hwmon4";

    fn address() -> PciAddress {
        "0000:0b:00.0".parse().unwrap()
    }

    /// The files of a Radeon RX 6800 XT, kernel 6.1, as far as they are read.
    fn navi21(root: &Path) {
        let files = [
            ("name", "amdgpu\n"),
            ("temp1_input", "54000\n"),
            ("temp1_label", "edge\n"),
            ("temp2_input", "61000\n"),
            ("temp2_label", "junction\n"),
            ("temp3_input", "58000\n"),
            ("temp3_label", "mem\n"),
            ("power1_average", "203000000\n"),
            ("power1_cap", "255000000\n"),
            ("fan1_input", "1482\n"),
            ("fan1_enable", "0\n"),
            ("pwm1", "102\n"),
            ("pwm1_max", "255\n"),
            ("freq1_input", "2310000000\n"),
            ("freq1_label", "sclk\n"),
            ("freq2_input", "1000000000\n"),
            ("freq2_label", "mclk\n"),
            ("in0_input", "1106\n"),
        ];
        for (name, content) in files {
            lay_out(root, &[(&format!("{CARD}/{name}"), content)]);
        }
    }

    #[test]
    fn a_card_gives_all_its_values_in_our_units() {
        let root = tempfile::tempdir().unwrap();
        navi21(root.path());
        let sensor = CardSensor::open(root.path(), address()).unwrap();
        assert_eq!(
            sensor.read(),
            Reading {
                temperature_celsius: Some(54.0),
                power_watts: Some(203.0),
                fan_percent: Some(40.0),
                fan_rpm: Some(1482.0),
                core_clock_mhz: Some(2310.0),
                memory_clock_mhz: Some(1000.0),
            }
        );
        assert_eq!(sensor.energy_joules(), None);
    }

    #[test]
    fn a_newer_card_without_a_mean_gives_its_power_now() {
        let root = tempfile::tempdir().unwrap();
        lay_out(root.path(), &[(&format!("{CARD}/power1_input"), "17500000\n")]);
        let sensor = CardSensor::open(root.path(), address()).unwrap();
        assert_eq!(sensor.read(), Reading { power_watts: Some(17.5), ..Reading::default() });
        lay_out(root.path(), &[(&format!("{CARD}/energy1_input"), "2500000\n")]);
        assert_eq!(sensor.energy_joules(), Some(2.5));
    }

    #[test]
    fn what_is_missing_empty_or_nonsense_leaves_the_rest() {
        let root = tempfile::tempdir().unwrap();
        navi21(root.path());
        let sensor = CardSensor::open(root.path(), address()).unwrap();
        let chip = root.path().join(CARD);
        fs::remove_file(chip.join("fan1_input")).unwrap();
        fs::write(chip.join("temp1_input"), "").unwrap();
        fs::write(chip.join("freq1_input"), "fast\n").unwrap();
        fs::write(chip.join("freq2_input"), [0xff; 3]).unwrap();
        fs::write(chip.join("pwm1"), "300\n").unwrap();
        assert_eq!(sensor.read(), Reading { power_watts: Some(203.0), ..Reading::default() });
        // What cannot be opened as a file, whoever runs the tests.
        fs::remove_file(chip.join("power1_average")).unwrap();
        fs::create_dir(chip.join("power1_average")).unwrap();
        assert!(sensor.read().is_empty());
    }

    #[test]
    fn the_folder_is_found_again_under_another_number_and_may_go() {
        let root = tempfile::tempdir().unwrap();
        navi21(root.path());
        let sensor = CardSensor::open(root.path(), address()).unwrap();
        let chip = root.path().join(CARD);
        fs::rename(&chip, chip.with_file_name("hwmon17")).unwrap();
        assert_eq!(sensor.read().temperature_celsius, Some(54.0));
        fs::remove_dir_all(chip.parent().unwrap()).unwrap();
        assert!(sensor.read().is_empty());
    }

    #[test]
    fn other_cards_and_cards_without_files_have_no_sensor() {
        let root = tempfile::tempdir().unwrap();
        assert!(CardSensor::open(root.path(), address()).is_none());
        lay_out(root.path(), &[("bus/pci/devices/0000:0b:00.0/vendor", "0x1002\n")]);
        assert!(CardSensor::open(root.path(), address()).is_none());
        navi21(root.path());
        assert!(CardSensor::open(root.path(), "0000:0c:00.0".parse().unwrap()).is_none());
    }
}
