//! Coins that a block will spend, read by another thread before the block connects.
//!
//! They are read as of the last commit. They go into the cache only if no commit was made since, and only where the
//! cache has no newer record.

use bitcoin::{BlockHash, OutPoint};

use super::ChainState;
use super::options::CommitPolicy;
use super::timings::timed;
use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::store::{CoinSource, StoreError};

/// A request to read coins that the cache does not have.
pub(crate) struct CoinFetch {
    /// The number of commits when the request was made.
    commits: u64,
    block: BlockHash,
    outpoints: Vec<OutPoint>,
    reader: Box<dyn CoinSource + Send + Sync>,
}

/// The coins that a [`CoinFetch`] found.
pub(crate) struct FetchedCoins {
    commits: u64,
    block: BlockHash,
    outpoints: Vec<OutPoint>,
    coins: Vec<Option<Coin>>,
}

impl CoinFetch {
    /// Reads the coins. A request holds the database open until then.
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
    /// The coins that another thread can read for `block`. `None` if each block is committed, which would make the
    /// coins outdated, or if the store has no reader for other threads.
    pub(crate) fn coin_fetch(&self, block: &DecodedBlock) -> Option<CoinFetch> {
        if self.options.commit == CommitPolicy::EveryBlock {
            return None;
        }
        let reader = self.store.coin_reader()?;
        let outpoints = self.coins.unknown(block.spent_from_before());
        Some(CoinFetch { commits: self.commits, block: block.hash(), outpoints, reader })
    }

    /// Puts the coins into the cache, unless there was a commit since the request.
    pub(crate) fn add_fetched(&mut self, fetched: &FetchedCoins) {
        if fetched.commits == self.commits {
            timed(&mut self.timings.fetch, || self.coins.add_loaded(&fetched.outpoints, &fetched.coins));
            self.fetched = Some(fetched.block);
        }
    }
}
