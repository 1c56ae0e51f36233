//! Coins that a block will spend, read by another thread before the block connects.
//!
//! What is read is as the last commit left it. It is put into the cache only if no commit came since, and only where the
//! cache knows nothing newer.

use bitcoin::{BlockHash, OutPoint};

use super::ChainState;
use super::options::CommitPolicy;
use super::timings::timed;
use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::store::{CoinSource, StoreError};

/// Coins to read that the cache does not have.
pub(crate) struct CoinFetch {
    /// How many commits there had been.
    commits: u64,
    block: BlockHash,
    outpoints: Vec<OutPoint>,
    reader: Box<dyn CoinSource + Send + Sync>,
}

/// What was found of a [`CoinFetch`].
pub(crate) struct FetchedCoins {
    commits: u64,
    block: BlockHash,
    outpoints: Vec<OutPoint>,
    coins: Vec<Option<Coin>>,
}

impl CoinFetch {
    /// Reads the coins. It holds the database open until then.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn run(self) -> Result<FetchedCoins, StoreError> {
        let Self { commits, block, outpoints, reader } = self;
        let coins = reader.load_coins(&outpoints)?;
        Ok(FetchedCoins { commits, block, outpoints, coins })
    }
}

impl ChainState {
    /// What another thread can read for `block`. `None` with a commit every block, which would make all that is read old,
    /// and without a store that others can read.
    pub(crate) fn coin_fetch(&self, block: &DecodedBlock) -> Option<CoinFetch> {
        if self.options.commit == CommitPolicy::EveryBlock {
            return None;
        }
        let reader = self.store.coin_reader()?;
        let outpoints = self.coins.unknown(block.spent_from_before());
        Some(CoinFetch { commits: self.commits, block: block.hash(), outpoints, reader })
    }

    /// Puts what was read into the cache, unless a commit came since.
    pub(crate) fn add_fetched(&mut self, fetched: &FetchedCoins) {
        if fetched.commits == self.commits {
            timed(&mut self.timings.fetch, || self.coins.add_loaded(&fetched.outpoints, &fetched.coins));
            self.fetched = Some(fetched.block);
        }
    }
}
