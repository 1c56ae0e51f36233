//! A block, decoded from its bytes once: the transactions, and everything about them that several rules ask.
//!
//! The bytes are kept. Ids and sizes come from them and not from encoding the block again, scripts are checked on them,
//! and they are what is stored and sent on. `bitcoin` decodes; the two places where it differs from Bitcoin Core are
//! mended here, so that a block is refused as bytes exactly where Core refuses it as bytes.

mod layout;

use bitcoin::block::Header;
use bitcoin::consensus::{Decodable, encode};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash, Transaction, Txid, VarInt, Wtxid, absolute, transaction};
use rayon::prelude::*;

use layout::Layout;

/// The longest encoding of a block, in bytes.
///
/// Source: Bitcoin Core, `consensus/consensus.h`, `MAX_BLOCK_SERIALIZED_SIZE`. A longer one would also weigh too much.
pub const MAX_BLOCK_SERIALIZED_SIZE: usize = 4_000_000;

/// How many transactions are worth a thread: decoding or hashing fewer takes less time than waking one.
const TRANSACTIONS_A_THREAD: usize = 128;

/// A block and what follows from its bytes.
#[derive(Clone, Debug)]
pub struct DecodedBlock {
    block: Block,
    raw: Vec<u8>,
    hash: BlockHash,
    layout: Vec<Layout>,
    txids: Vec<Txid>,
    wtxids: Vec<Wtxid>,
}

/// Why bytes are no block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are more bytes than any block has.
    #[error("{length} bytes; a block has at most {MAX_BLOCK_SERIALIZED_SIZE}")]
    Oversize {
        /// How many.
        length: usize,
    },
    /// The bytes end too soon.
    #[error("byte {offset}: the block ends in the middle of {part}")]
    Truncated {
        /// Where they end.
        offset: usize,
        /// What they end in.
        part: Part,
    },
    /// The bytes mean nothing.
    #[error("byte {offset}: {part}: {source}")]
    Malformed {
        /// How far they meant something.
        offset: usize,
        /// What they should have meant.
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
    /// Memory is bounded by a multiple of the length of `raw` and some 20 MB, whatever lengths the bytes claim: `bitcoin`
    /// allocates at most that for a claim before it has seen the bytes, and ends at the first claim that fails. Runs on the
    /// current `rayon` pool.
    pub fn decode(raw: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let raw = raw.into();
        if raw.len() > MAX_BLOCK_SERIALIZED_SIZE {
            return Err(DecodeError::Oversize { length: raw.len() });
        }
        let mut cursor = Cursor { raw: &raw, rest: &raw };
        let header: Header = cursor.read(Part::Header)?;
        let count: VarInt = cursor.read(Part::TransactionCount)?;
        let places = Layout::of_transactions(&raw, cursor.offset(), count.0);
        let (txdata, layout, ids) = match places.and_then(|layout| decode_in_parallel(&raw, layout)) {
            Some(decoded) => decoded,
            // What is wrong, and where, the cursor says as it goes through the bytes.
            None => cursor.read_transactions(count.0)?,
        };
        let (txids, wtxids) = ids;
        let hash = BlockHash::from_raw_hash(sha256d::Hash::hash(&raw[..80]));
        Ok(Self { block: Block { header, txdata }, raw, hash, layout, txids, wtxids })
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

    /// The transactions, coinbase first if the block is a good one.
    #[must_use]
    pub fn transactions(&self) -> &[Transaction] {
        &self.block.txdata
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
        80 + count + self.layout.iter().map(Layout::stripped_size).sum::<usize>()
    }

    /// The weight of the block (BIP141): three times its length without witnesses and once its length with them.
    #[must_use]
    pub fn weight(&self) -> usize {
        3 * self.stripped_size() + self.raw.len()
    }
}

type Ids = (Vec<Txid>, Vec<Wtxid>);

/// Decodes and hashes the transactions in these places on all threads. `None`: they are not all transactions.
fn decode_in_parallel(raw: &[u8], layout: Vec<Layout>) -> Option<(Vec<Transaction>, Vec<Layout>, Ids)> {
    let decode = |(tx, place): (usize, &Layout)| {
        let Layout { bytes, .. } = place;
        let mut cursor = Cursor { raw: &raw[..bytes.end], rest: &raw[bytes.clone()] };
        let (transaction, found) = cursor.read_transaction(Part::Transaction(tx)).ok()?;
        (found == *place).then_some(transaction)
    };
    let places = || layout.par_iter().enumerate().with_min_len(TRANSACTIONS_A_THREAD);
    let (txdata, ids) = rayon::join(|| places().map(decode).collect::<Option<Vec<_>>>(), || ids(raw, &layout));
    Some((txdata?, layout, ids))
}

/// The ids of the transactions in these places.
fn ids(raw: &[u8], layout: &[Layout]) -> Ids {
    layout.par_iter().with_min_len(TRANSACTIONS_A_THREAD).map(|place| place.ids(raw)).unzip()
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
    fn read_transactions(&mut self, count: u64) -> Result<(Vec<Transaction>, Vec<Layout>, Ids), DecodeError> {
        let (mut txdata, mut layout) = (Vec::new(), Vec::new());
        for tx in 0..count {
            let part = Part::Transaction(usize::try_from(tx).unwrap_or(usize::MAX));
            let (transaction, place) = self.read_transaction(part)?;
            txdata.push(transaction);
            layout.push(place);
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
    fn read_transaction(&mut self, part: Part) -> Result<(Transaction, Layout), DecodeError> {
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
        Ok((transaction, Layout { bytes: start..self.offset(), body, extended }))
    }

    /// Reads a version, no inputs, a flag that says that no outputs follow, and a lock time.
    fn read_empty_transaction(&mut self, part: Part) -> Result<(Transaction, Layout), DecodeError> {
        let start = self.offset();
        let version: transaction::Version = self.read(part)?;
        self.rest = &self.rest[2..];
        let lock_time: absolute::LockTime = self.read(part)?;
        let layout = Layout { bytes: start..start + 10, body: start + 4..start + 6, extended: false };
        Ok((Transaction { version, lock_time, input: Vec::new(), output: Vec::new() }, layout))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;

    use super::*;
    use crate::block_file::BlockFile;
    use crate::chain::ChainParams;
    use crate::rules::testing::vectors;

    fn genesis() -> Vec<u8> {
        serialize(&ChainParams::main().genesis)
    }

    /// A block of these transactions under the genesis block's header.
    fn block_of(transactions: &[&[u8]]) -> Vec<u8> {
        let mut raw = genesis()[..80].to_vec();
        raw.extend(serialize(&VarInt::from(transactions.len())));
        raw.extend(transactions.concat());
        raw
    }

    #[test]
    fn facts_of_recorded_blocks_are_those_that_bitcoin_computes() {
        let Some(vectors) = vectors() else { return };
        for name in ["block-367891", "block-481824", "block-709632", "block-866342", "block-91880"] {
            let raw = vectors.read(&format!("mainnet/{name}.bin"));
            let decoded = DecodedBlock::decode(raw.clone()).unwrap();
            let block: Block = encode::deserialize(&raw).unwrap();
            assert_eq!(decoded.block(), &block, "{name}");
            assert_eq!(decoded.hash(), block.block_hash(), "{name}");
            assert_eq!(decoded.weight() as u64, block.weight().to_wu(), "{name}");
            for (tx, transaction) in block.txdata.iter().enumerate() {
                assert_eq!(decoded.txids()[tx], transaction.compute_txid(), "{name} {tx}");
                assert_eq!(decoded.wtxids()[tx], transaction.compute_wtxid(), "{name} {tx}");
                assert_eq!(decoded.raw_transaction(tx), serialize(transaction), "{name} {tx}");
                assert_eq!(decoded.stripped_transaction_size(tx), transaction.base_size(), "{name} {tx}");
            }
        }
    }

    #[test]
    fn every_prefix_is_refused_at_its_end() {
        let raw = genesis();
        assert!(DecodedBlock::decode(raw.clone()).is_ok());
        for length in 0..raw.len() {
            let error = DecodedBlock::decode(&raw[..length]).unwrap_err();
            let DecodeError::Truncated { offset, .. } = error else { panic!("{length}: {error}") };
            assert_eq!(offset, length);
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut raw = genesis();
        let length = raw.len();
        raw.push(0);
        let error = DecodedBlock::decode(raw).unwrap_err();
        assert_eq!(error.to_string(), format!("byte {length}: 1 bytes after the last transaction"));
    }

    #[test]
    fn oversize_is_refused_before_anything_is_read() {
        let error = DecodedBlock::decode(vec![0; MAX_BLOCK_SERIALIZED_SIZE + 1]).unwrap_err();
        assert!(matches!(error, DecodeError::Oversize { length: 4_000_001 }));
    }

    #[test]
    fn lengths_that_are_not_minimal_are_refused() {
        let raw = genesis();
        let mut long = raw[..80].to_vec();
        long.extend([0xfd, 1, 0]);
        long.extend(&raw[81..]);
        let error = DecodedBlock::decode(long).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { part: Part::TransactionCount, .. }), "{error}");
    }

    #[test]
    fn claimed_counts_allocate_nothing_before_the_bytes_are_there() {
        let mut raw = genesis()[..80].to_vec();
        raw.extend([0xff; 9]);
        raw.extend([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        let error = DecodedBlock::decode(raw).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { part: Part::Transaction(0), .. }), "{error}");
    }

    #[test]
    fn an_empty_transaction_is_read_as_core_reads_it() {
        let empty = [2, 0, 0, 0, 0, 0, 7, 0, 0, 0];
        let block = DecodedBlock::decode(block_of(&[&empty])).unwrap();
        let transaction = &block.transactions()[0];
        assert!(transaction.input.is_empty() && transaction.output.is_empty());
        assert_eq!(transaction.lock_time.to_consensus_u32(), 7);
        assert_eq!(block.txids()[0].to_raw_hash(), sha256d::Hash::hash(&empty));
        assert_eq!(block.stripped_transaction_size(0), 10);
        assert!(bitcoinkernel::Transaction::new(&empty).is_ok(), "Core reads it");
    }

    #[test]
    fn transactions_that_core_does_not_read_are_refused() {
        let input = [&[0; 36][..], &[0], &[0xff; 4]].concat();
        let output = [0_u8; 9];
        let transaction = |flag: &[u8], inputs: u8, witness: &[u8]| {
            let inputs_bytes = input.repeat(inputs.into());
            [&[1, 0, 0, 0][..], flag, &[inputs], &inputs_bytes, &[1], &output, witness, &[0; 4]].concat()
        };
        for (bytes, good) in [
            (transaction(&[], 1, &[]), true),
            (transaction(&[0, 1], 1, &[1, 1, 7]), true),
            // Witnesses announced, none there: with inputs and without.
            (transaction(&[0, 1], 1, &[0]), false),
            (transaction(&[0, 1], 0, &[]), false),
            // Unknown flags.
            (transaction(&[0, 2], 1, &[]), false),
            (transaction(&[0, 3], 1, &[1, 1, 7]), false),
        ] {
            assert_eq!(DecodedBlock::decode(block_of(&[&bytes])).is_ok(), good, "{bytes:02x?}");
            assert_eq!(bitcoinkernel::Transaction::new(&bytes).is_ok(), good, "Core: {bytes:02x?}");
        }
    }

    /// All threads at once find what one finds that goes through the bytes, and only where it finds a block.
    #[test]
    fn both_ways_of_decoding_agree_on_damaged_blocks() {
        let both = |raw: &[u8]| {
            let (mut cursor, count) = (Cursor { raw, rest: &raw[81..] }, u64::from(raw[80]));
            let places = Layout::of_transactions(raw, 81, count);
            let parallel = places.and_then(|layout| decode_in_parallel(raw, layout));
            assert_eq!(parallel, cursor.read_transactions(count).ok(), "{raw:02x?}");
            parallel.is_some()
        };
        let input = [&[7; 36][..], &[2, 1, 1], &[0xff; 4]].concat();
        let output = [&[1; 8][..], &[1, 0x51]].concat();
        let plain = [&[1, 0, 0, 0, 1][..], &input, &[1], &output, &[0; 4]].concat();
        let witness =
            [&[2, 0, 0, 0, 0, 1, 2][..], &input, &input, &[1], &output, &[2, 1, 7, 0], &[0], &[9; 4]].concat();
        let empty = [2, 0, 0, 0, 0, 0, 7, 0, 0, 0];
        let raw = block_of(&[&plain, &witness, &empty, &plain]);
        assert!(both(&raw));
        let mut good = 0;
        for at in 80..raw.len() {
            for byte in 0..=255 {
                let mut damaged = raw.clone();
                damaged[at] = byte;
                good += usize::from(damaged[80] < 0xfd && both(&damaged));
            }
            assert!(!both(&raw[..at.max(81)]));
        }
        assert!(good > 10_000, "most bytes mean nothing to it: {good}");
    }

    /// Whatever the bytes, a block that decodes is, encoded again, the same bytes: no second encoding passes.
    #[test]
    fn decoding_is_the_inverse_of_encoding_on_damaged_blocks() {
        let Some(vectors) = vectors() else { return };
        let file = vectors.read("mainnet/blocks-1-255.dat");
        let block = BlockFile::new(&file[..], ChainParams::main().magic).nth(169).unwrap().unwrap();
        assert_eq!(DecodedBlock::decode(block.bytes.clone()).unwrap().transactions().len(), 2, "block 170");
        for at in 0..block.bytes.len() {
            for bit in 0..8 {
                let mut damaged = block.bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(decoded) = DecodedBlock::decode(damaged.clone()) {
                    assert_eq!(serialize(decoded.block()), damaged, "byte {at}, bit {bit}");
                }
            }
        }
    }
}
