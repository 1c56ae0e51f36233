//! A database made anew beside the old one, from block files that are read and never shortened.
//!
//! An undo record that is in the files already is found again by its checksum. The old database stays in use until the
//! store is closed, when the new one is durable and takes its place.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::commit_note::{self, CommitNoteFile};
use super::database::StateDatabase;
use super::disk::{Folder, sync_folder};
use super::files::{BlockFiles, FileInfo};
use super::folder::FolderStore;
use super::location::{BLOCKS, Span};
use super::marker::{self, FolderState, io_error};
use super::mend::{self, REBUILDING, REBUILT};
use super::{Identity, StoreError};
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
    folder: PathBuf,
    identity: Identity,
    pub(super) undo: ExistingUndo,
}

impl FolderStore {
    /// Takes the folder's lock, has `scan` read the folder of block files, and opens a store on them with an empty
    /// database beside the old one. `cache_bytes` of its tables may stay in memory. Closing the store puts the database
    /// in place of the old one; a store that is dropped leaves the old one.
    ///
    /// # Errors
    /// The folder is in use, of another chain, of a newer format, no store, or cannot be read or written.
    pub(crate) fn rebuild<T>(
        folder: &Path,
        identity: &Identity,
        cache_bytes: u64,
        scan: impl FnOnce(&Path) -> Result<(ExistingFiles, T), StoreError>,
    ) -> Result<(Self, T), StoreError> {
        let found = if folder.exists() { marker::examine(folder, identity)? } else { FolderState::Nothing };
        if found == FolderState::Nothing {
            return Err(StoreError::NoStore { folder: folder.to_owned() });
        }
        let lock = marker::lock(folder)?;
        marker::examine(folder, identity)?;
        mend::finish_rebuild(folder)?;
        let blocks = folder.join(BLOCKS);
        let (ExistingFiles { infos, undo }, scanned) = scan(&blocks)?;

        let path = folder.join(REBUILDING);
        let database = StateDatabase::open(&path, cache_bytes)?;
        let files = BlockFiles::as_they_are(Box::new(Folder::new(blocks)), identity.magic, infos);
        // The note in the folder belongs to the old database.
        let mut store = Self::assemble(folder, lock, database, files, CommitNoteFile::open(&path)?);
        store.set_rebuild(Rebuild { folder: folder.to_owned(), identity: identity.clone(), undo });
        Ok((store, scanned))
    }
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
        mend::finish_rebuild(folder)
    }
}
