//! Tests that report why they were ignored, as trials of `libtest-mimic`.
//!
//! Rust's own harness decides before a test runs whether it is ignored; a missing file is found only when it runs. A test
//! file of trials has `harness = false` in its Cargo.toml, and this as its whole `main`:
//!
//! ```no_run
//! use adit_testchain::trials::{self, Missing, vector};
//!
//! fn a_block_is_there() -> Result<(), Missing> {
//!     assert!(vector("mainnet/block-866342.bin")?.is_file());
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     trials::run(adit_testchain::trials![a_block_is_there])
//! }
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

pub use libtest_mimic::Trial;
use libtest_mimic::{Arguments, Completion, Failed};
use thiserror::Error;

/// A requirement of a test that this machine lacks, as text for the report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Missing {
    /// A CI machine must have it: the test fails with `CI=true`, and is ignored elsewhere.
    #[error("{0}")]
    Required(String),
    /// The test is ignored everywhere.
    #[error("{0}")]
    Optional(String),
}

/// The types that a test function may return.
pub trait Outcome {
    /// The result for the harness.
    ///
    /// # Errors
    /// The test lacks what a CI machine must have, and `CI=true`.
    fn completion(self) -> Result<Completion, Failed>;
}

impl Outcome for () {
    fn completion(self) -> Result<Completion, Failed> {
        Ok(Completion::Completed)
    }
}

impl Outcome for Result<(), Missing> {
    fn completion(self) -> Result<Completion, Failed> {
        match self {
            Ok(()) => Ok(Completion::Completed),
            Err(Missing::Required(what)) if is_ci() => Err(format!("{what}, and CI must have it").into()),
            Err(missing) => Ok(Completion::ignored_with(missing.to_string())),
        }
    }
}

fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// The test of this name. A panic in it is a failure.
pub fn trial<O: Outcome>(name: &str, test: impl FnOnce() -> O + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || test().completion())
}

/// A trial of each function, under its path.
#[macro_export]
macro_rules! trials {
    ($($test:path),* $(,)?) => {
        vec![$($crate::trials::trial(stringify!($test), $test)),*]
    };
}

/// Runs the tests that the command line selects.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The folder of real input: `$ADIT_VECTORS`, or `../shared/vectors` beside the workspace.
fn vectors() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    std::env::var_os("ADIT_VECTORS").map_or_else(|| default.into(), PathBuf::from)
}

/// The file `name` of the real input, for instance `mainnet/block-866342.bin`.
///
/// # Errors
/// There is no such file.
pub fn vector(name: &str) -> Result<PathBuf, Missing> {
    let file = vectors().join(name);
    if file.is_file() { Ok(file) } else { Err(Missing::Required(format!("no real input: {}", file.display()))) }
}

/// The bytes of that file.
///
/// # Errors
/// There is no such file.
///
/// # Panics
/// It is there and cannot be read.
pub fn read_vector(name: &str) -> Result<Vec<u8>, Missing> {
    let file = vector(name)?;
    Ok(std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}
