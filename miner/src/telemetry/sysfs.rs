//! Reads the small text files of Linux' sysfs. A file that cannot be read counts as missing.
//!
//! Every reader takes a path, so that tests use folders laid out as real drivers do.

use std::fs;
use std::path::{Path, PathBuf};

/// The text of a file without the space around it.
pub(super) fn text(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

/// A whole number, as the files of `hwmon`, `powercap` and `cpufreq` hold it. A driver that does not know the value gives an
/// error or text.
pub(super) fn number(file: &Path) -> Option<i64> {
    text(file)?.parse().ok()
}

/// A whole number that is not negative.
pub(super) fn count(file: &Path) -> Option<u64> {
    text(file)?.parse().ok()
}

/// [`number`] in a unit that is larger by the factor `parts`.
pub(super) fn scaled(file: &Path, parts: f64) -> Option<f64> {
    number(file).map(|value| value as f64 / parts)
}

/// The entries of a folder whose names are accepted, sorted by name, so that readings do not depend on the folder's order.
pub(super) fn entries(folder: &Path, accept: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&accept))
        .collect();
    paths.sort();
    paths
}

/// Whether `name` is `prefix` and a number.
pub(super) fn is_numbered(name: &str, prefix: &str) -> bool {
    let digits = name.strip_prefix(prefix);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lays out folders and files for tests.
#[cfg(test)]
pub(super) fn lay_out(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        for (content, wanted) in [
            ("45000\n", Some(45_000)),
            (" -1500", Some(-1_500)),
            ("", None),
            ("\n", None),
            ("N/A\n", None),
            ("nan", None),
            ("45.5", None),
            ("99999999999999999999", None),
        ] {
            fs::write(&file, content).unwrap();
            assert_eq!(number(&file), wanted, "{content:?}");
        }
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(number(&file), None, "no text");
        assert_eq!(number(folder.path()), None, "a folder");
        assert_eq!(number(&folder.path().join("missing")), None);
    }

    #[test]
    fn numbered_names_have_nothing_else() {
        assert!(is_numbered("hwmon12", "hwmon") && is_numbered("cpu0", "cpu"));
        for name in ["hwmon", "cpufreq", "hwmon1x", "xhwmon1", "hwmon-1"] {
            assert!(!is_numbered(name, "hwmon"), "{name}");
        }
    }
}
