//! The errors of a list of prevouts.

use std::io;

use bitcoin::OutPoint;

/// A list cannot be read, or is not the list of a block. Entries, transactions and inputs are counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrevoutsError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("more than {limit} bytes")]
    TooLong {
        /// The longest list that is read, in bytes.
        limit: u64,
    },
    /// It is not JSON, or has another format.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It has other columns.
    #[error("fields {seen:?}; wanted {wanted:?}")]
    Fields {
        /// Its columns.
        seen: Vec<String>,
        /// The columns of the format.
        wanted: &'static [&'static str],
    },
    /// A transaction in Bitcoin Core's JSON of a block has another format.
    #[error("transaction {tx}: {reason} of the transaction")]
    Transaction {
        /// Its position in the block; the coinbase's is 0.
        tx: usize,
        /// The error, with its position in the transaction's text.
        reason: serde_json::Error,
    },
    /// An input in Bitcoin Core's JSON of a block has no prevout.
    #[error(
        "transaction {tx}: input {input} has no prevout; wanted the block as `getblock HASH 3` prints it, by a node that has \
         the block's undo data"
    )]
    NoPrevout {
        /// The transaction's position in the block.
        tx: usize,
        /// The input.
        input: usize,
    },
    /// The block in Bitcoin Core's JSON has only the ids of its transactions.
    #[error("transaction {tx} is an id only; wanted the block as `getblock HASH 3` prints it")]
    OnlyIds {
        /// The transaction's position in the block.
        tx: usize,
    },
    /// An output's value in Bitcoin Core's JSON of a block is not an amount in bitcoin.
    #[error(
        "transaction {tx}: input {input}: value {value}; wanted bitcoin, with at most 8 decimals that are not zero"
    )]
    Value {
        /// The transaction's position in the block.
        tx: usize,
        /// The input.
        input: usize,
        /// The value as written.
        value: String,
    },
    /// A column of an entry is invalid.
    #[error("entry {entry}: {field} {value:?}: {reason}")]
    Entry {
        /// The number of the entry.
        entry: usize,
        /// The column.
        field: &'static str,
        /// The value as written.
        value: String,
        /// The error.
        reason: String,
    },
    /// It has more or fewer entries than the block has inputs.
    #[error("{seen} entries; the block spends {wanted} outputs")]
    Count {
        /// The number of its entries.
        seen: usize,
        /// The number of outputs that the block spends.
        wanted: usize,
    },
    /// An entry is not the output that the block spends at this position.
    #[error("entry {entry}: {seen}; the block spends {wanted} there")]
    Outpoint {
        /// The number of the entry.
        entry: usize,
        /// The entry's output.
        seen: OutPoint,
        /// The output that the block spends.
        wanted: OutPoint,
    },
    /// An entry differs from the output that the block itself creates.
    #[error("entry {entry}: {outpoint} is not as the block makes it")]
    NotAsMade {
        /// The number of the entry.
        entry: usize,
        /// The output.
        outpoint: OutPoint,
    },
    /// Its creation height is not below the block's, and the block does not create it.
    #[error("entry {entry}: created at height {created}; the block at height {height} does not make it")]
    NotMade {
        /// The number of the entry.
        entry: usize,
        /// Its creation height.
        created: u32,
        /// The block's.
        height: u32,
    },
}
