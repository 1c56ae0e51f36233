//! Checks a store again from genesis.
//!
//! [`recheck`] checks every byte of the database against a checksum, every header and block against the rules, every
//! undo record against the coins that a replay spends, and every coin against the coins of that replay. It changes
//! nothing. [`crate::import::reindex`] repairs a store: it rebuilds the database from the block files.

mod blocks;
mod checker;
mod coins;
mod database;
mod folder;
mod index;
mod journals;
mod replay;
mod report;

use std::path::Path;

use crate::chain::ChainParams;
use crate::progress::{Stop, Watcher};
use crate::store::inspect::LockedStore;
use crate::store::{Identity, StoreError};

pub use report::{Finding, RecheckReport};

use checker::Checker;
use replay::Replayed;

/// Checks the store in `folder` from genesis, and changes nothing in it. The folder is locked meanwhile. All coins and
/// headers are held in memory.
///
/// # Errors
/// The folder is in use, holds another chain or a newer format, is not a store, or a file in it cannot be read. Damage
/// is not an error; the report has it.
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
    /// Runs all checks. The database's files come first: contents of a damaged database are not checked.
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
            self.unchecked("headers, blocks, undo records and coins: the database is damaged");
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
                self.unchecked("coins created by pruned blocks");
                self.compare_kept_coins(&snapshot, &contents, height)
            }
            Replayed::Damaged => {
                self.unchecked("coins: a block in the replay is damaged");
                Ok(())
            }
        }
    }
}
