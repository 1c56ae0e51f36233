//! Bitcoin's regression-test chain: every block is found at once, and nothing is worth anything.

use bitcoin::{Amount, Work};

use super::genesis::{self, Inscription};
use super::{AddressPrefixes, ChainParams, Deployments, Difficulty, Subsidy, target};

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
            genesis_hash: genesis.block_hash(),
            genesis,
            pow_limit: target("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
            spacing: 10 * 60,
            difficulty: Difficulty::Retarget {
                timespan: 24 * 60 * 60,
                allow_min_difficulty: true,
                bip94: false,
                no_retargeting: true,
            },
            subsidy: Subsidy { initial: Amount::from_int_btc(50), halving_interval: 150 },
            deployments: Deployments { segwit: 0, ..Deployments::FROM_BLOCK_1 },
            bip34_hash: None,
            bip30_repeats: Vec::new(),
            script_flag_exceptions: Vec::new(),
            signet_challenge: None,
            minimum_chain_work: Work::from_be_bytes([0; 32]),
            assume_valid: None,
        }
    }
}
