//! A store in memory, for checks of a chain without a data folder.

use std::collections::HashMap;

use bitcoin::{BlockHash, OutPoint};

use super::backend::{BlockReader, Commit, NewBlock, Store};
use super::coin_source::CoinSource;
use super::error::StoreError;
use super::location::{BlockLocation, Span, StoredBlock};
use crate::coins::{BlockUndo, Coin};

/// Blocks and undo data by block hash. All coins are in the cache above, which is never committed.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: HashMap<BlockHash, Vec<u8>>,
    undo: HashMap<BlockHash, BlockUndo>,
    /// The number of heights below the highest whose blocks are kept; `None`: all.
    depth: Option<u32>,
    /// The blocks by height, for removal.
    by_height: std::collections::BTreeMap<u32, Vec<BlockHash>>,
}

impl MemoryStore {
    /// A store that removes blocks and undo data more than `depth` heights below the highest block; `None`: never.
    #[must_use]
    pub fn new(depth: Option<u32>) -> Self {
        Self { depth, ..Self::default() }
    }

    fn forget_below(&mut self, highest: u32) {
        let Some(lowest) = self.depth.and_then(|depth| highest.checked_sub(depth)) else { return };
        while let Some(first) = self.by_height.first_entry().filter(|first| *first.key() < lowest) {
            for hash in first.remove() {
                self.blocks.remove(&hash);
                self.undo.remove(&hash);
            }
        }
    }
}

impl CoinSource for MemoryStore {
    fn load_coin(&self, _: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(None)
    }

    fn for_each_coin(&self, _: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        Ok(())
    }
}

impl BlockReader for MemoryStore {
    fn read_block(&self, block: &StoredBlock) -> Result<Vec<u8>, StoreError> {
        self.blocks.get(&block.hash).cloned().ok_or(StoreError::NotKept { hash: block.hash })
    }

    fn read_undo(&self, block: &StoredBlock) -> Result<BlockUndo, StoreError> {
        self.undo.get(&block.hash).cloned().ok_or(StoreError::NotKept { hash: block.hash })
    }

    fn damaged_block(&self, block: &StoredBlock, what: String) -> StoreError {
        StoreError::Damaged { path: format!("block {} in memory", block.hash).into(), offset: 0, what }
    }
}

impl Store for MemoryStore {
    fn is_durable(&self) -> bool {
        false
    }

    fn append_block(&mut self, block: &NewBlock<'_>) -> Result<BlockLocation, StoreError> {
        let NewBlock { hash, height, bytes, transactions, .. } = *block;
        self.blocks.insert(hash, bytes.to_vec());
        self.by_height.entry(height).or_default().push(hash);
        self.forget_below(height);
        Ok(BlockLocation { file: 0, block: Span { offset: 0, length: bytes.len() as u32 }, undo: None, transactions })
    }

    fn append_undo(&mut self, block: &StoredBlock, undo: &BlockUndo) -> Result<Span, StoreError> {
        if self.blocks.contains_key(&block.hash) {
            self.undo.insert(block.hash, undo.clone());
        }
        Ok(Span { offset: 0, length: 0 })
    }

    fn commit(&mut self, _: Commit<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}
