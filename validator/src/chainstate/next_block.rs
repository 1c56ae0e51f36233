//! What a miner needs to know of the chain to build a block on the tip.

use bitcoin::{Amount, BlockHash, CompactTarget};

use crate::chain::ChainParams;
use crate::headers::{EntryId, HeaderTree};
use crate::rules;

/// The height, previous hash, target, times and subsidy of a block on top of the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextBlock {
    /// Its height.
    pub height: u32,
    /// The tip's hash.
    pub prev_hash: BlockHash,
    /// The requested header time or, if that is too early, [`Self::min_time`], in seconds since 1970.
    pub time: u32,
    /// The compact target that the header must have at that time.
    pub bits: CompactTarget,
    /// The earliest time that the header may have, in seconds since 1970: a second after the median time past, or later
    /// where BIP94 demands it.
    pub min_time: u32,
    /// The latest time for which `bits` is right, in seconds since 1970. On chains with testnet's rule a later block
    /// has another target; on others this is `u32::MAX`.
    pub max_time: u32,
    /// The median time past of the tip, in seconds since 1970, with which lock times are compared (BIP113).
    pub median_time_past: u32,
    /// The block subsidy, to which the coinbase may add the fees.
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
