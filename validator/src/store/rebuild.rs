//! Rebuilding the database from the block files, which are read and never shortened, beside the old database.
//!
//! Undo records that are in the files are found by their checksums. The old database is replaced when the store is
//! closed and the new one is durable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::commit_note::{self, CommitNote};
use super::disk::sync_folder;
use super::error::{StoreError, io_error};
use super::files::FileInfo;
use super::journal_repair::forget_cut_journal;
use super::location::{BLOCKS, DATABASE, OLD, REBUILDING, REBUILT, SCRATCH, Span};
use super::marker::{self, FolderState, Identity};
use crate::coins::undo::{BlockUndo, checksum};

/// Undo records that are in the files, by file and checksum.
#[derive(Debug, Default)]
pub(crate) struct ExistingUndo(HashMap<(u32, [u8; 32]), VecDeque<Span>>);

impl ExistingUndo {
    /// Adds a record of the undo file `file`.
    pub(crate) fn insert(&mut self, file: u32, checksum: [u8; 32], span: Span) {
        self.0.entry((file, checksum)).or_default().push_back(span);
    }

    /// Removes and returns the next record in `file` that has the checksum of `undo`, if there is one.
    pub(super) fn take(&mut self, file: u32, prev_hash: &BlockHash, undo: &BlockUndo) -> Option<Span> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get_mut(&(file, checksum(prev_hash, &undo.encode())))?.pop_front()
    }
}

/// The contents of a folder's block and undo files.
#[derive(Debug, Default)]
pub(crate) struct ExistingFiles {
    /// Each file with the length of its whole records. Blocks are counted when the chain state accepts them.
    pub(crate) infos: BTreeMap<u32, FileInfo>,
    /// The undo records.
    pub(crate) undo: ExistingUndo,
}

/// A data folder in use by this process, whose database is to be rebuilt.
pub(crate) struct LockedFolder {
    pub(super) folder: PathBuf,
    pub(super) identity: Identity,
    pub(super) lock: File,
    last_tip: Option<BlockHash>,
}

impl LockedFolder {
    /// Takes the lock of the store in `folder`.
    ///
    /// # Errors
    /// The folder is in use, holds another chain or a newer format, is not a store, or cannot be read or written.
    pub(crate) fn lock(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let found = if folder.exists() { marker::examine(folder, identity)? } else { FolderState::Nothing };
        if found == FolderState::Nothing {
            return Err(StoreError::NoStore { folder: folder.to_owned() });
        }
        let lock = marker::lock(folder)?;
        marker::examine(folder, identity)?;
        finish_rebuild(folder)?;
        let last_tip = match commit_note::read(folder)? {
            CommitNote::Commit(commit) => Some(commit.tip),
            CommitNote::Missing | CommitNote::Damaged => None,
        };
        Ok(Self { folder: folder.to_owned(), identity: identity.clone(), lock, last_tip })
    }

    /// The folder of block and undo files.
    pub(crate) fn blocks(&self) -> PathBuf {
        self.folder.join(BLOCKS)
    }

    /// The tip of the old database's last commit, as far as it is known.
    pub(crate) const fn last_tip(&self) -> Option<BlockHash> {
        self.last_tip
    }
}

/// A rebuild in progress.
pub(super) struct Rebuild {
    pub(super) folder: PathBuf,
    pub(super) identity: Identity,
    pub(super) undo: ExistingUndo,
}

impl Rebuild {
    /// Replaces the old database by the new one, which is closed.
    pub(super) fn replace_database(self) -> Result<(), StoreError> {
        let folder = &self.folder;
        let (rebuilding, rebuilt) = (folder.join(REBUILDING), folder.join(REBUILT));
        commit_note::remove(&rebuilding).map_err(io_error(&rebuilding))?;
        sync_folder(&rebuilding).map_err(io_error(&rebuilding))?;
        sync_folder(folder).map_err(io_error(folder))?;
        fs::rename(&rebuilding, &rebuilt).map_err(io_error(&rebuilding))?;
        sync_folder(folder).map_err(io_error(folder))?;
        // The marker may name an older format, whose database this version cannot read.
        marker::write(folder, &self.identity)?;
        finish_rebuild(folder)
    }
}

/// Finishes the replacement of the database that a crash may have interrupted at any step, and removes leftovers.
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
        // The copy of a cut journal is the old database's.
        forget_cut_journal(folder)?;
        // The note counts the old database's commits.
        commit_note::remove(folder).map_err(io_error(folder))?;
        sync_folder(folder).map_err(io_error(folder))?;
        rename(&rebuilt, &database)?;
    }
    if database.exists() {
        remove(&old)?;
    }
    remove(&folder.join(REBUILDING))?;
    remove(&folder.join(SCRATCH))
}

/// Removes a folder, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    if path.exists() { fs::remove_dir_all(path).map_err(io_error(path)) } else { Ok(()) }
}
