//! What a re-check reports.

use std::path::PathBuf;

use bitcoin::BlockHash;

use crate::coins::statistics::CoinStatistics;
use crate::rules::RuleError;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or the folder of the database where no single file can be named.
    pub file: PathBuf,
    /// Bytes before the damage or before the record that holds it, where that is known.
    pub byte: Option<u64>,
    /// The height of the block that it concerns.
    pub height: Option<u32>,
    /// That block.
    pub hash: Option<BlockHash>,
    /// Core's reject reason where a rule of consensus is broken; else which promise of docs/store-format.md is:
    /// `marker`, `commit`, `journal`, `database`, `index`, `length`, `framing`, `encoding`, `block-hash`, `undo`, `files`
    /// or `coins`.
    pub rule: String,
    /// What was seen and what was wanted.
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

/// What a re-check found.
#[derive(Clone, Debug, Default)]
pub struct RecheckReport {
    /// What is wrong, in the order in which it was found. Of very many only the first are kept.
    pub findings: Vec<Finding>,
    /// How many there were.
    pub found: u64,
    /// What is unusual and harmless: remains that the next start removes, or that nothing refers to.
    pub notes: Vec<String>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
    /// The tip that the store has.
    pub tip: Option<(u32, BlockHash)>,
    /// Headers that were checked.
    pub headers: u64,
    /// Blocks that were read and checked.
    pub blocks: u64,
    /// Blocks among them that were connected, with scripts.
    pub connected: u64,
    /// Undo records that were read and checked.
    pub undo_records: u64,
    /// Inputs whose scripts were run.
    pub inputs: u64,
    /// Coins that were compared with the replay.
    pub coins: u64,
    /// What the coins of the replay amount to; `None`: it did not come to the tip from genesis.
    pub coin_statistics: Option<CoinStatistics>,
    /// Whether the watcher ended it before all was checked.
    pub interrupted: bool,
}

impl RecheckReport {
    /// Whether all was checked that could be, and nothing is wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.found == 0 && !self.interrupted
    }
}
