//! Adit's own private chain, the default of `adit up`: a block every ten seconds on any hardware.
//!
//! Difficulty follows the hashrate by ASERT, block by block: a chain that moves from a laptop to a rack of GPUs cannot wait
//! 2,016 blocks. The schedule's anchor is block 1 and not the genesis block. The genesis block has a fixed time, so a
//! schedule that started there would be months or years behind at the first mined block, and would keep the target at its
//! limit until the chain had caught up. docs/adr/0001-dev-chain-asert-anchor.md explains the choice.

use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;

use super::addresses::AddressPrefixes;
use super::genesis::{self, GenesisCoinbase};
use super::literals::target;
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Difficulty};

/// The easiest target: 2^24 hashes a block, half a second of one CPU core.
const LIMIT_BITS: u32 = 0x1e00_ffff;

/// The lowest nonce with valid proof of work.
const GENESIS_NONCE: u32 = 5_737_661;

impl ChainParams {
    /// Adit's own private chain.
    #[must_use]
    pub fn dev() -> ChainParams {
        let coinbase = GenesisCoinbase {
            text: "Adit dev chain, 23 Nov 2026: an adit is the level entrance to a mine",
            script: Builder::new().push_opcode(OP_RETURN).into_script(),
        };
        // 23 Nov 2026, 00:00 UTC.
        let genesis = genesis::block(coinbase, 1_795_392_000, GENESIS_NONCE, LIMIT_BITS);
        ChainParams {
            name: "dev".to_owned(),
            magic: [0xad, 0xd1, 0xf7, 0xde],
            p2p_port: 19783,
            rpc_port: 19782,
            addresses: AddressPrefixes::regtest(),
            seeds: Vec::new(),
            consensus: ConsensusParams::new(
                genesis.block_hash(),
                target("000000ffff000000000000000000000000000000000000000000000000000000"),
                10,
                Difficulty::Asert { half_life: 600, anchor_height: 1 },
            ),
            genesis,
        }
    }
}
