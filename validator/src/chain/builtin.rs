//! The built-in chains, by name.

use super::params::ChainParams;

/// No built-in chain has this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no chain is called {name:?}; there are {known}", known = ChainParams::NAMES.join(", "))]
#[non_exhaustive]
pub struct UnknownChain {
    /// The name asked for.
    pub name: String,
}

impl ChainParams {
    /// The names that [`ChainParams::by_name`] knows.
    pub const NAMES: [&'static str; 6] = ["main", "testnet3", "testnet4", "signet", "regtest", "dev"];

    /// The built-in chain called `name`.
    ///
    /// # Errors
    /// No built-in chain has that name.
    pub fn by_name(name: &str) -> Result<ChainParams, UnknownChain> {
        match name {
            "main" => Ok(Self::main()),
            "testnet3" => Ok(Self::testnet3()),
            "testnet4" => Ok(Self::testnet4()),
            "signet" => Ok(Self::signet()),
            "regtest" => Ok(Self::regtest()),
            "dev" => Ok(Self::dev()),
            _ => Err(UnknownChain { name: name.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::derive_target;

    #[test]
    fn every_name_is_known_and_no_other() {
        for name in ChainParams::NAMES {
            assert_eq!(ChainParams::by_name(name).unwrap().name, name);
        }
        let error = ChainParams::by_name("Main").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"no chain is called "Main"; there are main, testnet3, testnet4, signet, regtest, dev"#
        );
    }

    #[test]
    fn genesis_blocks_meet_their_targets_and_commit_to_their_coinbases() {
        for name in ChainParams::NAMES {
            let chain = ChainParams::by_name(name).unwrap();
            let header = chain.genesis.header;
            assert_eq!(header.block_hash(), chain.consensus.genesis_hash, "{name}");
            let target = derive_target(header.bits, chain.consensus.pow_limit).unwrap();
            assert!(target.is_met_by(chain.consensus.genesis_hash), "{name}");
            assert!(chain.genesis.check_merkle_root(), "{name}");
            assert_eq!(chain.genesis.txdata.len(), 1, "{name}");
            assert!(chain.genesis.txdata[0].is_coinbase(), "{name}");
        }
    }

    /// The published hashes: Bitcoin Core, `kernel/chainparams.cpp`, which asserts them.
    #[test]
    fn public_genesis_blocks_have_their_published_hashes() {
        for (name, published) in [
            ("main", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"),
            ("testnet3", "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"),
            ("testnet4", "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"),
            ("signet", "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"),
            ("regtest", "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"),
        ] {
            assert_eq!(ChainParams::by_name(name).unwrap().consensus.genesis_hash.to_string(), published);
        }
    }

    #[test]
    fn four_chains_belong_to_everybody() {
        let public = ChainParams::NAMES.map(|name| ChainParams::by_name(name).unwrap().is_public());
        assert_eq!(public, [true, true, true, true, false, false]);
    }

    #[test]
    fn no_two_chains_share_magic_port_or_genesis() {
        let chains = ChainParams::NAMES.map(|name| ChainParams::by_name(name).unwrap());
        for (i, one) in chains.iter().enumerate() {
            for other in &chains[..i] {
                assert_ne!(one.magic, other.magic);
                assert_ne!(one.consensus.genesis_hash, other.consensus.genesis_hash);
                for port in [one.p2p_port, one.rpc_port] {
                    assert!(![other.p2p_port, other.rpc_port].contains(&port));
                }
            }
        }
    }
}
