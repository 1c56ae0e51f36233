//! The rooms import each other downwards only, as docs/architecture.md says.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the validator in the order of the table in docs/architecture.md. Rooms of one row have the same number.
fn validator_rooms() -> HashMap<String, usize> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the page is there");
    let table = text.split("The rooms of `validator/src/`").nth(1).expect("the page has the table");
    let rows = table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let mut rooms = HashMap::new();
    for (row, line) in rows.enumerate() {
        let names = line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2);
        rooms.extend(names.map(|name| (name.trim_end_matches(".rs").trim_end_matches('/').to_owned(), row)));
    }
    rooms
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Every Rust file under `folder` that is compiled outside of tests.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let for_tests = ["tests", "testing", "replay", "differential", "private_formats"];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if for_tests.contains(&path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()) {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that `text` names in paths from the crate's root, without its unit tests and comments.
fn imported(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|path| path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn the_rooms_of_the_validator_import_downwards_only() {
    let rooms = validator_rooms();
    let source = root().join("validator/src");
    let mut paths = Vec::new();
    files(&source, &mut paths);
    let mut arrows = 0;
    for path in paths {
        let inside = path.strip_prefix(&source).expect("inside");
        let name = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let name = name.trim_end_matches(".rs");
        if name == "lib" {
            continue;
        }
        let own = rooms.get(name).unwrap_or_else(|| panic!("docs/architecture.md has no row for {name}"));
        for other in imported(&fs::read_to_string(&path).expect("readable")) {
            let Some(row) = rooms.get(other) else { panic!("{}: crate::{other} is no room", inside.display()) };
            assert!(row <= own, "{}: {name} imports {other}, which stands above it", inside.display());
            arrows += usize::from(row < own);
        }
    }
    assert!(arrows > 100, "only {arrows} imports were found");
}

/// The crates of the workspace that each library may depend on.
#[test]
fn the_crates_depend_downwards_only() {
    for (crate_name, allowed, never) in [
        ("hash", &[][..], &["bitcoin", "wgpu", "tokio"][..]),
        ("shaders", &[], &["bitcoin", "wgpu", "tokio"]),
        ("validator", &["adit-hash"], &["wgpu", "tokio"]),
        ("miner", &["adit-hash", "adit-shaders"], &["bitcoin", "tokio"]),
    ] {
        let manifest = fs::read_to_string(root().join(crate_name).join("Cargo.toml")).expect("readable");
        let dependencies = manifest.split("[dependencies]\n").nth(1).expect("dependencies");
        let names = dependencies
            .lines()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in names {
            assert!(!never.contains(&name), "{crate_name} depends on {name}");
            assert!(!name.starts_with("adit-") || allowed.contains(&name), "{crate_name} depends on {name}");
        }
    }
}
