//! Opens a store for inspection without changing it.
//!
//! fjall writes when it opens a database: it truncates journals, flushes and removes files. So the database is opened
//! in a scratch folder of links to its tables, which are never changed in place, and copies of its other files. Only
//! that folder is written, and it is removed when the inspection ends, or at the next start.

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

/// A data folder whose lock is held.
#[derive(Debug)]
pub(crate) struct LockedStore {
    pub(crate) folder: PathBuf,
    _lock: File,
}

impl LockedStore {
    /// Takes the folder's lock.
    ///
    /// # Errors
    /// It is in use, holds another chain or a newer format, is not a store, or cannot be read.
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

    /// The folder of the database: the usual one, or a rebuilt one that is still to be renamed.
    pub(crate) fn database(&self) -> PathBuf {
        let rebuilt = self.folder.join(REBUILT);
        if rebuilt.exists() { rebuilt } else { self.folder.join(DATABASE) }
    }

    /// The note of the last commit. `Missing` with a rebuilt database, since the note is the old one's.
    pub(crate) fn note(&self) -> Result<CommitNote, StoreError> {
        if self.folder.join(REBUILT).exists() { Ok(CommitNote::Missing) } else { commit_note::read(&self.folder) }
    }

    /// The block and undo files, with the lengths that were committed.
    pub(crate) fn files(&self, identity: &Identity, infos: BTreeMap<u32, FileInfo>) -> BlockFiles {
        BlockFiles::open_unchanged(Box::new(Folder::new(self.folder.join(BLOCKS))), identity.magic, infos)
    }

    /// Opens the database in the scratch folder. Its files were found to be undamaged. Only whole commits of journals
    /// are copied.
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
        // If it cannot be removed now, the next start removes it.
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

/// A database open in the scratch folder.
pub(crate) struct InspectedDatabase {
    pub(crate) database: StateDatabase,
    // Removed when the database is closed.
    _scratch: Scratch,
}
