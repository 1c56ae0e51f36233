//! How a run ends: the exit code, and the one line on standard error that says what to look at.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Why a run ended other than well, which is all that decides its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A rule is broken, or a known answer was not found.
    Invalid,
    /// Wrong usage, or input that cannot be read.
    Usage,
    /// Something failed while running.
    Running,
}

impl Failure {
    fn code(self) -> u8 {
        match self {
            Failure::Invalid => 1,
            Failure::Usage => 2,
            Failure::Running => 3,
        }
    }
}

/// An error with the exit code that it ends the run with.
#[derive(Debug)]
pub struct Exit {
    failure: Failure,
    error: anyhow::Error,
}

/// The result of a subcommand.
pub type Result<T = ()> = std::result::Result<T, Exit>;

impl Exit {
    pub fn new(failure: Failure, error: impl Into<anyhow::Error>) -> Self {
        Self { failure, error: error.into() }
    }

    /// Prints the line and returns the code for the operating system.
    pub fn report(&self) -> ExitCode {
        // Where standard error is gone, the code is all that is left to say.
        let _ = writeln!(std::io::stderr(), "adit: {self}");
        ExitCode::from(self.failure.code())
    }
}

/// The whole chain of causes on one line.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{:#}", self.error);
        f.write_str(&line.replace(['\n', '\r'], " "))
    }
}

/// Gives an error its exit code at the place where it is known what it means.
pub trait OrExit<T> {
    /// The input cannot be read, or the flags make no sense together.
    fn or_usage(self) -> Result<T>;
    /// Something failed while running.
    fn or_running(self) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for std::result::Result<T, E> {
    fn or_usage(self) -> Result<T> {
        self.map_err(|error| Exit::new(Failure::Usage, error))
    }

    fn or_running(self) -> Result<T> {
        self.map_err(|error| Exit::new(Failure::Running, error))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn an_error_is_one_line_with_all_its_causes() {
        let error = Err::<(), _>(anyhow!("first\nsecond")).context("blocks.dat").or_usage().unwrap_err();
        assert_eq!(error.to_string(), "blocks.dat: first second");
        assert_eq!(error.failure.code(), 2);
    }
}
