//! The interface between the chain state and a store: the traits that a store implements, and what they take and give.

use bitcoin::BlockHash;

use super::cache::CoinCache;
use super::coin_source::CoinSource;
use super::error::StoreError;
use super::location::{BlockLocation, FilePosition, Span, StoredBlock};
use super::record::IndexRecord;
use crate::coins::BlockUndo;

/// The changes that one commit makes durable atomically.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The cache whose changes are written. Afterwards the store's coins are those after `tip`.
    pub coins: &'a CoinCache,
    /// New and changed index records, in any order.
    pub index: Vec<IndexRecord>,
    /// The block after which the coins are.
    pub tip: BlockHash,
}

/// The contents of a store when it was opened.
#[derive(Debug, Default)]
pub struct LoadedStore {
    /// All headers, parents before children.
    pub index: Vec<IndexRecord>,
    /// The block after which the coins are; `None`: the store is new.
    pub tip: Option<BlockHash>,
    /// The position of the genesis block, if the database is rebuilt from the block files.
    pub genesis: Option<FilePosition>,
}

/// A block to append to a store.
#[derive(Clone, Copy, Debug)]
pub struct NewBlock<'a> {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its bytes in network encoding.
    pub bytes: &'a [u8],
    /// The number of its transactions.
    pub transactions: u32,
    /// The block's position in the store's files, if it was read from there. It is then not written again.
    pub position: Option<FilePosition>,
}

/// Reads blocks and undo records.
pub trait BlockReader {
    /// The bytes of a block in network encoding.
    ///
    /// # Errors
    /// They cannot be read, are damaged, or are no longer kept.
    fn read_block(&self, block: &StoredBlock) -> Result<Vec<u8>, StoreError>;

    /// The coins that a block spent.
    ///
    /// # Errors
    /// The undo record cannot be read, is damaged, or is no longer kept.
    fn read_undo(&self, block: &StoredBlock) -> Result<BlockUndo, StoreError>;

    /// The error for bytes that were read and are not the block. It names the block's file and offset.
    fn damaged_block(&self, block: &StoredBlock, what: String) -> StoreError;
}

/// The store of a chain state. Blocks are appended in the order of arrival; only a commit makes them durable.
pub trait Store: CoinSource + BlockReader + Send {
    /// Whether a commit outlives the process. If not, nothing is committed and the coin cache holds the whole set.
    fn is_durable(&self) -> bool;

    /// Appends a block.
    ///
    /// # Errors
    /// The write failed; the store refuses further writes.
    fn append_block(&mut self, block: &NewBlock<'_>) -> Result<BlockLocation, StoreError>;

    /// Appends the undo record of a block.
    ///
    /// # Errors
    /// The write failed; the store refuses further writes.
    fn append_undo(&mut self, block: &StoredBlock, undo: &BlockUndo) -> Result<Span, StoreError>;

    /// Makes all appended records durable, then `commit`.
    ///
    /// # Errors
    /// A write failed. The next opening finds all of the commit or none of it. The store refuses further writes.
    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError>;

    /// Closes the store after its last commit. A rebuilt database replaces the old one here.
    ///
    /// # Errors
    /// The rebuilt database could not be put in place.
    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Sets the greatest length of a block file from now on, in bytes.
    fn limit_files(&mut self, _bytes: u32) {}

    /// Sets the number of changes above which a commit bypasses the journal.
    fn set_ingest_threshold(&mut self, _changes: usize) {}

    /// The numbers of the block files to delete, so that all files together have at most `bytes` bytes: the oldest, and
    /// none with a block above the height `highest`.
    fn files_to_prune(&self, _bytes: u64, _highest: u32) -> Vec<u32> {
        Vec::new()
    }

    /// Removes block files from the store with the next commit, and deletes them after it. That commit must contain the
    /// index records of their blocks, without locations.
    ///
    /// # Errors
    /// A write failed earlier.
    fn prune(&mut self, _files: &[u32]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The coins as of the newest commit, for other threads; `None`: this store makes no commits. The database stays
    /// open until the reader is dropped.
    fn coin_reader(&self) -> Option<Box<dyn CoinSource + Send + Sync>> {
        None
    }

    /// The store as of the last commit, for other threads; `None`: this store makes no commits.
    fn snapshot(&self) -> Option<Box<dyn StoreSnapshot>> {
        None
    }
}

/// A store as of one commit. Later commits do not change it, but blocks that are pruned later cannot be read.
pub trait StoreSnapshot: CoinSource + BlockReader + Send + Sync {}

impl<S: CoinSource + BlockReader + Send + Sync> StoreSnapshot for S {}
