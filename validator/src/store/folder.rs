//! The store on disk: one data folder, locked by one process.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use bitcoin::OutPoint;

use super::backend::{BlockReader, Commit, LoadedStore, NewBlock, Store, StoreSnapshot};
use super::coin_source::CoinSource;
use super::commit_note::{CommitNote, CommitNoteFile, LastCommit};
use super::database::{StateDatabase, TABLE_CACHE_BYTES};
use super::disk::{Disk, Folder, sync_folder};
use super::error::{StoreError, io_error};
use super::file_reader::undo_span;
use super::files::BlockFiles;
use super::journal_repair;
use super::location::{BLOCKS, BlockLocation, DATABASE, NEW_DATABASE, REBUILDING, Span, StoredBlock};
use super::manifest::check_manifests;
use super::marker::{self, FolderState, Identity};
use super::rebuild::{ExistingFiles, LockedFolder, Rebuild, finish_rebuild};
use super::snapshot::FolderSnapshot;
use crate::coins::{BlockUndo, Coin};

/// A data folder, open.
pub struct FolderStore {
    // Dropped before the lock.
    database: StateDatabase,
    files: BlockFiles,
    /// The block files for snapshots, which do not use a test's disk.
    blocks: Arc<Folder>,
    magic: [u8; 4],
    /// Set while the database is rebuilt from the block files.
    rebuild: Option<Rebuild>,
    note: CommitNoteFile,
    /// The number of commits so far.
    commits: u64,
    /// The number of the last commit that went through the journal.
    journaled: u64,
    /// Commits with more changes bypass the journal.
    ingest_threshold: usize,
    /// A write failed: it is unknown what is on disk until the folder is reopened.
    stopped: bool,
    /// The lock of the folder, shared with snapshots, which keep the database open.
    lock: Arc<File>,
}

impl FolderStore {
    /// Opens the store in `folder`, or creates one if the folder is empty or missing. `cache_bytes` of the database's
    /// tables may stay in memory.
    ///
    /// # Errors
    /// The folder is in use, holds another chain, a newer format or other files, is damaged, or cannot be read.
    pub fn open(folder: &Path, identity: &Identity, cache_bytes: u64) -> Result<(Self, LoadedStore), StoreError> {
        let blocks = folder.join(BLOCKS);
        Self::open_on(folder, identity, cache_bytes, || Box::new(Folder::new(blocks)))
    }

    /// As [`Self::open`], with the block files on the disk that `disk` gives.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        folder: &Path,
        identity: &Identity,
        cache_bytes: u64,
        disk: impl FnOnce() -> Box<dyn Disk>,
    ) -> Result<(Self, LoadedStore), StoreError> {
        if folder.exists() {
            // Before the lock, which would create its file in a folder that is not a store.
            marker::examine(folder, identity)?.readable(folder)?;
        }
        let lock = marker::lock(folder)?;
        let found = marker::examine(folder, identity)?.readable(folder)?;
        finish_rebuild(folder)?;
        let database_path = folder.join(DATABASE);
        if !database_path.exists() {
            create(folder, identity, &found)?;
        }
        let store = Self::open_database(folder, cache_bytes, lock, identity, disk)?;
        let index = store.database.index().collect::<Result<_, _>>()?;
        let tip = store.database.tip()?;
        Ok((store, LoadedStore { index, tip, genesis: None }))
    }

    /// Opens a store on the block files of `locked`, which has `files`, with an empty database beside the old one.
    /// `cache_bytes` of its tables may stay in memory. Closing the store replaces the old database; dropping it keeps the
    /// old one.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(crate) fn rebuild(locked: LockedFolder, files: ExistingFiles, cache_bytes: u64) -> Result<Self, StoreError> {
        let LockedFolder { folder, identity, lock, .. } = locked;
        let path = folder.join(REBUILDING);
        let database = StateDatabase::open(&path, cache_bytes)?;
        let disk = Box::new(Folder::new(folder.join(BLOCKS)));
        let blocks = BlockFiles::open_unchanged(disk, identity.magic, files.infos);
        // The commit note in the folder is the old database's.
        let mut store = Self::assemble(&folder, lock, database, blocks, CommitNoteFile::open(&path)?);
        store.set_rebuild(Rebuild { folder, identity, undo: files.undo });
        Ok(store)
    }

    fn open_database(
        folder: &Path,
        cache_bytes: u64,
        lock: File,
        identity: &Identity,
        disk: impl FnOnce() -> Box<dyn Disk>,
    ) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE);
        check_manifests(&path)?;
        let (note, journals) = journal_repair::cut_torn_tail(folder)?;
        let journaled = journals.commit.unwrap_or(0);
        let opened = StateDatabase::open(&path, cache_bytes).and_then(|database| {
            let (commits, tip) = (database.commits()?, database.tip()?);
            // Before the block files are truncated to the lengths in the database, which may have lost a commit.
            journal_repair::compare_with_note(&path, &note, commits, tip.as_ref(), journals.cut)?;
            Ok((database, commits, tip))
        });
        let (database, commits, tip) = match opened {
            Ok(opened) => {
                journal_repair::forget_cut_journal(folder)?;
                opened
            }
            Err(error) => {
                journal_repair::restore_cut_journal(folder)?;
                return Err(error);
            }
        };
        let files = BlockFiles::open(disk(), identity.magic, database.file_infos()?)?;
        // What recovery did to the journal must be durable before the next commit.
        database.sync()?;
        let mut store = Self::assemble(folder, lock, database, files, CommitNoteFile::open(folder)?);
        (store.commits, store.journaled) = (commits, journaled);
        let last = tip.map(|tip| LastCommit { number: commits, journaled, tip });
        if let Some(last) = last.filter(|last| note != CommitNote::Commit(*last)) {
            store.note.write(&last)?;
            store.note.sync()?;
            sync_folder(folder).map_err(io_error(folder))?;
        }
        Ok(store)
    }

    /// A store of open parts, without a commit.
    fn assemble(folder: &Path, lock: File, database: StateDatabase, files: BlockFiles, note: CommitNoteFile) -> Self {
        Self {
            database,
            blocks: Arc::new(Folder::new(folder.join(BLOCKS))),
            magic: files.magic(),
            files,
            rebuild: None,
            note,
            commits: 0,
            journaled: 0,
            ingest_threshold: usize::MAX,
            stopped: false,
            lock: Arc::new(lock),
        }
    }

    /// Starts a rebuild: undo records that are in the files are not appended again, and closing the store replaces the
    /// old database.
    fn set_rebuild(&mut self, rebuild: Rebuild) {
        self.files.adopt_all();
        self.rebuild = Some(rebuild);
    }

    /// Runs a write. If it fails, the store refuses all further writes.
    fn write<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let written = write(self);
        self.stopped = written.is_err();
        written
    }
}

/// Creates a store. The database is created under another name and renamed, since fjall cannot resume a creation that a
/// crash interrupted.
fn create(folder: &Path, identity: &Identity, found: &FolderState) -> Result<(), StoreError> {
    let (blocks, new, database) = (folder.join(BLOCKS), folder.join(NEW_DATABASE), folder.join(DATABASE));
    fs::create_dir_all(&blocks).map_err(io_error(&blocks))?;
    if let Some(found) = fs::read_dir(&blocks).map_err(io_error(&blocks))?.next() {
        let found = found.map_err(io_error(&blocks))?.path();
        return Err(StoreError::Damaged {
            path: database,
            offset: 0,
            what: format!("it is missing, and there is {}", found.display()),
        });
    }
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_error(&new))?;
    }
    drop(StateDatabase::open(&new, TABLE_CACHE_BYTES)?);
    if *found == FolderState::Nothing {
        marker::write(folder, identity)?;
    }
    fs::rename(&new, &database).map_err(io_error(&new))?;
    sync_folder(folder).map_err(io_error(folder))
}

impl CoinSource for FolderStore {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        self.database.load_coin(outpoint)
    }

    fn load_coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StoreError> {
        self.database.load_coins(outpoints)
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.database.for_each_coin(with)
    }
}

impl BlockReader for FolderStore {
    fn read_block(&self, block: &StoredBlock) -> Result<Vec<u8>, StoreError> {
        self.files.read_block(&block.location)
    }

    fn read_undo(&self, block: &StoredBlock) -> Result<BlockUndo, StoreError> {
        self.files.read_undo(block.location.file, undo_span(block)?, &block.prev_hash)
    }

    fn damaged_block(&self, block: &StoredBlock, what: String) -> StoreError {
        self.files.damaged_block(&block.location, what)
    }
}

impl Store for FolderStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn append_block(&mut self, block: &NewBlock<'_>) -> Result<BlockLocation, StoreError> {
        let NewBlock { height, bytes, transactions, position, .. } = *block;
        self.write(|store| match position {
            Some(position) => Ok(store.files.adopt(position, height, transactions)),
            None => store.files.append_block(height, bytes, transactions),
        })
    }

    fn append_undo(&mut self, block: &StoredBlock, undo: &BlockUndo) -> Result<Span, StoreError> {
        let (file, prev_hash) = (block.location.file, &block.prev_hash);
        self.write(|store| {
            while let Some(span) = store.rebuild.as_mut().and_then(|rebuild| rebuild.undo.take(file, prev_hash, undo)) {
                match store.files.read_undo(file, span, prev_hash) {
                    Ok(found) if found == *undo => return Ok(span),
                    Err(error @ StoreError::Io { .. }) => return Err(error),
                    // The record is damaged, although its checksum was found: it is written again.
                    _ => {}
                }
            }
            store.files.append_undo(file, prev_hash, undo)
        })
    }

    fn commit(&mut self, mut commit: Commit<'_>) -> Result<(), StoreError> {
        self.write(|store| {
            store.files.sync()?;
            let number = store.commits + 1;
            let is_large = commit.coins.dirty() + commit.index.len() > store.ingest_threshold;
            store.database.commit(number, &mut commit, &store.files, is_large)?;
            if !is_large {
                store.journaled = number;
            }
            store.commits = number;
            store.files.committed();
            store.note.write(&LastCommit { number, journaled: store.journaled, tip: commit.tip })
        })
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let mut store = *self;
        let Some(rebuild) = store.rebuild.take() else { return Ok(()) };
        let lock = Arc::clone(&store.lock);
        // The database's folder is renamed, so the database is closed first, while the lock is still held.
        drop(store);
        let placed = rebuild.replace_database();
        drop(lock);
        placed
    }

    fn limit_files(&mut self, bytes: u32) {
        self.files.limit(bytes);
    }

    fn set_ingest_threshold(&mut self, changes: usize) {
        self.ingest_threshold = changes;
    }

    fn files_to_prune(&self, bytes: u64, highest: u32) -> Vec<u32> {
        self.files.to_prune(bytes, highest)
    }

    fn prune(&mut self, files: &[u32]) -> Result<(), StoreError> {
        self.write(|store| {
            store.files.prune(files);
            Ok(())
        })
    }

    fn coin_reader(&self) -> Option<Box<dyn CoinSource + Send + Sync>> {
        Some(Box::new(self.database.clone()))
    }

    fn snapshot(&self) -> Option<Box<dyn StoreSnapshot>> {
        Some(Box::new(FolderSnapshot {
            coins: self.database.snapshot(),
            blocks: Arc::clone(&self.blocks),
            magic: self.magic,
            _lock: Arc::clone(&self.lock),
        }))
    }
}

#[cfg(test)]
mod tests;
