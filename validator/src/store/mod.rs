//! The store: where blocks, undo records, coins and the header index are kept, on disk or in memory.
//!
//! docs/store-format.md says what lies where and what is durable when. The chain state speaks to a store through
//! [`Backing`] and decides when to commit; a store decides nothing.

pub(crate) mod database;
pub mod disk;
pub mod files;
pub mod folder;
pub mod memory;

pub(crate) mod inspect;
pub(crate) mod journal;
pub(crate) mod manifest;
mod marker;
pub(crate) mod mend;
pub(crate) mod note;
pub(crate) mod rebuild;
pub(crate) mod record;
mod snapshot;

use std::io;
use std::path::{Path, PathBuf};

use bitcoin::{BlockHash, OutPoint};
use thiserror::Error;

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;
use crate::coins::cache::{CoinCache, CoinSource};
use crate::coins::undo::BlockUndo;
use crate::headers::tree::{BlockLocation, Entry, Span};
use crate::rules;

pub use marker::Identity;
pub use record::IndexRecord;

/// What can go wrong with a store. Never a broken rule: those are `RuleError`.
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
        /// Something in it that a new store would not have.
        holds: String,
    },
    /// There is no store to look at.
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
    /// A file does not hold what was written to it.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Bytes before the damage, or before the record that holds it.
        offset: u64,
        /// What was seen and what was wanted.
        what: String,
    },
    /// A record of the database does not hold what was written to it.
    #[error("the database is damaged: {records}, key {key}: {what}")]
    DamagedRecord {
        /// `coins`, `index`, `files` or `meta`.
        records: &'static str,
        /// The key in hexadecimal.
        key: String,
        /// What was seen and what was wanted.
        what: String,
    },
    /// The database refused.
    #[error("database {path}: {what}")]
    Database {
        /// The database's folder.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A block or undo record that is needed was not kept.
    #[error("block {hash} is no longer kept")]
    NotKept {
        /// The block.
        hash: BlockHash,
    },
    /// A block that was here was deleted to save space.
    #[error("block {hash} at height {height} was pruned")]
    Pruned {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// The chain with most work leaves the active one below what pruning kept.
    #[error(
        "the chain with most work, to block {to}, leaves the active one at height {fork}; to go back there from height {tip} \
         takes block {pruned}, which was pruned: start again with an empty folder"
    )]
    TooDeep {
        /// The height of the active chain's tip.
        tip: u32,
        /// The height of the last block that both chains have.
        fork: u32,
        /// The block that should become the tip.
        to: BlockHash,
        /// The height of the highest block that would be needed and is gone.
        pruned: u32,
    },
    /// A chain in memory is never committed, so that there is nothing for readers.
    #[error("a chain state in memory gives no snapshots: it needs a data folder")]
    NoSnapshots,
    /// A write failed earlier. What reached the disk is then unknown until the folder is opened anew.
    #[error("the store takes no more writes, because one failed: open it anew")]
    Stopped,
}

/// Decodes a block that was stored and holds it against its index entry; the error says what is wrong with the bytes.
///
/// A block is its own checksum: the hash is that of its header, which has the Merkle root of the transactions without their
/// witnesses, one of which commits to these. Without the last a rotten witness would look like a script that fails, and a
/// good block would be condemned.
pub(crate) fn decode_stored(params: &ChainParams, entry: &Entry, bytes: Vec<u8>) -> Result<DecodedBlock, String> {
    let block = DecodedBlock::decode(bytes).map_err(|error| error.to_string())?;
    if block.hash() != entry.hash {
        return Err(format!("a block {}, wanted {}", block.hash(), entry.hash));
    }
    if !block.block().check_merkle_root() {
        return Err("the transactions are not those of the header".to_owned());
    }
    rules::check_witness_commitment(&params.consensus, entry.height, &block).map_err(|error| error.to_string())?;
    Ok(block)
}

impl StoreError {
    /// What the database at `path` said, in one line. Its own `Display` is that of a structure.
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

/// What one commit makes durable, all of it or nothing.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Its changes; the store's coins are those of `tip` afterwards.
    pub coins: &'a CoinCache,
    /// Index entries that are new or changed.
    pub entries: Vec<&'a Entry>,
    /// The block that the coins belong to.
    pub tip: BlockHash,
}

/// A store below the chain state. Blocks are appended as they come; only a commit makes anything last.
pub trait Backing: CoinSource + Send {
    /// Whether a commit outlives the process. Where not, nothing is ever committed and the coin cache holds the whole
    /// set.
    fn is_durable(&self) -> bool;

    /// Appends a block in network encoding.
    ///
    /// # Errors
    /// The write failed; the store takes no more.
    fn append_block(
        &mut self,
        hash: &BlockHash,
        height: u32,
        block: &[u8],
        transactions: u32,
    ) -> Result<BlockLocation, StoreError>;

    /// Appends what the block at `location` spent; `entry` is its index entry.
    ///
    /// # Errors
    /// The write failed; the store takes no more.
    fn append_undo(&mut self, entry: &Entry, location: &BlockLocation, undo: &BlockUndo) -> Result<Span, StoreError>;

    /// The bytes of a block.
    ///
    /// # Errors
    /// They cannot be read, are damaged, or were not kept.
    fn read_block(&self, entry: &Entry) -> Result<Vec<u8>, StoreError>;

    /// What a block spent.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or was not kept.
    fn read_undo(&self, entry: &Entry) -> Result<BlockUndo, StoreError>;

    /// An error that names the block's place, for bytes that were read but are not the block.
    fn damaged_block(&self, entry: &Entry, what: String) -> StoreError;

    /// Makes durable everything appended so far and `commit`, in that order.
    ///
    /// # Errors
    /// A write failed: either all of the commit or none of it is found at the next opening. The store takes no more.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// Calls `with` for every coin as of the last commit, in the order of outpoints as bytes.
    ///
    /// # Errors
    /// The coins cannot be read.
    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError>;

    /// The longest that a file of blocks may get from now on, in bytes.
    fn limit_files(&mut self, _: u32) {}

    /// Of how many changes up a commit is a large one.
    fn call_large(&mut self, _changes: usize) {}

    /// The numbers of the block files to delete so that all files together keep to `bytes`: the oldest, and none with a
    /// block above the height `highest`.
    fn files_to_prune(&self, _bytes: u64, _highest: u32) -> Vec<u32> {
        Vec::new()
    }

    /// Takes block files out of the store with the next commit, and deletes them after it. The commit must hold the
    /// entries of their blocks, without their places.
    ///
    /// # Errors
    /// A write failed earlier.
    fn prune(&mut self, _files: &[u32]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The coins as of the newest commit, for other threads; `None`: this store makes no commits. Whoever has it holds the
    /// database open.
    fn coin_reader(&self) -> Option<Box<dyn CoinSource + Send + Sync>> {
        None
    }

    /// What the last commit left, for other threads to read; `None`: this store makes no commits.
    fn snapshot(&self) -> Option<Box<dyn StoreSnapshot>> {
        None
    }
}

/// A store as one commit left it, whatever is committed later. Blocks that are pruned later are gone all the same.
pub trait StoreSnapshot: CoinSource + Send + Sync {
    /// The bytes of a block.
    ///
    /// # Errors
    /// They cannot be read, are damaged, or were pruned.
    fn read_block(&self, entry: &Entry) -> Result<Vec<u8>, StoreError>;

    /// What a block spent.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or was pruned.
    fn read_undo(&self, entry: &Entry) -> Result<BlockUndo, StoreError>;

    /// An error that names the block's place, for bytes that were read but are not the block.
    fn damaged_block(&self, entry: &Entry, what: String) -> StoreError;

    /// Calls `with` for every coin, in the order of outpoints as bytes.
    ///
    /// # Errors
    /// The coins cannot be read.
    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError>;
}
