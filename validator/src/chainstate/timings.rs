//! Where the time goes that blocks take: summed up over the life of a chain state, for benches and logs.

use std::time::{Duration, Instant};

use crate::rules::ConnectTimes;

/// Time on the clock by what it went to, since the chain state was opened. Decoding is the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Rules in isolation and in context.
    pub checks: Duration,
    /// Finding in the store what blocks spend.
    pub fetch: Duration,
    /// Spending and creating coins, and the rules about them. Scripts run meanwhile.
    pub coins: Duration,
    /// Waiting for scripts once all coins were there.
    pub scripts: Duration,
    /// Taking blocks back: reading them and their undo records, and undoing what they did to the coins.
    pub disconnect: Duration,
    /// Appending blocks and undo records.
    pub append: Duration,
    /// Commits.
    pub commit: Duration,
}

impl Timings {
    /// Adds what connecting a block took.
    pub(super) fn add(&mut self, connect: ConnectTimes) {
        self.coins += connect.coins;
        self.scripts += connect.scripts;
    }
}

/// Runs `work` and adds the time it took to `sum`.
pub(super) fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *sum += start.elapsed();
    result
}
