//! The store on disk: one data folder, held by one process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::disk::{Disk, Folder, sync_folder};
use super::files::{BlockFiles, FileInfo};
use super::marker::{self, Found, Identity, io_error};
use super::record::{IndexRecord, decode_file_info, decode_index, file_info_value, index_key, index_value};
use super::{Backing, Commit, StoreError};
use crate::coins::Coin;
use crate::coins::cache::CoinSource;
use crate::coins::encoding::{DecodeError, decode_coin, decode_outpoint, encode_coin, encode_outpoint};
use crate::coins::undo::BlockUndo;
use crate::headers::tree::{BlockLocation, Entry, Span};

pub(super) const BLOCKS: &str = "blocks";
pub(super) const NEW_DATABASE: &str = "db.new";
const DATABASE: &str = "db";
const TIP: &[u8] = b"tip";

/// What fjall may keep of its tables in memory. The coin cache above is the one whose size the user states.
const TABLE_CACHE_BYTES: u64 = 16 << 20;

/// When fjall writes its tables so that old journals can go: what a start replays stays near this.
const JOURNAL_BYTES: u64 = 128 << 20;

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
    /// A write failed: what is on disk is unknown until the folder is opened anew.
    stopped: bool,
    _lock: File,
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
        let database_path = folder.join(DATABASE);
        if !database_path.exists() {
            create(folder, identity, &found)?;
        }
        let store = Self::open_database(database_path, lock, identity, disk)?;
        let index = scan(&store.index, "index", decode_index)
            .collect::<Result<_, _>>()
            .map_err(|error| error.in_database(&store.database_path))?;
        let tip = store.meta.get(TIP).map_err(|source| store.database_error(source))?;
        let tip = tip
            .map(|hash| BlockHash::from_slice(&hash).map_err(|error| damaged_record("meta", TIP, error.to_string())));
        let tip = tip.transpose()?;
        Ok((store, Contents { index, tip }))
    }

    fn open_database(
        path: PathBuf,
        lock: File,
        identity: &Identity,
        disk: impl FnOnce() -> Box<dyn Disk>,
    ) -> Result<Self, StoreError> {
        let database_error = |source| StoreError::Database { path: path.clone(), source };
        let (database, [coins, index, file_infos, meta]) = open_keyspaces(&path)?;
        let infos: Result<BTreeMap<u32, FileInfo>, ScanError> = scan(&file_infos, "files", decode_file_info).collect();
        let infos = infos.map_err(|error| error.in_database(&path))?;
        let files = BlockFiles::open(disk(), identity.magic, infos)?;
        // Whatever recovery did to the journal is made to last before anything is built on it.
        database.persist(PersistMode::SyncAll).map_err(database_error)?;
        Ok(Self { database_path: path, coins, index, file_infos, meta, database, files, stopped: false, _lock: lock })
    }

    fn database_error(&self, source: fjall::Error) -> StoreError {
        StoreError::Database { path: self.database_path.clone(), source }
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

fn location(entry: &Entry) -> Result<&BlockLocation, StoreError> {
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
    drop(open_keyspaces(&new)?);
    if *found == Found::Nothing {
        marker::write(folder, identity)?;
    }
    fs::rename(&new, &database).map_err(io_error(&new))?;
    sync_folder(folder).map_err(io_error(folder))
}

fn open_keyspaces(path: &Path) -> Result<(Database, [Keyspace; 4]), StoreError> {
    let database_error = |source| StoreError::Database { path: path.to_owned(), source };
    let database = Database::builder(path)
        .cache_size(TABLE_CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .manual_journal_persist(true)
        .open()
        .map_err(database_error)?;
    let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(database_error);
    let keyspaces = [keyspace("coins")?, keyspace("index")?, keyspace("files")?, keyspace("meta")?];
    Ok((database, keyspaces))
}

enum ScanError {
    Database(fjall::Error),
    Record(StoreError),
}

impl ScanError {
    fn in_database(self, path: &Path) -> StoreError {
        match self {
            Self::Database(source) => StoreError::Database { path: path.to_owned(), source },
            Self::Record(error) => error,
        }
    }
}

/// Every record of a keyspace, decoded, in the order of keys.
fn scan<T>(
    keyspace: &Keyspace,
    name: &'static str,
    decode: impl Fn(&[u8], &[u8]) -> Result<T, DecodeError>,
) -> impl Iterator<Item = Result<T, ScanError>> {
    keyspace.iter().map(move |guard| {
        let (key, value) = guard.into_inner().map_err(ScanError::Database)?;
        decode(&key, &value).map_err(|error| ScanError::Record(damaged_record(name, &key, error.to_string())))
    })
}

fn damaged_record(keyspace: &'static str, key: &[u8], what: String) -> StoreError {
    StoreError::DamagedRecord { keyspace, key: key.iter().map(|byte| format!("{byte:02x}")).collect(), what }
}

impl CoinSource for FolderStore {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let key = encode_outpoint(outpoint);
        let value = self.coins.get(&key).map_err(|source| self.database_error(source))?;
        let coin =
            value.map(|value| decode_coin(&value).map_err(|error| damaged_record("coins", &key, error.to_string())));
        coin.transpose()
    }
}

impl Backing for FolderStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn append_block(
        &mut self,
        _: &BlockHash,
        height: u32,
        block: &[u8],
        transactions: u32,
    ) -> Result<BlockLocation, StoreError> {
        self.write(|store| store.files.append_block(height, block, transactions))
    }

    fn append_undo(&mut self, entry: &Entry, location: &BlockLocation, undo: &BlockUndo) -> Result<Span, StoreError> {
        self.write(|store| store.files.append_undo(location.file, &entry.header.prev_blockhash, undo))
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
            batch.insert(&store.meta, TIP, commit.tip.as_byte_array());
            batch.commit().map_err(|source| store.database_error(source))?;
            store.files.committed();
            Ok(())
        })
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        for coin in scan(&self.coins, "coins", |key, value| Ok((decode_outpoint(key)?, decode_coin(value)?))) {
            let (outpoint, coin) = coin.map_err(|error| error.in_database(&self.database_path))?;
            with(outpoint, coin);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, Network, ScriptBuf, TxOut, Txid};

    use super::*;
    use crate::coins::CoinView;
    use crate::coins::cache::CoinCache;
    use crate::headers::tree::{EntryId, HeaderTree};

    fn identity() -> Identity {
        let genesis = bitcoin::constants::genesis_block(Network::Regtest).block_hash();
        Identity { chain: "regtest".into(), genesis, magic: Network::Regtest.magic().to_bytes() }
    }

    fn open(folder: &Path) -> Result<(FolderStore, Contents), StoreError> {
        FolderStore::open(folder, &identity())
    }

    fn error(folder: &Path, identity: &Identity) -> String {
        FolderStore::open(folder, identity).err().expect("the store must refuse").to_string()
    }

    fn outpoint(number: u8) -> OutPoint {
        OutPoint { txid: Txid::from_byte_array([number; 32]), vout: number.into() }
    }

    fn coin(script: usize) -> Coin {
        let output = TxOut { value: Amount::from_sat(1_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51; script]) };
        Coin { output, height: 1, is_coinbase: false }
    }

    fn tree() -> HeaderTree {
        HeaderTree::new(bitcoin::constants::genesis_block(Network::Regtest).header)
    }

    /// Appends a block and commits it with the coin `number` as made by it.
    fn commit(store: &mut FolderStore, tree: &mut HeaderTree, number: u8, script: usize) {
        let mut cache = CoinCache::default();
        cache.view(store).create(outpoint(number), coin(script)).unwrap();
        let entry = tree.entry_mut(EntryId::GENESIS);
        let mut location = store.append_block(&entry.hash, 0, &[number; 100], 1).unwrap();
        location.undo = Some(store.append_undo(entry, &location, &BlockUndo::default()).unwrap());
        entry.location = Some(location);
        let entry = tree.entry(EntryId::GENESIS);
        store.commit(&Commit { coins: &cache, entries: vec![entry], tip: entry.hash }).unwrap();
    }

    #[test]
    fn what_was_committed_is_there_again_wherever_the_folder_is_moved() {
        let base = tempfile::tempdir().unwrap();
        let (here, there) = (base.path().join("here"), base.path().join("there"));
        let mut tree = tree();
        let (mut store, contents) = open(&here).unwrap();
        assert_eq!((contents.index.len(), contents.tip), (0, None));
        commit(&mut store, &mut tree, 1, 25);
        // Appended, and never committed.
        store.append_block(&identity().genesis, 1, b"lost", 1).unwrap();
        drop(store);
        fs::rename(&here, &there).unwrap();

        let (store, contents) = open(&there).unwrap();
        let entry = tree.entry(EntryId::GENESIS);
        assert_eq!(contents.tip, Some(entry.hash));
        assert_eq!((contents.index[0].hash, contents.index[0].location), (entry.hash, entry.location));
        assert_eq!(store.load_coin(&outpoint(1)).unwrap(), Some(coin(25)));
        assert_eq!(store.load_coin(&outpoint(2)).unwrap(), None);
        assert_eq!(store.read_block(entry).unwrap(), [1; 100]);
        assert_eq!(store.read_undo(entry).unwrap(), BlockUndo::default());
        assert_eq!(fs::metadata(there.join("blocks/blk00000.dat")).unwrap().len(), 108);
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = open(folder.path()).unwrap();
        let refused = error(folder.path(), &identity());
        assert_eq!(refused, format!("the folder {} is in use by another process", folder.path().display()));
        drop(store);
        open(folder.path()).unwrap();
    }

    #[test]
    fn another_chain_and_a_newer_format_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()).unwrap());
        let genesis = bitcoin::constants::genesis_block(Network::Signet).block_hash();
        let signet = Identity { chain: "signet".into(), genesis, magic: Network::Signet.magic().to_bytes() };
        let refused = error(folder.path(), &signet);
        assert!(refused.contains("holds the chain regtest (genesis 0f9188f1"), "{refused}");
        assert!(refused.contains("not signet (genesis 00000008"), "{refused}");
        // The same name over another genesis is another chain.
        let fork = Identity { genesis, ..identity() };
        assert!(error(folder.path(), &fork).contains("not regtest (genesis 00000008"));

        let marker = folder.path().join("STORE");
        let text = fs::read_to_string(&marker).unwrap();
        fs::write(&marker, text.replace("format 1", "format 2")).unwrap();
        assert!(error(folder.path(), &identity()).ends_with("has store format 2; this version reads formats up to 1"));
        fs::write(&marker, "something else").unwrap();
        assert!(error(folder.path(), &identity()).contains("STORE is damaged at byte 0"));
    }

    #[test]
    fn nobody_elses_folder_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = folder.path().join("blocks");
        fs::create_dir(&blocks).unwrap();
        fs::write(blocks.join("blk00000.dat"), b"of another program").unwrap();
        assert!(error(folder.path(), &identity()).ends_with("is not a store, and is not empty: it holds blocks"));
        assert_eq!(fs::read(blocks.join("blk00000.dat")).unwrap(), b"of another program");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_creation_is_taken_up_wherever_it_was_cut_off() {
        for cut_off in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            fs::create_dir(path.join("blocks")).unwrap();
            fs::create_dir(path.join("db.new")).unwrap();
            fs::write(path.join("db.new/0.jnl"), b"half").unwrap();
            if cut_off == 1 {
                fs::write(path.join("STORE.new"), b"adit st").unwrap();
            } else if cut_off == 2 {
                marker::write(path, &identity()).unwrap();
            }
            assert_eq!(open(path).unwrap().1.tip, None);
            assert!(!path.join("db.new").exists());
        }
    }

    #[test]
    fn a_store_whose_database_is_gone_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path()).unwrap();
        commit(&mut store, &mut tree(), 1, 1);
        drop(store);
        fs::remove_dir_all(folder.path().join("db")).unwrap();
        assert!(error(folder.path(), &identity()).contains("db is damaged at byte 0: it is missing, and there is"));
    }

    /// Power loss in the middle of the last commit, as fjall sees it: its journal ends anywhere, or lacks a sector.
    #[test]
    fn a_torn_last_commit_leaves_the_one_before() {
        const SECTOR: usize = 512;
        let base = tempfile::tempdir().unwrap();
        let (whole, torn) = (base.path().join("whole"), base.path().join("torn"));
        // Zeros behind the last record are fjall's preallocation.
        let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let journal = |folder: &Path| folder.join("db/0.jnl");

        let mut tree = tree();
        let (mut store, _) = open(&whole).unwrap();
        commit(&mut store, &mut tree, 1, 100);
        let first = used(&fs::read(journal(&whole)).unwrap());
        commit(&mut store, &mut tree, 2, 450);
        drop(store);
        let bytes = fs::read(journal(&whole)).unwrap();
        let second = used(&bytes);

        let cuts = (first..second).step_by(37).map(|cut| cut..second);
        let sectors = (first.saturating_sub(SECTOR - 1)..second)
            .step_by(67)
            .map(|start| start.max(first)..(start + SECTOR).min(second));
        for lost in cuts.chain(sectors).chain(std::iter::once(second..second)) {
            let mut damaged = bytes[..second].to_vec();
            damaged[lost.clone()].fill(0);
            copy(&whole, &torn);
            fs::write(journal(&torn), &damaged).unwrap();
            let (store, contents) = open(&torn).unwrap();
            let is_second = lost.is_empty();
            assert!(contents.tip.is_some());
            assert_eq!(store.load_coin(&outpoint(1)).unwrap(), Some(coin(100)), "{lost:?}");
            assert_eq!(store.load_coin(&outpoint(2)).unwrap(), is_second.then(|| coin(450)), "{lost:?}");
            // Coins, index and file lengths are of the same commit.
            assert_eq!(contents.index[0].location.unwrap().block.offset, if is_second { 116 } else { 8 });
            assert_eq!(
                fs::metadata(torn.join("blocks/blk00000.dat")).unwrap().len(),
                if is_second { 216 } else { 108 }
            );
            drop(store);
            fs::remove_dir_all(&torn).unwrap();
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for found in fs::read_dir(from).unwrap() {
            let found = found.unwrap();
            let target = to.join(found.file_name());
            if found.file_type().unwrap().is_dir() {
                copy(&found.path(), &target);
            } else {
                fs::copy(found.path(), target).unwrap();
            }
        }
    }
}
