//! A database made anew beside the old one, from block files that are read and never shortened.
//!
//! An undo record that is in the files already is found again by its checksum. The old database stays in use until the
//! store is closed, when the new one is durable and takes its place.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::commit_note;
use super::disk::sync_folder;
use super::error::{StoreError, io_error};
use super::files::FileInfo;
use super::journal_repair::forget_cut_journal;
use super::location::{DATABASE, OLD, REBUILDING, REBUILT, SCRATCH, Span};
use super::marker::{self, Identity};
use crate::coins::undo::{BlockUndo, checksum};

/// Undo records that are in the files, by file and checksum.
#[derive(Debug, Default)]
pub(crate) struct ExistingUndo(HashMap<(u32, [u8; 32]), VecDeque<Span>>);

impl ExistingUndo {
    /// Notes a record of the undo file `file`.
    pub(crate) fn insert(&mut self, file: u32, checksum: [u8; 32], span: Span) {
        self.0.entry((file, checksum)).or_default().push_back(span);
    }

    /// Takes out the next record in `file` that has the checksum of `undo`, if there is one.
    pub(super) fn take(&mut self, file: u32, prev_hash: &BlockHash, undo: &BlockUndo) -> Option<Span> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get_mut(&(file, checksum(prev_hash, &undo.encode())))?.pop_front()
    }
}

/// What the block and undo files of a folder hold.
#[derive(Debug, Default)]
pub(crate) struct ExistingFiles {
    /// Each file with the length of its whole records. Blocks are counted as they are taken up.
    pub(crate) infos: BTreeMap<u32, FileInfo>,
    /// The undo records.
    pub(crate) undo: ExistingUndo,
}

/// A rebuild that has begun.
pub(super) struct Rebuild {
    pub(super) folder: PathBuf,
    pub(super) identity: Identity,
    pub(super) undo: ExistingUndo,
}

impl Rebuild {
    /// Puts the finished database, closed, in place of the old one.
    pub(super) fn put_in_place(self) -> Result<(), StoreError> {
        let folder = &self.folder;
        let (rebuilding, rebuilt) = (folder.join(REBUILDING), folder.join(REBUILT));
        commit_note::remove(&rebuilding).map_err(io_error(&rebuilding))?;
        sync_folder(&rebuilding).map_err(io_error(&rebuilding))?;
        sync_folder(folder).map_err(io_error(folder))?;
        fs::rename(&rebuilding, &rebuilt).map_err(io_error(&rebuilding))?;
        sync_folder(folder).map_err(io_error(folder))?;
        // The marker may be of an older format, which this version reads no database of.
        marker::write(folder, &self.identity)?;
        finish_rebuild(folder)
    }
}

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
        // What is left of the old one's journal is none of the new one's.
        forget_cut_journal(folder)?;
        // The note counts the commits of the old one.
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

/// Removes a folder of ours if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    if path.exists() { fs::remove_dir_all(path).map_err(io_error(path)) } else { Ok(()) }
}
