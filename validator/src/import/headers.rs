//! Headers in any order, so that what lies on top of a block is known before it is connected.

use std::collections::HashMap;

use bitcoin::BlockHash;
use bitcoin::block::Header;

use crate::chainstate::{ChainState, HeaderOutcome};

/// Takes headers that may come before their parents. One that breaks a rule, or whose parent never comes, is left out: its
/// block will say so. `now` is the network's time in seconds since 1970.
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
