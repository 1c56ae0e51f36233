//! A data folder as of one commit, for threads that read while the store is written.

use std::fs::File;
use std::sync::Arc;

use bitcoin::OutPoint;

use super::backend::BlockReader;
use super::coin_source::CoinSource;
use super::database::DatabaseSnapshot;
use super::disk::Folder;
use super::error::StoreError;
use super::file_reader::{FileReader, undo_span};
use super::location::StoredBlock;
use crate::coins::{BlockUndo, Coin};

/// Coins are read from a snapshot of the database, blocks from the files, which only grow until they are deleted by
/// pruning.
pub(super) struct FolderSnapshot {
    // Dropped before the lock.
    pub(super) coins: DatabaseSnapshot,
    pub(super) blocks: Arc<Folder>,
    pub(super) magic: [u8; 4],
    pub(super) _lock: Arc<File>,
}

impl FolderSnapshot {
    fn reader(&self) -> FileReader<'_> {
        FileReader { disk: &*self.blocks, magic: self.magic }
    }
}

/// Turns the error for a missing file into [`StoreError::Pruned`]: the file was pruned after the snapshot.
fn or_pruned<T>(block: &StoredBlock, read: Result<T, StoreError>) -> Result<T, StoreError> {
    match read {
        Err(StoreError::Damaged { path, .. }) if !path.exists() => {
            Err(StoreError::Pruned { hash: block.hash, height: block.height })
        }
        read => read,
    }
}

impl CoinSource for FolderSnapshot {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        self.coins.coin(outpoint)
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.coins.for_each_coin(with)
    }
}

impl BlockReader for FolderSnapshot {
    fn read_block(&self, block: &StoredBlock) -> Result<Vec<u8>, StoreError> {
        or_pruned(block, self.reader().read_block(&block.location))
    }

    fn read_undo(&self, block: &StoredBlock) -> Result<BlockUndo, StoreError> {
        let span = undo_span(block)?;
        or_pruned(block, self.reader().read_undo(block.location.file, span, &block.prev_hash))
    }

    fn damaged_block(&self, block: &StoredBlock, what: String) -> StoreError {
        self.reader().damaged_block(&block.location, what)
    }
}
