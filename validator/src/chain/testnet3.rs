//! Bitcoin's third test chain, kept because much recorded data comes from it.

use super::addresses::AddressPrefixes;
use super::genesis::{self, GenesisCoinbase};
use super::literals::{hash, target, work};
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, ScriptFlags, Subsidy};

impl ChainParams {
    /// Bitcoin's third test chain.
    #[must_use]
    pub fn testnet3() -> ChainParams {
        let genesis = genesis::block(GenesisCoinbase::the_times(), 1_296_688_602, 414_098_458, 0x1d00_ffff);
        ChainParams {
            name: "testnet3".to_owned(),
            magic: [0x0b, 0x11, 0x09, 0x07],
            p2p_port: 18333,
            rpc_port: 18332,
            addresses: AddressPrefixes::test(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                genesis_hash: genesis.block_hash(),
                subsidy: Subsidy::BITCOIN,
                deployments: Deployments {
                    bip34: 21_111,
                    bip65: 581_885,
                    bip66: 330_776,
                    csv: 770_112,
                    segwit: 834_624,
                    taproot: 0,
                },
                bip34_hash: Some(hash("0000000023b3a96d3484e5abb3755c413e7d41500f8e2a5c3f0dd01299cd8ef8")),
                bip30_repeats: Vec::new(),
                script_flag_exceptions: vec![
                    // Breaks BIP16.
                    (hash("00000000dd30457c001f4095d208cc1296b0eed002427aa599874af7a432b105"), ScriptFlags::NONE),
                ],
                pow_limit: target("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                pow_target_spacing: 10 * 60,
                difficulty: Difficulty::Retarget {
                    pow_target_timespan: 14 * 24 * 60 * 60,
                    pow_allow_min_difficulty_blocks: true,
                    enforce_bip94: false,
                    pow_no_retargeting: false,
                },
                signet_challenge: None,
                minimum_chain_work: work("0000000000000000000000000000000000000000000017dde1c649f3708d14b6"),
                // Height 4,842,348.
                default_assume_valid: Some(hash("000000007a61e4230b28ac5cb6b5e5a0130de37ac1faf2f8987d2fa6505b67f4")),
            },
            genesis,
        }
    }
}
