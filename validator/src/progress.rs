//! How long work tells how far it is, and learns that it should end.

use thiserror::Error;

use crate::store::StoreError;

/// Looks on while something long runs.
pub trait Watcher {
    /// Is told that `done` of `total` steps of `work` are done.
    fn progress(&mut self, work: &'static str, done: u64, total: u64);

    /// Whether to go on.
    fn goes_on(&mut self) -> bool;
}

/// Why long work ended before it was done.
#[derive(Debug, Error)]
pub(crate) enum Stop {
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many headers or blocks lie between two reports of progress.
pub(crate) const STRIDE: u64 = 64;
