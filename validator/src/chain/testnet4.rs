//! Bitcoin's fourth test chain (BIP94).

use super::addresses::AddressPrefixes;
use super::genesis::{self, Inscription, pay_to_key};
use super::literals::{hash, target, work};
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, Subsidy};

/// What the genesis coinbase says: a date and the hash of a block of main, so that nobody can have started earlier.
const TEXT: &str = "03/May/2024 000000000000000000001ebd58c244970b3aa9d783bb001011fbe8ea8e98e00e";

impl ChainParams {
    /// Bitcoin's fourth test chain.
    #[must_use]
    pub fn testnet4() -> ChainParams {
        let inscription = Inscription { text: TEXT, script: pay_to_key([0; 33]) };
        let genesis = genesis::block(inscription, 1_714_777_860, 393_743_547, 0x1d00_ffff);
        ChainParams {
            name: "testnet4".to_owned(),
            magic: [0x1c, 0x16, 0x3f, 0x28],
            p2p_port: 48333,
            rpc_port: 48332,
            addresses: AddressPrefixes::test(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                genesis_hash: genesis.block_hash(),
                subsidy: Subsidy::BITCOIN,
                deployments: Deployments::FROM_BLOCK_1,
                bip34_hash: None,
                bip30_repeats: Vec::new(),
                script_flag_exceptions: Vec::new(),
                pow_limit: target("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                pow_target_spacing: 10 * 60,
                difficulty: Difficulty::Retarget {
                    pow_target_timespan: 14 * 24 * 60 * 60,
                    pow_allow_min_difficulty_blocks: true,
                    enforce_bip94: true,
                    pow_no_retargeting: false,
                },
                signet_challenge: None,
                minimum_chain_work: work("0000000000000000000000000000000000000000000009a0fe15d0177d086304"),
                // Height 123,613.
                default_assume_valid: Some(hash("0000000002368b1e4ee27e2e85676ae6f9f9e69579b29093e9a82c170bf7cf8a")),
            },
            genesis,
        }
    }
}
