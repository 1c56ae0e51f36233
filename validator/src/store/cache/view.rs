//! The coin cache over its source as one view, through which blocks connect.

use bitcoin::OutPoint;

use super::CoinCache;
use super::record::{DIRTY, FRESH};
use crate::coins::encoding::encode_outpoint;
use crate::coins::{Coin, CoinRef, CoinView};
use crate::store::cells::Handle;
use crate::store::coin_source::CoinSource;
use crate::store::error::StoreError;

/// A [`CoinCache`] over the store: the view through which blocks connect.
pub struct CachedCoins<'a> {
    cache: &'a mut CoinCache,
    source: &'a dyn CoinSource,
}

impl CoinCache {
    /// The cache over `source`, as a view for a block.
    pub fn view<'a>(&'a mut self, source: &'a dyn CoinSource) -> CachedCoins<'a> {
        CachedCoins { cache: self, source }
    }
}

impl CachedCoins<'_> {
    /// Loads the coins that the cache does not have. Many at once are faster than one by one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn prepare(&mut self, outpoints: impl Iterator<Item = OutPoint>) -> Result<(), StoreError> {
        let unknown = self.cache.unknown(outpoints);
        if !unknown.is_empty() {
            let found = self.source.load_coins(&unknown)?;
            self.cache.add_loaded(&unknown, &found);
        }
        Ok(())
    }

    /// The record of a coin, which is loaded if the cache does not have it.
    fn fetch(&mut self, outpoint: &OutPoint) -> Result<Option<Handle>, StoreError> {
        let known = self.cache.find(&encode_outpoint(outpoint));
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.source.load_coin(outpoint)?.map(|coin| self.cache.insert_loaded(outpoint, &coin)))
    }

    /// Restores a coin that a disconnected block had spent.
    pub fn restore(&mut self, outpoint: OutPoint, coin: &Coin) {
        // Not fresh, even if the cache has no record: the spend may never have been committed, so the store may have
        // the coin.
        self.put(&outpoint, coin.into(), false);
    }

    fn put(&mut self, outpoint: &OutPoint, coin: CoinRef<'_>, absent_from_store: bool) {
        self.cache.put(outpoint, coin, |before| {
            let fresh = before.map_or(absent_from_store, |before| before.is(FRESH));
            DIRTY | if fresh { FRESH } else { 0 }
        });
    }
}

impl CoinView for CachedCoins<'_> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(self.fetch(outpoint)?.and_then(|handle| self.cache.record(handle).coin()))
    }

    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let Some(handle) = self.fetch(outpoint)? else { return Ok(None) };
        let coin = self.cache.record(handle).coin();
        if coin.is_some() {
            self.cache.spend(handle);
        }
        Ok(coin)
    }

    fn create(&mut self, outpoint: OutPoint, coin: CoinRef<'_>) -> Result<(), StoreError> {
        // Only a coinbase can repeat an earlier transaction that still has coins (BIP30's two exceptions). So only then
        // may the store have a coin here of which the cache has no record.
        let absent_from_store = !coin.is_coinbase;
        self.put(&outpoint, coin, absent_from_store);
        Ok(())
    }

    fn first_unspent(&mut self, outpoints: &[OutPoint]) -> Result<Option<OutPoint>, StoreError> {
        let unknown: Vec<OutPoint> =
            outpoints.iter().filter(|outpoint| self.cache.knows(outpoint).is_none()).copied().collect();
        let loaded = self.source.load_coins(&unknown)?;
        let mut loaded = loaded.iter().map(Option::is_some);
        Ok(outpoints
            .iter()
            .find(|outpoint| self.cache.knows(outpoint).or_else(|| loaded.next()).unwrap_or(false))
            .copied())
    }
}
