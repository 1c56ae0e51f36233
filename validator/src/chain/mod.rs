//! The parameters of chains: one file for each built-in chain, and the reader of chain files that operators write.
//!
//! The parameters of the public chains are Bitcoin Core's (`kernel/chainparams.cpp`); `dev` is Adit's own; [`ChainFile`]
//! reads those of private chains. Nothing here checks blocks: the rules do, with these parameters.

mod addresses;
mod builtin;
mod challenge;
mod dev;
pub mod file;
mod genesis;
mod identity;
mod literals;
mod main;
mod params;
mod peer;
mod regtest;
mod signet;
mod testnet3;
mod testnet4;

pub use addresses::AddressPrefixes;
pub use builtin::UnknownChain;
pub use challenge::{ChallengeError, MAX_SIGNERS, Multisig, challenge_hash, signet_magic};
pub use file::{ChainFile, ChainFileError, ChainFileReadError};
pub use params::ChainParams;
pub use peer::{PeerAddress, PeerAddressError};
