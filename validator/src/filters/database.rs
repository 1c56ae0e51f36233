//! The filter index's database: its creation and its keyspaces.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use crate::store::StoreError;
use crate::store::disk::sync_folder;

/// The newest format that this version reads, and the one that it writes.
pub(super) const FORMAT: u32 = 1;

pub(super) const FORMAT_KEY: &[u8] = b"format";

/// The size of fjall's cache of table blocks, in bytes.
const TABLE_CACHE_BYTES: u64 = 8 << 20;

/// The size of all journals in bytes at which fjall writes memtables, so that old journals can be removed.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Creates an empty index under another name and renames it, since fjall cannot resume a creation that a crash
/// interrupted, and does not sync the folder that has the keyspaces' names.
pub(super) fn create(folder: &Path) -> Result<(), StoreError> {
    let mut name = folder.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let io_error = |source: io::Error| StoreError::Io { path: new.clone(), source };
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_error)?;
    }
    let (database, [_, _, meta]) = open_keyspaces(&new)?;
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&meta, FORMAT_KEY, FORMAT.to_le_bytes());
    batch.commit().map_err(|error| StoreError::of_database(&new, error))?;
    drop((meta, database));
    sync_folder(&new.join("keyspaces")).and_then(|()| sync_folder(&new)).map_err(io_error)?;
    fs::rename(&new, folder).map_err(io_error)?;
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(above).map_err(io_error)
}

pub(super) fn open_keyspaces(path: &Path) -> Result<(Database, [Keyspace; 3]), StoreError> {
    let database_error = |error| StoreError::of_database(path, error);
    let database = Database::builder(path)
        // One worker, as for the store's database.
        .worker_threads(1)
        .cache_size(TABLE_CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .manual_journal_persist(true)
        .open()
        .map_err(database_error)?;
    // Filters have tens of kilobytes and never change. In blob files, apart from the keys, compactions do not write
    // them again.
    let apart = || KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
    let keyspaces = [
        database.keyspace("records", KeyspaceCreateOptions::default).map_err(database_error)?,
        database.keyspace("filters", apart).map_err(database_error)?,
        database.keyspace("meta", KeyspaceCreateOptions::default).map_err(database_error)?,
    ];
    Ok((database, keyspaces))
}
