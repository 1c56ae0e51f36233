//! Errors of a store. Broken rules are `RuleError`.

use std::io;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;
use thiserror::Error;

/// A store cannot be used, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the folder open.
    #[error("the folder {folder} is in use by another process")]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder belongs to another chain.
    #[error("the folder {folder} holds the chain {found}, not {wanted}")]
    OtherChain {
        /// The data folder.
        folder: PathBuf,
        /// Name and genesis hash that the folder gives.
        found: String,
        /// Name and genesis hash that were asked for.
        wanted: String,
    },
    /// A later version wrote the folder.
    #[error("the folder {folder} has store format {found}; this version reads formats up to {known}")]
    NewerFormat {
        /// The data folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// An earlier version wrote the folder, and its database cannot be read any more.
    #[error(
        "the folder {folder} has store format {found}; this version reads format {known} and can make it from the blocks"
    )]
    OlderFormat {
        /// The data folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
        /// The format known here.
        known: u32,
    },
    /// A folder that is neither a store nor empty.
    #[error("the folder {folder} is not a store, and is not empty: it holds {holds}")]
    NotAStore {
        /// The folder.
        folder: PathBuf,
        /// A file or folder in it that is not a store's.
        holds: String,
    },
    /// A folder with a store's blocks and database but without its file `STORE`.
    #[error("the folder {folder} is a store that has lost its file STORE")]
    NoMarker {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no store in the folder.
    #[error("there is no store in {folder}")]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused, or the disk is full.
    #[error("{path}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The contents of a file are damaged.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The offset in bytes of the damage, or of the damaged record.
        offset: u64,
        /// What was seen and what was wanted.
        what: String,
    },
    /// A record of the database is damaged.
    #[error("the database is damaged: {records}, key {key}: {what}")]
    DamagedRecord {
        /// `coins`, `index`, `files` or `meta`.
        records: &'static str,
        /// The key in hexadecimal.
        key: String,
        /// What was seen and what was wanted.
        what: String,
    },
    /// The database failed.
    #[error("database {path}: {what}")]
    Database {
        /// The database's folder.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A block or undo record that is needed is not in the store.
    #[error("block {hash} is no longer kept")]
    NotKept {
        /// The block.
        hash: BlockHash,
    },
    /// A block was pruned.
    #[error("block {hash} at height {height} was pruned")]
    Pruned {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// The chain with most work forks from the active one below the blocks that pruning kept.
    #[error(
        "the chain with most work, to block {to}, leaves the active one at height {fork}; to go back there from height {tip} \
         takes block {pruned}, which was pruned: start again with an empty folder"
    )]
    TooDeep {
        /// The height of the active chain's tip.
        tip: u32,
        /// The height of the last common block.
        fork: u32,
        /// The block that should become the tip.
        to: BlockHash,
        /// The height of the highest block that would be needed and was pruned.
        pruned: u32,
    },
    /// A chain in memory is never committed, so it has no snapshots.
    #[error("a chain state in memory gives no snapshots: it needs a data folder")]
    NoSnapshots,
    /// A write failed earlier. It is unknown what reached the disk until the folder is reopened.
    #[error("the store takes no more writes, because one failed: open it anew")]
    Stopped,
}

impl StoreError {
    /// The error of the database at `path` in one line. fjall's own `Display` prints a structure.
    pub(crate) fn of_database(path: &Path, error: fjall::Error) -> Self {
        use fjall::{Error, LsmError};
        let path = path.to_owned();
        let what = match error {
            Error::Io(source) | Error::Storage(LsmError::Io(source)) => return Self::Io { path, source },
            Error::Poisoned => {
                "it takes no more writes, because one of its own failed in the background; is the disk full?".to_owned()
            }
            Error::Locked => "it is in use by another process".to_owned(),
            Error::Storage(LsmError::ChecksumMismatch { .. }) => "a table's checksum does not match".to_owned(),
            Error::Unrecoverable | Error::Storage(LsmError::Unrecoverable) => "files of it are missing".to_owned(),
            Error::InvalidVersion(_) => "it is not of fjall 3".to_owned(),
            Error::JournalRecovery(error) => format!("its journal is damaged: {error}"),
            other => format!("{other:?}"),
        };
        Self::Database { path, what }
    }
}

/// Turns an error of the operating system into a [`StoreError`] that names `path`.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    |source| StoreError::Io { path: path.to_owned(), source }
}
