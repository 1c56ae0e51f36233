//! The store on disk: one data folder, held by one process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint};
use fjall::{Database, DatabaseBuilder, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::disk::{Disk, Folder, sync_folder};
use super::files::{BlockFiles, FileInfo};
use super::journal::COMMIT_KEY;
use super::manifest::check_manifests;
use super::marker::{self, Found, Identity, io_error};
use super::mend;
use super::note::{LastCommit, Note, NoteFile};
use super::rebuild::Standing;
use super::record::{IndexRecord, decode_file_info, decode_index, file_info_value, index_key, index_value};
use super::snapshot::FolderSnapshot;
use super::{Backing, Commit, StoreError, StoreSnapshot};
use crate::coins::Coin;
use crate::coins::cache::CoinSource;
use crate::coins::encoding::{DecodeError, decode_coin, decode_outpoint, encode_coin, encode_outpoint};
use crate::coins::undo::BlockUndo;
use crate::headers::tree::{BlockLocation, Entry, Span};

pub(crate) const BLOCKS: &str = "blocks";
pub(super) const NEW_DATABASE: &str = "db.new";
pub(crate) const DATABASE: &str = "db";
pub(super) const TIP: &[u8] = b"tip";

/// What fjall may keep of its tables in memory. The coin cache above is the one whose size the user states.
const TABLE_CACHE_BYTES: u64 = 16 << 20;

/// When fjall writes its tables so that old journals can go: what a start replays stays near this.
const JOURNAL_BYTES: u64 = 128 << 20;

/// When fjall writes the coins' table in memory to disk. A start builds it again from the journal, at some 40 MB a second;
/// what is on disk already is only skipped.
const COIN_TABLE_BYTES: u64 = 32 << 20;

/// A data folder, open.
pub struct FolderStore {
    database_path: PathBuf,
    // The keyspaces hold the database, which must be closed before the lock goes.
    coins: Keyspace,
    index: Keyspace,
    file_infos: Keyspace,
    meta: Keyspace,
    database: Database,
    files: BlockFiles,
    /// The block files again, for readers, which know nothing of a test's disk.
    blocks: Arc<Folder>,
    magic: [u8; 4],
    /// Records that are in the block files already, while the database is rebuilt from them.
    standing: Standing,
    note: NoteFile,
    /// How many commits the store has had.
    commits: u64,
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
    /// Opens the store in `folder`, or makes one if the folder is empty or missing.
    ///
    /// # Errors
    /// The folder is in use, of another chain, of a newer format, somebody else's, damaged, or cannot be read.
    pub fn open(folder: &Path, identity: &Identity) -> Result<(Self, Contents), StoreError> {
        let blocks = folder.join(BLOCKS);
        Self::open_on(folder, identity, || Box::new(Folder::new(blocks)))
    }

    /// As [`Self::open`], with the block files on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        folder: &Path,
        identity: &Identity,
        disk: impl FnOnce() -> Box<dyn Disk>,
    ) -> Result<(Self, Contents), StoreError> {
        if folder.exists() {
            // Before the lock, which would leave its file in somebody else's folder.
            marker::examine(folder, identity)?;
        }
        let lock = marker::lock(folder)?;
        let found = marker::examine(folder, identity)?;
        mend::finish_rebuild(folder)?;
        let database_path = folder.join(DATABASE);
        if !database_path.exists() {
            create(folder, identity, &found)?;
        }
        let store = Self::open_database(folder, lock, identity, disk)?;
        let index = scan(store.index.iter(), "index", decode_index)
            .collect::<Result<_, _>>()
            .map_err(|error| error.in_database(&store.database_path))?;
        let tip = read_tip(&store.meta, &store.database_path)?;
        Ok((store, Contents { index, tip }))
    }

    fn open_database(
        folder: &Path,
        lock: File,
        identity: &Identity,
        disk: impl FnOnce() -> Box<dyn Disk>,
    ) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE);
        let database_error = |source| StoreError::of_database(&path, source);
        check_manifests(&path)?;
        let (note, cut) = mend::mend_journal(folder)?;
        let (database, keyspaces) = open_keyspaces(&path)?;
        let [_, _, file_infos, meta] = &keyspaces;
        let (commits, tip) = (read_commits(meta, &path)?, read_tip(meta, &path)?);
        // Before the block files are cut back to what the database knows: it may know too little.
        mend::compare_with_note(&path, &note, commits, tip.as_ref(), cut)?;
        let infos: Result<BTreeMap<u32, FileInfo>, ScanError> =
            scan(file_infos.iter(), "files", decode_file_info).collect();
        let infos = infos.map_err(|error| error.in_database(&path))?;
        let files = BlockFiles::open(disk(), identity.magic, infos)?;
        // Whatever recovery did to the journal is made to last before anything is built on it.
        database.persist(PersistMode::SyncAll).map_err(database_error)?;
        let mut store = Self::assemble(folder, path, lock, (database, keyspaces), files, NoteFile::open(folder)?);
        store.commits = commits;
        if let Some(tip) = tip.filter(|tip| note != Note::Commit(LastCommit { number: commits, tip: *tip })) {
            store.note.write(&LastCommit { number: commits, tip })?;
            store.note.sync()?;
            sync_folder(folder).map_err(io_error(folder))?;
        }
        Ok(store)
    }

    /// A store without a commit yet, of parts that are open.
    pub(super) fn assemble(
        folder: &Path,
        database_path: PathBuf,
        lock: File,
        (database, keyspaces): (Database, [Keyspace; 4]),
        files: BlockFiles,
        note: NoteFile,
    ) -> Self {
        let [coins, index, file_infos, meta] = keyspaces;
        Self {
            database_path,
            coins,
            index,
            file_infos,
            meta,
            database,
            blocks: Arc::new(Folder::new(folder.join(BLOCKS))),
            magic: files.magic(),
            files,
            standing: Standing::default(),
            note,
            commits: 0,
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
    pub(super) fn share_lock(&self) -> Result<File, StoreError> {
        self.lock.try_clone().map_err(io_error(&self.database_path))
    }

    fn database_error(&self, source: fjall::Error) -> StoreError {
        StoreError::of_database(&self.database_path, source)
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
    drop(create_database(&new)?);
    if *found == Found::Nothing {
        marker::write(folder, identity)?;
    }
    fs::rename(&new, &database).map_err(io_error(&new))?;
    sync_folder(folder).map_err(io_error(folder))
}

/// The tip that the coins belong to; `None`: the store is new.
pub(super) fn read_tip(meta: &Keyspace, path: &Path) -> Result<Option<BlockHash>, StoreError> {
    let tip = meta.get(TIP).map_err(|source| StoreError::of_database(path, source))?;
    let tip =
        tip.map(|hash| BlockHash::from_slice(&hash).map_err(|error| damaged_record("meta", TIP, error.to_string())));
    tip.transpose()
}

/// How many commits a database has seen.
pub(super) fn read_commits(meta: &Keyspace, path: &Path) -> Result<u64, StoreError> {
    let commits = meta.get(COMMIT_KEY).map_err(|source| StoreError::of_database(path, source))?;
    let Some(commits) = commits else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(&*commits);
    let bytes = bytes.map_err(|_| damaged_record("meta", COMMIT_KEY, format!("{} bytes, wanted 8", commits.len())))?;
    Ok(u64::from_le_bytes(bytes))
}

/// How every database here is opened.
pub(super) fn database_builder(path: &Path) -> DatabaseBuilder<Database> {
    Database::builder(path)
        .cache_size(TABLE_CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .manual_journal_persist(true)
}

pub(super) fn open_keyspaces(path: &Path) -> Result<(Database, [Keyspace; 4]), StoreError> {
    open_keyspaces_of(path, database_builder(path))
}

/// Makes an empty database, durable by its own name in the folder above, which is the caller's to sync.
///
/// fjall 3.1 syncs each keyspace's folder and not the folder that holds their names: after a power loss the four could be
/// gone with all that was ever synced in them, and fjall would make them anew, empty.
pub(super) fn create_database(path: &Path) -> Result<(Database, [Keyspace; 4]), StoreError> {
    let database = open_keyspaces(path)?;
    for folder in [path.join("keyspaces"), path.to_owned()] {
        sync_folder(&folder).map_err(io_error(&folder))?;
    }
    Ok(database)
}

/// As [`open_keyspaces`], with a builder of the caller's.
pub(super) fn open_keyspaces_of(
    path: &Path,
    builder: DatabaseBuilder<Database>,
) -> Result<(Database, [Keyspace; 4]), StoreError> {
    let database_error = |source| StoreError::of_database(path, source);
    let database = builder.open().map_err(database_error)?;
    let coins = || KeyspaceCreateOptions::default().max_memtable_size(COIN_TABLE_BYTES);
    let coins = database.keyspace("coins", coins).map_err(database_error)?;
    let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(database_error);
    let keyspaces = [coins, keyspace("index")?, keyspace("files")?, keyspace("meta")?];
    Ok((database, keyspaces))
}

pub(super) enum ScanError {
    Database(fjall::Error),
    Record(StoreError),
}

impl ScanError {
    pub(super) fn in_database(self, path: &Path) -> StoreError {
        match self {
            Self::Database(source) => StoreError::of_database(path, source),
            Self::Record(error) => error,
        }
    }
}

/// Every record of a keyspace, decoded, in the order of keys.
pub(super) fn scan<T>(
    records: fjall::Iter,
    name: &'static str,
    decode: impl Fn(&[u8], &[u8]) -> Result<T, DecodeError>,
) -> impl Iterator<Item = Result<T, ScanError>> {
    records.map(move |guard| {
        let (key, value) = guard.into_inner().map_err(ScanError::Database)?;
        decode(&key, &value).map_err(|error| ScanError::Record(damaged_record(name, &key, error.to_string())))
    })
}

pub(super) fn damaged_record(keyspace: &'static str, key: &[u8], what: String) -> StoreError {
    StoreError::DamagedRecord { keyspace, key: key.iter().map(|byte| format!("{byte:02x}")).collect(), what }
}

pub(super) fn coin_of(key: &[u8], value: &[u8]) -> Result<Coin, StoreError> {
    decode_coin(value).map_err(|error| damaged_record("coins", key, error.to_string()))
}

/// Calls `with` for every record of the keyspace `coins`, of the database at `path`.
pub(super) fn for_each_coin(
    records: fjall::Iter,
    path: &Path,
    with: &mut dyn FnMut(OutPoint, Coin),
) -> Result<(), StoreError> {
    for coin in scan(records, "coins", |key, value| Ok((decode_outpoint(key)?, decode_coin(value)?))) {
        let (outpoint, coin) = coin.map_err(|error| error.in_database(path))?;
        with(outpoint, coin);
    }
    Ok(())
}

impl CoinSource for FolderStore {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let key = encode_outpoint(outpoint);
        let value = self.coins.get(&key).map_err(|source| self.database_error(source))?;
        value.map(|value| coin_of(&key, &value)).transpose()
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
        self.write(|store| match store.standing.take_undo(location.file, previous, undo) {
            Some(span) => Ok(span),
            None => store.files.append_undo(location.file, previous, undo),
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
            let mut batch = store.database.batch().durability(Some(PersistMode::SyncAll));
            for (outpoint, coin) in commit.coins.changes() {
                let key = encode_outpoint(outpoint);
                match coin {
                    Some(coin) => batch.insert(&store.coins, key, encode_coin(coin)),
                    None => batch.remove(&store.coins, key),
                }
            }
            for entry in &commit.entries {
                batch.insert(&store.index, index_key(entry), index_value(entry));
            }
            for (number, info) in store.files.changed() {
                batch.insert(&store.file_infos, number.to_be_bytes(), file_info_value(&info));
            }
            for number in store.files.pruned() {
                batch.remove(&store.file_infos, number.to_be_bytes());
            }
            batch.insert(&store.meta, TIP, commit.tip.as_byte_array());
            let number = store.commits + 1;
            batch.insert(&store.meta, COMMIT_KEY, number.to_le_bytes());
            batch.commit().map_err(|source| store.database_error(source))?;
            store.commits = number;
            store.files.committed();
            store.note.write(&LastCommit { number, tip: commit.tip })
        })
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        for_each_coin(self.coins.iter(), &self.database_path, with)
    }

    fn limit_files(&mut self, bytes: u32) {
        self.files.limit(bytes);
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

    fn snapshot(&self) -> Option<Box<dyn StoreSnapshot>> {
        Some(Box::new(FolderSnapshot {
            database_path: self.database_path.clone(),
            moment: self.database.snapshot(),
            coins: self.coins.clone(),
            _database: self.database.clone(),
            blocks: Arc::clone(&self.blocks),
            magic: self.magic,
            _lock: Arc::clone(&self.lock),
        }))
    }
}

#[cfg(test)]
mod tests;
