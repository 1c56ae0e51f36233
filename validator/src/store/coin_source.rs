//! The source of the coins that the coin cache does not hold.

use bitcoin::OutPoint;

use super::error::StoreError;
use crate::coins::Coin;

/// The coins as of the last commit, from which the coin cache reads.
pub trait CoinSource {
    /// The coin at `outpoint` as of the last commit.
    ///
    /// # Errors
    /// The store cannot be read, or a record is not a coin.
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError>;

    /// The coin at each of `outpoints`, in the same order. A store may read them in parallel.
    ///
    /// # Errors
    /// As for [`Self::load_coin`].
    fn load_coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StoreError> {
        outpoints.iter().map(|outpoint| self.load_coin(outpoint)).collect()
    }

    /// Calls `with` for every coin as of the last commit, in the order of keys.
    ///
    /// # Errors
    /// As for [`Self::load_coin`].
    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError>;
}

/// A source without coins, for a cache that holds the whole set.
#[derive(Clone, Copy, Debug)]
pub struct NoCoins;

impl CoinSource for NoCoins {
    fn load_coin(&self, _: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(None)
    }

    fn for_each_coin(&self, _: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        Ok(())
    }
}
