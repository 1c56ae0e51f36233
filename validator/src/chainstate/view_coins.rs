//! The coins of a view, under changes that stay apart: what a block or a transaction would spend and create.

use std::collections::HashMap;

use bitcoin::OutPoint;
use foldhash::fast::RandomState;

use super::view::ChainView;
use crate::coins::{Coin, CoinRef, CoinView};
use crate::store::StoreError;

/// Coins at the tip of a [`ChainView`]. Coins that are spent or created here do not change the view.
#[derive(Debug)]
pub struct ViewCoins<'a, V: ?Sized> {
    view: &'a V,
    /// The coin that a change left at an outpoint; `None`: it was spent.
    changes: HashMap<OutPoint, Option<Coin>, RandomState>,
}

impl<'a, V: ChainView + ?Sized> ViewCoins<'a, V> {
    /// The coins of `view`, without changes.
    #[must_use]
    pub fn new(view: &'a V) -> Self {
        Self { view, changes: HashMap::default() }
    }
}

impl<V: ChainView + ?Sized> CoinView for ViewCoins<'_, V> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.changes.get(outpoint) {
            Some(changed) => Ok(changed.clone()),
            None => self.view.coin(outpoint),
        }
    }

    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let coin = self.coin(outpoint)?;
        self.changes.insert(*outpoint, None);
        Ok(coin)
    }

    fn create(&mut self, outpoint: OutPoint, coin: CoinRef<'_>) -> Result<(), StoreError> {
        self.changes.insert(outpoint, Some(coin.to_coin()));
        Ok(())
    }
}
