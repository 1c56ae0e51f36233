//! A store checked anew from genesis.
//!
//! [`recheck`] believes nothing that the store says of itself: every byte of the database is held against a checksum, every
//! header and block against the rules, every undo record against what a replay spent, and every coin against the coins
//! of that replay. It changes nothing. [`crate::import::reindex`] is what mends a store of which only the block files are left.

mod blocks;
mod coins;
mod database;
mod index;
mod journals;
mod replay;

use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use crate::chain::ChainParams;
use crate::coins::statistics::CoinStatistics;
use crate::filters;
use crate::progress::{Stop, Watcher};
use crate::rules::RuleError;
use crate::store::commit_note::note_path;
use crate::store::inspect::LockedStore;
use crate::store::location::{
    BLOCKS, CUT_JOURNAL, DATABASE, LOCK, MARKER, NEW_CUT_JOURNAL, NEW_DATABASE, NEW_MARKER, OLD, REBUILDING, REBUILT,
    SCRATCH,
};
use crate::store::{Identity, StoreError};

use replay::Replayed;

/// Findings beyond this many are counted and not kept.
const KEPT_FINDINGS: usize = 100;

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
    fn file(file: PathBuf, rule: &str, what: String) -> Self {
        Self { file, byte: None, height: None, hash: None, rule: rule.to_owned(), what }
    }

    fn at(self, byte: u64) -> Self {
        Self { byte: Some(byte), ..self }
    }

    fn of_block(self, height: u32, hash: BlockHash) -> Self {
        Self { height: Some(height), hash: Some(hash), ..self }
    }

    fn broken(file: PathBuf, error: &RuleError) -> Self {
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

struct Checker<'a> {
    params: &'a ChainParams,
    identity: Identity,
    store: LockedStore,
    watcher: &'a mut dyn Watcher,
    report: RecheckReport,
}

/// Checks the store in `folder` from genesis, and changes nothing in it. The folder is locked meanwhile. Memory grows
/// with the coins and the headers.
///
/// # Errors
/// The folder is in use, of another chain, of a newer format, no store, or a file in it cannot be read. Damage is no
/// error but the verdict.
pub fn recheck(folder: &Path, params: &ChainParams, watcher: &mut dyn Watcher) -> Result<RecheckReport, StoreError> {
    let identity = Identity::of(params);
    let store = match LockedStore::take(folder, &identity) {
        Ok(store) => store,
        Err(StoreError::Damaged { path, offset, what }) => {
            let findings = vec![Finding::file(path, "marker", what).at(offset)];
            return Ok(RecheckReport { findings, found: 1, ..RecheckReport::default() });
        }
        Err(error) => return Err(error),
    };
    let mut checker = Checker { params, identity, store, watcher, report: RecheckReport::default() };
    match checker.check() {
        Ok(()) => {}
        Err(Stop::Interrupted) => checker.report.interrupted = true,
        Err(Stop::Store(error)) => return Err(error),
    }
    Ok(checker.report)
}

impl Checker<'_> {
    /// Everything, the database's bytes first: what is read from a damaged database proves nothing.
    fn check(&mut self) -> Result<(), Stop> {
        let database = self.store.database();
        self.check_folder()?;
        if !database.exists() {
            self.found(Finding::file(database.clone(), "database", "the folder is missing".to_owned()));
        }
        let mut cut = None;
        if self.report.found == 0 {
            self.watcher.progress("reading the database", 0, 1);
            self.check_database_files(&database)?;
            cut = self.check_journals(&database)?;
        }
        if self.report.found > 0 {
            self.unchecked("headers, blocks, undo records and coins, which take a whole database to be found");
            return Ok(());
        }
        let snapshot = self.store.open()?;
        let Some(contents) = self.check_index(&snapshot, cut)? else { return Ok(()) };
        self.check_spans(&contents)?;
        let replayed = self.replay(&contents)?;
        self.check_other_blocks(&contents)?;
        match replayed {
            Replayed::All(coins) => self.compare_coins(&snapshot, &contents, &coins),
            Replayed::Above(height) => {
                self.unchecked("coins that blocks made which are no longer kept");
                self.compare_kept_coins(&snapshot, &contents, height)
            }
            Replayed::Damaged => {
                self.unchecked("the coins, which take a replay of every block");
                Ok(())
            }
        }
    }

    /// What lies in the folder beside the store's own.
    fn check_folder(&mut self) -> Result<(), Stop> {
        let folder = self.store.folder.clone();
        let io_error = |source| StoreError::Io { path: folder.clone(), source };
        for found in fs::read_dir(&folder).map_err(io_error)? {
            let path = found.map_err(io_error)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match name.as_str() {
                LOCK | MARKER | BLOCKS | DATABASE | filters::FOLDER => {}
                _ if path == note_path(&folder) => {}
                name if name.starts_with(CUT_JOURNAL) || name == NEW_CUT_JOURNAL => {
                    self.note(format!("{}: left over from a start that was cut off", path.display()));
                }
                NEW_MARKER | NEW_DATABASE | SCRATCH | REBUILDING | REBUILT | OLD => {
                    self.note(format!("{}: left over from a run that was cut off", path.display()));
                }
                _ => self.note(format!("{}: not of this store", path.display())),
            }
        }
        Ok(())
    }

    fn found(&mut self, finding: Finding) {
        self.report.found += 1;
        if self.report.findings.len() < KEPT_FINDINGS {
            self.report.findings.push(finding);
        }
    }

    /// Turns damage that a read came across into a finding; what else went wrong ends the check.
    fn found_in(&mut self, error: StoreError, rule: &str, block: Option<(u32, BlockHash)>) -> Result<(), Stop> {
        let finding = match error {
            StoreError::Damaged { path, offset, what } => Finding::file(path, rule, what).at(offset),
            StoreError::DamagedRecord { records, key, what } => {
                Finding::file(self.store.database(), rule, format!("{records}, key {key}: {what}"))
            }
            StoreError::Database { path, what } => Finding::file(path, "database", what),
            other => return Err(other.into()),
        };
        let finding = match block {
            Some((height, hash)) => finding.of_block(height, hash),
            None => finding,
        };
        self.found(finding);
        Ok(())
    }

    fn note(&mut self, note: String) {
        self.report.notes.push(note);
    }

    fn unchecked(&mut self, what: &str) {
        self.report.unchecked.push(what.to_owned());
    }
}
