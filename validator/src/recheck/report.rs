//! The report of a re-check.

use std::path::PathBuf;

use bitcoin::BlockHash;

use crate::coins::statistics::CoinStatistics;
use crate::rules::RuleError;

/// An error that a re-check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or the database's folder if no single file can be named.
    pub file: PathBuf,
    /// The offset in bytes of the damage, or of the damaged record, where it is known.
    pub byte: Option<u64>,
    /// The height of the block concerned.
    pub height: Option<u32>,
    /// The hash of that block.
    pub hash: Option<BlockHash>,
    /// Core's reject reason if a consensus rule is broken; else the part of docs/store-format.md that is violated:
    /// `marker`, `commit`, `journal`, `database`, `index`, `length`, `framing`, `encoding`, `block-hash`, `undo`,
    /// `files` or `coins`.
    pub rule: String,
    /// The value seen and the value wanted.
    pub what: String,
}

impl Finding {
    pub(super) fn file(file: PathBuf, rule: &str, what: String) -> Self {
        Self { file, byte: None, height: None, hash: None, rule: rule.to_owned(), what }
    }

    pub(super) fn at(self, byte: u64) -> Self {
        Self { byte: Some(byte), ..self }
    }

    pub(super) fn of_block(self, height: u32, hash: BlockHash) -> Self {
        Self { height: Some(height), hash: Some(hash), ..self }
    }

    pub(super) fn broken(file: PathBuf, error: &RuleError) -> Self {
        Self::file(file, &error.reject_reason(), error.to_string())
    }
}

/// The report of a re-check.
#[derive(Clone, Debug, Default)]
pub struct RecheckReport {
    /// The errors, in the order in which they were found. At most the first 100 are kept.
    pub findings: Vec<Finding>,
    /// The number of errors.
    pub found: u64,
    /// Observations that are not errors: leftovers that the next start removes, and files that nothing refers to.
    pub notes: Vec<String>,
    /// The parts that were not checked, with reasons.
    pub unchecked: Vec<String>,
    /// Height and hash of the store's tip.
    pub tip: Option<(u32, BlockHash)>,
    /// The number of headers checked.
    pub headers: u64,
    /// The number of blocks read and checked.
    pub blocks: u64,
    /// The number of those that were connected, with scripts.
    pub connected: u64,
    /// The number of undo records read and checked.
    pub undo_records: u64,
    /// The number of inputs whose scripts were run.
    pub inputs: u64,
    /// The number of coins compared with the replay.
    pub coins: u64,
    /// The statistics of the replay's coins; `None`: the replay did not run from genesis to the tip.
    pub coin_statistics: Option<CoinStatistics>,
    /// Whether the watcher ended the re-check early.
    pub interrupted: bool,
}

impl RecheckReport {
    /// Whether the re-check was not interrupted and found no error.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.found == 0 && !self.interrupted
    }
}
