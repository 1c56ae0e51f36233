//! What the host spends while a GPU works, as far as Linux tells: the time that the scheduler gave to the thread that feeds
//! the GPU, and to the whole process, in which a software adapter computes.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A moment, by the wall and by the scheduler.
pub struct Clock {
    wall: Instant,
    thread: Option<Duration>,
    process: Option<Duration>,
}

impl Clock {
    pub fn now() -> Self {
        let read = |path: &str| on_cpu(&fs::read_to_string(path).ok()?);
        let tasks = || {
            let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
            // A thread that ends meanwhile is left out; those of a driver stay.
            Some(tasks.filter_map(|task| on_cpu(&fs::read_to_string(task.path().join("schedstat")).ok()?)).sum())
        };
        Self { wall: Instant::now(), thread: read("/proc/thread-self/schedstat"), process: tasks() }
    }
}

/// `schedstat` begins with the nanoseconds that a thread ran.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Sums between moments.
#[derive(Default)]
pub struct Usage {
    wall: Duration,
    thread: Option<Duration>,
    process: Option<Duration>,
}

impl Usage {
    pub fn add(&mut self, from: &Clock, to: &Clock) {
        let sum = |sum: Option<Duration>, from: Option<Duration>, to: Option<Duration>| {
            Some(sum.unwrap_or_default() + to?.saturating_sub(from?))
        };
        self.wall += to.wall - from.wall;
        self.thread = sum(self.thread, from.thread, to.thread);
        self.process = sum(self.process, from.process, to.process);
    }

    /// Of the thread that feeds the GPU: 1 is a whole core.
    pub fn thread_share(&self) -> Option<f64> {
        Some(self.thread?.as_secs_f64() / self.wall.as_secs_f64())
    }

    /// Of the process.
    pub fn process_share(&self) -> Option<f64> {
        Some(self.process?.as_secs_f64() / self.wall.as_secs_f64())
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
