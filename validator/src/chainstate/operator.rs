//! What an operator may demand: Core's `invalidateblock`, `reconsiderblock` and `preciousblock`.
//!
//! Each sets or clears a mark, then activates the best chain as a new block does, then commits. The mark is in the same
//! commit as the first step of the reorganisation, so that a start after a crash finishes it.

use bitcoin::BlockHash;

use super::ChainState;
use super::outcome::OperatorOutcome;
use super::view::ChainView;
use crate::store::StoreError;

impl ChainState {
    /// Marks a block and its descendants as invalid, durably, and makes the best of the other chains active. Later
    /// blocks on top of it are refused as `bad-prevblk`, the block itself as `duplicate-invalid`.
    ///
    /// Source: Bitcoin Core, `Chainstate::InvalidateBlock` and the RPC `invalidateblock`.
    ///
    /// # Errors
    /// A block that would have to be disconnected was pruned, and nothing changed; or the store failed.
    pub fn invalidate(&mut self, hash: &BlockHash) -> Result<OperatorOutcome, StoreError> {
        let Some(id) = self.tree.lookup(hash) else { return Ok(OperatorOutcome::UnknownBlock) };
        let Some(parent) = self.tree.entry(id).parent else { return Ok(OperatorOutcome::Genesis) };
        let is_active = self.is_active(id);
        if is_active {
            self.check_not_pruned_above(parent, parent)?;
        }
        self.mark_invalid(id);
        if is_active {
            self.candidates.rank_again(&self.tree, self.tree.entry(parent).chain_work);
        }
        self.activate_and_flush()
    }

    /// Clears the invalid marks of a block, its ancestors and its descendants, whether an operator or a rule set them,
    /// and makes the best chain active. A block that broke a rule is found to break it again.
    ///
    /// Other branches above a cleared ancestor lose the mark that they inherited from it; in Core they keep it.
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
        self.activate_and_flush()
    }

    /// Prefers a block over others of the same work, as if it had arrived first. The preference ends with the process,
    /// and a later one overrules it. For a block with less work than the tip nothing changes.
    ///
    /// Source: Bitcoin Core, `Chainstate::PreciousBlock` and the RPC `preciousblock`.
    ///
    /// # Errors
    /// A block that would have to be disconnected was pruned; or the store failed.
    pub fn precious(&mut self, hash: &BlockHash) -> Result<OperatorOutcome, StoreError> {
        let Some(id) = self.tree.lookup(hash) else { return Ok(OperatorOutcome::UnknownBlock) };
        if self.tree.entry(id).chain_work >= self.tip().chain_work {
            self.candidates.prefer(&self.tree, id);
        }
        self.activate_and_flush()
    }

    /// Makes the best chain active and commits it, whatever the policy, so that the answer is durable.
    fn activate_and_flush(&mut self) -> Result<OperatorOutcome, StoreError> {
        self.activate()?;
        self.flush()?;
        self.finish()?;
        Ok(OperatorOutcome::Done)
    }
}
