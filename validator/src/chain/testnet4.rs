//! Bitcoin's fourth test chain (BIP94).

use super::addresses::AddressPrefixes;
use super::genesis::{self, GenesisCoinbase, pay_to_key};
use super::literals::{hash, target, work};
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Difficulty};

/// The text of the genesis coinbase: a date and the hash of a block of main, which prove that the chain is not older.
const TEXT: &str = "03/May/2024 000000000000000000001ebd58c244970b3aa9d783bb001011fbe8ea8e98e00e";

impl ChainParams {
    /// Bitcoin's fourth test chain.
    #[must_use]
    pub fn testnet4() -> ChainParams {
        let coinbase = GenesisCoinbase { text: TEXT, script: pay_to_key([0; 33]) };
        let genesis = genesis::block(coinbase, 1_714_777_860, 393_743_547, 0x1d00_ffff);
        ChainParams {
            name: "testnet4".to_owned(),
            magic: [0x1c, 0x16, 0x3f, 0x28],
            p2p_port: 48333,
            rpc_port: 48332,
            addresses: AddressPrefixes::test(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                minimum_chain_work: work("0000000000000000000000000000000000000000000009a0fe15d0177d086304"),
                // Height 123,613.
                default_assume_valid: Some(hash("0000000002368b1e4ee27e2e85676ae6f9f9e69579b29093e9a82c170bf7cf8a")),
                ..ConsensusParams::new(
                    genesis.block_hash(),
                    target("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                    10 * 60,
                    Difficulty::Retarget {
                        pow_target_timespan: 14 * 24 * 60 * 60,
                        pow_allow_min_difficulty_blocks: true,
                        enforce_bip94: true,
                        pow_no_retargeting: false,
                    },
                )
            },
            genesis,
        }
    }
}
