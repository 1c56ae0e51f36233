//! Bitcoin's main chain.

use super::addresses::AddressPrefixes;
use super::genesis::{self, GenesisCoinbase};
use super::literals::{hash, target, work};
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, ScriptFlags, Subsidy};

impl ChainParams {
    /// Bitcoin's main chain.
    #[must_use]
    pub fn main() -> ChainParams {
        let genesis = genesis::block(GenesisCoinbase::the_times(), 1_231_006_505, 2_083_236_893, 0x1d00_ffff);
        ChainParams {
            name: "main".to_owned(),
            magic: [0xf9, 0xbe, 0xb4, 0xd9],
            p2p_port: 8333,
            rpc_port: 8332,
            addresses: AddressPrefixes::main(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                genesis_hash: genesis.block_hash(),
                subsidy: Subsidy::BITCOIN,
                deployments: Deployments {
                    bip34: 227_931,
                    bip65: 388_381,
                    bip66: 363_725,
                    csv: 419_328,
                    segwit: 481_824,
                    taproot: 0,
                },
                bip34_hash: Some(hash("000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8")),
                bip30_repeats: vec![
                    (91_842, hash("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec")),
                    (91_880, hash("00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721")),
                ],
                script_flag_exceptions: vec![
                    // Breaks BIP16.
                    (hash("00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22"), ScriptFlags::NONE),
                    // Breaks taproot, which did not hold yet.
                    (
                        hash("0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad"),
                        ScriptFlags::P2SH | ScriptFlags::WITNESS,
                    ),
                ],
                pow_limit: target("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                pow_target_spacing: 10 * 60,
                difficulty: Difficulty::BITCOIN,
                signet_challenge: None,
                minimum_chain_work: work("0000000000000000000000000000000000000001128750f82f4c366153a3a030"),
                // Height 938,343.
                default_assume_valid: Some(hash("00000000000000000000ccebd6d74d9194d8dcdc1d177c478e094bfad51ba5ac")),
            },
            genesis,
        }
    }
}
