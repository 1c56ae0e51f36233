//! Writes into the program what it was built from and how: commit, profile, target and compiler, for `adit bench` to report.
//!
//! A build outside of a git checkout, as from a tarball, has the commit "unknown". Runs again when a source of the program
//! or the commit changes, and not otherwise: git's index is left out, because looking at the tree writes to it.

use std::path::Path;
use std::process::Command;

/// What the program is built from, and so what makes it dirty.
const SOURCES: [&str; 8] = ["Cargo.toml", "Cargo.lock", "build.rs", "src", "hash", "miner", "shaders", "validator"];

fn main() {
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    // A commit or a checkout writes to at least one of these. One that is not there would count as changed every time.
    let watched =
        ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(git(&["symbolic-ref", "HEAD"]));
    for path in watched.filter_map(|name| git(&["rev-parse", "--git-path", &name])) {
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = commit();
    let dirty = commit.is_some() && is_dirty();
    println!("cargo:rustc-env=ADIT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=ADIT_DIRTY={dirty}");
    println!("cargo:rustc-env=ADIT_PROFILE={}", environment("PROFILE"));
    println!("cargo:rustc-env=ADIT_TARGET={}", environment("TARGET"));
    // The flags come separated by unit separators; they decide what the compiler makes of the portable kernel.
    println!("cargo:rustc-env=ADIT_RUSTFLAGS={}", without_paths(&environment("CARGO_ENCODED_RUSTFLAGS")));
    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    println!("cargo:rustc-env=ADIT_RUSTC={}", rustc.as_deref().unwrap_or("unknown"));
}

/// The flags with what may be a path blanked: the report is made to be published, and paths name their owner.
fn without_paths(encoded: &str) -> String {
    let shown = |flag: &str| if flag.contains(['/', '\\']) { "(path)" } else { flag }.to_owned();
    encoded.split('\u{1f}').map(shown).collect::<Vec<_>>().join(" ")
}

fn environment(name: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    std::env::var(name).unwrap_or_default()
}

/// The commit, if this folder is the top of a checkout: sources unpacked inside of another's have none.
fn commit() -> Option<String> {
    let prefix = git(&["rev-parse", "--show-prefix"])?;
    if !prefix.is_empty() {
        return None;
    }
    git(&["rev-parse", "--verify", "HEAD"])
}

fn is_dirty() -> bool {
    let mut args = vec!["status", "--porcelain", "--"];
    args.extend(SOURCES);
    git(&args).is_none_or(|changes| !changes.is_empty())
}

/// What git prints, unless it is not there or refuses.
fn git(args: &[&str]) -> Option<String> {
    // Without this `git status` would write a refreshed index.
    output("git", &[&["--no-optional-locks"], args].concat())
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
