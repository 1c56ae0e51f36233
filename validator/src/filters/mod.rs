//! BIP158 basic filters and their index, with which a light client finds the blocks that concern it.
//!
//! A filter is a Golomb-coded set of every script that a block pays to or spends from. The `bitcoin` crate encodes it;
//! this room chooses the elements, computes the filter headers (BIP157) and stores both. The scripts that a block
//! spends from are in its undo record, so a filter needs both block and undo record.

mod database;
mod error;
mod index;
mod record;

use bitcoin::bip158::BlockFilterWriter;
pub use bitcoin::bip158::{BlockFilter, FilterHash, FilterHeader};
use bitcoin::hashes::Hash;

pub use error::FilterError;
pub use index::{FilterHashes, FilterIndex, FilterProgress, IndexPosition, MAX_FILTERS, MAX_HASHES};

use crate::block::DecodedBlock;
use crate::coins::BlockUndo;

/// The name of the index's folder in a data folder.
pub const FOLDER: &str = "filters";

/// The distance in blocks between two checkpoints of `getcfcheckpt` (BIP157).
pub const CHECKPOINT_INTERVAL: u32 = 1_000;

/// The basic filter of `block`, which spent `undo`. It leaves out empty scripts and outputs that begin with OP_RETURN.
///
/// Source: BIP158, "Contents"; Bitcoin Core, `blockfilter.cpp`, `BasicFilterElements`.
#[must_use]
pub fn basic_filter(block: &DecodedBlock, undo: &BlockUndo) -> BlockFilter {
    let mut content = Vec::new();
    let mut writer = BlockFilterWriter::new(&mut content, block.block());
    writer.add_output_scripts();
    for coin in undo.spent.iter().flatten() {
        writer.add_element(coin.output.script_pubkey.as_bytes());
    }
    writer.finish().expect("a vector takes every byte");
    BlockFilter { content }
}

/// The filter header before genesis: zeros (BIP157).
#[must_use]
pub fn header_before_genesis() -> FilterHeader {
    FilterHeader::all_zeros()
}

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, ScriptBuf, TxOut};

    use super::*;
    use crate::coins::Coin;
    use crate::rules::testing::{block_of, coinbase, outpoint, spend};

    fn undo_of(scripts: Vec<ScriptBuf>) -> BlockUndo {
        let coin = |script_pubkey| Coin {
            output: TxOut { value: Amount::ZERO, script_pubkey },
            height: 1,
            is_coinbase: false,
        };
        BlockUndo { spent: vec![scripts.into_iter().map(coin).collect()] }
    }

    #[test]
    fn a_filter_matches_what_its_block_pays_to_and_spends_from() {
        let script = |byte| ScriptBuf::from_bytes(vec![byte; 22]);
        let mut transaction = spend(&[outpoint(1)], &[1, 2, 3]);
        let unspendable = ScriptBuf::from_bytes(vec![0x6a, 1, 7]);
        let scripts = [script(0x51), ScriptBuf::new(), unspendable.clone()];
        for (output, script) in transaction.output.iter_mut().zip(scripts) {
            output.script_pubkey = script;
        }
        let block = block_of(vec![coinbase(1, 50), transaction]);
        let filter = basic_filter(&block, &undo_of(vec![script(0x52), ScriptBuf::new()]));
        let matches = |script: &ScriptBuf| filter.match_any(&block.hash(), std::iter::once(script.as_bytes())).unwrap();
        assert!(matches(&script(0x51)) && matches(&script(0x52)));
        assert!(matches(&ScriptBuf::from_bytes(vec![0x51])), "the coinbase's output");
        assert!(!matches(&script(0x53)) && !matches(&unspendable));
        assert_eq!(filter.content[0], 3, "elements: two of 22 bytes, and the coinbase's");
    }
}
