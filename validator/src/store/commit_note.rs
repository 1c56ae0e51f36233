//! The commit note: a file beside the database with which a start detects that the database has lost a durable commit.
//!
//! A database that keeps its newest changes in a journal cannot tell the torn end of an unfinished commit from a
//! damaged one that was finished: it truncates both. The note is written after a commit was synced, and is not synced
//! itself. So it is never ahead of what was durable, and it is behind only after a power loss, or a kill between the
//! two writes. If it is ahead of the database, the database is damaged. It fits one sector, has a fixed length, and is
//! overwritten in place.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;
use bitcoin::hashes::{Hash, sha256d};

use super::error::{StoreError, io_error};
use super::location::COMMIT_NOTE;

/// The contents of the note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastCommit {
    /// The number of commits, this one included.
    pub(crate) number: u64,
    /// The number of the last commit that went through the journal.
    pub(crate) journaled: u64,
    /// The tip of the commit.
    pub(crate) tip: BlockHash,
}

/// The note as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CommitNote {
    /// The file is missing, empty or only zeros, as after a power loss before its first sync.
    Missing,
    /// The note of a commit.
    Commit(LastCommit),
    /// The file has other contents.
    Damaged,
}

/// The path of the note in the data folder `folder`.
pub(crate) fn note_path(folder: &Path) -> PathBuf {
    folder.join(COMMIT_NOTE)
}

fn encode(commit: &LastCommit) -> String {
    let text = format!("commit {:020}\njournaled {:020}\ntip {}\n", commit.number, commit.journaled, commit.tip);
    let sum = sha256d::Hash::hash(text.as_bytes());
    format!("{text}sum {sum}\n")
}

/// Reads the note.
pub(crate) fn read(folder: &Path) -> Result<CommitNote, StoreError> {
    let path = note_path(folder);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(CommitNote::Missing),
        Err(source) => return Err(StoreError::Io { path, source }),
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(CommitNote::Missing);
    }
    let commit = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let mut lines = text.lines();
        let number = lines.next()?.strip_prefix("commit ")?.parse().ok()?;
        let journaled = lines.next()?.strip_prefix("journaled ")?.parse().ok()?;
        let tip = lines.next()?.strip_prefix("tip ")?.parse().ok()?;
        Some(LastCommit { number, journaled, tip }).filter(|commit| encode(commit) == text)
    });
    Ok(commit.map_or(CommitNote::Damaged, CommitNote::Commit))
}

/// The note, open for writing.
#[derive(Debug)]
pub(super) struct CommitNoteFile {
    path: PathBuf,
    file: File,
}

impl CommitNoteFile {
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = note_path(folder);
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io_error(&path))?;
        Ok(Self { path, file })
    }

    pub(super) fn write(&mut self, commit: &LastCommit) -> Result<(), StoreError> {
        let text = encode(commit);
        let written = self.file.rewind().and_then(|()| self.file.write_all(text.as_bytes()));
        written.and_then(|()| self.file.set_len(text.len() as u64)).map_err(io_error(&self.path))
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(io_error(&self.path))
    }
}

/// Removes the note, since the commits of a rebuilt database are counted from 1.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(note_path(folder)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_is_read_and_any_flipped_byte_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), CommitNote::Missing);
        let mut note = CommitNoteFile::open(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), CommitNote::Missing);
        for number in [9, 10, u64::MAX] {
            let commit = LastCommit { number, journaled: number - 1, tip: BlockHash::from_byte_array([7; 32]) };
            note.write(&commit).unwrap();
            assert_eq!(read(folder.path()).unwrap(), CommitNote::Commit(commit));
        }
        let good = std::fs::read(note_path(folder.path())).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(note_path(folder.path()), bad).unwrap();
            assert_eq!(read(folder.path()).unwrap(), CommitNote::Damaged, "byte {at}");
        }
        std::fs::write(note_path(folder.path()), vec![0; good.len()]).unwrap();
        assert_eq!(read(folder.path()).unwrap(), CommitNote::Missing);
    }
}
