//! Reads the CPU's energy counters, which Linux has for Intel and AMD under `powercap/intel-rapl`.
//!
//! Since 2020 most systems let only root read them, because they reveal secrets of other programs (CVE-2020-8694). A user who
//! wants watts can allow it: `sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`.
//! Source: the kernel's `Documentation/power/powercap/powercap.rst`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sysfs::{count, entries, is_numbered, text};

/// Power is the mean over at least this long: the counter moves once a millisecond.
const WINDOW: Duration = Duration::from_millis(50);

/// The counters of every package.
#[derive(Debug)]
pub(super) struct Rapl {
    packages: Vec<Package>,
    state: Mutex<RaplState>,
}

/// One socket's counter.
#[derive(Debug)]
struct Package {
    /// Microjoules, wrapping.
    counter: PathBuf,
    /// The counter wraps after this many microjoules; 0 if that is not known.
    range: u64,
}

#[derive(Debug)]
struct RaplState {
    /// Each package's counter at the last look.
    seen: Vec<u64>,
    /// Microjoules of all packages since [`Rapl::open`].
    total: u64,
    /// When the present window of the power began, and `total` at that time.
    window: (Instant, u64),
    watts: Option<f64>,
}

impl Rapl {
    /// Opens the counters, if there are any and this process may read all of them. A sum without one package would be wrong.
    pub(super) fn open(root: &Path) -> Option<Self> {
        // `intel-rapl:0:0` is a part of `intel-rapl:0`, and `psys` is the whole board.
        let zones = entries(&root.join("class/powercap"), |name| is_numbered(name, "intel-rapl:"));
        let packages: Vec<_> = zones
            .into_iter()
            .filter(|zone| text(&zone.join("name")).is_some_and(|name| name.starts_with("package-")))
            .map(|zone| Package {
                counter: zone.join("energy_uj"),
                range: count(&zone.join("max_energy_range_uj")).unwrap_or(0),
            })
            .collect();
        let seen = read_all(&packages)?;
        if seen.is_empty() {
            return None;
        }
        let state = RaplState { seen, total: 0, window: (Instant::now(), 0), watts: None };
        Some(Self { packages, state: Mutex::new(state) })
    }

    /// Joules since [`Rapl::open`].
    pub(super) fn joules(&self) -> Option<f64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(&mut state)?;
        Some(state.total as f64 / 1e6)
    }

    /// Watts since the last call, or its result if that was less than the window ago. `None` within the first window.
    pub(super) fn watts(&self, now: Instant) -> Option<f64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(&mut state)?;
        let (begun, before) = state.window;
        let took = now.saturating_duration_since(begun);
        if took >= WINDOW {
            state.watts = Some((state.total - before) as f64 / 1e6 / took.as_secs_f64());
            state.window = (now, state.total);
        }
        state.watts
    }

    /// Adds to the total by how much the counters have risen.
    fn advance(&self, state: &mut RaplState) -> Option<()> {
        let now = read_all(&self.packages)?;
        for ((package, seen), now) in self.packages.iter().zip(&mut state.seen).zip(now) {
            state.total += match now.checked_sub(*seen) {
                Some(used) => used,
                None => now + package.range.saturating_sub(*seen),
            };
            *seen = now;
        }
        Some(())
    }
}

fn read_all(packages: &[Package]) -> Option<Vec<u64>> {
    packages.iter().map(|package| count(&package.counter)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::sysfs::lay_out;
    use super::*;

    /// Two sockets with the zones that a Xeon server has.
    fn two_sockets(root: &Path) {
        for (zone, name, energy) in [
            ("intel-rapl:0", "package-0", "1000000"),
            ("intel-rapl:0:0", "dram", "77000000"),
            ("intel-rapl:1", "package-1", "5000000"),
            ("intel-rapl:1:0", "dram", "77000000"),
            ("intel-rapl:2", "psys", "99000000"),
            ("intel-rapl-mmio:0", "package-0", "1000000"),
        ] {
            lay_out(root, &[(&format!("class/powercap/{zone}/name"), name)]);
            lay_out(root, &[(&format!("class/powercap/{zone}/max_energy_range_uj"), "262143328850\n")]);
            set(root, zone, energy);
        }
        lay_out(root, &[("class/powercap/intel-rapl/enabled", "1\n")]);
    }

    fn set(root: &Path, zone: &str, energy: &str) {
        lay_out(root, &[(&format!("class/powercap/{zone}/energy_uj"), energy)]);
    }

    #[test]
    fn packages_are_added_up_and_their_parts_are_not() {
        let root = tempfile::tempdir().unwrap();
        two_sockets(root.path());
        let rapl = Rapl::open(root.path()).unwrap();
        assert_eq!(rapl.joules(), Some(0.0));
        set(root.path(), "intel-rapl:0", "3000000\n");
        set(root.path(), "intel-rapl:1", "5500000\n");
        set(root.path(), "intel-rapl:1:0", "99000000\n");
        set(root.path(), "intel-rapl:2", "199000000\n");
        assert_eq!(rapl.joules(), Some(2.5));
    }

    #[test]
    fn a_counter_that_starts_anew_goes_on() {
        let root = tempfile::tempdir().unwrap();
        two_sockets(root.path());
        set(root.path(), "intel-rapl:0", "262143000000");
        let rapl = Rapl::open(root.path()).unwrap();
        set(root.path(), "intel-rapl:0", "671150");
        assert_eq!(rapl.joules(), Some(1.0));
        set(root.path(), "intel-rapl:0", "1671150");
        assert_eq!(rapl.joules(), Some(2.0));
    }

    #[test]
    fn a_counter_that_goes_back_without_a_known_range_invents_nothing() {
        let root = tempfile::tempdir().unwrap();
        lay_out(root.path(), &[("class/powercap/intel-rapl:0/name", "package-0\n")]);
        set(root.path(), "intel-rapl:0", "9000000");
        let rapl = Rapl::open(root.path()).unwrap();
        set(root.path(), "intel-rapl:0", "500000");
        assert_eq!(rapl.joules(), Some(0.5));
    }

    #[test]
    fn power_is_the_mean_since_the_last_look() {
        let root = tempfile::tempdir().unwrap();
        two_sockets(root.path());
        let rapl = Rapl::open(root.path()).unwrap();
        let begun = rapl.state.lock().unwrap().window.0;
        assert_eq!(rapl.watts(begun), None, "no time has passed");
        set(root.path(), "intel-rapl:0", "181000000");
        assert_eq!(rapl.watts(begun + Duration::from_secs(2)), Some(90.0));
        set(root.path(), "intel-rapl:0", "182000000");
        assert_eq!(rapl.watts(begun + Duration::from_millis(2_010)), Some(90.0), "too soon for another mean");
        set(root.path(), "intel-rapl:0", "231000000");
        assert_eq!(rapl.watts(begun + Duration::from_secs(3)), Some(50.0));
    }

    #[test]
    fn counters_that_are_not_all_readable_are_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(Rapl::open(root.path()).is_none());
        two_sockets(root.path());
        let rapl = Rapl::open(root.path()).unwrap();
        set(root.path(), "intel-rapl:1", "");
        assert!((rapl.joules(), rapl.watts(Instant::now())) == (None, None));
        assert!(Rapl::open(root.path()).is_none());
        set(root.path(), "intel-rapl:1", "-1\n");
        assert!(Rapl::open(root.path()).is_none());
        let counter = root.path().join("class/powercap/intel-rapl:1/energy_uj");
        fs::remove_file(&counter).unwrap();
        fs::create_dir(&counter).unwrap();
        assert!(Rapl::open(root.path()).is_none(), "what cannot be read as a file");
    }
}
