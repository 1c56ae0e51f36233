//! What a start sets right before the database is opened: a rebuilt database that is still to be put in its place, and
//! the torn end of a commit that was never reported.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::StoreError;
use super::disk::sync_folder;
use super::folder::DATABASE;
use super::inspect::SCRATCH;
use super::journal::{Journal, Torn, journal_files, read_journal};
use super::marker::io_error;
use super::note::{self, LastCommit, Note};

/// A database that is being rebuilt.
pub(crate) const REBUILDING: &str = "db.rebuilding";

/// A database that is rebuilt and durable, and takes the place of the other.
pub(crate) const REBUILT: &str = "db.rebuilt";

/// The database that a rebuilt one has replaced, until it is removed.
pub(crate) const OLD: &str = "db.old";

/// Puts a rebuilt database into its place, wherever a crash cut that off, and removes what is left over.
pub(crate) fn finish_rebuild(folder: &Path) -> Result<(), StoreError> {
    let [rebuilt, database, old] = [REBUILT, DATABASE, OLD].map(|name| folder.join(name));
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to).map_err(io_error(from))?;
        sync_folder(folder).map_err(io_error(folder))
    };
    if rebuilt.exists() {
        if database.exists() {
            remove(&old)?;
            rename(&database, &old)?;
        }
        // The note counts the commits of the old one.
        note::remove(folder).map_err(io_error(folder))?;
        sync_folder(folder).map_err(io_error(folder))?;
        rename(&rebuilt, &database)?;
    }
    if database.exists() {
        remove(&old)?;
    }
    remove(&folder.join(REBUILDING))?;
    remove(&folder.join(SCRATCH))
}

/// Removes a folder of ours if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    if path.exists() { fs::remove_dir_all(path).map_err(io_error(path)) } else { Ok(()) }
}

/// The torn end of a journal.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The journal.
    pub(crate) journal: PathBuf,
    /// Where it was torn.
    pub(crate) torn: Torn,
    /// Bytes before the torn commit.
    pub(crate) whole: u64,
}

/// What the journals hold.
#[derive(Debug, Default)]
pub(crate) struct Journals {
    /// The number of the last whole commit in them.
    pub(crate) commit: Option<u64>,
    /// What follows it.
    pub(crate) cut: Option<Cut>,
}

/// Reads the journals, says what is torn, and refuses what cannot be the end of an unreported commit.
pub(crate) fn examine_journals(database: &Path, note: &Note) -> Result<Journals, StoreError> {
    let durable = match note {
        Note::Commit(commit) => commit.journaled,
        Note::Missing => 0,
        // What was durable is unknown, so nothing may be cut.
        Note::Damaged => u64::MAX,
    };
    let mut journals = journal_files(database)?;
    let Some(last) = journals.pop() else { return Ok(Journals::default()) };
    let (mut sequence, mut commit) = (None, None);
    for path in journals {
        let journal = read_journal(&path, sequence)?;
        // A journal was synced before the next was begun.
        if let Some(Torn { offset, what }) = journal.torn {
            return Err(StoreError::Damaged { path, offset, what });
        }
        sequence = journal.last_sequence().or(sequence);
        commit = journal.commit.or(commit);
    }
    let journal = read_journal(&last, sequence)?;
    let commit = journal.commit.or(commit);
    // Where no commit is left in the journals, tables hold the number, and the comparison after the opening decides.
    let is_behind = *note == Note::Damaged || commit.is_some_and(|commit| commit < durable);
    let Journal { torn, whole, .. } = journal;
    match torn {
        Some(Torn { offset, what }) if is_behind => Err(StoreError::Damaged { path: last, offset, what }),
        Some(torn) => Ok(Journals { commit, cut: Some(Cut { journal: last, torn, whole }) }),
        None if is_behind && *note != Note::Damaged => {
            let what = format!("the journal ends with commit {}, and {durable} was durable", commit.unwrap_or(0));
            Err(StoreError::Damaged { path: last, offset: whole, what })
        }
        None => Ok(Journals { commit, cut: None }),
    }
}

/// Cuts a torn commit off the journal, so that the database meets only whole ones.
pub(super) fn mend_journal(folder: &Path) -> Result<(Note, Journals), StoreError> {
    let note = note::read(folder)?;
    let journals = examine_journals(&folder.join(DATABASE), &note)?;
    if let Some(Cut { journal, torn, whole }) = &journals.cut {
        tracing::info!(journal = %journal.display(), byte = torn.offset, what = torn.what, "cutting a commit that was never finished");
        let file = File::options().write(true).open(journal).map_err(io_error(journal))?;
        file.set_len(*whole).and_then(|()| file.sync_all()).map_err(io_error(journal))?;
    }
    Ok((note, journals))
}

/// Holds what the database has against what was durable.
pub(crate) fn compare_with_note(
    database: &Path,
    note: &Note,
    commits: u64,
    tip: Option<&BlockHash>,
    cut: Option<Cut>,
) -> Result<(), StoreError> {
    let Note::Commit(LastCommit { number, tip: noted, .. }) = note else { return Ok(()) };
    let lost = format!("commit {number} with the tip {noted} was durable, and the last one here is {commits}");
    match cut {
        _ if commits > *number || (commits == *number && tip == Some(noted)) => Ok(()),
        Some(Cut { journal, torn, .. }) => {
            let what = format!("{}; {lost}", torn.what);
            Err(StoreError::Damaged { path: journal, offset: torn.offset, what })
        }
        None => Err(StoreError::Damaged { path: database.to_owned(), offset: 0, what: lost }),
    }
}
