//! What whoever builds a block on the tip must know of the chain.

use bitcoin::{Amount, BlockHash, CompactTarget};

use crate::chain::ChainParams;
use crate::headers::{EntryId, HeaderTree};
use crate::rules;

/// The facts for a block on top of the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextBlock {
    /// Its height.
    pub height: u32,
    /// The tip's hash.
    pub prev_hash: BlockHash,
    /// The time that was asked about or, where that is too early, [`Self::min_time`], in seconds since 1970.
    pub time: u32,
    /// The target that its header must claim at that time.
    pub bits: CompactTarget,
    /// The least time that its header may have: a second after the median time past, and later where BIP94 demands it.
    pub min_time: u32,
    /// The last time at which `bits` still holds. On chains with testnet's rule a later block has another target; on others
    /// it is `u32::MAX`.
    pub max_time: u32,
    /// The median time past of the tip in seconds, which lock times are compared with (BIP113).
    pub median_time_past: u32,
    /// What its coinbase may create besides the fees.
    pub subsidy: Amount,
}

impl NextBlock {
    pub(super) fn on(params: &ChainParams, tree: &HeaderTree, tip: EntryId, time: u32) -> Self {
        let (entry, ancestry) = (tree.entry(tip), tree.chain(tip));
        let height = entry.height + 1;
        let min_time = rules::minimum_time(&params.consensus, &ancestry);
        let time = time.max(min_time);
        Self {
            height,
            prev_hash: entry.hash,
            time,
            bits: rules::next_work_required(&params.consensus, &ancestry, time),
            min_time,
            max_time: rules::same_work_required_until(&params.consensus, &ancestry, time),
            median_time_past: entry.median_time_past,
            subsidy: params.consensus.subsidy.at(height),
        }
    }
}
