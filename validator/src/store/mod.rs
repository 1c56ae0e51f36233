//! The store: where blocks, undo records, coins and the header index are kept, on disk or in memory.
//!
//! docs/store-format.md gives every file and record, and what is durable when. The chain state uses a store through the
//! trait [`Store`] and decides when to commit. A store applies no rule of consensus.

mod backend;
pub(crate) mod cache;
mod cells;
mod coin_source;
pub(crate) mod commit_note;
mod database;
pub mod disk;
mod error;
mod file_reader;
pub(crate) mod files;
pub mod folder;
pub(crate) mod framing;
pub(crate) mod inspect;
pub(crate) mod journal;
pub(crate) mod journal_repair;
pub(crate) mod location;
pub(crate) mod manifest;
mod marker;
pub mod memory;
#[cfg(test)]
mod private_formats;
pub(crate) mod rebuild;
mod record;
mod snapshot;

pub use backend::{BlockReader, Commit, LoadedStore, NewBlock, Store, StoreSnapshot};
pub use cache::{CachedCoins, CoinCache};
pub use coin_source::{CoinSource, NoCoins};
pub use error::StoreError;
pub(crate) use error::io_error;
pub use location::{BlockLocation, FileKind, FilePosition, Span, StoredBlock};
pub use marker::{Identity, store_folder};
pub use record::{BlockStatus, IndexRecord};
