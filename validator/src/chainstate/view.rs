//! Queries on a chain, answered by the writer or by a snapshot.
//!
//! Indexes, proofs, block templates and peers take a view, so that none of them needs the writer.

use bitcoin::block::Header;
use bitcoin::{BlockHash, OutPoint};

use super::next_block::NextBlock;
use super::stored::decode_stored;
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::statistics::CoinStatistics;
use crate::coins::{BlockUndo, Coin};
use crate::headers::{Entry, EntryId, HeaderTree};
use crate::rules::{self, ConnectError, ConnectOptions, Connected};
use crate::store::{BlockReader, StoreError, StoredBlock};

/// A chain at one moment: its headers, its active chain, and their blocks and coins.
pub trait ChainView {
    /// The chain's parameters.
    fn params(&self) -> &ChainParams;

    /// Every known header, on every branch, with its validity and the location of its block.
    fn headers(&self) -> &HeaderTree;

    /// The tip's entry in [`Self::headers`].
    fn tip_id(&self) -> EntryId;

    /// The store of blocks and undo records.
    fn store(&self) -> &dyn BlockReader;

    /// The coin at `outpoint` that is unspent at the tip.
    ///
    /// # Errors
    /// The store cannot be read.
    fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError>;

    /// Number, total value and hash of all coins at the tip. Reads every coin.
    ///
    /// # Errors
    /// The store cannot be read.
    fn coin_statistics(&self) -> Result<CoinStatistics, StoreError>;

    /// The last block of the active chain. The coins are those after it.
    fn tip(&self) -> &Entry {
        self.headers().entry(self.tip_id())
    }

    /// The block of the active chain at `height`; `None` above the tip.
    fn active_at(&self, height: u32) -> Option<&Entry> {
        let tree = self.headers();
        (height <= self.tip().height).then(|| tree.entry(tree.ancestor(self.tip_id(), height)))
    }

    /// Whether a block is in the active chain.
    fn is_active(&self, id: EntryId) -> bool {
        let height = self.headers().entry(id).height;
        height <= self.tip().height && self.headers().ancestor(self.tip_id(), height) == id
    }

    /// What a block on top of the tip must have, if its header's time is `time`, in seconds since 1970. On some chains
    /// the target depends on the time.
    fn next_block(&self, time: u32) -> NextBlock {
        NextBlock::on(self.params(), self.headers(), self.tip_id(), time)
    }

    /// Checks a block on the tip in every rule but the proof of work and, on a signet, the block's signature: for block
    /// proposals. `now` is the network's time in seconds since 1970.
    ///
    /// # Errors
    /// As [`rules::check_candidate`].
    fn check_candidate(&self, block: &DecodedBlock, now: u64) -> Result<Connected, ConnectError<StoreError>> {
        let (params, ancestry) = (&self.params().consensus, self.headers().chain(self.tip_id()));
        let coin = |outpoint: &OutPoint| self.coin(outpoint);
        rules::check_candidate(params, &ancestry, block, coin, now, ConnectOptions::default())
    }

    /// A stored block, active or not; `None`: it is not stored.
    ///
    /// # Errors
    /// It was pruned, cannot be read, or is damaged.
    fn block(&self, hash: &BlockHash) -> Result<Option<DecodedBlock>, StoreError> {
        let Some(block) = self.stored(hash)? else { return Ok(None) };
        let decoded = decode_stored(self.params(), &block, self.store().read_block(&block)?);
        decoded.map(Some).map_err(|what| self.store().damaged_block(&block, what))
    }

    /// The stored bytes of a block, in network encoding. Their framing is checked; they are not decoded.
    ///
    /// # Errors
    /// As [`Self::block`].
    fn block_bytes(&self, hash: &BlockHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.stored(hash)?.map(|block| self.store().read_block(&block)).transpose()
    }

    /// The coins that a block spent; `None`: it is not stored, or was never connected. Genesis spends none.
    ///
    /// # Errors
    /// As [`Self::block`].
    fn undo(&self, hash: &BlockHash) -> Result<Option<BlockUndo>, StoreError> {
        match self.stored(hash)? {
            Some(block) if block.height == 0 => Ok(Some(BlockUndo::default())),
            Some(block) if block.location.undo.is_some() => self.store().read_undo(&block).map(Some),
            _ => Ok(None),
        }
    }

    /// The location of a block in the store; `None`: it is not stored.
    ///
    /// # Errors
    /// It was pruned.
    fn stored(&self, hash: &BlockHash) -> Result<Option<StoredBlock>, StoreError> {
        match self.headers().lookup(hash).map(|id| self.headers().entry(id)) {
            Some(entry) if entry.is_pruned() => Err(StoreError::Pruned { hash: entry.hash, height: entry.height }),
            entry => Ok(entry.and_then(Entry::stored)),
        }
    }

    /// Hashes of the active chain from the tip down: ten in a row, then at doubling distances, genesis last. A peer
    /// finds the last common block with it.
    ///
    /// Source: Bitcoin Core, `chain.cpp`, `LocatorEntries`.
    fn locator(&self) -> Vec<BlockHash> {
        let tree = self.headers();
        let (mut at, mut step, mut locator) = (self.tip_id(), 1, Vec::new());
        loop {
            let entry = tree.entry(at);
            locator.push(entry.hash);
            if entry.height == 0 {
                return locator;
            }
            at = tree.ancestor(at, entry.height.saturating_sub(step));
            if locator.len() > 10 {
                step *= 2;
            }
        }
    }

    /// The last block of the active chain that a peer with this locator has: the locator's first hash in the active
    /// chain or, if the peer is ahead on the same chain, the tip. Genesis, if there is none.
    ///
    /// Source: Bitcoin Core, `validation.cpp`, `Chainstate::FindForkInGlobalIndex`.
    fn find_fork(&self, locator: &[BlockHash]) -> EntryId {
        let tree = self.headers();
        for id in locator.iter().filter_map(|hash| tree.lookup(hash)) {
            let height = tree.entry(id).height;
            if self.is_active(id) {
                return id;
            }
            if height > self.tip().height && tree.ancestor(id, self.tip().height) == self.tip_id() {
                return self.tip_id();
            }
        }
        EntryId::GENESIS
    }

    /// The answer to `getheaders`: at most `limit` headers of the active chain after the fork with `locator`, up to the
    /// block `stop` or the tip.
    fn headers_after(&self, locator: &[BlockHash], stop: &BlockHash, limit: usize) -> Vec<Header> {
        let tree = self.headers();
        let first = tree.entry(self.find_fork(locator)).height + 1;
        let last = (first - 1).saturating_add(u32::try_from(limit).unwrap_or(u32::MAX)).min(self.tip().height);
        if last < first {
            return Vec::new();
        }
        let path = tree.path(tree.ancestor(self.tip_id(), first - 1), tree.ancestor(self.tip_id(), last));
        let mut headers = Vec::with_capacity(path.len());
        for entry in path.into_iter().map(|id| tree.entry(id)) {
            headers.push(entry.header);
            if entry.hash == *stop {
                break;
            }
        }
        headers
    }
}
