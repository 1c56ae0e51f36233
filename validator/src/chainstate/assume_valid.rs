//! What is known of a chain beforehand: a block whose ancestors' scripts are good, and the work that the chain has at least.
//!
//! Neither chooses a chain. An assumed-valid block saves the time of running scripts that its ancestors' spends hold; every
//! other rule is still checked, and so is every script above it. The minimum chain work tells a chain that may be the one
//! meant from one that cannot be.

use super::ChainState;
use super::view::ChainView;
use crate::headers::EntryId;
use crate::rules::takes_longer;

/// How much work, at the rate of the best header, must lie on top of a block before its scripts are left out, in seconds:
/// two weeks. So nobody can have an invalid block accepted by talking people into another assumed-valid block, short of
/// burying it.
const BURIED_FOR: u32 = 14 * 24 * 60 * 60;

/// How far behind the clock the tip of a chain that is being kept up with may be, in seconds.
///
/// Source: Bitcoin Core, `kernel/chainstatemanager_opts.h`, `DEFAULT_MAX_TIP_AGE`.
const MAX_TIP_AGE: u64 = 24 * 60 * 60;

impl ChainState {
    /// Whether the scripts of a block need not be run: it is an ancestor of the assumed-valid block, or that block, and of
    /// the best header, whose chain has the minimum work and two weeks of work on top of the block.
    ///
    /// Source: Bitcoin Core, `validation.cpp`, `ConnectBlock`, from `script_check_reason` on.
    pub(super) fn is_assumed_valid(&self, id: EntryId) -> bool {
        let Some(assumed) = self.options.assume_valid.and_then(|hash| self.tree.lookup(&hash)) else { return false };
        let (entry, best_id) = (self.tree.entry(id), self.tree.best_header());
        let best = self.tree.entry(best_id);
        let is_ancestor_of =
            |of: EntryId| self.tree.entry(of).height >= entry.height && self.tree.ancestor(of, entry.height) == id;
        is_ancestor_of(assumed)
            && is_ancestor_of(best_id)
            && best.chain_work >= self.options.minimum_chain_work
            && takes_longer(
                best.chain_work - entry.chain_work,
                best.header.work(),
                self.params.consensus.pow_target_spacing,
                BURIED_FOR,
            )
    }

    /// Whether the active chain has at least the work that the chain is known to have. One that has not is another chain,
    /// or the beginning of this one.
    #[must_use]
    pub fn has_minimum_chain_work(&self) -> bool {
        self.tip().chain_work >= self.options.minimum_chain_work
    }

    /// Whether the active chain is still being fetched, as far as can be told at `now`, in seconds since 1970: it has less
    /// than the minimum work, or its tip is more than a day old.
    ///
    /// Source: Bitcoin Core, `validation.cpp`, `IsInitialBlockDownload`, which never goes back to `true`; here whoever asks
    /// remembers.
    #[must_use]
    pub fn is_initial_block_download(&self, now: u64) -> bool {
        !self.has_minimum_chain_work() || u64::from(self.tip().header.time) + MAX_TIP_AGE < now
    }
}
