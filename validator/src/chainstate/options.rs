//! The options of a chain state: commits, memory, pruning, and what is checked.

use bitcoin::{BlockHash, Work};

use super::prune_lock::PruneLock;
use crate::chain::ChainParams;
use crate::rules::ConnectOptions;
use crate::store::files::MAX_BLOCK_FILE_BYTES;

/// When accepted blocks become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPolicy {
    /// Before a block is reported: a reported block survives SIGKILL and power loss.
    EveryBlock,
    /// When the coin cache is over its limit, on [`super::ChainState::flush`] and on [`super::ChainState::close`].
    /// [`super::ChainState::durable_tip`] is the block that would survive.
    WhenFull,
}

/// The database's tables get one part in this many of the memory for coins.
const TABLES_SHARE: usize = 8;

/// The least memory for the database's tables, in bytes. With less, the Bloom filters of a large set would be read from
/// disk for each coin.
const LEAST_TABLE_CACHE_BYTES: usize = 4 << 20;

/// The largest coin cache, in bytes: its handles address 32 GiB, and one block may go over the limit.
const MAX_COIN_CACHE_BYTES: usize = 31 << 30;

/// The options of a chain state. [`Self::default`] and [`Self::for_chain`] make them, and the `with_*` methods change
/// them.
#[derive(Clone, Debug)]
pub struct ChainStateOptions {
    pub(super) commit: CommitPolicy,
    pub(super) cache_bytes: usize,
    pub(super) ingest_threshold: usize,
    pub(super) prune_bytes: Option<u64>,
    pub(super) prune_locks: Vec<PruneLock>,
    pub(super) block_file_bytes: u32,
    pub(super) connect: ConnectOptions,
    pub(super) assume_valid: Option<BlockHash>,
    pub(super) minimum_chain_work: Work,
}

impl Default for ChainStateOptions {
    /// A commit for every block, 450 MiB of coins (Core's `-dbcache`), no pruning, every rule checked.
    fn default() -> Self {
        Self {
            commit: CommitPolicy::EveryBlock,
            cache_bytes: 450 << 20,
            ingest_threshold: 100_000,
            prune_bytes: None,
            prune_locks: Vec::new(),
            block_file_bytes: MAX_BLOCK_FILE_BYTES,
            connect: ConnectOptions::default(),
            assume_valid: None,
            minimum_chain_work: Work::from_be_bytes([0; 32]),
        }
    }
}

impl ChainStateOptions {
    /// The defaults, with the assumed-valid block and the minimum work of `params`.
    #[must_use]
    pub fn for_chain(params: &ChainParams) -> Self {
        Self {
            assume_valid: params.consensus.default_assume_valid,
            minimum_chain_work: params.consensus.minimum_chain_work,
            ..Self::default()
        }
    }

    /// Sets when to commit.
    #[must_use]
    pub fn with_commit(self, commit: CommitPolicy) -> Self {
        Self { commit, ..self }
    }

    /// Sets the memory limit for coins, in bytes: an eighth, but at least 4 MiB, for the database's tables, the rest
    /// for the coin cache. One block may go over it.
    #[must_use]
    pub fn with_cache_bytes(self, cache_bytes: usize) -> Self {
        Self { cache_bytes, ..self }
    }

    /// Commits with more changes than this bypass the database's journal and are written into tables at once;
    /// docs/store-format.md says why.
    #[must_use]
    pub fn with_ingest_threshold(self, ingest_threshold: usize) -> Self {
        Self { ingest_threshold, ..self }
    }

    /// Sets the size in bytes that pruning keeps block and undo files to, by deleting the oldest. The newest
    /// [`super::MIN_BLOCKS_TO_KEEP`] blocks are kept whatever their size. `None`: nothing is deleted.
    #[must_use]
    pub fn with_prune_bytes(self, prune_bytes: Option<u64>) -> Self {
        Self { prune_bytes, ..self }
    }

    /// Adds a lock: its blocks are not pruned, whatever [`Self::with_prune_bytes`] says.
    #[must_use]
    pub fn with_prune_lock(mut self, lock: PruneLock) -> Self {
        self.prune_locks.push(lock);
        self
    }

    /// Sets the greatest length of a block file, in bytes. Pruning deletes whole files.
    #[must_use]
    pub fn with_block_file_bytes(self, block_file_bytes: u32) -> Self {
        Self { block_file_bytes, ..self }
    }

    /// Sets what is checked when a block connects.
    #[must_use]
    pub fn with_connect(self, connect: ConnectOptions) -> Self {
        Self { connect, ..self }
    }

    /// Sets the assumed-valid block: its scripts and its ancestors' are skipped, once its header is known and deep
    /// enough under the best one. `None`: all scripts are run.
    #[must_use]
    pub fn with_assume_valid(self, assume_valid: Option<BlockHash>) -> Self {
        Self { assume_valid, ..self }
    }

    /// Sets the minimum chain work. While the best header has less, nothing is assumed valid.
    #[must_use]
    pub fn with_minimum_chain_work(self, minimum_chain_work: Work) -> Self {
        Self { minimum_chain_work, ..self }
    }

    /// The bytes of [`Self::with_cache_bytes`] for the coin cache.
    pub(super) const fn coin_cache_bytes(&self) -> usize {
        let bytes = self.cache_bytes - self.cache_bytes / TABLES_SHARE;
        if bytes < MAX_COIN_CACHE_BYTES { bytes } else { MAX_COIN_CACHE_BYTES }
    }

    /// The bytes of [`Self::with_cache_bytes`] for the database's tables.
    pub(crate) fn table_cache_bytes(&self) -> u64 {
        (self.cache_bytes / TABLES_SHARE).max(LEAST_TABLE_CACHE_BYTES) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_for_a_chain_are_what_it_knows() {
        let main = ChainParams::main();
        let options = ChainStateOptions::for_chain(&main);
        assert_eq!(
            (options.assume_valid, options.minimum_chain_work),
            (main.consensus.default_assume_valid, main.consensus.minimum_chain_work)
        );
        assert!(main.consensus.default_assume_valid.is_some());
        assert_eq!(ChainStateOptions::default().assume_valid, None);
    }

    #[test]
    fn memory_for_coins_is_shared_with_tables_and_bounded() {
        let of = |bytes| {
            (
                ChainStateOptions::default().with_cache_bytes(bytes).coin_cache_bytes(),
                ChainStateOptions::default().with_cache_bytes(bytes).table_cache_bytes(),
            )
        };
        assert_eq!(of(80 << 20), (70 << 20, 10 << 20));
        assert_eq!(of(8 << 20), (7 << 20, 4 << 20));
        assert_eq!(of(64 << 30).0, MAX_COIN_CACHE_BYTES);
    }
}
