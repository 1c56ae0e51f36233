//! Repairs the database's journals before a start opens the database: cuts off the torn end of a commit that was never
//! reported, and refuses damage to a commit that was durable.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::commit_note::{self, CommitNote, LastCommit};
use super::disk::sync_folder;
use super::error::{StoreError, io_error};
use super::journal::{Journal, JournalDamage, journal_files, read_journal};
use super::location::{CUT_JOURNAL, DATABASE, NEW_CUT_JOURNAL};

/// The torn end of the last journal.
#[derive(Debug)]
pub(crate) struct TornTail {
    /// The journal.
    pub(crate) journal: PathBuf,
    /// The first error in it.
    pub(crate) torn: JournalDamage,
    /// The offset of the torn commit, in bytes.
    pub(crate) whole: u64,
}

/// The last commit in the journals, and the torn end.
#[derive(Debug, Default)]
pub(crate) struct JournalSummary {
    /// The number of the last whole commit in them.
    pub(crate) commit: Option<u64>,
    /// The torn commit after it, which has to be cut off.
    pub(crate) cut: Option<TornTail>,
}

/// Reads the journals. A torn end is returned if it can be that of an unreported commit.
///
/// # Errors
/// A journal has other damage, or a commit that `note` says was durable is missing; or a journal cannot be read.
pub(crate) fn examine_journals(database: &Path, note: &CommitNote) -> Result<JournalSummary, StoreError> {
    let durable = match note {
        CommitNote::Commit(commit) => commit.journaled,
        CommitNote::Missing => 0,
        // It is unknown what was durable, so nothing may be cut.
        CommitNote::Damaged => u64::MAX,
    };
    let mut journals = journal_files(database)?;
    let Some(last) = journals.pop() else {
        // fjall would create a journal and restart its sequence numbers at 0, below those in its tables.
        let what = "there is no journal in it".to_owned();
        return Err(StoreError::Damaged { path: database.to_owned(), offset: 0, what });
    };
    let (mut sequence, mut commit) = (None, None);
    for path in journals {
        let journal = read_journal(&path, sequence)?;
        // A journal is synced before the next is begun.
        if let Some(JournalDamage { offset, what }) = journal.torn {
            return Err(StoreError::Damaged { path, offset, what });
        }
        sequence = journal.last_sequence().or(sequence);
        commit = journal.commit.or(commit);
    }
    let journal = read_journal(&last, sequence)?;
    let commit = journal.commit.or(commit);
    // If no commit is left in the journals, its number is in tables, and is compared after the database was opened.
    let is_behind = *note == CommitNote::Damaged || commit.is_some_and(|commit| commit < durable);
    let Journal { torn, whole, .. } = journal;
    match torn {
        Some(JournalDamage { offset, what }) if is_behind => Err(StoreError::Damaged { path: last, offset, what }),
        Some(torn) => Ok(JournalSummary { commit, cut: Some(TornTail { journal: last, torn, whole }) }),
        None if is_behind && *note != CommitNote::Damaged => {
            let what = format!("the journal ends with commit {}, and {durable} was durable", commit.unwrap_or(0));
            Err(StoreError::Damaged { path: last, offset: whole, what })
        }
        None => Ok(JournalSummary { commit, cut: None }),
    }
}

/// Cuts a torn commit off the journal, so that fjall reads only whole ones. A copy of the uncut journal is kept until
/// [`forget_cut_journal`] or [`restore_cut_journal`]. A journal that should have a commit and has none is copied too,
/// since fjall would truncate it.
pub(super) fn cut_torn_tail(folder: &Path) -> Result<(CommitNote, JournalSummary), StoreError> {
    restore_cut_journal(folder)?;
    let note = commit_note::read(folder)?;
    let database = folder.join(DATABASE);
    let journals = examine_journals(&database, &note)?;
    let journaled = matches!(note, CommitNote::Commit(LastCommit { journaled: 1.., .. }));
    if journals.cut.is_some() || journaled && journals.commit.is_none() {
        journal_files(&database)?.last().map_or(Ok(()), |last| copy_journal(folder, last))?;
    }
    if let Some(TornTail { journal, torn, whole }) = &journals.cut {
        tracing::info!(journal = %journal.display(), byte = torn.offset, what = torn.what, "cutting off a commit that was never finished");
        let file = File::options().write(true).open(journal).map_err(io_error(journal))?;
        file.set_len(*whole).and_then(|()| file.sync_all()).map_err(io_error(journal))?;
    }
    Ok((note, journals))
}

/// Copies a journal durably and atomically.
fn copy_journal(folder: &Path, journal: &Path) -> Result<(), StoreError> {
    let name = journal.file_name().unwrap_or_default().to_string_lossy();
    let (new, copy) = (folder.join(NEW_CUT_JOURNAL), folder.join(format!("{CUT_JOURNAL}{name}")));
    let copied = fs::copy(journal, &new).and_then(|_| File::open(&new)?.sync_all());
    copied.and_then(|()| fs::rename(&new, &copy)).map_err(io_error(&copy))?;
    sync_folder(folder).map_err(io_error(folder))
}

/// The copy of a journal that was cut, and the journal's name.
fn cut_journal(folder: &Path) -> Result<Option<(PathBuf, String)>, StoreError> {
    for found in fs::read_dir(folder).map_err(io_error(folder))? {
        let found = found.map_err(io_error(folder))?;
        if let Some(journal) = found.file_name().to_str().and_then(|name| name.strip_prefix(CUT_JOURNAL)) {
            return Ok(Some((found.path(), journal.to_owned())));
        }
    }
    Ok(None)
}

/// Restores a journal that was cut, if there is a copy: the database lacks a durable commit, or a crash came before
/// that was known.
pub(super) fn restore_cut_journal(folder: &Path) -> Result<(), StoreError> {
    let Some((copy, journal)) = cut_journal(folder)? else { return Ok(()) };
    let journal = folder.join(DATABASE).join(journal);
    fs::rename(&copy, &journal).map_err(io_error(&journal))?;
    sync_folder(&folder.join(DATABASE)).and_then(|()| sync_folder(folder)).map_err(io_error(folder))
}

/// Removes the copy of a journal that was cut, after the database was found to lack no durable commit.
pub(super) fn forget_cut_journal(folder: &Path) -> Result<(), StoreError> {
    let Some((copy, _)) = cut_journal(folder)? else { return Ok(()) };
    fs::remove_file(&copy).map_err(io_error(&copy))?;
    sync_folder(folder).map_err(io_error(folder))
}

/// Compares the database's last commit with the commit note.
///
/// # Errors
/// The note's commit is not in the database.
pub(crate) fn compare_with_note(
    database: &Path,
    note: &CommitNote,
    commits: u64,
    tip: Option<&BlockHash>,
    cut: Option<TornTail>,
) -> Result<(), StoreError> {
    let CommitNote::Commit(LastCommit { number, tip: noted, .. }) = note else { return Ok(()) };
    let lost = format!("commit {number} with the tip {noted} was durable, and the last one here is {commits}");
    match cut {
        _ if commits > *number || (commits == *number && tip == Some(noted)) => Ok(()),
        Some(TornTail { journal, torn, .. }) => {
            let what = format!("{}; {lost}", torn.what);
            Err(StoreError::Damaged { path: journal, offset: torn.offset, what })
        }
        None => Err(StoreError::Damaged { path: database.to_owned(), offset: 0, what: lost }),
    }
}
