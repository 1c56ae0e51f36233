//! A data folder as one commit left it, for threads that read while the store goes on.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bitcoin::OutPoint;
use fjall::{Database, Keyspace, Readable};

use super::disk::Folder;
use super::files::Records;
use super::folder::{coin_of, for_each_coin, location};
use super::{StoreError, StoreSnapshot};
use crate::coins::Coin;
use crate::coins::cache::CoinSource;
use crate::coins::encoding::encode_outpoint;
use crate::coins::undo::BlockUndo;
use crate::headers::tree::Entry;

/// Coins through a snapshot of the database; blocks from the files, which only ever grow until they are pruned whole.
pub(super) struct FolderSnapshot {
    pub(super) database_path: PathBuf,
    // In this order they are dropped: the database must be closed before the lock goes.
    pub(super) moment: fjall::Snapshot,
    pub(super) coins: Keyspace,
    pub(super) _database: Database,
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
        let key = encode_outpoint(outpoint);
        let value = self.moment.get(&self.coins, &key);
        let value = value.map_err(|source| StoreError::of_database(&self.database_path, source))?;
        value.map(|value| coin_of(&key, &value)).transpose()
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
        for_each_coin(self.moment.iter(&self.coins), &self.database_path, with)
    }
}
