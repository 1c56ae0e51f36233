//! The time that blocks take, summed up since the chain state was opened, for benches and logs.

use std::time::{Duration, Instant};

use crate::rules::ConnectTimes;

/// Elapsed time by task, since the chain state was opened. Decoding is done by the caller and not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Rules in isolation and in context.
    pub checks: Duration,
    /// Reading the coins that blocks spend from the store.
    pub fetch: Duration,
    /// Spending and creating coins, and the rules about them. Scripts run on other threads meanwhile.
    pub coins: Duration,
    /// Waiting for scripts after all coins were spent and created.
    pub scripts: Duration,
    /// Disconnecting blocks: reading them and their undo records, and restoring the coins.
    pub disconnect: Duration,
    /// Appending blocks and undo records.
    pub append: Duration,
    /// Commits.
    pub commit: Duration,
}

impl Timings {
    /// Adds the times of one connected block.
    pub(super) fn add(&mut self, connect: ConnectTimes) {
        self.coins += connect.coins;
        self.scripts += connect.scripts;
    }
}

/// Runs `work` and adds its elapsed time to `sum`.
pub(super) fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *sum += start.elapsed();
    result
}
