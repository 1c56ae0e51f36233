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

/// The torn end of a journal.
#[derive(Debug)]
pub(crate) struct TornTail {
    /// The journal.
    pub(crate) journal: PathBuf,
    /// Where it was torn.
    pub(crate) torn: JournalDamage,
    /// Bytes before the torn commit.
    pub(crate) whole: u64,
}

/// What the journals hold.
#[derive(Debug, Default)]
pub(crate) struct JournalSummary {
    /// The number of the last whole commit in them.
    pub(crate) commit: Option<u64>,
    /// What follows it.
    pub(crate) cut: Option<TornTail>,
}

/// Reads the journals, says what is torn, and refuses what cannot be the end of an unreported commit.
pub(crate) fn examine_journals(database: &Path, note: &CommitNote) -> Result<JournalSummary, StoreError> {
    let durable = match note {
        CommitNote::Commit(commit) => commit.journaled,
        CommitNote::Missing => 0,
        // What was durable is unknown, so nothing may be cut.
        CommitNote::Damaged => u64::MAX,
    };
    let mut journals = journal_files(database)?;
    let Some(last) = journals.pop() else {
        // fjall would begin anew to number its commits, below those that are in its tables.
        let what = "there is no journal in it".to_owned();
        return Err(StoreError::Damaged { path: database.to_owned(), offset: 0, what });
    };
    let (mut sequence, mut commit) = (None, None);
    for path in journals {
        let journal = read_journal(&path, sequence)?;
        // A journal was synced before the next was begun.
        if let Some(JournalDamage { offset, what }) = journal.torn {
            return Err(StoreError::Damaged { path, offset, what });
        }
        sequence = journal.last_sequence().or(sequence);
        commit = journal.commit.or(commit);
    }
    let journal = read_journal(&last, sequence)?;
    let commit = journal.commit.or(commit);
    // Where no commit is left in the journals, tables hold the number, and the comparison after the opening decides.
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

/// Cuts a torn commit off the journal, so that the database meets only whole ones. The journal as it was stays beside the
/// database until [`forget_cut_journal`] or [`restore_cut_journal`]; also one in which there should be a commit and is none, which fjall
/// would cut.
pub(super) fn cut_torn_tail(folder: &Path) -> Result<(CommitNote, JournalSummary), StoreError> {
    restore_cut_journal(folder)?;
    let note = commit_note::read(folder)?;
    let database = folder.join(DATABASE);
    let journals = examine_journals(&database, &note)?;
    let journaled = matches!(note, CommitNote::Commit(LastCommit { journaled: 1.., .. }));
    if journals.cut.is_some() || journaled && journals.commit.is_none() {
        journal_files(&database)?.last().map_or(Ok(()), |last| set_aside(folder, last))?;
    }
    if let Some(TornTail { journal, torn, whole }) = &journals.cut {
        tracing::info!(journal = %journal.display(), byte = torn.offset, what = torn.what, "cutting a commit that was never finished");
        let file = File::options().write(true).open(journal).map_err(io_error(journal))?;
        file.set_len(*whole).and_then(|()| file.sync_all()).map_err(io_error(journal))?;
    }
    Ok((note, journals))
}

/// Copies a journal, durably and at once.
fn set_aside(folder: &Path, journal: &Path) -> Result<(), StoreError> {
    let name = journal.file_name().unwrap_or_default().to_string_lossy();
    let (new, copy) = (folder.join(NEW_CUT_JOURNAL), folder.join(format!("{CUT_JOURNAL}{name}")));
    let copied = fs::copy(journal, &new).and_then(|_| File::open(&new)?.sync_all());
    copied.and_then(|()| fs::rename(&new, &copy)).map_err(io_error(&copy))?;
    sync_folder(folder).map_err(io_error(folder))
}

/// The copy of a journal that was cut.
fn cut_journal(folder: &Path) -> Result<Option<(PathBuf, String)>, StoreError> {
    for found in fs::read_dir(folder).map_err(io_error(folder))? {
        let found = found.map_err(io_error(folder))?;
        if let Some(journal) = found.file_name().to_str().and_then(|name| name.strip_prefix(CUT_JOURNAL)) {
            return Ok(Some((found.path(), journal.to_owned())));
        }
    }
    Ok(None)
}

/// Puts a journal back that was cut, if there is one: the database lacks something, or a crash came before that was known.
pub(super) fn restore_cut_journal(folder: &Path) -> Result<(), StoreError> {
    let Some((copy, journal)) = cut_journal(folder)? else { return Ok(()) };
    let journal = folder.join(DATABASE).join(journal);
    fs::rename(&copy, &journal).map_err(io_error(&journal))?;
    sync_folder(&folder.join(DATABASE)).and_then(|()| sync_folder(folder)).map_err(io_error(folder))
}

/// Forgets what was cut, after the database has shown that it lacks nothing.
pub(super) fn forget_cut_journal(folder: &Path) -> Result<(), StoreError> {
    let Some((copy, _)) = cut_journal(folder)? else { return Ok(()) };
    fs::remove_file(&copy).map_err(io_error(&copy))?;
    sync_folder(folder).map_err(io_error(folder))
}

/// Holds what the database has against what was durable.
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
