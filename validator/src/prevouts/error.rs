//! What can be wrong with a list of prevouts.

use std::io;

use bitcoin::OutPoint;

/// Why a list cannot be read, or is not the list of a block. Entries, transactions and inputs are counted from 0.
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
    /// It is not JSON, or not of this form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It has other columns.
    #[error("fields {seen:?}; wanted {wanted:?}")]
    Fields {
        /// Which.
        seen: Vec<String>,
        /// Those of the format.
        wanted: &'static [&'static str],
    },
    /// A transaction in Bitcoin Core's JSON of a block is not of its form.
    #[error("transaction {tx}: {reason} of the transaction")]
    Transaction {
        /// Its place in the block, the coinbase's being 0.
        tx: usize,
        /// What is wrong with it, and where in its text.
        reason: serde_json::Error,
    },
    /// An input in Bitcoin Core's JSON of a block does not say what it spends.
    #[error(
        "transaction {tx}: input {input} has no prevout; wanted the block as `getblock HASH 3` prints it, by a node that has \
         the block's undo data"
    )]
    NoPrevout {
        /// The transaction's place in the block.
        tx: usize,
        /// The input.
        input: usize,
    },
    /// The block in Bitcoin Core's JSON lists the ids of its transactions only.
    #[error("transaction {tx} is an id only; wanted the block as `getblock HASH 3` prints it")]
    OnlyIds {
        /// The transaction's place in the block.
        tx: usize,
    },
    /// An output's value in Bitcoin Core's JSON of a block is no amount in bitcoin.
    #[error(
        "transaction {tx}: input {input}: value {value}; wanted bitcoin, with at most 8 decimals that are not zero"
    )]
    Value {
        /// The transaction's place in the block.
        tx: usize,
        /// The input.
        input: usize,
        /// What stands there.
        value: String,
    },
    /// A column of an entry means nothing.
    #[error("entry {entry}: {field} {value:?}: {reason}")]
    Entry {
        /// Which entry.
        entry: usize,
        /// The column.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has more or fewer entries than the block has inputs.
    #[error("{seen} entries; the block spends {wanted} outputs")]
    Count {
        /// How many it has.
        seen: usize,
        /// How many the block spends.
        wanted: usize,
    },
    /// An entry is not the output that the block spends at its place.
    #[error("entry {entry}: {seen}; the block spends {wanted} there")]
    Outpoint {
        /// Which entry.
        entry: usize,
        /// What it is.
        seen: OutPoint,
        /// What the block spends.
        wanted: OutPoint,
    },
    /// An entry is not the output that the block itself makes.
    #[error("entry {entry}: {outpoint} is not as the block makes it")]
    NotAsMade {
        /// Which entry.
        entry: usize,
        /// The output.
        outpoint: OutPoint,
    },
    /// An entry claims to be as high as the block or higher, and no transaction of the block makes it.
    #[error("entry {entry}: created at height {created}; the block at height {height} does not make it")]
    NotMade {
        /// Which entry.
        entry: usize,
        /// The height that it claims.
        created: u32,
        /// The block's.
        height: u32,
    },
}
