//! The header tree, and sets of its entries.

mod entry;
mod recent_times;
mod set;
mod shared;
mod tree;

pub use entry::{Entry, EntryId, Validity};
pub(crate) use set::EntrySet;
pub use tree::{HeaderChain, HeaderTree};
