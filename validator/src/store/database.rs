//! The database of a store: coins, header index, file lengths and the tip that they belong to, in one keyspace of
//! fjall.
//!
//! There is one keyspace, because a commit must be atomic, and fjall guarantees that across keyspaces only for writes
//! through its journal. A small commit is one record group in the journal, synced. A large one, which an import writes
//! when its cache is full, would then be in memory three times, as cache records, as a batch and as fjall's memtable,
//! and on disk twice. So it is written as tables, sorted as it is read from the cache, and becomes visible with the
//! manifest that names them, which fjall syncs and renames. Both ways leave the same records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint};
use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, PartitioningPolicy};
use fjall::{Database, DatabaseBuilder, Iter, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use rayon::prelude::*;

use super::backend::Commit;
use super::coin_source::CoinSource;
use super::disk::sync_folder;
use super::error::{StoreError, io_error};
use super::files::{BlockFiles, FileInfo};
use super::record::{IndexRecord, decode_file_info, decode_index, file_info_value, index_key, index_value};
use crate::coins::Coin;
use crate::coins::encoding::{OutpointKey, decode_coin, decode_outpoint, encode_coin, encode_outpoint};
use crate::serialize::EncodingError;

/// The only keyspace.
const RECORDS: &str = "records";

/// The first byte of each key: the kind of record. Commits write them in this order.
const INDEX: u8 = b'B';
const COIN: u8 = b'C';
const FILE: u8 = b'F';
const TIP: &[u8] = b"Mtip";

/// The key of the number of the last commit. No other key has its length.
pub(super) const COMMIT_KEY: &[u8] = b"Mcommit";

/// The default size of fjall's cache of table blocks, in bytes.
pub(crate) const TABLE_CACHE_BYTES: u64 = 16 << 20;

/// The size of all journals in bytes at which fjall writes memtables, so that old journals can be removed. It bounds
/// what a start replays.
const JOURNAL_BYTES: u64 = 64 << 20;

/// The size in bytes at which fjall writes its memtable to disk. A start rebuilds the memtable from the journal, at
/// some 40 MB a second, and skips what is on disk already.
const MEMORY_TABLE_BYTES: u64 = 16 << 20;

/// The number of unmerged tables at which fjall starts a merge, each of at most 64 MiB.
const TABLES_BEFORE_MERGE: u8 = 12;

/// The number of unmerged tables at which a large commit waits.
const MOST_TABLES: usize = 60;

/// The least number of coins that each thread looks up.
const COINS_A_THREAD: usize = 32;

/// The database, open.
#[derive(Clone)]
pub(crate) struct StateDatabase {
    /// The folder, for messages.
    path: PathBuf,
    // Dropped before the database.
    records: Keyspace,
    database: Database,
}

impl StateDatabase {
    /// Opens the database at `path`, or creates an empty one. The caller syncs the folder above. `cache_bytes` of the
    /// tables may stay in memory.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let is_new = !path.exists();
        let this = Self::build(path, builder(path, cache_bytes))?;
        if is_new {
            // fjall 3.1 syncs each keyspace's folder and not the folder above, which holds their names. After a power
            // loss all keyspaces could be missing, and fjall would create them again, empty.
            for folder in [path.join("keyspaces"), path.to_owned()] {
                sync_folder(&folder).map_err(io_error(&folder))?;
            }
        }
        Ok(this)
    }

    /// Opens the database at `at` and changes nothing but its journal. Messages name `path`.
    pub(crate) fn open_idle(at: &Path, path: &Path) -> Result<Self, StoreError> {
        // Without workers nothing is compacted; a compaction would write all coins again.
        Self::build(path, builder(at, TABLE_CACHE_BYTES).worker_threads_unchecked(0))
    }

    fn build(path: &Path, builder: DatabaseBuilder<Database>) -> Result<Self, StoreError> {
        let error = |source| StoreError::of_database(path, source);
        let database = builder.open().map_err(error)?;
        let records = database.keyspace(RECORDS, keyspace_options).map_err(error)?;
        Ok(Self { path: path.to_owned(), records, database })
    }

    fn error(&self, source: fjall::Error) -> StoreError {
        StoreError::of_database(&self.path, source)
    }

    /// Syncs the journal.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(|source| self.error(source))
    }

    /// The database as of the last commit.
    pub(super) fn snapshot(&self) -> DatabaseSnapshot {
        DatabaseSnapshot { snapshot: self.database.snapshot(), database: self.clone() }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.records.get(key).map_err(|source| self.error(source))
    }

    /// The tip after which the coins are; `None`: the store is new.
    pub(crate) fn tip(&self) -> Result<Option<BlockHash>, StoreError> {
        let tip = self.get(TIP)?;
        tip.map(|hash| BlockHash::from_slice(&hash).map_err(|error| damaged_record("meta", TIP, error.to_string())))
            .transpose()
    }

    /// The number of commits so far.
    pub(crate) fn commits(&self) -> Result<u64, StoreError> {
        let Some(commits) = self.get(COMMIT_KEY)? else { return Ok(0) };
        let bytes = <[u8; 8]>::try_from(&*commits);
        let what = |_| damaged_record("meta", COMMIT_KEY, format!("{} bytes, wanted 8", commits.len()));
        bytes.map(u64::from_le_bytes).map_err(what)
    }

    /// The records of one kind in the order of their keys, decoded.
    fn scan<T>(
        &self,
        kind: u8,
        name: &'static str,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, EncodingError>,
    ) -> impl Iterator<Item = Result<T, StoreError>> {
        self.decoded(self.records.prefix([kind]), name, decode)
    }

    fn decoded<T>(
        &self,
        records: Iter,
        name: &'static str,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, EncodingError>,
    ) -> impl Iterator<Item = Result<T, StoreError>> {
        records.map(move |record| {
            let (key, value) = record.into_inner().map_err(|source| self.error(source))?;
            let key = &key[1..];
            decode(key, &value).map_err(|error| damaged_record(name, key, error.to_string()))
        })
    }

    /// Every header, parents before children.
    pub(crate) fn index(&self) -> impl Iterator<Item = Result<IndexRecord, StoreError>> {
        self.scan(INDEX, "index", decode_index)
    }

    /// The committed lengths of the block and undo files.
    pub(crate) fn file_infos(&self) -> Result<BTreeMap<u32, FileInfo>, StoreError> {
        self.scan(FILE, "files", decode_file_info).collect()
    }

    /// Every coin in the order of keys. A key or value that is not in the shortest encoding is an error too.
    pub(crate) fn coins_strictly(&self) -> impl Iterator<Item = Result<(OutPoint, Coin), StoreError>> {
        let coins = self.scan(COIN, "coins", |key, value| {
            let (outpoint, coin) = (decode_outpoint(key)?, decode_coin(value)?);
            Ok((outpoint, (*encode_outpoint(&outpoint) == *key && encode_coin(&coin) == value).then_some(coin)))
        });
        coins.map(|coin| match coin? {
            (outpoint, Some(coin)) => Ok((outpoint, coin)),
            (outpoint, None) => {
                Err(damaged_record("coins", &encode_outpoint(&outpoint), "not encoded as it is written".to_owned()))
            }
        })
    }

    fn for_each(&self, records: Iter, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        for coin in self.decoded(records, "coins", |key, value| Ok((decode_outpoint(key)?, decode_coin(value)?))) {
            let (outpoint, coin) = coin?;
            with(outpoint, coin);
        }
        Ok(())
    }

    /// Waits while there are too many unmerged tables. fjall throttles only writes through its journal, and reports a
    /// failed merge only to them.
    fn wait_for_merges(&self) -> Result<(), StoreError> {
        loop {
            self.database.persist(PersistMode::Buffer).map_err(|source| self.error(source))?;
            if self.records.l0_table_count() < MOST_TABLES {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes commit `number` with the changed lengths of `files`, atomically, into tables or through the journal. It
    /// is durable when this returns.
    pub(super) fn commit(
        &self,
        number: u64,
        commit: &mut Commit<'_>,
        files: &BlockFiles,
        into_tables: bool,
    ) -> Result<(), StoreError> {
        let written = if into_tables {
            self.wait_for_merges()?;
            self.records.start_ingestion().and_then(|mut tables| {
                for_each_change(number, commit, files, |key, value| match value {
                    Some(value) => tables.write(key, value),
                    None => tables.write_tombstone(key),
                })?;
                tables.finish()
            })
        } else {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
            for_each_change(number, commit, files, |key, value| {
                match value {
                    Some(value) => batch.insert(&self.records, key, value),
                    None => batch.remove(&self.records, key),
                }
                Ok(())
            })
            .and_then(|()| batch.commit())
        };
        written.map_err(|source| self.error(source))
    }
}

impl CoinSource for StateDatabase {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let key = coin_key(&encode_outpoint(outpoint));
        self.get(&key)?.map(|value| coin_of(&key, &value)).transpose()
    }

    fn load_coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StoreError> {
        outpoints.par_iter().with_min_len(COINS_A_THREAD).map(|outpoint| self.load_coin(outpoint)).collect()
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.for_each(self.records.prefix([COIN]), with)
    }
}

/// The database as of one commit. Later commits do not change it.
pub(super) struct DatabaseSnapshot {
    snapshot: Snapshot,
    database: StateDatabase,
}

impl DatabaseSnapshot {
    /// The coin at `outpoint`.
    pub(super) fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let key = coin_key(&encode_outpoint(outpoint));
        let value = self.snapshot.get(&self.database.records, &key).map_err(|source| self.database.error(source))?;
        value.map(|value| coin_of(&key, &value)).transpose()
    }

    /// Calls `with` for every coin in the order of keys.
    pub(super) fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.database.for_each(self.snapshot.prefix(&self.database.records, [COIN]), with)
    }
}

/// The options of every database. There is one worker: with two, fjall 3.1 keeps the first free for flushes by making
/// it send itself the order to compact again and again while the other compacts, which takes a whole core.
fn builder(path: &Path, cache_bytes: u64) -> DatabaseBuilder<Database> {
    Database::builder(path)
        .worker_threads(1)
        .cache_size(cache_bytes)
        .max_journaling_size(JOURNAL_BYTES)
        .manual_journal_persist(true)
}

/// The options of the keyspace. There is no compression: most of a coin is hashes. Filters and indexes are partitioned,
/// so that those of a large table need not be in memory as a whole. The coins of a commit are spread over all keys, so
/// a merge writes everything again: it waits for as much as some commits of a large cache. Until then Bloom filters
/// restrict a look-up to the commit that has the coin.
fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMORY_TABLE_BYTES)
        .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(TABLES_BEFORE_MERGE)))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(true))
}

fn coin_key(outpoint: &OutpointKey) -> Vec<u8> {
    [&[COIN], &**outpoint].concat()
}

fn coin_of(key: &[u8], value: &[u8]) -> Result<Coin, StoreError> {
    decode_coin(value).map_err(|error| damaged_record("coins", &key[1..], error.to_string()))
}

/// Calls `put` for every record of a commit in the order of keys: the value, or `None` for a key to remove.
fn for_each_change(
    number: u64,
    commit: &mut Commit<'_>,
    files: &BlockFiles,
    mut put: impl FnMut(&[u8], Option<&[u8]>) -> fjall::Result<()>,
) -> fjall::Result<()> {
    let mut key = Vec::with_capacity(40);
    let mut put = |kind: u8, rest: &[u8], value: Option<&[u8]>| {
        key.clear();
        key.push(kind);
        key.extend_from_slice(rest);
        put(&key, value)
    };
    commit.index.sort_unstable_by_key(index_key);
    for record in &commit.index {
        put(INDEX, &index_key(record), Some(&index_value(record)))?;
    }
    for (key, value) in commit.coins.changes() {
        put(COIN, key, value)?;
    }
    let changed = files.changed().map(|(number, info)| (number, Some(file_info_value(&info))));
    let infos: BTreeMap<u32, Option<Vec<u8>>> = files.pruned().map(|number| (number, None)).chain(changed).collect();
    for (number, info) in infos {
        put(FILE, &number.to_be_bytes(), info.as_deref())?;
    }
    put(COMMIT_KEY[0], &COMMIT_KEY[1..], Some(&number.to_le_bytes()))?;
    put(TIP[0], &TIP[1..], Some(commit.tip.as_byte_array()))
}

pub(super) fn damaged_record(records: &'static str, key: &[u8], what: String) -> StoreError {
    StoreError::DamagedRecord { records, key: key.iter().map(|byte| format!("{byte:02x}")).collect(), what }
}
