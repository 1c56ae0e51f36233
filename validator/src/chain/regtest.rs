//! Bitcoin's regression-test chain, whose proof of work takes two hashes a block.

use bitcoin::Amount;

use super::addresses::AddressPrefixes;
use super::genesis::{self, GenesisCoinbase};
use super::literals::target;
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, Subsidy};

impl ChainParams {
    /// Bitcoin's regression-test chain.
    #[must_use]
    pub fn regtest() -> ChainParams {
        let genesis = genesis::block(GenesisCoinbase::the_times(), 1_296_688_602, 2, 0x207f_ffff);
        ChainParams {
            name: "regtest".to_owned(),
            magic: [0xfa, 0xbf, 0xb5, 0xda],
            p2p_port: 18444,
            rpc_port: 18443,
            addresses: AddressPrefixes::regtest(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                subsidy: Subsidy { initial: Amount::from_int_btc(50), halving_interval: 150 },
                deployments: Deployments { segwit: 0, ..Deployments::FROM_BLOCK_1 },
                ..ConsensusParams::new(
                    genesis.block_hash(),
                    target("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                    10 * 60,
                    Difficulty::Retarget {
                        pow_target_timespan: 24 * 60 * 60,
                        pow_allow_min_difficulty_blocks: true,
                        enforce_bip94: false,
                        pow_no_retargeting: true,
                    },
                )
            },
            genesis,
        }
    }
}
