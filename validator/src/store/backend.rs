//! The interface between the chain state and a store: the traits that a store implements, and what they take and give.

use bitcoin::BlockHash;

use super::cache::CoinCache;
use super::coin_source::CoinSource;
use super::error::StoreError;
use super::location::{BlockLocation, FilePosition, Span, StoredBlock};
use super::record::IndexRecord;
use crate::coins::BlockUndo;

/// What one commit makes durable, all of it or nothing.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Its changes; the store's coins are those of `tip` afterwards.
    pub coins: &'a CoinCache,
    /// Index records that are new or changed, in any order.
    pub index: Vec<IndexRecord>,
    /// The block that the coins belong to.
    pub tip: BlockHash,
}

/// What a store held when it was opened.
#[derive(Debug, Default)]
pub struct LoadedStore {
    /// Every header, parents before children.
    pub index: Vec<IndexRecord>,
    /// The block that the coins belong to; `None`: the store is new.
    pub tip: Option<BlockHash>,
    /// Where the genesis block lies in the files of a store that is rebuilt from them.
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
    /// How many transactions it has.
    pub transactions: u32,
    /// Where the block lies in the store's files already, if it was read from there: it is then not written again.
    pub position: Option<FilePosition>,
}

/// Reads blocks and undo records back.
pub trait BlockReader {
    /// The bytes of a block.
    ///
    /// # Errors
    /// They cannot be read, are damaged, or are not kept.
    fn read_block(&self, block: &StoredBlock) -> Result<Vec<u8>, StoreError>;

    /// What a block spent.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or is not kept.
    fn read_undo(&self, block: &StoredBlock) -> Result<BlockUndo, StoreError>;

    /// An error that names the block's place, for bytes that were read but are not the block.
    fn damaged_block(&self, block: &StoredBlock, what: String) -> StoreError;
}

/// A store below the chain state. Blocks are appended as they come; only a commit makes anything durable.
pub trait Store: CoinSource + BlockReader + Send {
    /// Whether a commit outlives the process. If not, nothing is ever committed and the coin cache holds the whole set.
    fn is_durable(&self) -> bool;

    /// Appends a block.
    ///
    /// # Errors
    /// The write failed; the store takes no more.
    fn append_block(&mut self, block: &NewBlock<'_>) -> Result<BlockLocation, StoreError>;

    /// Appends what a block spent.
    ///
    /// # Errors
    /// The write failed; the store takes no more.
    fn append_undo(&mut self, block: &StoredBlock, undo: &BlockUndo) -> Result<Span, StoreError>;

    /// Makes durable everything appended so far and `commit`, in that order.
    ///
    /// # Errors
    /// A write failed: either all of the commit or none of it is found at the next opening. The store takes no more.
    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError>;

    /// Releases the store after its last commit. A database that was rebuilt takes the place of the old one here.
    ///
    /// # Errors
    /// The rebuilt database could not be put in place.
    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Sets the longest that a file of blocks may get from now on, in bytes.
    fn limit_files(&mut self, _bytes: u32) {}

    /// Commits with more changes than this bypass the journal.
    fn set_ingest_threshold(&mut self, _changes: usize) {}

    /// The numbers of the block files to delete so that all files together keep to `bytes`: the oldest, and none with a
    /// block above the height `highest`.
    fn files_to_prune(&self, _bytes: u64, _highest: u32) -> Vec<u32> {
        Vec::new()
    }

    /// Takes block files out of the store with the next commit, and deletes them after it. The commit must hold the
    /// index records of their blocks, without locations.
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
pub trait StoreSnapshot: CoinSource + BlockReader + Send + Sync {}

impl<S: CoinSource + BlockReader + Send + Sync> StoreSnapshot for S {}
