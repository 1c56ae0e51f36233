//! What whoever builds a block on the tip must know of the chain.

use bitcoin::{Amount, BlockHash, CompactTarget};

use super::ChainState;
use crate::chain::ChainParams;
use crate::headers::tree::{EntryId, HeaderTree};
use crate::rules;

/// The facts for a block on top of the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextBlock {
    /// Its height.
    pub height: u32,
    /// The tip's hash.
    pub previous: BlockHash,
    /// The target that its header must claim, at the time that was asked about.
    pub bits: CompactTarget,
    /// The median time past of the tip in seconds, which lock times are compared with (BIP113).
    pub median_time_past: u32,
    /// The least time that its header may have, in seconds. The first block of a period under BIP94 may need a later
    /// one.
    pub minimum_time: u32,
    /// What its coinbase may create besides the fees.
    pub subsidy: Amount,
}

impl NextBlock {
    pub(super) fn on(params: &ChainParams, tree: &HeaderTree, tip: EntryId, time: u32) -> Self {
        let entry = tree.entry(tip);
        let height = entry.height + 1;
        Self {
            height,
            previous: entry.hash,
            bits: rules::next_work_required(&params.consensus, &tree.chain(tip), time),
            median_time_past: entry.median_time_past,
            minimum_time: entry.median_time_past.saturating_add(1),
            subsidy: params.consensus.subsidy.at(height),
        }
    }
}

impl ChainState {
    /// The facts for a block on top of the tip whose header has the time `time`, in seconds since 1970. On some chains
    /// the target depends on it.
    #[must_use]
    pub fn next_block(&self, time: u32) -> NextBlock {
        NextBlock::on(&self.params, &self.tree, self.tip_id(), time)
    }
}
