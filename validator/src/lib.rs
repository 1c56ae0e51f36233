//! Bitcoin's consensus rules, the header tree, the coins, the store and the chain state: synchronous, without network or GPU.

pub mod coins;
pub mod headers;
pub mod store;
