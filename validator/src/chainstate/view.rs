//! What can be asked of a chain, whoever answers: the writer or a snapshot.
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
use crate::store::{BlockReader, StoreError, StoredBlock};

/// A chain as of one moment: headers, the active chain, and the blocks and coins of it.
pub trait ChainView {
    /// The chain's parameters.
    fn params(&self) -> &ChainParams;

    /// Every header known, branches too, with what became of its block.
    fn headers(&self) -> &HeaderTree;

    /// The tip's entry in [`Self::headers`].
    fn tip_id(&self) -> EntryId;

    /// Where blocks and undo records are read from.
    fn store(&self) -> &dyn BlockReader;

    /// The coin at `outpoint` that is unspent at the tip.
    ///
    /// # Errors
    /// The store cannot be read.
    fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError>;

    /// Count, value and hash of all coins at the tip. Reads every one of them.
    ///
    /// # Errors
    /// The store cannot be read.
    fn coin_statistics(&self) -> Result<CoinStatistics, StoreError>;

    /// The last block of the active chain, which the coins belong to.
    fn tip(&self) -> &Entry {
        self.headers().entry(self.tip_id())
    }

    /// The block of the active chain at `height`.
    fn active_at(&self, height: u32) -> Option<&Entry> {
        let tree = self.headers();
        (height <= self.tip().height).then(|| tree.entry(tree.ancestor(self.tip_id(), height)))
    }

    /// Whether a block is in the active chain.
    fn is_active(&self, id: EntryId) -> bool {
        let height = self.headers().entry(id).height;
        height <= self.tip().height && self.headers().ancestor(self.tip_id(), height) == id
    }

    /// The facts for a block on top of the tip whose header has the time `time`, in seconds since 1970. On some chains the
    /// target depends on it.
    fn next_block(&self, time: u32) -> NextBlock {
        NextBlock::on(self.params(), self.headers(), self.tip_id(), time)
    }

    /// A block that is here, active or not; `None`: it is not.
    ///
    /// # Errors
    /// It was pruned, cannot be read, or is damaged.
    fn block(&self, hash: &BlockHash) -> Result<Option<DecodedBlock>, StoreError> {
        let Some(block) = self.stored(hash)? else { return Ok(None) };
        let decoded = decode_stored(self.params(), &block, self.store().read_block(&block)?);
        decoded.map(Some).map_err(|what| self.store().damaged_block(&block, what))
    }

    /// The bytes of a block in network encoding, as they are stored: their framing was checked, they were not decoded.
    ///
    /// # Errors
    /// As [`Self::block`].
    fn block_bytes(&self, hash: &BlockHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.stored(hash)?.map(|block| self.store().read_block(&block)).transpose()
    }

    /// What a block spent; `None`: it is not here, or was never connected. Genesis spends nothing.
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

    /// Where a block is kept; `None`: it is not here.
    ///
    /// # Errors
    /// It was pruned.
    fn stored(&self, hash: &BlockHash) -> Result<Option<StoredBlock>, StoreError> {
        match self.headers().lookup(hash).map(|id| self.headers().entry(id)) {
            Some(entry) if entry.is_pruned() => Err(StoreError::Pruned { hash: entry.hash, height: entry.height }),
            entry => Ok(entry.and_then(Entry::stored)),
        }
    }

    /// Hashes of the active chain from the tip down: ten in a row, then ever further apart, genesis last. A peer finds
    /// in it the last block that both have.
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

    /// The last block of the active chain that a peer with this locator has: the first of the locator that is in it or,
    /// where the peer is ahead of us on our own chain, our tip. Genesis, if none is.
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

    /// At most `limit` headers of the active chain that follow the fork with `locator`, up to the block `stop` or the
    /// tip: what `getheaders` asks for.
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
