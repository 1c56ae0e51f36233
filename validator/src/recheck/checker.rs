//! The state of a re-check: the store, the report, and the watcher.

use bitcoin::BlockHash;

use super::report::{Finding, RecheckReport};
use crate::chain::ChainParams;
use crate::progress::{Stop, Watcher};
use crate::store::inspect::LockedStore;
use crate::store::{Identity, StoreError};

/// Findings beyond this many are counted and not kept.
const KEPT_FINDINGS: usize = 100;

pub(super) struct Checker<'a> {
    pub(super) params: &'a ChainParams,
    pub(super) identity: Identity,
    pub(super) store: LockedStore,
    pub(super) watcher: &'a mut dyn Watcher,
    pub(super) report: RecheckReport,
}

impl Checker<'_> {
    pub(super) fn go_on(&mut self) -> Result<(), Stop> {
        if self.watcher.goes_on() { Ok(()) } else { Err(Stop::Interrupted) }
    }

    pub(super) fn found(&mut self, finding: Finding) {
        self.report.found += 1;
        if self.report.findings.len() < KEPT_FINDINGS {
            self.report.findings.push(finding);
        }
    }

    /// Turns damage that a read found into a finding. Any other error ends the check.
    pub(super) fn found_in(
        &mut self,
        error: StoreError,
        rule: &str,
        block: Option<(u32, BlockHash)>,
    ) -> Result<(), Stop> {
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

    pub(super) fn note(&mut self, note: String) {
        self.report.notes.push(note);
    }

    pub(super) fn unchecked(&mut self, what: &str) {
        self.report.unchecked.push(what.to_owned());
    }
}
