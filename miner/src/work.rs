//! Where work comes from and where solutions go: the one seam between mining and everything that knows what a chain is.
//!
//! A local chain, a node's block templates and a Stratum pool all say the same few things: these header fields are fixed,
//! these may be rolled, hashes up to this target count. They differ in how they learn of new work and in what they do with
//! a solution, and that is what [`WorkSource`] leaves to them.

use std::sync::Arc;
use std::time::Duration;

use adit_hash::{Digest, Header, ScanTarget};

/// Tells templates apart. Larger is newer; a source never repeats one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u64);

/// The coinbase transaction around its extranonce, serialized without witness as its transaction id hashes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coinbase {
    /// The bytes before the extranonce.
    pub prefix: Vec<u8>,
    /// The extranonce's length in bytes, 0 to 8. At 0 it cannot be rolled.
    pub extranonce_len: usize,
    /// The bytes after the extranonce.
    pub suffix: Vec<u8>,
}

/// A block to be found: what is fixed, what may be rolled, and what counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Which template this is.
    pub id: TemplateId,
    /// The height of the block, for people; no header holds it.
    pub height: u32,
    /// The header's version with every bit of `version_mask` zero or at its default.
    pub version: i32,
    /// The version bits that may be rolled; BIP320 gives `0x1fffe000`.
    pub version_mask: u32,
    /// The hash of the block before, in header order.
    pub prev_hash: Digest,
    /// The coinbase, whose extranonce may be rolled.
    pub coinbase: Coinbase,
    /// The Merkle branch from the coinbase (leaf 0) to the root: the sibling at each level, leaves first.
    pub merkle_branch: Vec<Digest>,
    /// The header's time, in seconds since 1970, as of the template's making.
    pub time: u32,
    /// The latest time that may be rolled to, at least `time`.
    pub max_time: u32,
    /// The compact target that stands in the header.
    pub bits: u32,
    /// The largest hash worth submitting: the block's own target, or a pool's easier one.
    pub target: ScanTarget,
}

/// A header whose hash meets its template's target, with what is needed to rebuild the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The template it solves.
    pub template: TemplateId,
    /// The whole header, solved.
    pub header: Header,
    /// The extranonce that stands in the coinbase.
    pub extranonce: Vec<u8>,
    /// The header's double hash, made by the `sha2` crate.
    pub hash: Digest,
}

/// What became of a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submission {
    /// It counts.
    Accepted,
    /// It solves work that something newer has replaced.
    Stale,
    /// It was refused, in the words of whoever refused it.
    Rejected(String),
}

/// Gives out templates and takes solutions. Called from the engine's own threads.
pub trait WorkSource: Send + Sync {
    /// Waits until there is a template other than `seen`, at most for `timeout`, and returns it. `None`: nothing newer
    /// came. With `seen` at `None`, whatever is there counts as newer.
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>>;

    /// The id of the newest template, so that a device can tell between two batches whether its own is stale. Cheap.
    fn newest(&self) -> Option<TemplateId>;

    /// Hands in a solution. The engine never calls this for a template that it knows to be replaced.
    fn submit(&self, solution: &Solution) -> Submission;
}
