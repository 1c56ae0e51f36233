//! Errors of the filter index.

use std::path::PathBuf;

use bitcoin::BlockHash;
use thiserror::Error;

use super::database::FORMAT;
use crate::store::StoreError;

/// The filter index cannot answer a query or follow the chain.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The index or the chain's store cannot be read or written, or is damaged. A damaged index can be deleted: the
    /// next start rebuilds it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index belongs to another chain.
    #[error("the filter index {folder} starts with another block than {genesis}")]
    OtherChain {
        /// The index's folder.
        folder: PathBuf,
        /// The genesis block of the chain that was to be indexed.
        genesis: BlockHash,
    },
    /// A later version wrote the index.
    #[error("the filter index {folder} has format {found}; this version reads formats up to {FORMAT}")]
    NewerFormat {
        /// The index's folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The header tree has no such block.
    #[error("no block {hash} is known")]
    UnknownBlock {
        /// The block asked for.
        hash: BlockHash,
    },
    /// The block was never in the active chain while the index followed it, or the index has not reached it.
    #[error("the filter index does not have block {hash} at height {height}")]
    NotIndexed {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// A query asks for more blocks than BIP157 allows, or its range is empty.
    #[error("heights {start} to {stop}: a range has 1 to {limit} blocks")]
    Range {
        /// The first height.
        start: u32,
        /// The last.
        stop: u32,
        /// The greatest number of blocks in this kind of query.
        limit: u32,
    },
}
