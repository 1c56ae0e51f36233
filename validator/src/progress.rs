//! Progress reports of long work, and its interruption.

use thiserror::Error;

use crate::store::StoreError;

/// Watches long work: gets its progress, and can end it.
pub trait Watcher {
    /// Called when `done` of `total` steps of `work` are done.
    fn progress(&mut self, work: &'static str, done: u64, total: u64);

    /// Whether the work continues. `false` ends it before its next step.
    fn goes_on(&mut self) -> bool;
}

/// Ignores progress and never ends the work.
impl Watcher for () {
    fn progress(&mut self, _: &'static str, _: u64, _: u64) {}

    fn goes_on(&mut self) -> bool {
        true
    }
}

/// The reason why long work ended early.
#[derive(Debug, Error)]
pub(crate) enum Stop {
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The number of headers or blocks between two reports of progress.
pub(crate) const STRIDE: u64 = 64;

/// The number of coins between two reports of progress.
pub(crate) const COIN_STRIDE: u64 = 1 << 14;
