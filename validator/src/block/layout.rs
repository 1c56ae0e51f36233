//! The byte ranges of a block's transactions, found by reading lengths only.
//!
//! Once the ranges are known, all threads can decode and hash. The ranges are not validated here: the decoder of a
//! transaction finds out whether it ends at the end of its range.

use std::ops::Range;

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Txid, Wtxid};

/// Byte ranges of one transaction in its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransactionLayout {
    /// The whole transaction.
    pub(super) bytes: Range<usize>,
    /// Its inputs and outputs. They follow the version, and are followed by the witnesses, if any, and the lock time.
    pub(super) body: Range<usize>,
    /// Whether it is in the extended format, with witnesses.
    pub(super) extended: bool,
}

impl TransactionLayout {
    /// The ranges of `count` transactions that begin at byte `at` and end with `raw`. `None`: the bytes do not have that
    /// layout.
    pub(super) fn of_transactions(raw: &[u8], at: usize, count: u64) -> Option<Vec<Self>> {
        let mut lengths = Lengths { raw, at };
        let mut layouts = Vec::new();
        for _ in 0..count {
            layouts.push(lengths.transaction()?);
        }
        (lengths.at == raw.len()).then_some(layouts)
    }

    /// The length of version, body and lock time, in bytes.
    pub(super) fn stripped_size(&self) -> usize {
        4 + self.body.len() + 4
    }

    /// The transaction's id, and its hash with witnesses.
    pub(super) fn ids(&self, raw: &[u8]) -> (Txid, Wtxid) {
        let bytes = &raw[self.bytes.clone()];
        let whole = sha256d::Hash::hash(bytes);
        if !self.extended {
            return (Txid::from_raw_hash(whole), Wtxid::from_raw_hash(whole));
        }
        let mut engine = sha256d::Hash::engine();
        engine.input(&bytes[..4]);
        engine.input(&raw[self.body.clone()]);
        engine.input(&bytes[bytes.len() - 4..]);
        (Txid::from_engine(engine), Wtxid::from_raw_hash(whole))
    }
}

/// A cursor that reads lengths only. The ranges that it returns lie within the bytes.
struct Lengths<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Lengths<'_> {
    fn transaction(&mut self) -> Option<TransactionLayout> {
        let start = self.at;
        self.skip(4)?;
        let extended = match self.raw.get(self.at..)? {
            // Neither inputs nor outputs.
            [0, 0, ..] => false,
            [0, ..] => true,
            _ => false,
        };
        self.skip(if extended { 2 } else { 0 })?;
        let body = self.at;
        let inputs = self.count()?;
        for _ in 0..inputs {
            self.skip(36)?;
            self.skip_counted()?;
            self.skip(4)?;
        }
        for _ in 0..self.count()? {
            self.skip(8)?;
            self.skip_counted()?;
        }
        let body = body..self.at;
        if extended {
            for _ in 0..inputs {
                for _ in 0..self.count()? {
                    self.skip_counted()?;
                }
            }
        }
        self.skip(4)?;
        Some(TransactionLayout { bytes: start..self.at, body, extended })
    }

    fn skip_counted(&mut self) -> Option<()> {
        let count = self.count()?;
        self.skip(count)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.raw.len())?;
        Some(())
    }

    /// A CompactSize, in its shortest form or a longer one.
    fn count(&mut self) -> Option<usize> {
        let (&first, rest) = self.raw.get(self.at..)?.split_first()?;
        let (length, count) = match first {
            0xfd => (3, u16::from_le_bytes(*rest.first_chunk()?).into()),
            0xfe => (5, u32::from_le_bytes(*rest.first_chunk()?).into()),
            0xff => (9, u64::from_le_bytes(*rest.first_chunk()?)),
            count => (1, count.into()),
        };
        self.at += length;
        usize::try_from(count).ok()
    }
}
