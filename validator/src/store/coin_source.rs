//! Where the coin cache reads the coins that it does not hold.

use bitcoin::OutPoint;

use super::error::StoreError;
use crate::coins::Coin;

/// Where coins are found that the cache does not hold.
pub trait CoinSource {
    /// The coin at `outpoint` as of the last commit.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds is no coin.
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError>;

    /// The coin at each of `outpoints`. A store that can reads them side by side.
    ///
    /// # Errors
    /// As for [`Self::load_coin`].
    fn load_coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StoreError> {
        outpoints.iter().map(|outpoint| self.load_coin(outpoint)).collect()
    }

    /// Calls `with` for every coin as of the last commit, in the order of outpoints as bytes.
    ///
    /// # Errors
    /// As for [`Self::load_coin`].
    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError>;
}

/// A source without coins, below a cache that holds the whole set.
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
