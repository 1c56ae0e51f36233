//! The coin cache and the source below it as one view: what blocks connect through.

use bitcoin::OutPoint;

use super::CoinCache;
use super::record::{DIRTY, FRESH};
use crate::coins::encoding::encode_outpoint;
use crate::coins::{Coin, CoinRef, CoinView};
use crate::store::cells::Handle;
use crate::store::coin_source::CoinSource;
use crate::store::error::StoreError;

/// A [`CoinCache`] with the store below it: what blocks connect through.
pub struct CachedCoins<'a> {
    cache: &'a mut CoinCache,
    source: &'a dyn CoinSource,
}

impl CoinCache {
    /// The cache as a block sees it, over `source`.
    pub fn view<'a>(&'a mut self, source: &'a dyn CoinSource) -> CachedCoins<'a> {
        CachedCoins { cache: self, source }
    }
}

impl CachedCoins<'_> {
    /// Brings coins into the cache that are not there, which is quicker for many at once than one by one.
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

    /// Brings the coin into the cache if it is not there.
    fn fetch(&mut self, outpoint: &OutPoint) -> Result<Option<Handle>, StoreError> {
        let known = self.cache.find(&encode_outpoint(outpoint));
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.source.load_coin(outpoint)?.map(|coin| self.cache.insert_loaded(outpoint, &coin)))
    }

    /// Puts back a coin that a disconnected block had spent.
    pub fn restore(&mut self, outpoint: OutPoint, coin: &Coin) {
        // Not fresh even if the cache knows nothing of it: it may be that the store was never told of the spend.
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
        // Only a coinbase can repeat an earlier transaction that still has coins (BIP30's two exceptions), so only
        // there may the store hold a coin that the cache does not know.
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
