//! Runs the program as a user would.

#![expect(dead_code, reason = "every test file compiles this module and uses its own part of it")]

use std::process::{Command, Output, Stdio};

use adit_testchain::trials::Missing;

/// The program under test.
pub fn adit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    // Tuned settings of a test are none of the user's business.
    command.stdin(Stdio::null()).env_remove("ADIT_LOG").env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs the program to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    Run(adit().args(args).output().expect("the program starts"))
}

/// What a finished run left behind.
pub struct Run(Output);

impl Run {
    /// The exit code; a run ended by a signal has none and fails the test.
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", self.stderr()))
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Standard output as one JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }

    /// Standard output as one JSON object a line.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout().lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
    }

    /// Fails unless the run ended with `code` and one line on standard error that has every one of `words`.
    pub fn refused(&self, code: i32, words: &[&str]) {
        let line = self.stderr();
        assert_eq!(self.code(), code, "{line}");
        assert_eq!(line.lines().count(), 1, "one line: {line}");
        for word in words {
            assert!(line.contains(word), "{word:?} is missing in: {line}");
        }
    }
}

/// Whether there is a GPU, if only a software one. A CI machine must have one.
pub fn gpu() -> Result<(), Missing> {
    let devices = run(["devices", "--json"]).json();
    let is_gpu = |device: &serde_json::Value| device["kind"] == "gpu";
    match devices["devices"].as_array().is_some_and(|devices| devices.iter().any(is_gpu)) {
        true => Ok(()),
        false => Err(Missing::Required("no Vulkan adapter".to_owned())),
    }
}
