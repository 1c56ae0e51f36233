//! The public signet (BIP325): a test chain whose blocks one of two keys must sign.

use bitcoin::ScriptBuf;

use super::addresses::AddressPrefixes;
use super::challenge::signet_magic;
use super::genesis::{self, GenesisCoinbase};
use super::literals::{hash, target, work};
use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Difficulty};

/// One signature of two: OP_1, two compressed keys, OP_2, OP_CHECKMULTISIG.
const CHALLENGE: &str = "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430\
                         210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae";

impl ChainParams {
    /// The public signet.
    #[must_use]
    pub fn signet() -> ChainParams {
        let challenge = ScriptBuf::from_hex(CHALLENGE).expect("the constant is hexadecimal");
        let genesis = genesis::block(GenesisCoinbase::the_times(), 1_598_918_400, 52_613_770, 0x1e03_77ae);
        ChainParams {
            name: "signet".to_owned(),
            magic: signet_magic(&challenge),
            p2p_port: 38333,
            rpc_port: 38332,
            addresses: AddressPrefixes::test(),
            seeds: Vec::new(),
            consensus: ConsensusParams {
                signet_challenge: Some(challenge),
                minimum_chain_work: work("00000000000000000000000000000000000000000000000000000b463ea0a4b8"),
                // Height 293,175.
                default_assume_valid: Some(hash("00000008414aab61092ef93f1aacc54cf9e9f16af29ddad493b908a01ff5c329")),
                ..ConsensusParams::new(
                    genesis.block_hash(),
                    target("00000377ae000000000000000000000000000000000000000000000000000000"),
                    10 * 60,
                    Difficulty::BITCOIN,
                )
            },
            genesis,
        }
    }
}
