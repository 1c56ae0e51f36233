//! A data folder as one commit left it, for threads that read while the store goes on.

use std::fs::File;
use std::sync::Arc;

use bitcoin::OutPoint;

use super::database::Moment;
use super::disk::Folder;
use super::files::Records;
use super::folder::location;
use super::{StoreError, StoreSnapshot};
use crate::coins::Coin;
use crate::coins::cache::CoinSource;
use crate::coins::undo::BlockUndo;
use crate::headers::tree::Entry;

/// Coins through a snapshot of the database; blocks from the files, which only ever grow until they are pruned whole.
pub(super) struct FolderSnapshot {
    // Before the lock, which must go last.
    pub(super) moment: Moment,
    pub(super) blocks: Arc<Folder>,
    pub(super) magic: [u8; 4],
    pub(super) _lock: Arc<File>,
}

impl FolderSnapshot {
    fn records(&self) -> Records<'_> {
        Records { disk: &*self.blocks, magic: self.magic }
    }
}

/// Tells a file that was pruned after this snapshot from one that is damaged.
fn or_pruned<T>(entry: &Entry, read: Result<T, StoreError>) -> Result<T, StoreError> {
    match read {
        Err(StoreError::Damaged { path, .. }) if !path.exists() => {
            Err(StoreError::Pruned { hash: entry.hash, height: entry.height })
        }
        read => read,
    }
}

impl CoinSource for FolderSnapshot {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        self.moment.coin(outpoint)
    }
}

impl StoreSnapshot for FolderSnapshot {
    fn read_block(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        or_pruned(entry, self.records().read_block(location(entry)?))
    }

    fn read_undo(&self, entry: &Entry) -> Result<BlockUndo, StoreError> {
        let location = location(entry)?;
        let span = location.undo.ok_or(StoreError::NotKept { hash: entry.hash })?;
        or_pruned(entry, self.records().read_undo(location.file, span, &entry.header.prev_blockhash))
    }

    fn damaged_block(&self, entry: &Entry, what: String) -> StoreError {
        location(entry).map_or_else(|error| error, |location| self.records().damaged_block(location, what))
    }

    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.moment.for_each_coin(with)
    }
}
