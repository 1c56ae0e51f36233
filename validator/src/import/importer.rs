//! Blocks in any order, into a chain state: prefetched, and held back until their parents are there.

use std::sync::Arc;

use super::block_pool::BlockPool;
use super::prefetch::{Prefetch, PrefetchedBlock};
use crate::block::{DecodeError, DecodedBlock};
use crate::chain::ChainParams;
use crate::chainstate::{BlockOutcome, ChainState, ChainView, IncomingBlock};
use crate::store::{FilePosition, StoreError};

/// Feeds blocks into a chain state. Each carries a `T` that says where it came from.
///
/// Bytes go in with [`Self::push`], and what became of them comes out of [`Self::next`], which is called until it has
/// nothing to say. After the last block [`Self::end`] makes it go on to the end.
pub struct Importer<T> {
    prefetch: Prefetch<T>,
    /// Blocks whose parents are not there.
    waiting: BlockPool<T>,
    /// Blocks whose parents have come, the next one last.
    ready: Vec<(IncomingBlock, T)>,
    ended: bool,
}

/// What became of a block.
#[derive(Debug)]
pub struct Imported<T> {
    /// What was given with its bytes.
    pub source: T,
    /// The block and its outcome, or why the bytes are no block. A block whose parent is unknown is told of once now and
    /// once when the parent has come.
    pub result: Result<(Arc<DecodedBlock>, BlockOutcome), DecodeError>,
}

impl<T: Clone> Importer<T> {
    /// For blocks of the chain with these parameters, of which at most `waiting_bytes` may wait for their parents: beyond
    /// that the oldest are forgotten.
    #[must_use]
    pub fn new(params: &ChainParams, waiting_bytes: usize) -> Self {
        Self {
            prefetch: Prefetch::new(params),
            waiting: BlockPool::new(waiting_bytes),
            ready: Vec::new(),
            ended: false,
        }
    }

    /// Takes the bytes of a block.
    pub fn push(&mut self, source: T, bytes: Vec<u8>) {
        self.prefetch.push(source, bytes);
    }

    /// As [`Self::push`], for a block that lies in the store's own files.
    pub(super) fn push_stored(&mut self, source: T, bytes: Vec<u8>, position: FilePosition) {
        self.prefetch.push_stored(source, bytes, Some(position));
    }

    /// No more blocks will be pushed.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// Has `chain` accept the next block. `None`: there is none, or the next one waits for more blocks to be prefetched.
    /// `now` is the network's time in seconds since 1970.
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
            // A block that is invalid by its own bytes leaves no header: another one may come with the same header.
            _ if chain.headers().lookup(&decoded.hash()).is_none() => {}
            _ => self.ready.extend(self.waiting.take_children(&decoded.hash()).into_iter().rev()),
        }
        Ok(Some(Imported { source, result: Ok((decoded, outcome)) }))
    }

    /// Blocks whose parents have not come, oldest first.
    pub fn unconnected(&self) -> impl Iterator<Item = (&DecodedBlock, &T)> {
        self.waiting.iter()
    }
}
