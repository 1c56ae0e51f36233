//! Bitcoin's consensus rules, the header tree, the coins, the store and the chain state: synchronous, without network or GPU.

#![forbid(unsafe_code)]

pub mod block;
pub mod block_file;
pub mod chain;
pub mod chainstate;
pub mod coins;
pub mod consensus;
pub mod filters;
pub mod headers;
pub mod prevouts;
pub mod recheck;
pub mod rules;
pub mod store;
pub mod txoutproof;
