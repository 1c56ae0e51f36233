//! Checks the header index: the parent of every header, and every rule of headers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bitcoin::BlockHash;

use super::checker::Checker;
use super::report::Finding;
use crate::headers::{EntryId, HeaderTree, Validity};
use crate::progress::{STRIDE, Stop};
use crate::rules::{self, BlockContext, NO_CLOCK};
use crate::store::IndexRecord;
use crate::store::files::{BlockFiles, FileInfo};
use crate::store::inspect::InspectedDatabase;
use crate::store::journal_repair::{TornTail, compare_with_note};

/// The contents of a store, read from its database.
pub(super) struct StoreContents {
    pub(super) tree: HeaderTree,
    /// The active chain, by height.
    pub(super) active: Vec<EntryId>,
    pub(super) infos: BTreeMap<u32, FileInfo>,
    pub(super) files: BlockFiles,
    /// The database's folder, for findings.
    pub(super) database: PathBuf,
    /// The number of blocks in the store.
    pub(super) blocks: u64,
}

impl StoreContents {
    pub(super) fn is_active(&self, id: EntryId) -> bool {
        self.active.get(self.tree.entry(id).height as usize) == Some(&id)
    }
}

impl Checker<'_> {
    /// Compares the last commit with the commit note and returns its tip. `None`: the last commit cannot be read from the
    /// database, which was reported.
    fn check_commit(
        &mut self,
        snapshot: &InspectedDatabase,
        cut: Option<TornTail>,
    ) -> Result<Option<Option<BlockHash>>, Stop> {
        match (snapshot.database.tip(), snapshot.database.commits()) {
            (Ok(tip), Ok(commits)) => {
                let (database, note) = (self.store.database(), self.store.note()?);
                if let Err(error) = compare_with_note(&database, &note, commits, tip.as_ref(), cut) {
                    self.found_in(error, "commit", None)?;
                }
                Ok(Some(tip))
            }
            (Err(error), _) | (_, Err(error)) => {
                self.found_in(error, "commit", None)?;
                Ok(None)
            }
        }
    }

    /// Checks the index and returns the store's contents. `None`: it cannot be used, and the reason was reported.
    pub(super) fn check_index(
        &mut self,
        snapshot: &InspectedDatabase,
        cut: Option<TornTail>,
    ) -> Result<Option<StoreContents>, Stop> {
        let Some(tip) = self.check_commit(snapshot, cut)? else { return Ok(None) };
        let database = self.store.database();
        let mut tree = HeaderTree::new(self.params.genesis.header);
        let mut blocks = 0;
        for record in snapshot.database.index() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.found_in(error, "index", None)?;
                    continue;
                }
            };
            blocks += u64::from(record.location.is_some());
            self.check_header(&mut tree, &record)?;
        }
        let infos = match snapshot.database.file_infos() {
            Ok(infos) => infos,
            Err(error) => {
                self.found_in(error, "files", None)?;
                return Ok(None);
            }
        };
        let Some(tip) = tip else {
            self.note("the store is new: it holds nothing".to_owned());
            return Ok(None);
        };
        let Some(id) = tree.lookup(&tip) else {
            self.found(Finding::file(database, "index", format!("the tip {tip} is not in the index")));
            return Ok(None);
        };
        self.report.tip = Some((tree.entry(id).height, tip));
        let mut active = vec![EntryId::GENESIS];
        active.extend(tree.path(EntryId::GENESIS, id));
        self.check_active(&tree, &active);
        let files = self.store.files(&self.identity, infos.clone());
        Ok(Some(StoreContents { tree, active, infos, files, database, blocks }))
    }

    fn check_header(&mut self, tree: &mut HeaderTree, record: &IndexRecord) -> Result<(), Stop> {
        let IndexRecord { header, hash, height, .. } = record;
        let index =
            |what: &str| Finding::file(self.store.database(), "index", what.to_owned()).of_block(*height, *hash);
        let checked = match tree.lookup(&header.prev_blockhash) {
            _ if *hash == self.params.consensus.genesis_hash && *height == 0 => Ok(Ok(())),
            None => Err(index("its parent is not in the index")),
            Some(parent) if tree.entry(parent).height + 1 != *height => {
                Err(index("it is not at its parent's height plus one"))
            }
            Some(parent) => {
                Ok(rules::validate_header_in_isolation(&self.params.consensus, header, *hash).and_then(|()| {
                    rules::validate_header_in_context(
                        &self.params.consensus,
                        BlockContext::after(&tree.chain(parent)),
                        header,
                        NO_CLOCK,
                    )
                }))
            }
        };
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.found(Finding::broken(self.store.database(), &error).of_block(*height, *hash));
            }
            Err(finding) => {
                self.found(finding);
                return Ok(());
            }
        }
        if let Some(id) = tree.insert_hashed(*header, *hash) {
            tree.entry_mut(id).load(record);
        }
        self.report.headers += 1;
        if self.report.headers.is_multiple_of(STRIDE * 16) {
            self.watcher.progress("checking headers", self.report.headers, self.report.headers);
            self.go_on()?;
        }
        Ok(())
    }

    /// Checks that every block of the active chain is marked as connected, and that all but genesis have undo records.
    fn check_active(&mut self, tree: &HeaderTree, active: &[EntryId]) {
        for id in active {
            let entry = tree.entry(*id);
            let undo = entry.location.map(|location| location.undo.is_some());
            let what = match (entry.validity, undo) {
                (Validity::Connected, Some(false)) if entry.height > 0 => "without an undo record",
                (Validity::Connected, _) => continue,
                _ => "not marked as connected",
            };
            let what = format!("a block of the active chain, {what}");
            self.found(Finding::file(self.store.database(), "index", what).of_block(entry.height, entry.hash));
        }
    }
}
