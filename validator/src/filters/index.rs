//! The filter index: the basic filter of every block of the active chain, in a database of its own.
//!
//! It follows the chain from the last indexed block ("position"), so that connecting a block does not wait for it, and
//! an index that is enabled late catches up in the same way. Each step writes filters and position in one atomic batch:
//! after a crash the index continues from an earlier position.
//!
//! Nothing is ever removed. A filter depends only on its block and the block's ancestors, so the entries of a stale
//! branch stay valid: they are found by block hash, and are not computed again if the branch becomes active again.

use std::path::{Path, PathBuf};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use fjall::{Database, Keyspace, PersistMode};
use rayon::prelude::*;

use super::database::{FORMAT, FORMAT_KEY, create, open_keyspaces};
use super::error::FilterError;
use super::record::{FilterRecord, decode_key, key};
use super::{BlockFilter, CHECKPOINT_INTERVAL, FilterHash, FilterHeader, basic_filter, header_before_genesis};
use crate::block::DecodedBlock;
use crate::chainstate::{ChainView, PruneLock};
use crate::coins::BlockUndo;
use crate::headers::{Entry, EntryId, HeaderTree};
use crate::store::StoreError;

const POSITION_KEY: &[u8] = b"position";

/// The bytes of blocks after which a step ends. Its peak memory is two to ten times as much.
const STEP_BYTES: usize = 8 << 20;

/// The number of blocks after which a step ends.
const STEP_BLOCKS: usize = 1_000;

/// The greatest number of filters in one query (BIP157, `getcfilters`).
pub const MAX_FILTERS: u32 = 1_000;

/// The greatest number of filter hashes in one query (BIP157, `getcfheaders`).
pub const MAX_HASHES: u32 = 2_000;

/// The last indexed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPosition {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterProgress {
    /// The number of filters computed.
    pub built: usize,
    /// The number of blocks between the position and the chain's tip.
    pub behind: u32,
}

/// Filter hashes of a range, with which a light client checks a peer's filters (BIP157, `cfheaders`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterHashes {
    /// The filter header before the range.
    pub previous: FilterHeader,
    /// The hashes of the range's filters.
    pub hashes: Vec<FilterHash>,
}

/// An open filter index. Queries take the header tree, since they may be about any branch.
pub struct FilterIndex {
    folder: PathBuf,
    records: Keyspace,
    filters: Keyspace,
    meta: Keyspace,
    database: Database,
    position: Option<IndexPosition>,
    /// Keeps the blocks that the index has not read.
    prune_lock: PruneLock,
    stopped: bool,
}

impl FilterIndex {
    /// Opens the index in `folder`, or creates one. The folder is not locked: the caller holds the lock of the data folder.
    ///
    /// The index moves `prune_lock` with its position, so that no block is pruned before the index has read it. The chain
    /// state was opened with the same lock at height 0 ([`ChainStateOptions::with_prune_lock`]).
    ///
    /// [`ChainStateOptions::with_prune_lock`]: crate::chainstate::ChainStateOptions::with_prune_lock
    ///
    /// # Errors
    /// It cannot be read, is damaged, has a newer format, or is of a chain that does not begin with `genesis`.
    pub fn open(folder: &Path, genesis: &BlockHash, prune_lock: PruneLock) -> Result<Self, FilterError> {
        if !folder.exists() {
            create(folder)?;
        }
        let database_error = |error| StoreError::of_database(folder, error);
        let (database, [records, filters, meta]) = open_keyspaces(folder)?;
        let found = meta.get(FORMAT_KEY).map_err(database_error)?;
        let found = found.and_then(|bytes| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)));
        let found = found.ok_or_else(|| damaged("meta", FORMAT_KEY, "no format".to_owned()))?;
        if found > FORMAT {
            return Err(FilterError::NewerFormat { folder: folder.to_owned(), found });
        }
        let position = meta.get(POSITION_KEY).map_err(database_error)?;
        let position = position.map(|bytes| match decode_key(&bytes) {
            Ok((height, hash)) => Ok(IndexPosition { height, hash }),
            Err(error) => Err(damaged("meta", POSITION_KEY, error.to_string())),
        });
        let position = position.transpose()?;
        let index =
            Self { folder: folder.to_owned(), records, filters, meta, database, position, prune_lock, stopped: false };
        if position.is_some() && index.record(0, genesis)?.is_none() {
            return Err(FilterError::OtherChain { folder: folder.to_owned(), genesis: *genesis });
        }
        index.move_prune_lock();
        Ok(index)
    }

    /// The last indexed block; `None`: nothing was indexed.
    #[must_use]
    pub const fn position(&self) -> Option<IndexPosition> {
        self.position
    }

    fn move_prune_lock(&self) {
        self.prune_lock.keep_from(self.position.map_or(0, |position| position.height + 1));
    }

    /// Indexes `chain` to its tip, and returns the tip's filter header.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn catch_up(&mut self, chain: &dyn ChainView) -> Result<FilterHeader, FilterError> {
        self.catch_up_while(chain, || true)?;
        self.header(chain.headers(), &chain.tip().hash)
    }

    /// Indexes `chain` to its tip, or until `goes_on` returns `false`, which is called between steps.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn catch_up_while(&mut self, chain: &dyn ChainView, goes_on: impl Fn() -> bool) -> Result<(), FilterError> {
        while self.step(chain)?.behind > 0 && goes_on() {}
        Ok(())
    }

    /// Indexes one batch of blocks of `chain`, from the last block of its active chain that the index has. One step
    /// after each accepted block keeps the index at the tip.
    ///
    /// # Errors
    /// A block or its undo record is no longer kept or is damaged; or a write to the index failed, after which it
    /// refuses further steps until it is reopened.
    pub fn step(&mut self, chain: &dyn ChainView) -> Result<FilterProgress, FilterError> {
        if self.stopped {
            return Err(StoreError::Stopped.into());
        }
        let (from, mut header) = self.last_indexed(chain)?;
        let blocks = read_blocks(chain, from.map_or(0, |from| from.height + 1))?;
        let at = blocks.last().map(|last| IndexPosition { height: last.height, hash: last.block.hash() }).or(from);
        let Some(at) = at.filter(|at| self.position != Some(*at)) else {
            return Ok(FilterProgress { built: 0, behind: 0 });
        };
        let filters: Vec<BlockFilter> = blocks.par_iter().map(|read| basic_filter(&read.block, &read.undo)).collect();

        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (BlockWithUndo { height, block, .. }, filter) in blocks.iter().zip(filters) {
            let hash = FilterHash::hash(&filter.content);
            header = hash.filter_header(&header);
            let key = key(*height, &block.hash());
            let record = FilterRecord { previous: block.header().prev_blockhash, hash, header };
            batch.insert(&self.records, key, record.encode());
            batch.insert(&self.filters, key, filter.content);
        }
        batch.insert(&self.meta, POSITION_KEY, key(at.height, &at.hash));
        if let Err(error) = batch.commit() {
            self.stopped = true;
            return Err(self.database_error(error).into());
        }
        self.position = Some(at);
        self.move_prune_lock();
        Ok(FilterProgress { built: blocks.len(), behind: chain.tip().height - at.height })
    }

    /// The last block of the active chain that the index has, with its filter header; `None` before genesis.
    ///
    /// The fork with the active chain is found through the index's own records, since a chain state that lost its last
    /// blocks in a crash may not know the position's header. The index has all ancestors of each indexed block, so the
    /// blocks that it has of the active chain are consecutive.
    fn last_indexed(&self, chain: &dyn ChainView) -> Result<(Option<IndexPosition>, FilterHeader), FilterError> {
        let (mut at, mut header) = (self.position, header_before_genesis());
        while let Some(IndexPosition { height, hash }) = at {
            let record = self.record(height, &hash)?;
            let record = record.ok_or_else(|| damaged("records", &key(height, &hash), "it is missing".to_owned()))?;
            if chain.active_at(height).is_some_and(|entry| entry.hash == hash) {
                header = record.header;
                break;
            }
            at = height.checked_sub(1).map(|height| IndexPosition { height, hash: record.previous });
        }
        while let Some(next) = chain.active_at(at.map_or(0, |at| at.height + 1))
            && let Some(record) = self.record(next.height, &next.hash)?
        {
            at = Some(IndexPosition { height: next.height, hash: next.hash });
            header = record.header;
        }
        Ok((at, header))
    }

    /// The filter of a block of any branch that the index has followed.
    ///
    /// # Errors
    /// The block is unknown or not indexed, or the index is damaged.
    pub fn filter(&self, tree: &HeaderTree, hash: &BlockHash) -> Result<BlockFilter, FilterError> {
        self.filter_of(tree.entry(lookup(tree, hash)?))
    }

    /// The filter header of a block of any branch that the index has followed.
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub fn header(&self, tree: &HeaderTree, hash: &BlockHash) -> Result<FilterHeader, FilterError> {
        Ok(self.record_of(tree.entry(lookup(tree, hash)?))?.header)
    }

    /// The filters of the chain that ends in `stop`, from height `start`: at most [`MAX_FILTERS`], lowest first
    /// (BIP157, `getcfilters`).
    ///
    /// # Errors
    /// As [`Self::filter`], or the range is wrong.
    pub fn filters(
        &self,
        tree: &HeaderTree,
        start: u32,
        stop: &BlockHash,
    ) -> Result<Vec<(BlockHash, BlockFilter)>, FilterError> {
        let path = range(tree, start, stop, MAX_FILTERS)?;
        path.into_iter().map(|id| tree.entry(id)).map(|entry| Ok((entry.hash, self.filter_of(entry)?))).collect()
    }

    /// The filter hashes of the chain that ends in `stop`, from height `start`: at most [`MAX_HASHES`], lowest first
    /// (BIP157, `getcfheaders`).
    ///
    /// # Errors
    /// As [`Self::filters`].
    pub fn hashes(&self, tree: &HeaderTree, start: u32, stop: &BlockHash) -> Result<FilterHashes, FilterError> {
        let path = range(tree, start, stop, MAX_HASHES)?;
        let before = path.first().and_then(|id| tree.entry(*id).parent);
        let previous = match before {
            Some(parent) => self.record_of(tree.entry(parent))?.header,
            None => header_before_genesis(),
        };
        let hashes = path.into_iter().map(|id| Ok(self.record_of(tree.entry(id))?.hash));
        Ok(FilterHashes { previous, hashes: hashes.collect::<Result<_, FilterError>>()? })
    }

    /// The filter headers at heights 1,000, 2,000 and so on of the chain that ends in `stop` (BIP157, `getcfcheckpt`).
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub fn checkpoints(&self, tree: &HeaderTree, stop: &BlockHash) -> Result<Vec<FilterHeader>, FilterError> {
        let stop = lookup(tree, stop)?;
        let mut at = stop;
        // From the top down, so that each walk to an ancestor starts at the last one.
        let heights = (1..=tree.entry(stop).height / CHECKPOINT_INTERVAL).rev();
        let headers = heights.map(|checkpoint| {
            at = tree.ancestor(at, checkpoint * CHECKPOINT_INTERVAL);
            Ok(self.record_of(tree.entry(at))?.header)
        });
        let mut headers = headers.collect::<Result<Vec<_>, FilterError>>()?;
        headers.reverse();
        Ok(headers)
    }

    fn filter_of(&self, entry: &Entry) -> Result<BlockFilter, FilterError> {
        let (record, key) = (self.record_of(entry)?, key(entry.height, &entry.hash));
        let content = self.filters.get(key).map_err(|error| self.database_error(error))?;
        let content = content.ok_or_else(|| damaged("filters", &key, "it is missing".to_owned()))?;
        let seen = FilterHash::hash(&content);
        if seen != record.hash {
            return Err(damaged("filters", &key, format!("a filter {seen}, wanted {}", record.hash)).into());
        }
        Ok(BlockFilter { content: content.to_vec() })
    }

    fn record_of(&self, entry: &Entry) -> Result<FilterRecord, FilterError> {
        let (height, hash) = (entry.height, entry.hash);
        self.record(height, &hash)?.ok_or(FilterError::NotIndexed { hash, height })
    }

    fn record(&self, height: u32, hash: &BlockHash) -> Result<Option<FilterRecord>, StoreError> {
        let key = key(height, hash);
        let bytes = self.records.get(key).map_err(|error| self.database_error(error))?;
        let record = bytes.map(|bytes| FilterRecord::decode(&bytes));
        record.transpose().map_err(|error| damaged("records", &key, error.to_string()))
    }

    fn database_error(&self, error: fjall::Error) -> StoreError {
        StoreError::of_database(&self.folder, error)
    }
}

/// A block and its undo record.
struct BlockWithUndo {
    height: u32,
    block: DecodedBlock,
    undo: BlockUndo,
}

/// Reads the blocks of one step from the active chain, from height `first`.
fn read_blocks(chain: &dyn ChainView, first: u32) -> Result<Vec<BlockWithUndo>, StoreError> {
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    for height in first..=chain.tip().height {
        let Some(Entry { hash, .. }) = chain.active_at(height) else { break };
        let block = chain.block(hash)?.ok_or(StoreError::NotKept { hash: *hash })?;
        let undo = chain.undo(hash)?.ok_or(StoreError::NotKept { hash: *hash })?;
        bytes += block.raw().len();
        blocks.push(BlockWithUndo { height, block, undo });
        if bytes >= STEP_BYTES || blocks.len() >= STEP_BLOCKS {
            break;
        }
    }
    Ok(blocks)
}

fn lookup(tree: &HeaderTree, hash: &BlockHash) -> Result<EntryId, FilterError> {
    tree.lookup(hash).ok_or(FilterError::UnknownBlock { hash: *hash })
}

/// The blocks from height `start` to `stop`, lowest first.
fn range(tree: &HeaderTree, start: u32, stop: &BlockHash, limit: u32) -> Result<Vec<EntryId>, FilterError> {
    let last = lookup(tree, stop)?;
    let stop = tree.entry(last).height;
    if start > stop || stop - start >= limit {
        return Err(FilterError::Range { start, stop, limit });
    }
    let first = tree.ancestor(last, start);
    Ok([&[first], &tree.path(first, last)[..]].concat())
}

fn damaged(records: &'static str, key: &[u8], what: String) -> StoreError {
    StoreError::DamagedRecord { records, key: key.iter().map(|byte| format!("{byte:02x}")).collect(), what }
}
