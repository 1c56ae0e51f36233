//! Imports blocks in any order into a chain state: prefetches them, and holds them back until their parents are known.

use std::sync::Arc;

use super::block_pool::BlockPool;
use super::prefetch::{Prefetch, PrefetchedBlock};
use crate::block::{DecodeError, DecodedBlock};
use crate::chain::ChainParams;
use crate::chainstate::{BlockOutcome, ChainState, ChainView, IncomingBlock};
use crate::store::{FilePosition, StoreError};

/// Imports blocks into a chain state. Each has a `T` that says where it came from.
///
/// After each [`Self::push`] the caller calls [`Self::next`] until it returns `None`. After the last block the caller
/// calls [`Self::end`], and then [`Self::next`] until it returns `None`.
pub struct Importer<T> {
    prefetch: Prefetch<T>,
    /// Blocks whose parents are unknown.
    waiting: BlockPool<T>,
    /// Blocks whose parents have become known, the next one last.
    ready: Vec<(IncomingBlock, T)>,
    ended: bool,
}

/// The result of importing one block.
#[derive(Debug)]
pub struct Imported<T> {
    /// The value that was pushed with its bytes.
    pub source: T,
    /// The block and its outcome, or why the bytes are not a block. A block whose parent is unknown is returned now and
    /// again when the parent is known.
    pub result: Result<(Arc<DecodedBlock>, BlockOutcome), DecodeError>,
}

impl<T: Clone> Importer<T> {
    /// An importer for the chain with these parameters. At most `waiting_bytes` bytes of blocks wait for their parents;
    /// beyond that the oldest are dropped.
    #[must_use]
    pub fn new(params: &ChainParams, waiting_bytes: usize) -> Self {
        Self {
            prefetch: Prefetch::new(params),
            waiting: BlockPool::new(waiting_bytes),
            ready: Vec::new(),
            ended: false,
        }
    }

    /// Adds the bytes of a block.
    pub fn push(&mut self, source: T, bytes: Vec<u8>) {
        self.prefetch.push(source, bytes);
    }

    /// As [`Self::push`], for a block at `position` in the store's own files.
    pub(super) fn push_stored(&mut self, source: T, bytes: Vec<u8>, position: FilePosition) {
        self.prefetch.push_stored(source, bytes, Some(position));
    }

    /// Declares that no more blocks will be pushed.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// Accepts the next block into `chain`. `None`: there is none, or more blocks should be pushed first, so that they
    /// are prefetched meanwhile. `now` is the network's time in seconds since 1970.
    ///
    /// # Errors
    /// The store failed.
    pub fn next(&mut self, chain: &mut ChainState, now: u64) -> Result<Option<Imported<T>>, StoreError> {
        let (block, source) = if let Some(ready) = self.ready.pop() {
            ready
        } else if self.ended || self.prefetch.is_full() {
            match self.prefetch.next(chain)? {
                None => return Ok(None),
                Some(PrefetchedBlock { source, block: Err(error) }) => {
                    return Ok(Some(Imported { source, result: Err(error) }));
                }
                Some(PrefetchedBlock { source, block: Ok(block) }) => (block, source),
            }
        } else {
            return Ok(None);
        };
        let decoded = Arc::clone(block.block());
        let outcome = chain.accept_block(block.clone(), now)?;
        match outcome {
            BlockOutcome::UnknownParent => self.waiting.insert(block, source.clone()),
            // A block that fails in isolation leaves no header: a valid one may come with the same header.
            _ if chain.headers().lookup(&decoded.hash()).is_none() => {}
            _ => self.ready.extend(self.waiting.take_children(&decoded.hash()).into_iter().rev()),
        }
        Ok(Some(Imported { source, result: Ok((decoded, outcome)) }))
    }

    /// Blocks whose parents are still unknown, oldest first.
    pub fn unconnected(&self) -> impl Iterator<Item = (&DecodedBlock, &T)> {
        self.waiting.iter()
    }
}
