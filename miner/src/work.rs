//! The interface to a source of work: templates come from it, solutions go to it.
//!
//! A local chain, a node and a Stratum pool all give the same: fixed header fields, fields that may be rolled, and a target.
//! They differ in how they learn of new work and in what they do with a solution; [`WorkSource`] leaves both to them. So the
//! miner knows no chain and no protocol.

use std::sync::Arc;
use std::time::Duration;

use adit_hash::{HashBytes, HeaderBytes, ScanTarget};

/// Tells templates apart. Larger is newer; a source never repeats one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u64);

/// The coinbase transaction around its extranonce, serialized without witness as its transaction id hashes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coinbase {
    /// The bytes before the extranonce.
    pub prefix: Vec<u8>,
    /// The extranonce's length in bytes, 0 to 8. At 0 it cannot be rolled.
    pub extranonce_len: usize,
    /// The bytes after the extranonce.
    pub suffix: Vec<u8>,
}

impl Coinbase {
    /// A coinbase of `prefix`, an extranonce of `extranonce_len` bytes (0 to 8), and `suffix`.
    #[must_use]
    pub fn new(prefix: Vec<u8>, extranonce_len: usize, suffix: Vec<u8>) -> Self {
        Self { prefix, extranonce_len, suffix }
    }
}

/// A block to be found: the header's fixed fields, what may be rolled, and the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Template {
    /// Which template this is.
    pub id: TemplateId,
    /// The height of the block. It is shown and not hashed.
    pub height: u32,
    /// The header's version before any of its bits is rolled.
    pub version: i32,
    /// The version bits that may be rolled; BIP320 gives `0x1fffe000`.
    pub version_mask: u32,
    /// The hash of the previous block, in header order.
    pub prev_hash: HashBytes,
    /// The coinbase, whose extranonce may be rolled.
    pub coinbase: Coinbase,
    /// The Merkle branch from the coinbase (leaf 0) to the root: the sibling at each level, leaves first.
    pub merkle_branch: Vec<HashBytes>,
    /// The header's time when the template was made, in seconds since 1970.
    pub time: u32,
    /// The latest time that may be rolled to, at least `time`.
    pub max_time: u32,
    /// The header's compact target.
    pub bits: u32,
    /// The largest hash worth submitting: the block's own target, or a pool's easier one.
    pub target: ScanTarget,
}

impl Template {
    /// A block of `coinbase` alone on `prev_hash`, of version `0x20000000`, at height 0, in which only the extranonce may be
    /// rolled. `time` is in seconds since 1970; `bits` is the header's compact target, `target` the largest hash worth
    /// submitting.
    #[must_use]
    pub fn new(
        id: TemplateId,
        prev_hash: HashBytes,
        coinbase: Coinbase,
        time: u32,
        bits: u32,
        target: ScanTarget,
    ) -> Self {
        Self {
            id,
            height: 0,
            version: 0x2000_0000,
            version_mask: 0,
            prev_hash,
            coinbase,
            merkle_branch: Vec::new(),
            time,
            max_time: time,
            bits,
            target,
        }
    }

    /// The same template at this height.
    #[must_use]
    pub fn with_height(self, height: u32) -> Self {
        Self { height, ..self }
    }

    /// The same template with this version, of which the bits in `mask` may be rolled.
    #[must_use]
    pub fn with_version(self, version: i32, mask: u32) -> Self {
        Self { version, version_mask: mask, ..self }
    }

    /// The same template with this Merkle branch: the sibling at each level, leaves first.
    #[must_use]
    pub fn with_merkle_branch(self, merkle_branch: Vec<HashBytes>) -> Self {
        Self { merkle_branch, ..self }
    }

    /// The same template whose time may be rolled up to `max_time`, in seconds since 1970.
    #[must_use]
    pub fn with_max_time(self, max_time: u32) -> Self {
        Self { max_time, ..self }
    }
}

/// A header whose hash meets its template's target, with what is needed to rebuild the block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Solution {
    /// The template that it solves.
    pub template: TemplateId,
    /// The whole header, solved.
    pub header: HeaderBytes,
    /// The extranonce of the coinbase.
    pub extranonce: Vec<u8>,
    /// The header's double hash by the `sha2` crate, in header order.
    pub hash: HashBytes,
}

/// A source's answer to a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submission {
    /// It counts.
    Accepted,
    /// Newer work has replaced the template that it solves.
    Stale,
    /// It was refused, for this reason.
    Rejected(String),
}

/// A source of work. Its methods are called from the engine's threads.
///
/// After an accepted solution the engine goes on with the same template until [`Self::newest`] changes. A template of which
/// nothing is left to roll is not mined further, and the source is not told: it gives a new one before. A template with a new
/// id begins at nonce 0.
pub trait WorkSource: Send + Sync {
    /// Waits for a template other than `seen`, at most for `timeout`, and returns it. `None`: there is none, or it is still
    /// `seen`.
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>>;

    /// The id of the newest template; `None` while there is no work. Devices call it between batches to see whether their
    /// work is stale, so it must be cheap.
    fn newest(&self) -> Option<TemplateId>;

    /// Submits a solution. The engine does not call this for a template that is no longer the newest.
    fn submit(&self, solution: &Solution) -> Submission;
}
