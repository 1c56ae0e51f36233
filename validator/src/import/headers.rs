//! Accepts headers in any order, so that the work on top of a block is known before it is connected.

use std::collections::HashMap;

use bitcoin::BlockHash;
use bitcoin::block::Header;

use crate::chainstate::{ChainState, HeaderOutcome};

/// Accepts headers that may come before their parents. Headers that break a rule, or whose parent is missing, are
/// ignored: their blocks are reported when they are accepted. `now` is the network's time in seconds since 1970.
pub fn accept_headers_in_any_order(chain: &mut ChainState, headers: impl IntoIterator<Item = Header>, now: u64) {
    let mut waiting: HashMap<BlockHash, Vec<Header>> = HashMap::new();
    for header in headers {
        let mut next = vec![header];
        while let Some(header) = next.pop() {
            match chain.accept_header(&header, now) {
                HeaderOutcome::UnknownParent => waiting.entry(header.prev_blockhash).or_default().push(header),
                HeaderOutcome::Accepted { .. } | HeaderOutcome::Known { .. } => {
                    next.extend(waiting.remove(&header.block_hash()).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}
