//! A block, decoded from its bytes once, with everything about its transactions that several rules need.
//!
//! The bytes are kept. Ids and sizes come from them and not from encoding the block again, scripts are checked on them,
//! and they are what is stored and sent on. `bitcoin` decodes; its two differences from Bitcoin Core are
//! corrected here, so that bytes are refused exactly where Core refuses them.

mod layout;
mod memory;

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::OnceLock;

use bitcoin::block::Header;
use bitcoin::consensus::{Decodable, encode};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid, VarInt, Wtxid, absolute, transaction};
use foldhash::fast::RandomState;
use rayon::prelude::*;

use layout::TransactionLayout;

/// The longest encoding of a block, in bytes.
///
/// Source: Bitcoin Core, `consensus/consensus.h`, `MAX_BLOCK_SERIALIZED_SIZE`. A longer one would also weigh too much.
pub const MAX_BLOCK_SERIALIZED_SIZE: usize = 4_000_000;

/// The least number of transactions for another thread: decoding or hashing fewer takes less time than waking one.
const TRANSACTIONS_A_THREAD: usize = 128;

/// A block and what follows from its bytes.
#[derive(Clone, Debug)]
pub struct DecodedBlock {
    block: Block,
    raw: Vec<u8>,
    hash: BlockHash,
    layout: Vec<TransactionLayout>,
    txids: Vec<Txid>,
    wtxids: Vec<Wtxid>,
    /// The position of each transaction by its id, made when first asked for.
    positions: OnceLock<HashMap<Txid, usize, RandomState>>,
}

/// Why bytes do not decode to a block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are more bytes than a block can have.
    #[error("{length} bytes; a block has at most {MAX_BLOCK_SERIALIZED_SIZE}")]
    Oversize {
        /// The claimed number.
        length: usize,
    },
    /// The bytes end too soon.
    #[error("byte {offset}: the block ends in the middle of {part}")]
    Truncated {
        /// Where they end.
        offset: usize,
        /// The part of the block in which they end.
        part: Part,
    },
    /// The bytes cannot be decoded.
    #[error("byte {offset}: {part}: {source}")]
    Malformed {
        /// The offset where decoding failed.
        offset: usize,
        /// The part of the block that they should be.
        part: Part,
        /// What is wrong.
        source: encode::Error,
    },
    /// Something follows the last transaction.
    #[error("byte {offset}: {count} bytes after the last transaction")]
    TrailingBytes {
        /// Where it begins.
        offset: usize,
        /// Its length.
        count: usize,
    },
}

/// Why no block could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBlockError {
    /// The input cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its bytes are not a block.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The first 80 bytes.
    Header,
    /// The number of transactions.
    TransactionCount,
    /// A transaction, counted from 0.
    Transaction(usize),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Header => f.write_str("the header"),
            Part::TransactionCount => f.write_str("the number of transactions"),
            Part::Transaction(tx) => write!(f, "transaction {tx}"),
        }
    }
}

impl DecodedBlock {
    /// Decodes a block and hashes its transactions.
    ///
    /// Memory is bounded by a multiple of the length of `raw` and some 20 MB, whatever lengths the bytes claim:
    /// `bitcoin` allocates at most that for a claim before it has seen the bytes, and ends at the first claim that
    /// fails. Runs on the current `rayon` pool.
    ///
    /// # Errors
    /// The bytes are not one whole block, or more than a block can have.
    pub fn decode(raw: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let raw = raw.into();
        if raw.len() > MAX_BLOCK_SERIALIZED_SIZE {
            return Err(DecodeError::Oversize { length: raw.len() });
        }
        let mut cursor = Cursor { raw: &raw, rest: &raw };
        let header: Header = cursor.read(Part::Header)?;
        let count: VarInt = cursor.read(Part::TransactionCount)?;
        let layouts = TransactionLayout::of_transactions(&raw, cursor.offset(), count.0);
        let (txdata, layout, ids) = match layouts.and_then(|layout| decode_in_parallel(&raw, layout)) {
            Some(decoded) => decoded,
            // The cursor reads the bytes again in order, to report what is wrong and where.
            None => cursor.read_transactions(count.0)?,
        };
        let (txids, wtxids) = ids;
        let hash = BlockHash::from_raw_hash(sha256d::Hash::hash(&raw[..80]));
        Ok(Self { block: Block { header, txdata }, raw, hash, layout, txids, wtxids, positions: OnceLock::new() })
    }

    /// Reads and decodes a block that ends where `input` ends. Reads no more than a block can have.
    ///
    /// # Errors
    /// `input` cannot be read, or as [`Self::decode`].
    pub fn read(input: impl Read) -> Result<Self, ReadBlockError> {
        let mut raw = Vec::new();
        input.take(MAX_BLOCK_SERIALIZED_SIZE as u64 + 1).read_to_end(&mut raw)?;
        Ok(Self::decode(raw)?)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.block.header
    }

    /// The header's double hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The transactions. The first one of a valid block is the coinbase.
    #[must_use]
    pub fn transactions(&self) -> &[Transaction] {
        &self.block.txdata
    }

    /// All transactions but coinbases, with their positions.
    pub(crate) fn spenders(&self) -> impl Iterator<Item = (usize, &Transaction)> + Clone {
        self.transactions().iter().enumerate().filter(|(_, transaction)| !transaction.is_coinbase())
    }

    /// The outpoints that [`Self::spenders`] spend, in order.
    pub(crate) fn spent(&self) -> impl Iterator<Item = OutPoint> + Clone {
        self.spenders().flat_map(|(_, transaction)| &transaction.input).map(|input| input.previous_output)
    }

    /// Those of [`Self::spent`] that the block does not create itself, in order.
    pub(crate) fn spent_from_before(&self) -> impl Iterator<Item = OutPoint> {
        self.spent().filter(|outpoint| self.position(&outpoint.txid).is_none())
    }

    /// The block as `bitcoin` has it.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The bytes of the block.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes of transaction `tx`, witnesses included.
    ///
    /// # Panics
    /// If there is no such transaction.
    #[must_use]
    pub fn raw_transaction(&self, tx: usize) -> &[u8] {
        &self.raw[self.layout[tx].bytes.clone()]
    }

    /// The id of each transaction.
    #[must_use]
    pub fn txids(&self) -> &[Txid] {
        &self.txids
    }

    /// The position of the transaction with this id. The index is made at the first call.
    #[must_use]
    pub fn position(&self, txid: &Txid) -> Option<usize> {
        self.positions().get(txid).copied()
    }

    /// Builds the index of [`Self::position`] now, so that the thread that connects does not.
    pub(crate) fn build_index(&self) {
        self.positions();
    }

    fn positions(&self) -> &HashMap<Txid, usize, RandomState> {
        self.positions.get_or_init(|| self.txids.iter().copied().zip(0..).collect())
    }

    /// The hash of each transaction with its witnesses. The coinbase's is its own, not the zeros that stand for it in the
    /// witness commitment.
    #[must_use]
    pub fn wtxids(&self) -> &[Wtxid] {
        &self.wtxids
    }

    /// The length of transaction `tx` in bytes, without witnesses.
    ///
    /// # Panics
    /// If there is no such transaction.
    #[must_use]
    pub fn stripped_transaction_size(&self, tx: usize) -> usize {
        self.layout[tx].stripped_size()
    }

    /// The length of the block in bytes, without witnesses.
    #[must_use]
    pub fn stripped_size(&self) -> usize {
        let count = VarInt::from(self.layout.len()).size();
        80 + count + self.layout.iter().map(TransactionLayout::stripped_size).sum::<usize>()
    }

    /// The weight of the block (BIP141): three times its length without witnesses and once its length with them.
    #[must_use]
    pub fn weight(&self) -> usize {
        3 * self.stripped_size() + self.raw.len()
    }
}

type Ids = (Vec<Txid>, Vec<Wtxid>);

/// Decodes and hashes the transactions with these layouts on all threads. `None`: one of them is no transaction.
fn decode_in_parallel(
    raw: &[u8],
    layout: Vec<TransactionLayout>,
) -> Option<(Vec<Transaction>, Vec<TransactionLayout>, Ids)> {
    let decode = |(tx, layout): (usize, &TransactionLayout)| {
        let TransactionLayout { bytes, .. } = layout;
        let mut cursor = Cursor { raw: &raw[..bytes.end], rest: &raw[bytes.clone()] };
        let (transaction, found) = cursor.read_transaction(Part::Transaction(tx)).ok()?;
        (found == *layout).then_some(transaction)
    };
    let layouts = || layout.par_iter().enumerate().with_min_len(TRANSACTIONS_A_THREAD);
    let (txdata, ids) = rayon::join(|| layouts().map(decode).collect::<Option<Vec<_>>>(), || ids(raw, &layout));
    Some((txdata?, layout, ids))
}

/// The ids of the transactions with these layouts.
fn ids(raw: &[u8], layout: &[TransactionLayout]) -> Ids {
    layout.par_iter().with_min_len(TRANSACTIONS_A_THREAD).map(|layout| layout.ids(raw)).unzip()
}

/// The bytes of a block and how far they have been read.
struct Cursor<'a> {
    raw: &'a [u8],
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn offset(&self) -> usize {
        self.raw.len() - self.rest.len()
    }

    fn read<T: Decodable>(&mut self, part: Part) -> Result<T, DecodeError> {
        T::consensus_decode_from_finite_reader(&mut self.rest).map_err(|source| self.error(part, source))
    }

    fn error(&self, part: Part, source: encode::Error) -> DecodeError {
        let offset = self.offset();
        match source {
            encode::Error::Io(_) => DecodeError::Truncated { offset, part },
            source => DecodeError::Malformed { offset, part, source },
        }
    }

    /// Reads `count` transactions, after which nothing follows, one after the other.
    fn read_transactions(
        &mut self,
        count: u64,
    ) -> Result<(Vec<Transaction>, Vec<TransactionLayout>, Ids), DecodeError> {
        let (mut txdata, mut layout) = (Vec::new(), Vec::new());
        for tx in 0..count {
            let part = Part::Transaction(usize::try_from(tx).unwrap_or(usize::MAX));
            let (transaction, bytes) = self.read_transaction(part)?;
            txdata.push(transaction);
            layout.push(bytes);
        }
        if !self.rest.is_empty() {
            return Err(DecodeError::TrailingBytes { offset: self.offset(), count: self.rest.len() });
        }
        let ids = ids(self.raw, &layout);
        Ok((txdata, layout, ids))
    }

    /// Reads a transaction as Bitcoin Core does (`primitives/transaction.h`, `UnserializeTransaction`). `bitcoin` refuses
    /// the transaction that has neither inputs nor outputs, which Core reads and then refuses by rule; and it accepts the
    /// one that has no inputs and announces witnesses, which Core does not read.
    fn read_transaction(&mut self, part: Part) -> Result<(Transaction, TransactionLayout), DecodeError> {
        let start = self.offset();
        let extended = match *self.rest {
            [_, _, _, _, 0, 0, ..] => return self.read_empty_transaction(part),
            [_, _, _, _, 0, ..] => true,
            _ => false,
        };
        let transaction: Transaction = self.read(part)?;
        if extended && transaction.input.is_empty() {
            let source = encode::Error::ParseFailed("witness flag set but no witnesses present");
            return Err(self.error(part, source));
        }
        let body = start + if extended { 6 } else { 4 };
        let body = body..body + transaction.base_size() - 8;
        Ok((transaction, TransactionLayout { bytes: start..self.offset(), body, extended }))
    }

    /// Reads a version, no inputs, a flag that says that no outputs follow, and a lock time.
    fn read_empty_transaction(&mut self, part: Part) -> Result<(Transaction, TransactionLayout), DecodeError> {
        let start = self.offset();
        let version: transaction::Version = self.read(part)?;
        self.rest = &self.rest[2..];
        let lock_time: absolute::LockTime = self.read(part)?;
        let layout = TransactionLayout { bytes: start..start + 10, body: start + 4..start + 6, extended: false };
        Ok((Transaction { version, lock_time, input: Vec::new(), output: Vec::new() }, layout))
    }
}

#[cfg(test)]
mod tests;
