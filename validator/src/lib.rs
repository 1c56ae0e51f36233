//! Bitcoin's consensus rules, the header tree, the coins, the store and the chain state. Synchronous, without network or
//! GPU.
//!
//! - One block and the outputs that it spends: [`prevouts::check_block_with_prevouts`].
//! - Single rules, as pure functions: [`rules`].
//! - A whole chain, in memory or in a data folder: [`chainstate::ChainState`]. Readers on other threads, indexes and
//!   proofs use its [`chainstate::ChainView`].
//! - Many blocks from files: [`import`]. A store that may be damaged: [`recheck`].
//! - The parameters of a chain, built in or read from a file: [`chain::ChainParams`].
//!
//! The types of [`bitcoin`] and the errors of [`serde_json`] are part of this crate's interface.

#![forbid(unsafe_code)]

pub use bitcoin;
pub use serde_json;

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
