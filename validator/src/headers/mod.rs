//! The header tree, and sets of its entries.

pub(crate) mod set;
mod shared;
pub mod tree;
