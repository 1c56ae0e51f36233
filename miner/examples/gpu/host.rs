//! What the host spends on feeding a GPU, as far as Linux tells, and what the program was built from.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// The wall clock, and the CPU time of this thread.
pub struct ThreadTimes {
    wall: Instant,
    thread: Option<Duration>,
}

impl ThreadTimes {
    pub fn now() -> Self {
        // `schedstat` begins with the nanoseconds that a thread ran.
        let ran = |schedstat: String| schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos);
        Self { wall: Instant::now(), thread: fs::read_to_string("/proc/thread-self/schedstat").ok().and_then(ran) }
    }

    /// The share of a core that this thread has used since then.
    pub fn share(&self) -> Option<f64> {
        let now = Self::now();
        Some(now.thread?.saturating_sub(self.thread?).as_secs_f64() / (now.wall - self.wall).as_secs_f64())
    }
}

/// The commit that was built, with a `+` where files differ from it; `None` outside a git checkout.
pub fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(git(&["rev-parse", "HEAD"])? + if clean { "" } else { "+" })
}
