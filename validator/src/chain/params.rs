//! The parameters of one chain: those of consensus, and those for peers, wallets and people.
//!
//! The split is Bitcoin Core's, between `Consensus::Params` and `CChainParams` (`kernel/chainparams.h`).

use bitcoin::Block;

use super::addresses::AddressPrefixes;
use super::peer::PeerAddress;
use crate::consensus::ConsensusParams;

/// The parameters of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainParams {
    /// The name of the chain, which `--chain` takes.
    pub name: String,
    /// The four bytes before every message and every block in a block file, in the order in which they are sent.
    pub magic: [u8; 4],
    /// The default TCP port for peers.
    pub p2p_port: u16,
    /// The default TCP port for JSON-RPC.
    pub rpc_port: u16,
    /// The prefixes of addresses and keys in text form.
    pub addresses: AddressPrefixes,
    /// Peers to connect to first, from a chain file. The built-in chains name none.
    pub seeds: Vec<PeerAddress>,
    /// The block at height 0. Its hash is [`ConsensusParams::genesis_hash`].
    pub genesis: Block,
    /// The parameters of its rules.
    pub consensus: ConsensusParams,
}

impl ChainParams {
    /// Whether this is a chain that belongs to everybody: main, testnet3, testnet4 or signet. No chain file can have such a
    /// name.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self.name.as_str(), "main" | "testnet3" | "testnet4" | "signet")
    }
}
