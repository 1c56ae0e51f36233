//! Bitcoin's regression-test chain: every block is found at once, and nothing is worth anything.

use bitcoin::{Amount, Work};

use super::addresses::AddressPrefixes;
use super::genesis::{self, Inscription};
use super::literals::target;
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, Subsidy};

impl ChainParams {
    /// Bitcoin's regression-test chain.
    #[must_use]
    pub fn regtest() -> ChainParams {
        let genesis = genesis::block(Inscription::the_times(), 1_296_688_602, 2, 0x207f_ffff);
        ChainParams {
            name: "regtest".to_owned(),
            magic: [0xfa, 0xbf, 0xb5, 0xda],
            p2p_port: 18444,
            rpc_port: 18443,
            addresses: AddressPrefixes::regtest(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                genesis_hash: genesis.block_hash(),
                subsidy: Subsidy { initial: Amount::from_int_btc(50), halving_interval: 150 },
                deployments: Deployments { segwit: 0, ..Deployments::FROM_BLOCK_1 },
                bip34_hash: None,
                bip30_repeats: Vec::new(),
                script_flag_exceptions: Vec::new(),
                pow_limit: target("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                pow_target_spacing: 10 * 60,
                difficulty: Difficulty::Retarget {
                    pow_target_timespan: 24 * 60 * 60,
                    pow_allow_min_difficulty_blocks: true,
                    enforce_bip94: false,
                    pow_no_retargeting: true,
                },
                signet_challenge: None,
                minimum_chain_work: Work::from_be_bytes([0; 32]),
                default_assume_valid: None,
            },
            genesis,
        }
    }
}
