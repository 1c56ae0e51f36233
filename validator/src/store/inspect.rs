//! A store held for looking at: nothing that it consists of is changed.
//!
//! fjall writes as it opens: it cuts journals, flushes and removes. So the database is opened in a scratch folder of
//! links to its tables, which are never changed in place, and copies of everything else. That folder is the only thing
//! that is written, and it goes when the inspection ends, or at the next start.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::commit_note::{self, CommitNote};
use super::database::StateDatabase;
use super::disk::Folder;
use super::error::{StoreError, io_error};
use super::files::{BlockFiles, FileInfo};
use super::journal::read_journal;
use super::location::{BLOCKS, DATABASE, REBUILT, SCRATCH};
use super::marker::{self, FolderState, Identity};
use super::rebuild;

/// A folder that no other process can open.
#[derive(Debug)]
pub(crate) struct LockedStore {
    pub(crate) folder: PathBuf,
    _lock: File,
}

impl LockedStore {
    /// Takes the folder's lock.
    ///
    /// # Errors
    /// It is in use, of another chain, of a newer format, no store, or cannot be read.
    pub(crate) fn take(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let found =
            if folder.exists() { marker::examine(folder, identity)?.readable(folder)? } else { FolderState::Nothing };
        if found == FolderState::Nothing {
            return Err(StoreError::NoStore { folder: folder.to_owned() });
        }
        let lock = marker::lock(folder)?;
        marker::examine(folder, identity)?.readable(folder)?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Where the database is: in its place, or rebuilt and still to be put there.
    pub(crate) fn database(&self) -> PathBuf {
        let rebuilt = self.folder.join(REBUILT);
        if rebuilt.exists() { rebuilt } else { self.folder.join(DATABASE) }
    }

    /// What the note of the last commit says. One that is not the database's own does not count.
    pub(crate) fn note(&self) -> Result<CommitNote, StoreError> {
        if self.folder.join(REBUILT).exists() { Ok(CommitNote::Missing) } else { commit_note::read(&self.folder) }
    }

    /// The block and undo files, with the lengths that were committed.
    pub(crate) fn files(&self, identity: &Identity, infos: BTreeMap<u32, FileInfo>) -> BlockFiles {
        BlockFiles::as_they_are(Box::new(Folder::new(self.folder.join(BLOCKS))), identity.magic, infos)
    }

    /// Opens the database, whose files were found to be whole, by links. Of journals only whole commits are taken.
    pub(crate) fn open(&self) -> Result<InspectedDatabase, StoreError> {
        let scratch = Scratch(self.folder.join(SCRATCH));
        rebuild::remove(&scratch.0)?;
        link(&self.database(), &scratch.0)?;
        let database = StateDatabase::open_idle(&scratch.0, &self.database())?;
        Ok(InspectedDatabase { database, _scratch: scratch })
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Links tables and copies the rest.
fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir(to).map_err(io_error(to))?;
    let is_tables = from.file_name().is_some_and(|name| name == "tables");
    for found in fs::read_dir(from).map_err(io_error(from))? {
        let found = found.map_err(io_error(from))?;
        let (path, target) = (found.path(), to.join(found.file_name()));
        if found.file_type().map_err(io_error(&path))?.is_dir() {
            link(&path, &target)?;
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            let whole = read_journal(&path, None)?.whole;
            let copied =
                File::open(&path).and_then(|from| io::copy(&mut from.take(whole), &mut File::create(&target)?));
            copied.map_err(io_error(&path))?;
        } else if !is_tables || fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(io_error(&path))?;
        }
    }
    Ok(())
}

/// A database, open for reading.
pub(crate) struct InspectedDatabase {
    pub(crate) database: StateDatabase,
    // Removed when the database is closed.
    _scratch: Scratch,
}
