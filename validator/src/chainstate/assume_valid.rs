//! The assumed-valid block and the minimum chain work.
//!
//! Neither chooses a chain. Below an assumed-valid block scripts are not run; every other rule is still checked, and so
//! is every script above it. A chain with less than the minimum work is another chain, or a part of the one meant.

use super::ChainState;
use super::view::ChainView;
use crate::headers::EntryId;
use crate::rules::takes_longer;

/// The work that must lie on top of a block before its scripts are skipped, in seconds at the best header's difficulty:
/// two weeks. So a false assumed-valid block alone cannot make a node accept an invalid block: somebody must also mine
/// that much on top of it.
const BURIED_FOR: u32 = 14 * 24 * 60 * 60;

/// The greatest age in seconds of the tip of a chain that counts as downloaded.
///
/// Source: Bitcoin Core, `kernel/chainstatemanager_opts.h`, `DEFAULT_MAX_TIP_AGE`.
const MAX_TIP_AGE: u64 = 24 * 60 * 60;

impl ChainState {
    /// Whether the scripts of a block are skipped: it is the assumed-valid block or an ancestor of it, and an ancestor
    /// of the best header, whose chain has the minimum work and two weeks of work on top of the block.
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

    /// Whether the active chain has the minimum chain work. A chain with less is another one, or the beginning of this
    /// one.
    #[must_use]
    pub fn has_minimum_chain_work(&self) -> bool {
        self.tip().chain_work >= self.options.minimum_chain_work
    }

    /// Whether the best chain of headers has the minimum work of the options.
    #[must_use]
    pub fn headers_have_minimum_chain_work(&self) -> bool {
        self.tree.entry(self.tree.best_header()).chain_work >= self.options.minimum_chain_work
    }

    /// Whether the active chain is still being downloaded at `now`, in seconds since 1970: it has less than the minimum
    /// work, or its tip is more than a day old.
    ///
    /// Source: Bitcoin Core, `validation.cpp`, `IsInitialBlockDownload`, which stays `false` once it was; here the
    /// caller has to remember that.
    #[must_use]
    pub fn is_initial_block_download(&self, now: u64) -> bool {
        !self.has_minimum_chain_work() || u64::from(self.tip().header.time) + MAX_TIP_AGE < now
    }
}
