//! Adit's own private chain, the default of `adit up`: a block every ten seconds on any hardware.
//!
//! Difficulty follows the hashrate by ASERT, block by block, because a chain that starts on one laptop and moves to a
//! rack of GPUs cannot wait 2,016 blocks. The schedule's anchor is block 1 and not the genesis block: the genesis block
//! has a fixed time, so a schedule that started there would be months or years behind when somebody first mines, and
//! would keep the target at its limit until it had caught up. docs/adr/0001-dev-chain-asert-anchor.md explains the
//! choice.

use bitcoin::Work;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;

use super::addresses::AddressPrefixes;
use super::genesis::{self, Inscription};
use super::literals::target;
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, Subsidy};

/// The limit of work: 2^24 hashes a block, half a second of one CPU core.
const LIMIT_BITS: u32 = 0x1e00_ffff;

/// Found by a scan from zero.
const GENESIS_NONCE: u32 = 5_737_661;

impl ChainParams {
    /// Adit's own private chain.
    #[must_use]
    pub fn dev() -> ChainParams {
        let inscription = Inscription {
            text: "Adit dev chain, 23 Nov 2026: an adit is the level entrance to a mine",
            script: Builder::new().push_opcode(OP_RETURN).into_script(),
        };
        // 23 Nov 2026, 00:00 UTC.
        let genesis = genesis::block(inscription, 1_795_392_000, GENESIS_NONCE, LIMIT_BITS);
        ChainParams {
            name: "dev".to_owned(),
            magic: [0xad, 0xd1, 0xf7, 0xde],
            p2p_port: 19783,
            rpc_port: 19782,
            addresses: AddressPrefixes::regtest(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                genesis_hash: genesis.block_hash(),
                subsidy: Subsidy::BITCOIN,
                deployments: Deployments::FROM_BLOCK_1,
                bip34_hash: None,
                bip30_repeats: Vec::new(),
                script_flag_exceptions: Vec::new(),
                pow_limit: target("000000ffff000000000000000000000000000000000000000000000000000000"),
                pow_target_spacing: 10,
                difficulty: Difficulty::Asert { half_life: 600, anchor_height: 1 },
                signet_challenge: None,
                minimum_chain_work: Work::from_be_bytes([0; 32]),
                default_assume_valid: None,
            },
            genesis,
        }
    }
}
