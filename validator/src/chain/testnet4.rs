//! Bitcoin's fourth test chain (BIP94).

use super::genesis::{self, Inscription, pay_to_key};
use super::{AddressPrefixes, BITCOIN_SUBSIDY, ChainParams, Deployments, Difficulty, hash, target, work};

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
            genesis_hash: genesis.block_hash(),
            genesis,
            pow_limit: target("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
            spacing: 10 * 60,
            difficulty: Difficulty::Retarget {
                timespan: 14 * 24 * 60 * 60,
                allow_min_difficulty: true,
                bip94: true,
                no_retargeting: false,
            },
            subsidy: BITCOIN_SUBSIDY,
            deployments: Deployments::FROM_BLOCK_1,
            bip34_hash: None,
            bip30_repeats: Vec::new(),
            script_flag_exceptions: Vec::new(),
            signet_challenge: None,
            minimum_chain_work: work("0000000000000000000000000000000000000000000009a0fe15d0177d086304"),
            // Height 123,613.
            assume_valid: Some(hash("0000000002368b1e4ee27e2e85676ae6f9f9e69579b29093e9a82c170bf7cf8a")),
        }
    }
}
