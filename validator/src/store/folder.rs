//! The store on disk: one data folder, held by one process.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use bitcoin::{BlockHash, OutPoint};

use super::database::{StateDatabase, TABLE_CACHE_BYTES};
use super::disk::{Disk, Folder, sync_folder};
use super::files::BlockFiles;
use super::manifest::check_manifests;
use super::marker::{self, Found, Identity, io_error};
use super::mend;
use super::note::{LastCommit, Note, NoteFile};
use super::rebuild::Standing;
use super::record::IndexRecord;
use super::snapshot::FolderSnapshot;
use super::{Backing, Commit, StoreError, StoreSnapshot};
use crate::coins::Coin;
use crate::coins::cache::CoinSource;
use crate::coins::undo::BlockUndo;
use crate::headers::tree::{BlockLocation, Entry, Span};

pub(crate) const BLOCKS: &str = "blocks";
pub(super) const NEW_DATABASE: &str = "db.new";
pub(crate) const DATABASE: &str = "db";

/// A data folder, open.
pub struct FolderStore {
    // Before the lock, which must go last.
    database: StateDatabase,
    files: BlockFiles,
    /// The block files again, for readers, which know nothing of a test's disk.
    blocks: Arc<Folder>,
    magic: [u8; 4],
    /// Records that are in the block files already, while the database is rebuilt from them.
    standing: Standing,
    note: NoteFile,
    /// How many commits the store has had.
    commits: u64,
    /// The last of them that went through the journal.
    journaled: u64,
    /// A commit of more changes than this goes into tables.
    large_commit: usize,
    /// A write failed: what is on disk is unknown until the folder is opened anew.
    stopped: bool,
    /// Shared with snapshots, which keep the database open.
    lock: Arc<File>,
}

/// What a store held when it was opened.
#[derive(Debug)]
pub struct Contents {
    /// Every header, parents before children.
    pub index: Vec<IndexRecord>,
    /// The block that the coins belong to; `None`: the store is new.
    pub tip: Option<BlockHash>,
}

impl FolderStore {
    /// Opens the store in `folder`, or makes one if the folder is empty or missing. `cache_bytes` of the database's tables
    /// may stay in memory.
    ///
    /// # Errors
    /// The folder is in use, of another chain, of a newer format, somebody else's, damaged, or cannot be read.
    pub fn open(folder: &Path, identity: &Identity, cache_bytes: u64) -> Result<(Self, Contents), StoreError> {
        let blocks = folder.join(BLOCKS);
        Self::open_on(folder, identity, cache_bytes, || Box::new(Folder::new(blocks)))
    }

    /// As [`Self::open`], with the block files on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        folder: &Path,
        identity: &Identity,
        cache_bytes: u64,
        disk: impl FnOnce() -> Box<dyn Disk>,
    ) -> Result<(Self, Contents), StoreError> {
        if folder.exists() {
            // Before the lock, which would leave its file in somebody else's folder.
            marker::examine(folder, identity)?.readable(folder)?;
        }
        let lock = marker::lock(folder)?;
        let found = marker::examine(folder, identity)?.readable(folder)?;
        mend::finish_rebuild(folder)?;
        let database_path = folder.join(DATABASE);
        if !database_path.exists() {
            create(folder, identity, &found)?;
        }
        let store = Self::open_database(folder, cache_bytes, lock, identity, disk)?;
        let index = store.database.index().collect::<Result<_, _>>()?;
        let tip = store.database.tip()?;
        Ok((store, Contents { index, tip }))
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
        let (note, journals) = mend::mend_journal(folder)?;
        let journaled = journals.commit.unwrap_or(0);
        let opened = StateDatabase::open(&path, cache_bytes).and_then(|database| {
            let (commits, tip) = (database.commits()?, database.tip()?);
            // Before the block files are cut back to what the database knows: it may know too little.
            mend::compare_with_note(&path, &note, commits, tip.as_ref(), journals.cut)?;
            Ok((database, commits, tip))
        });
        let (database, commits, tip) = match opened {
            Ok(opened) => {
                mend::keep_cut(folder)?;
                opened
            }
            Err(error) => {
                mend::take_back_cut(folder)?;
                return Err(error);
            }
        };
        let files = BlockFiles::open(disk(), identity.magic, database.file_infos()?)?;
        // Whatever recovery did to the journal is made to last before anything is built on it.
        database.sync()?;
        let mut store = Self::assemble(folder, lock, database, files, NoteFile::open(folder)?);
        (store.commits, store.journaled) = (commits, journaled);
        let last = tip.map(|tip| LastCommit { number: commits, journaled, tip });
        if let Some(last) = last.filter(|last| note != Note::Commit(*last)) {
            store.note.write(&last)?;
            store.note.sync()?;
            sync_folder(folder).map_err(io_error(folder))?;
        }
        Ok(store)
    }

    /// A store without a commit yet, of parts that are open.
    pub(super) fn assemble(
        folder: &Path,
        lock: File,
        database: StateDatabase,
        files: BlockFiles,
        note: NoteFile,
    ) -> Self {
        Self {
            database,
            blocks: Arc::new(Folder::new(folder.join(BLOCKS))),
            magic: files.magic(),
            files,
            standing: Standing::default(),
            note,
            commits: 0,
            journaled: 0,
            large_commit: usize::MAX,
            stopped: false,
            lock: Arc::new(lock),
        }
    }

    /// From here on what `standing` holds is not appended again.
    pub(super) fn adopt(&mut self, standing: Standing) {
        self.files.adopt_all();
        self.standing = standing;
    }

    /// A second handle of the folder's lock, which holds on when the store is closed.
    pub(super) fn share_lock(&self, folder: &Path) -> Result<File, StoreError> {
        self.lock.try_clone().map_err(io_error(folder))
    }

    /// Runs a write, and stops the store if it fails.
    fn write<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let written = write(self);
        self.stopped = written.is_err();
        written
    }
}

pub(super) fn location(entry: &Entry) -> Result<&BlockLocation, StoreError> {
    entry.location.as_ref().ok_or(StoreError::NotKept { hash: entry.hash })
}

/// Writes a new store. The database is made aside and renamed: its own creation cannot be taken up after a crash in the
/// middle.
fn create(folder: &Path, identity: &Identity, found: &Found) -> Result<(), StoreError> {
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
    if *found == Found::Nothing {
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
}

impl Backing for FolderStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn append_block(
        &mut self,
        hash: &BlockHash,
        height: u32,
        block: &[u8],
        transactions: u32,
    ) -> Result<BlockLocation, StoreError> {
        self.write(|store| match store.standing.take_block(hash) {
            Some((file, block)) => {
                store.files.adopt(file, height);
                Ok(BlockLocation { file, block, undo: None, transactions })
            }
            None => store.files.append_block(height, block, transactions),
        })
    }

    fn append_undo(&mut self, entry: &Entry, location: &BlockLocation, undo: &BlockUndo) -> Result<Span, StoreError> {
        let previous = &entry.header.prev_blockhash;
        self.write(|store| {
            while let Some(span) = store.standing.take_undo(location.file, previous, undo) {
                match store.files.read_undo(location.file, span, previous) {
                    Ok(found) if found == *undo => return Ok(span),
                    Err(error @ StoreError::Io { .. }) => return Err(error),
                    // It was found by a sum that is still good, and has rotted: it is written anew.
                    _ => {}
                }
            }
            store.files.append_undo(location.file, previous, undo)
        })
    }

    fn read_block(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        self.files.read_block(location(entry)?)
    }

    fn read_undo(&self, entry: &Entry) -> Result<BlockUndo, StoreError> {
        let location = location(entry)?;
        let span = location.undo.ok_or(StoreError::NotKept { hash: entry.hash })?;
        self.files.read_undo(location.file, span, &entry.header.prev_blockhash)
    }

    fn damaged_block(&self, entry: &Entry, what: String) -> StoreError {
        entry
            .location
            .map_or(StoreError::NotKept { hash: entry.hash }, |location| self.files.damaged_block(&location, what))
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.write(|store| {
            store.files.sync()?;
            let number = store.commits + 1;
            let is_large = commit.coins.dirty() + commit.entries.len() > store.large_commit;
            store.database.commit(number, commit, &store.files, is_large)?;
            if !is_large {
                store.journaled = number;
            }
            store.commits = number;
            store.files.committed();
            store.note.write(&LastCommit { number, journaled: store.journaled, tip: commit.tip })
        })
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.database.for_each_coin(with)
    }

    fn limit_files(&mut self, bytes: u32) {
        self.files.limit(bytes);
    }

    fn call_large(&mut self, changes: usize) {
        self.large_commit = changes;
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
            moment: self.database.moment(),
            blocks: Arc::clone(&self.blocks),
            magic: self.magic,
            _lock: Arc::clone(&self.lock),
        }))
    }
}

#[cfg(test)]
mod tests;
