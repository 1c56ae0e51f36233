//! The encoding of the filter index's records; docs/store-format.md gives the layout.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

use super::{FilterHash, FilterHeader};
use crate::serialize::{Decoder, EncodingError};

/// The index record of one block's filter, without the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilterRecord {
    /// The block's parent, through which the index finds the fork from a block that the header tree does not have.
    pub(super) previous: BlockHash,
    /// The hash of the filter.
    pub(super) hash: FilterHash,
    /// The filter's header (BIP157).
    pub(super) header: FilterHeader,
}

/// The key of the block at `height`: height, big-endian, then hash, so that blocks indexed together are stored
/// together.
pub(super) fn key(height: u32, hash: &BlockHash) -> [u8; 36] {
    let mut key = [0; 36];
    key[..4].copy_from_slice(&height.to_be_bytes());
    key[4..].copy_from_slice(hash.as_byte_array());
    key
}

/// The height and the block hash in a key.
pub(super) fn decode_key(bytes: &[u8]) -> Result<(u32, BlockHash), EncodingError> {
    let mut from = Decoder::new(bytes);
    let height = u32::from_be_bytes(from.take_array()?);
    let hash = BlockHash::from_byte_array(from.take_array()?);
    from.finish()?;
    Ok((height, hash))
}

impl FilterRecord {
    pub(super) fn encode(&self) -> [u8; 96] {
        let mut bytes = [0; 96];
        bytes[..32].copy_from_slice(self.previous.as_byte_array());
        bytes[32..64].copy_from_slice(self.hash.as_byte_array());
        bytes[64..].copy_from_slice(self.header.as_byte_array());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut from = Decoder::new(bytes);
        let record = Self {
            previous: BlockHash::from_byte_array(from.take_array()?),
            hash: FilterHash::from_byte_array(from.take_array()?),
            header: FilterHeader::from_byte_array(from.take_array()?),
        };
        from.finish()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_records_come_back() {
        let hash = BlockHash::from_byte_array([7; 32]);
        assert_eq!(decode_key(&key(0x0102_0304, &hash)), Ok((0x0102_0304, hash)));
        assert!(key(255, &hash) < key(256, &BlockHash::all_zeros()), "keys sort by height");
        let record = FilterRecord {
            previous: hash,
            hash: FilterHash::from_byte_array([8; 32]),
            header: FilterHeader::from_byte_array([9; 32]),
        };
        let bytes = record.encode();
        assert_eq!(FilterRecord::decode(&bytes), Ok(record));
        for length in 0..bytes.len() {
            assert!(FilterRecord::decode(&bytes[..length]).is_err() && decode_key(&bytes[..length.min(35)]).is_err());
        }
    }
}
