//! A record of the coin cache: marks, then the key and the value as the database has them.

use crate::coins::Coin;
use crate::coins::encoding::{decode_coin, split_key};

/// What the cache knows of an outpoint: marks, the key and the value of the store. In [`Cells`] the three stand one after
/// the other.
pub(super) struct CachedRecord<'a> {
    pub(super) marks: u8,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// It differs from the store.
pub(super) const DIRTY: u8 = 1;

/// The store has nothing here. Only with [`DIRTY`].
pub(super) const FRESH: u8 = 2;

/// The coin is spent, and the store has it still. Only with [`DIRTY`]. Its value stays, in case the block is taken back.
pub(super) const SPENT: u8 = 4;

/// It is in a table. What is not waits to be freed, or to be taken back.
pub(super) const LINKED: u8 = 8;

impl<'a> CachedRecord<'a> {
    /// `None`: the cell was freed.
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
