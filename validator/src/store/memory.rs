//! A store that lasts as long as the process: for checks of a chain that need no data folder.

use std::collections::HashMap;

use bitcoin::{BlockHash, OutPoint};

use super::{Backing, Commit, StoreError};
use crate::coins::Coin;
use crate::coins::cache::CoinSource;
use crate::coins::undo::BlockUndo;
use crate::headers::tree::{BlockLocation, Entry, Span};

/// Blocks and undo data by block hash. The coins are all in the cache above, which is never committed.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: HashMap<BlockHash, Vec<u8>>,
    undo: HashMap<BlockHash, BlockUndo>,
    /// How far back blocks are kept for a reorganisation; `None`: all.
    depth: Option<u32>,
    /// What was kept, for forgetting it by height.
    by_height: std::collections::BTreeMap<u32, Vec<BlockHash>>,
}

impl MemoryStore {
    /// A store that forgets blocks and undo data more than `depth` heights below the highest block; `None`: never.
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
}

impl Backing for MemoryStore {
    fn is_durable(&self) -> bool {
        false
    }

    fn append_block(
        &mut self,
        hash: &BlockHash,
        height: u32,
        block: &[u8],
        transactions: u32,
    ) -> Result<BlockLocation, StoreError> {
        self.blocks.insert(*hash, block.to_vec());
        self.by_height.entry(height).or_default().push(*hash);
        self.forget_below(height);
        Ok(BlockLocation { file: 0, block: Span { offset: 0, length: block.len() as u32 }, undo: None, transactions })
    }

    fn append_undo(&mut self, entry: &Entry, _: &BlockLocation, undo: &BlockUndo) -> Result<Span, StoreError> {
        if self.blocks.contains_key(&entry.hash) {
            self.undo.insert(entry.hash, undo.clone());
        }
        Ok(Span { offset: 0, length: 0 })
    }

    fn read_block(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        self.blocks.get(&entry.hash).cloned().ok_or(StoreError::NotKept { hash: entry.hash })
    }

    fn read_undo(&self, entry: &Entry) -> Result<BlockUndo, StoreError> {
        self.undo.get(&entry.hash).cloned().ok_or(StoreError::NotKept { hash: entry.hash })
    }

    fn damaged_block(&self, entry: &Entry, what: String) -> StoreError {
        StoreError::Damaged { path: format!("block {} in memory", entry.hash).into(), offset: 0, what }
    }

    fn commit(&mut self, _: &Commit<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn for_each_coin(&self, _: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        Ok(())
    }
}
