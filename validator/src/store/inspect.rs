//! A store held for looking at: nothing that it consists of is changed.
//!
//! fjall writes as it opens: it cuts journals, flushes and removes. So the database is opened in a scratch folder of
//! links to its tables, which are never changed in place, and copies of everything else. That folder is the only thing
//! that is written, and it goes when the inspection ends, or at the next start.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bitcoin::{BlockHash, OutPoint};
use fjall::{Database, Keyspace};

use super::disk::Folder;
use super::files::{BlockFiles, FileInfo};
use super::folder::{self, BLOCKS, DATABASE, database_builder, open_keyspaces_of, read_commits, read_tip, scan};
use super::journal::read_journal;
use super::marker::{self, Found, io_error};
use super::note::Note;
use super::record::{IndexRecord, decode_file_info, decode_index};
use super::{Identity, StoreError, mend, note};
use crate::coins::Coin;
use crate::coins::encoding::{decode_coin, decode_outpoint, encode_coin, encode_outpoint};

/// The folder with links to the database.
pub(crate) const SCRATCH: &str = "db.check";

/// A folder that no other process can open.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) folder: PathBuf,
    _lock: File,
}

impl Held {
    /// Takes the folder's lock.
    ///
    /// # Errors
    /// It is in use, of another chain, of a newer format, no store, or cannot be read.
    pub(crate) fn take(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let found = if folder.exists() { marker::examine(folder, identity)? } else { Found::Nothing };
        if found == Found::Nothing {
            return Err(StoreError::NoStore { folder: folder.to_owned() });
        }
        let lock = marker::lock(folder)?;
        marker::examine(folder, identity)?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Where the database is: in its place, or rebuilt and still to be put there.
    pub(crate) fn database(&self) -> PathBuf {
        let rebuilt = self.folder.join(mend::REBUILT);
        if rebuilt.exists() { rebuilt } else { self.folder.join(DATABASE) }
    }

    /// What the note of the last commit says. One that is not the database's own does not count.
    pub(crate) fn note(&self) -> Result<Note, StoreError> {
        if self.folder.join(mend::REBUILT).exists() { Ok(Note::Missing) } else { note::read(&self.folder) }
    }

    /// The block and undo files, with the lengths that were committed.
    pub(crate) fn files(&self, identity: &Identity, infos: BTreeMap<u32, FileInfo>) -> BlockFiles {
        BlockFiles::as_they_are(Box::new(Folder::new(self.folder.join(BLOCKS))), identity.magic, infos)
    }

    /// Opens the database, whose files were found to be whole, by links. Of journals only whole commits are taken.
    pub(crate) fn open(&self) -> Result<Snapshot, StoreError> {
        let scratch = Scratch(self.folder.join(SCRATCH));
        mend::remove(&scratch.0)?;
        link(&self.database(), &scratch.0)?;
        // Without workers nothing is compacted, which would write all coins anew.
        let builder = database_builder(&scratch.0).worker_threads_unchecked(0);
        let (database, [coins, index, file_infos, meta]) = open_keyspaces_of(&scratch.0, builder)?;
        Ok(Snapshot { path: self.database(), coins, index, file_infos, meta, _database: database, _scratch: scratch })
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
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

/// A database, open for reading.
pub(crate) struct Snapshot {
    /// Where the database itself is, for messages.
    path: PathBuf,
    coins: Keyspace,
    index: Keyspace,
    file_infos: Keyspace,
    meta: Keyspace,
    _database: Database,
    // Removed when the database is closed.
    _scratch: Scratch,
}

impl Snapshot {
    pub(crate) fn index(&self) -> impl Iterator<Item = Result<IndexRecord, StoreError>> {
        scan(self.index.iter(), "index", decode_index)
            .map(|record| record.map_err(|error| error.in_database(&self.path)))
    }

    pub(crate) fn file_infos(&self) -> Result<BTreeMap<u32, FileInfo>, StoreError> {
        let infos: Result<_, folder::ScanError> = scan(self.file_infos.iter(), "files", decode_file_info).collect();
        infos.map_err(|error| error.in_database(&self.path))
    }

    pub(crate) fn tip(&self) -> Result<Option<BlockHash>, StoreError> {
        read_tip(&self.meta, &self.path)
    }

    pub(crate) fn commits(&self) -> Result<u64, StoreError> {
        read_commits(&self.meta, &self.path)
    }

    /// Every coin, in the order of its key. A value that could be shorter is an error, too.
    pub(crate) fn coins(&self) -> impl Iterator<Item = Result<(OutPoint, Coin), StoreError>> {
        let coins = scan(self.coins.iter(), "coins", |key, value| {
            let (outpoint, coin) = (decode_outpoint(key)?, decode_coin(value)?);
            Ok((outpoint, (encode_outpoint(&outpoint) == key && encode_coin(&coin) == value).then_some(coin)))
        });
        coins.map(|coin| match coin.map_err(|error| error.in_database(&self.path))? {
            (outpoint, Some(coin)) => Ok((outpoint, coin)),
            (outpoint, None) => {
                let what = "not encoded as it is written".to_owned();
                Err(folder::damaged_record("coins", &encode_outpoint(&outpoint), what))
            }
        })
    }

    /// The coin at `outpoint`.
    pub(crate) fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let key = encode_outpoint(outpoint);
        let value = self.coins.get(&key).map_err(|source| StoreError::of_database(&self.path, source))?;
        let coin = value
            .map(|value| decode_coin(&value).map_err(|error| folder::damaged_record("coins", &key, error.to_string())));
        coin.transpose()
    }
}
