//! What a block takes out of the coins, so that the block can be taken back.

use super::Coin;

/// The coins that a block spent: all that disconnecting it needs besides the block itself.
///
/// Source: Bitcoin Core, `undo.h`, `CBlockUndo`. A coin that a coinbase overwrote (the two blocks of BIP30) is not in it,
/// neither here nor in Core: after such a block is disconnected, the overwritten coin stays lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockUndo {
    /// One list a transaction, coinbase left out, in block order; in each, the coins in the order of its inputs.
    pub spent: Vec<Vec<Coin>>,
}
