//! Bitcoin's consensus rules, the header tree, the coins, the store and the chain state: synchronous, without network
//! or GPU.

#![forbid(unsafe_code)]

pub mod block;
pub mod chain;
pub mod chainstate;
pub mod coins;
pub mod consensus;
pub mod filters;
pub mod headers;
pub mod import;
pub mod prevouts;
pub mod progress;
pub mod recheck;
pub mod rules;
pub mod serialize;
pub mod store;
pub mod template;
pub mod txoutproof;

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
