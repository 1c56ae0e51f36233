//! Coins: unspent transaction outputs, and the view through which a block spends and creates them.

mod compressor;
pub mod encoding;
pub mod muhash;
pub mod statistics;
pub mod undo;

use std::convert::Infallible;

use bitcoin::{OutPoint, Script, TxOut};

pub use crate::consensus::MAX_SCRIPT_SIZE;
pub use undo::BlockUndo;

/// An unspent transaction output, with the height and kind of the transaction that created it (Core's `Coin`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Value in satoshi, and script.
    pub output: TxOut,
    /// The height of the block that created it.
    pub height: u32,
    /// Whether a coinbase created it: then it must mature before it is spent.
    pub is_coinbase: bool,
}

/// A coin that borrows its output, for example from the block that creates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoinRef<'a> {
    /// Value in satoshi, and script.
    pub output: &'a TxOut,
    /// The height of the block that created it.
    pub height: u32,
    /// Whether a coinbase created it.
    pub is_coinbase: bool,
}

impl CoinRef<'_> {
    /// The coin with a copy of the output.
    #[must_use]
    pub fn to_coin(self) -> Coin {
        Coin { output: self.output.clone(), height: self.height, is_coinbase: self.is_coinbase }
    }
}

impl<'a> From<&'a Coin> for CoinRef<'a> {
    fn from(coin: &'a Coin) -> Self {
        Self { output: &coin.output, height: coin.height, is_coinbase: coin.is_coinbase }
    }
}

/// Whether no input can satisfy `script`. An output with such a script never becomes a coin.
///
/// Source: Bitcoin Core, `script/script.h`, `IsUnspendable`.
#[must_use]
pub fn is_unspendable(script: &Script) -> bool {
    script.is_op_return() || script.len() > MAX_SCRIPT_SIZE
}

/// The coins that a connecting block reads, spends and creates. The connect rules reach storage only through it.
pub trait CoinView {
    /// The error of the storage below; [`Infallible`] in memory.
    type Error;

    /// The coin at `outpoint`; `None`: there is none, or it is spent.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, Self::Error>;

    /// Removes and returns the coin at `outpoint`; `None`: there is none, or it is spent.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, Self::Error>;

    /// Adds the coin at `outpoint`. It replaces an existing one.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn create(&mut self, outpoint: OutPoint, coin: CoinRef<'_>) -> Result<(), Self::Error>;

    /// The first of `outpoints` at which there is a coin.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn first_unspent(&mut self, outpoints: &[OutPoint]) -> Result<Option<OutPoint>, Self::Error> {
        for outpoint in outpoints {
            if self.coin(outpoint)?.is_some() {
                return Ok(Some(*outpoint));
            }
        }
        Ok(None)
    }
}

/// The coin set in memory, for checks without a store and for tests.
impl<S: std::hash::BuildHasher> CoinView for std::collections::HashMap<OutPoint, Coin, S> {
    type Error = Infallible;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, Infallible> {
        Ok(self.get(outpoint).cloned())
    }

    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, Infallible> {
        Ok(self.remove(outpoint))
    }

    fn create(&mut self, outpoint: OutPoint, coin: CoinRef<'_>) -> Result<(), Infallible> {
        self.insert(outpoint, coin.to_coin());
        Ok(())
    }
}
