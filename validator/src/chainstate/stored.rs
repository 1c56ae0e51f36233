//! Checks a block that was read back from the store.

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::rules;
use crate::store::StoredBlock;

/// Decodes a stored block and compares it with its index record. The error says what is wrong with the bytes.
///
/// A block is its own checksum: the hash covers the header, the Merkle root the transactions without witnesses, and the
/// coinbase's commitment the witnesses. If the commitment were not checked, a damaged witness would look like a script
/// that fails, and a valid block would be marked as invalid.
pub(super) fn decode_stored(
    params: &ChainParams,
    stored: &StoredBlock,
    bytes: Vec<u8>,
) -> Result<DecodedBlock, String> {
    let block = DecodedBlock::decode(bytes).map_err(|error| error.to_string())?;
    if block.hash() != stored.hash {
        return Err(format!("a block {}, wanted {}", block.hash(), stored.hash));
    }
    if !block.block().check_merkle_root() {
        return Err("the transactions are not those of the header".to_owned());
    }
    rules::check_witness_commitment(&params.consensus, stored.height, &block).map_err(|error| error.to_string())?;
    Ok(block)
}
