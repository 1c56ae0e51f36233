//! What an operator may order: to hold a block invalid, to take that back, to prefer one of equals.
//!
//! Each is a mark, then the same activation that a new block brings, then a commit. A crash in the middle is a crash in the
//! middle of a reorganisation: the mark is in the same commit as the first step, and the next start goes on from there.

use bitcoin::BlockHash;

use super::ChainState;
use super::outcome::OperatorOutcome;
use super::view::ChainView;
use crate::store::StoreError;

impl ChainState {
    /// Holds a block and everything built on it invalid from now on, over restarts too, and makes the best of the other
    /// chains active. What is offered on top of it later is refused as `bad-prevblk`, the block itself as
    /// `duplicate-invalid`.
    ///
    /// Source: Bitcoin Core, `Chainstate::InvalidateBlock` and the RPC `invalidateblock`.
    ///
    /// # Errors
    /// The way back needs a block that was pruned, in which case nothing changed; or the store failed.
    pub fn invalidate(&mut self, hash: &BlockHash) -> Result<OperatorOutcome, StoreError> {
        let Some(id) = self.tree.lookup(hash) else { return Ok(OperatorOutcome::UnknownBlock) };
        let Some(parent) = self.tree.entry(id).parent else { return Ok(OperatorOutcome::Genesis) };
        let is_active = self.is_active(id);
        if is_active {
            self.check_way_back(parent, parent)?;
        }
        self.mark_invalid(id);
        if is_active {
            self.candidates.rank_again(&self.tree, self.tree.entry(parent).chain_work);
        }
        self.follow()
    }

    /// Forgets that a block, its ancestors and what is built on it are held invalid, whether by order or by a rule, and
    /// makes the best chain active. What broke a rule will be found to break it again.
    ///
    /// Siblings under an ancestor that is forgiven lose what they inherited from it; in Core they keep it.
    ///
    /// Source: Bitcoin Core, `ChainstateManager::ResetBlockFailureFlags` and the RPC `reconsiderblock`.
    ///
    /// # Errors
    /// The store failed.
    pub fn reconsider(&mut self, hash: &BlockHash) -> Result<OperatorOutcome, StoreError> {
        let Some(id) = self.tree.lookup(hash) else { return Ok(OperatorOutcome::UnknownBlock) };
        let cleared = self.tree.clear_failed(id);
        self.changed.extend(cleared);
        self.candidates.rank_again(&self.tree, self.tip().chain_work);
        self.follow()
    }

    /// Prefers a block over others of the same work, as if it had come first. It is forgotten at the next start, and
    /// overruled by the next such order. A block with less work than the tip stays where it is.
    ///
    /// Source: Bitcoin Core, `Chainstate::PreciousBlock` and the RPC `preciousblock`.
    ///
    /// # Errors
    /// The way there needs a block that was pruned; or the store failed.
    pub fn precious(&mut self, hash: &BlockHash) -> Result<OperatorOutcome, StoreError> {
        let Some(id) = self.tree.lookup(hash) else { return Ok(OperatorOutcome::UnknownBlock) };
        if self.tree.entry(id).chain_work >= self.tip().chain_work {
            self.candidates.prefer(&self.tree, id);
        }
        self.follow()
    }

    /// Makes active what is best now, and all of it durable, whatever the policy: an order that was answered is kept.
    fn follow(&mut self) -> Result<OperatorOutcome, StoreError> {
        self.activate()?;
        self.flush()?;
        self.finish()?;
        Ok(OperatorOutcome::Done)
    }
}
