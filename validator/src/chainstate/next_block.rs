//! What whoever builds a block on the tip must know of the chain.

use bitcoin::{Amount, BlockHash, CompactTarget};

use super::ChainState;
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

impl ChainState {
    /// The facts for a block on top of the tip whose header has the time `time`, in seconds since 1970. On some chains
    /// the target depends on it.
    #[must_use]
    pub fn next_block(&self, time: u32) -> NextBlock {
        let tip = self.tip();
        let height = tip.height + 1;
        NextBlock {
            height,
            previous: tip.hash,
            bits: rules::next_work_required(&self.params, &self.tree.chain(self.tip_id()), time),
            median_time_past: tip.median_time_past,
            minimum_time: tip.median_time_past.saturating_add(1),
            subsidy: self.params.subsidy.at(height),
        }
    }
}
