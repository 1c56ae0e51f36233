//! A record of the coin cache: marks, then the key and the value as the database has them.

use crate::coins::Coin;
use crate::coins::encoding::{decode_coin, split_key};

/// What the cache knows of an outpoint: marks, then the key and the value of the database, in one cell.
pub(super) struct CachedRecord<'a> {
    pub(super) marks: u8,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// The record differs from the store.
pub(super) const DIRTY: u8 = 1;

/// The store has no coin at this outpoint. Only with [`DIRTY`].
pub(super) const FRESH: u8 = 2;

/// The coin is spent, and the store still has it. Only with [`DIRTY`]. The value stays until the block can no longer be
/// rolled back.
pub(super) const SPENT: u8 = 4;

/// The record is in a table. One that is not waits to be freed, or to be restored by a rollback.
pub(super) const LINKED: u8 = 8;

impl<'a> CachedRecord<'a> {
    /// Splits the bytes of a cell; `None`: the cell was freed.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (marks, rest) = bytes.split_first()?;
        let (key, value) = split_key(rest);
        Some(Self { marks: *marks, key, value })
    }

    pub(super) const fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub(super) fn coin(&self) -> Option<Coin> {
        (!self.is(SPENT)).then(|| decode_coin(self.value).expect("the cache holds what it has encoded"))
    }
}
