//! The encoding of the database's records of headers and files.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;

use super::files::FileInfo;
use super::location::{BlockLocation, Span, StoredBlock};
use crate::serialize::{Decoder, EncodingError};

const HAS_BLOCK: u8 = 1;
const HAS_UNDO: u8 = 2;
const CONNECTED: u8 = 4;
const FAILED: u8 = 8;

/// A block's validity in the index. Whether an ancestor breaks a rule follows from the parents' records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockStatus {
    /// No broken rule is known.
    Unvalidated,
    /// The block was connected: it obeys every rule.
    Connected,
    /// The block itself breaks a rule.
    Failed,
}

/// The index record of one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRecord {
    /// The header.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Whether the block is known to be valid or invalid.
    pub status: BlockStatus,
    /// The block's location; `None`: it is not stored.
    pub location: Option<BlockLocation>,
}

impl IndexRecord {
    /// The block's hashes, height and location; `None`: it is not stored.
    #[must_use]
    pub fn stored(&self) -> Option<StoredBlock> {
        let location = self.location?;
        Some(StoredBlock { hash: self.hash, prev_hash: self.header.prev_blockhash, height: self.height, location })
    }
}

/// The key of an index record: height, big-endian, then hash, so that parents come before children.
pub(super) fn index_key(record: &IndexRecord) -> [u8; 36] {
    let mut key = [0; 36];
    key[..4].copy_from_slice(&record.height.to_be_bytes());
    key[4..].copy_from_slice(record.hash.as_byte_array());
    key
}

pub(super) fn index_value(record: &IndexRecord) -> Vec<u8> {
    let undo = record.location.and_then(|location| location.undo);
    let mut status = match record.status {
        BlockStatus::Unvalidated => 0,
        BlockStatus::Connected => CONNECTED,
        BlockStatus::Failed => FAILED,
    };
    status |= if record.location.is_some() { HAS_BLOCK } else { 0 } | if undo.is_some() { HAS_UNDO } else { 0 };
    let nowhere = Span { offset: 0, length: 0 };
    let location = record.location.unwrap_or(BlockLocation { file: 0, block: nowhere, undo, transactions: 0 });
    let undo = undo.unwrap_or(nowhere);
    let mut value = serialize(&record.header);
    value.push(status);
    let numbers =
        [location.transactions, location.file, location.block.offset, location.block.length, undo.offset, undo.length];
    value.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    value
}

pub(super) fn decode_index(key: &[u8], value: &[u8]) -> Result<IndexRecord, EncodingError> {
    let mut from = Decoder::new(key);
    let height = u32::from_be_bytes(from.take_array()?);
    let hash = BlockHash::from_byte_array(from.take_array()?);
    from.finish()?;

    let mut from = Decoder::new(value);
    let header: Header = deserialize(from.take(80)?).map_err(|_| from.error("no header"))?;
    if header.block_hash() != hash {
        return Err(from.error("a header that does not have the key's hash"));
    }
    let [status] = from.take_array()?;
    let mut number = || from.take_array().map(u32::from_le_bytes);
    let (transactions, file) = (number()?, number()?);
    let block = Span { offset: number()?, length: number()? };
    let undo = Span { offset: number()?, length: number()? };
    from.finish()?;
    let known = match status & (CONNECTED | FAILED) {
        0 => BlockStatus::Unvalidated,
        CONNECTED => BlockStatus::Connected,
        FAILED => BlockStatus::Failed,
        _ => return Err(from.error("a block that both kept and broke the rules")),
    };
    if status >= FAILED << 1 || status & (HAS_BLOCK | HAS_UNDO) == HAS_UNDO {
        return Err(from.error("a status of unknown bits"));
    }
    let undo = (status & HAS_UNDO != 0).then_some(undo);
    let location = (status & HAS_BLOCK != 0).then_some(BlockLocation { file, block, undo, transactions });
    Ok(IndexRecord { header, hash, height, status: known, location })
}

pub(super) fn file_info_value(info: &FileInfo) -> Vec<u8> {
    let numbers = [info.block_bytes, info.undo_bytes, info.blocks, info.lowest, info.highest];
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn decode_file_info(key: &[u8], value: &[u8]) -> Result<(u32, FileInfo), EncodingError> {
    let mut from = Decoder::new(key);
    let number = u32::from_be_bytes(from.take_array()?);
    from.finish()?;
    let mut from = Decoder::new(value);
    let mut next = || from.take_array().map(u32::from_le_bytes);
    let info =
        FileInfo { block_bytes: next()?, undo_bytes: next()?, blocks: next()?, lowest: next()?, highest: next()? };
    from.finish()?;
    Ok((number, info))
}

#[cfg(test)]
mod tests {
    use bitcoin::Network;

    use super::*;

    #[test]
    fn every_state_of_an_entry_comes_back() {
        let genesis = bitcoin::constants::genesis_block(Network::Signet).header;
        let block = Span { offset: 8, length: 285 };
        let location = BlockLocation { file: 3, block, undo: None, transactions: 2 };
        let undo = Some(Span { offset: 70_000, length: 9 });
        for location in [None, Some(location), Some(BlockLocation { undo, ..location })] {
            for status in [BlockStatus::Unvalidated, BlockStatus::Connected, BlockStatus::Failed] {
                let record = IndexRecord { header: genesis, hash: genesis.block_hash(), height: 0, status, location };
                let (key, value) = (index_key(&record), index_value(&record));
                assert_eq!(decode_index(&key, &value), Ok(record));
                for length in 0..value.len() {
                    assert!(decode_index(&key, &value[..length]).is_err());
                }
                let mut other = value.clone();
                other[5] ^= 1;
                assert_eq!(decode_index(&key, &other).unwrap_err().what, "a header that does not have the key's hash");
                let mut other = value.clone();
                other[80] |= 0x40;
                assert_eq!(decode_index(&key, &other).unwrap_err().what, "a status of unknown bits");
            }
        }
    }
}
