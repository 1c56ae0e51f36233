//! The coins that a block spent, which are needed to disconnect it, and their record in the undo files.

use bitcoin::BlockHash;
use bitcoin::hashes::{Hash, HashEngine, sha256d};

use super::Coin;
use super::compressor::{put_output, take_output};
use super::encoding::{origin_code, take_origin};
use crate::serialize::{Decoder, EncodingError, put_compact_size, put_varint};

/// The coins that a block spent. The block is disconnected with them.
///
/// Source: Bitcoin Core, `undo.h`, `CBlockUndo`. As in Core, a coin that a coinbase overwrote (the two blocks of BIP30)
/// is not in it: after such a block is disconnected, the overwritten coin is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockUndo {
    /// The coins of each transaction except the coinbase, in block order and in the order of the inputs.
    pub spent: Vec<Vec<Coin>>,
}

impl BlockUndo {
    /// The undo record, encoded as Core's `CBlockUndo`; docs/store-format.md gives the layout.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_compact_size(&mut bytes, self.spent.len() as u64);
        for coins in &self.spent {
            put_compact_size(&mut bytes, coins.len() as u64);
            for coin in coins {
                put_varint(&mut bytes, origin_code(coin.into()));
                if coin.height > 0 {
                    put_varint(&mut bytes, 0);
                }
                put_output(&mut bytes, &coin.output);
            }
        }
        bytes
    }

    /// Decodes the record of [`Self::encode`].
    ///
    /// # Errors
    /// The bytes are not one undo record.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut from = Decoder::new(bytes);
        // Each item has at least one byte, so a count above the bytes left is wrong; nothing is allocated for it.
        let count = |from: &mut Decoder<'_>| {
            let count = from.compact_size()?;
            usize::try_from(count)
                .ok()
                .filter(|count| *count <= from.remaining())
                .ok_or_else(|| from.error("a count above the bytes left"))
        };
        let transactions = count(&mut from)?;
        let mut spent = Vec::with_capacity(transactions);
        for _ in 0..transactions {
            let inputs = count(&mut from)?;
            let coins: Result<Vec<Coin>, EncodingError> = (0..inputs).map(|_| take_spent(&mut from)).collect();
            spent.push(coins?);
        }
        from.finish()?;
        Ok(Self { spent })
    }
}

fn take_spent(from: &mut Decoder<'_>) -> Result<Coin, EncodingError> {
    let (height, is_coinbase) = take_origin(from)?;
    if height > 0 {
        // Formerly the transaction's version. Core writes 0 and ignores what it reads.
        from.varint()?;
    }
    Ok(Coin { output: take_output(from)?, height, is_coinbase })
}

/// The checksum that follows a record: SHA-256d of `previous`, the hash of the block's parent, and the record.
#[must_use]
pub fn checksum(previous: &BlockHash, record: &[u8]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    engine.input(previous.as_byte_array());
    engine.input(record);
    sha256d::Hash::from_engine(engine).to_byte_array()
}

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, ScriptBuf, TxOut};
    use proptest::prelude::*;

    use super::*;

    fn coin(height: u32) -> Coin {
        let output = TxOut { value: Amount::from_sat(1_000_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51]) };
        Coin { output, height, is_coinbase: height.is_multiple_of(2) }
    }

    #[test]
    fn a_record_is_that_of_core() {
        let undo = BlockUndo { spent: vec![vec![coin(0)], vec![coin(3), coin(200)], vec![]] };
        let bytes = undo.encode();
        // Three transactions; (code 1, amount 7, script of one byte); (6, 0, …), (401, 0, …); none.
        assert_eq!(hex::encode(&bytes), "0301010707510206000707518211000707 5100".replace(' ', ""));
        assert_eq!(BlockUndo::decode(&bytes), Ok(undo));
    }

    #[test]
    fn a_false_count_allocates_nothing() {
        let error = BlockUndo::decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).unwrap_err();
        assert_eq!(error.what, "a count above the bytes left");
    }

    #[test]
    fn the_checksum_binds_record_and_block() {
        let one = checksum(&BlockHash::all_zeros(), b"record");
        assert_ne!(one, checksum(&BlockHash::all_zeros(), b"recorD"));
        assert_ne!(one, checksum(&BlockHash::from_byte_array([1; 32]), b"record"));
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_refused_or_mean_one_thing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(undo) = BlockUndo::decode(&bytes) {
                prop_assert_eq!(BlockUndo::decode(&undo.encode()), Ok(undo));
            }
        }
    }
}
