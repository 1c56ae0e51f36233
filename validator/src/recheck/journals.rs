//! Checks the database's journals and the commit note.

use std::path::Path;

use super::checker::Checker;
use super::report::Finding;
use crate::progress::Stop;
use crate::store::StoreError;
use crate::store::commit_note::{CommitNote, note_path};
use crate::store::journal::{journal_files, read_journal};
use crate::store::journal_repair::{TornTail, examine_journals};

impl Checker<'_> {
    /// Checks all journals. An incomplete commit at the end that was never reported is not an error, and is returned.
    pub(super) fn check_journals(&mut self, database: &Path) -> Result<Option<TornTail>, Stop> {
        let note = self.store.note()?;
        if note == CommitNote::Damaged {
            let what = "it does not have the format of a commit note".to_owned();
            self.found(Finding::file(note_path(&self.store.folder), "commit", what).at(0));
        }
        let journals = journal_files(database)?;
        if journals.is_empty() {
            self.found(Finding::file(database.to_owned(), "journal", "there is no journal".to_owned()));
            return Ok(None);
        }
        let cut = match examine_journals(database, &note) {
            Ok(journals) => journals.cut,
            Err(StoreError::Damaged { path, offset, what }) => {
                self.found(Finding::file(path, "journal", what).at(offset));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(TornTail { journal, torn, .. }) = &cut {
            self.note(format!(
                "{}: a commit that was never finished, torn at byte {} ({}); the next start cuts it",
                journal.display(),
                torn.offset,
                torn.what
            ));
        }
        let mut sequence = None;
        for path in journals {
            let journal = read_journal(&path, sequence)?;
            sequence = journal.last_sequence().or(sequence);
            if let Some(stray) = journal.stray {
                let what = "is not zero, in the preallocated part, which fjall does not read";
                self.note(format!("{}: byte {stray} {what}", path.display()));
            }
        }
        Ok(cut)
    }
}
