//! What makes one chain differ from another: everything that the rules ask about besides the blocks themselves.
//!
//! One file a chain, so that a chain reads as a page of facts. The values of public chains are Bitcoin Core's
//! (`kernel/chainparams.cpp`); `dev` is Adit's own; [`ChainFile`] reads those that an operator describes. Nothing here
//! decides: the rules do, with these numbers.

mod addresses;
mod challenge;
mod dev;
pub mod file;
mod genesis;
mod identity;
mod main;
mod peer;
#[cfg(test)]
mod published;
mod regtest;
mod signet;
mod testnet3;
mod testnet4;

use bitcoin::{Amount, Block, BlockHash, ScriptBuf, Target, Work};
use serde::Deserialize;

pub use addresses::AddressPrefixes;
pub use challenge::{ChallengeError, MAX_SIGNERS, Multisig, challenge_hash, signet_magic};
pub use file::{ChainFile, ChainFileError};
pub use peer::{PeerAddress, PeerAddressError};

use crate::rules::ScriptFlags;

/// The parameters of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainParams {
    /// The name that `--chain` takes.
    pub name: String,
    /// The four bytes before every message and every block in a block file, in the order in which they are sent.
    pub magic: [u8; 4],
    /// The default TCP port for peers.
    pub p2p_port: u16,
    /// The default TCP port for JSON-RPC.
    pub rpc_port: u16,
    /// What addresses and keys begin with when they are written down.
    pub addresses: AddressPrefixes,
    /// Peers to ask first, from a chain file. The built-in chains name none.
    pub seeds: Vec<PeerAddress>,
    /// The block at height 0. It is given, not checked, and its outputs are never coins.
    pub genesis: Block,
    /// The hash of `genesis`.
    pub genesis_hash: BlockHash,
    /// The easiest target that a block may have ("limit of work").
    pub pow_limit: Target,
    /// The wanted time between blocks, in seconds; not zero.
    pub spacing: u32,
    /// How the target follows the hashrate.
    pub difficulty: Difficulty,
    /// What a coinbase may create.
    pub subsidy: Subsidy,
    /// From which heights the soft forks hold.
    pub deployments: Deployments,
    /// The hash of the block at BIP34's height on the one chain where coinbases before that height are known not to
    /// collide with later ones: above it, BIP30 need not be checked. `None`: it is always checked.
    pub bip34_hash: Option<BlockHash>,
    /// The blocks that are allowed to overwrite coins (BIP30), by height and hash.
    pub bip30_repeats: Vec<(u32, BlockHash)>,
    /// The blocks whose scripts are checked with other base flags than P2SH, WITNESS and TAPROOT.
    pub script_flag_exceptions: Vec<(BlockHash, ScriptFlags)>,
    /// The script that every block must satisfy (BIP325); `None`: anybody's proof of work will do.
    pub signet_challenge: Option<ScriptBuf>,
    /// The least work that the best chain is known to have: a chain below it is not the one meant, or not all of it. The
    /// chain state takes any, and reports this where [`Options::for_chain`] gave it.
    ///
    /// [`Options::for_chain`]: crate::chainstate::Options::for_chain
    pub minimum_chain_work: Work,
    /// A block whose ancestors' scripts are known to be good, so that a node may skip them; the chain state skips none unless
    /// its options name a block. `None`: check all.
    pub assume_valid: Option<BlockHash>,
}

/// How the target of the next block follows from its ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difficulty {
    /// Bitcoin's: one adjustment each `timespan / spacing` blocks.
    Retarget {
        /// The time that one period of blocks ought to take, in seconds: two weeks on the public chains.
        timespan: u32,
        /// Testnet's rule: a block more than two spacings after its parent has the limit's target.
        allow_min_difficulty: bool,
        /// Testnet4's rules: an adjustment starts from the period's first target, and a period's first block may not
        /// be more than ten minutes earlier than its parent.
        bip94: bool,
        /// Regtest's: periods end, but the target stays.
        no_retargeting: bool,
    },
    /// aserti3-2d: the target is an exponential of how far the chain is ahead of, or behind, an absolute schedule.
    Asert {
        /// The lag, in seconds, that doubles the target; not zero.
        half_life: u32,
        /// The height of the block where the schedule starts. It and the blocks before it carry the genesis block's
        /// target. Zero is not a good choice for a chain that starts long after its genesis block's time: see
        /// docs/adr/0001-dev-chain-asert-anchor.md.
        anchor_height: u32,
    },
}

/// What a coinbase may create besides the fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsidy {
    /// The subsidy of the first blocks.
    pub initial: Amount,
    /// After how many blocks it halves, each time.
    pub halving_interval: u32,
}

impl Subsidy {
    /// What a block at `height` may create: the initial subsidy, halved once an interval, zero from the 64th on.
    ///
    /// Source: Bitcoin Core, `validation.cpp`, `GetBlockSubsidy`.
    #[must_use]
    pub fn at(&self, height: u32) -> Amount {
        let halvings = height.checked_div(self.halving_interval).unwrap_or(0);
        Amount::from_sat(self.initial.to_sat().checked_shr(halvings).unwrap_or(0))
    }
}

/// The first height at which each soft fork's rules hold.
///
/// P2SH and WITNESS have no height as script flags, and on public chains neither has TAPROOT: like Bitcoin Core, the rules
/// apply them to every block but the exceptions in [`ChainParams::script_flag_exceptions`], because only those blocks
/// break them. A chain file may let taproot begin later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployments {
    /// Height in the coinbase, block version 2.
    #[serde(deserialize_with = "file::fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub bip34: u32,
    /// OP_CHECKLOCKTIMEVERIFY, block version 4.
    #[serde(deserialize_with = "file::fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub bip65: u32,
    /// Strict DER signatures, block version 3.
    #[serde(deserialize_with = "file::fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub bip66: u32,
    /// Relative lock times (BIP68), OP_CHECKSEQUENCEVERIFY (BIP112), median time past for lock times (BIP113).
    #[serde(deserialize_with = "file::fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub csv: u32,
    /// Witness commitments (BIP141) and NULLDUMMY (BIP147).
    #[serde(deserialize_with = "file::fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub segwit: u32,
    /// Taproot and tapscript (BIP341, BIP342) as script flags. On the public chains 0: see above.
    #[serde(deserialize_with = "file::fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub taproot: u32,
}

impl Deployments {
    /// Every soft fork from the first block on.
    pub const FROM_BLOCK_1: Deployments = Deployments { bip34: 1, bip65: 1, bip66: 1, csv: 1, segwit: 1, taproot: 1 };
}

/// A name that no built-in chain has.
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

/// Bitcoin's difficulty rule in its plain form.
const BITCOIN_RETARGET: Difficulty = Difficulty::Retarget {
    timespan: 14 * 24 * 60 * 60,
    allow_min_difficulty: false,
    bip94: false,
    no_retargeting: false,
};

/// Bitcoin's subsidy.
const BITCOIN_SUBSIDY: Subsidy = Subsidy { initial: Amount::from_int_btc(50), halving_interval: 210_000 };

/// The 32 bytes of a hash or number that is written as 64 hexadecimal digits, most significant first.
const fn bytes(hex: &str) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => panic!("a hexadecimal digit, in lower case"),
        }
    }
    let digits = hex.as_bytes();
    assert!(digits.len() == 64, "64 digits");
    let mut out = [0; 32];
    let mut i = 0;
    while i < 32 {
        out[i] = digit(digits[2 * i]) << 4 | digit(digits[2 * i + 1]);
        i += 1;
    }
    out
}

/// A block hash as it is printed.
fn hash(hex: &str) -> BlockHash {
    use bitcoin::hashes::Hash;
    let mut bytes = bytes(hex);
    bytes.reverse();
    BlockHash::from_byte_array(bytes)
}

/// A target as it is printed.
fn target(hex: &str) -> Target {
    Target::from_be_bytes(bytes(hex))
}

/// An amount of work as it is printed.
fn work(hex: &str) -> Work {
    Work::from_be_bytes(bytes(hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::check_target;

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
            assert_eq!(header.block_hash(), chain.genesis_hash, "{name}");
            let target = check_target(header.bits, chain.pow_limit).unwrap();
            assert!(target.is_met_by(chain.genesis_hash), "{name}");
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
            assert_eq!(ChainParams::by_name(name).unwrap().genesis_hash.to_string(), published);
        }
    }

    #[test]
    fn no_two_chains_share_magic_port_or_genesis() {
        let chains = ChainParams::NAMES.map(|name| ChainParams::by_name(name).unwrap());
        for (i, one) in chains.iter().enumerate() {
            for other in &chains[..i] {
                assert_ne!(one.magic, other.magic);
                assert_ne!(one.genesis_hash, other.genesis_hash);
                for port in [one.p2p_port, one.rpc_port] {
                    assert!(![other.p2p_port, other.rpc_port].contains(&port));
                }
            }
        }
    }

    #[test]
    fn the_subsidy_halves_and_ends() {
        let subsidy = BITCOIN_SUBSIDY;
        for (height, satoshi) in [
            (0, 50_0000_0000),
            (209_999, 50_0000_0000),
            (210_000, 25_0000_0000),
            (840_000, 3_1250_0000),
            (32 * 210_000, 1),
            (33 * 210_000, 0),
            (64 * 210_000, 0),
            (u32::MAX, 0),
        ] {
            assert_eq!(subsidy.at(height).to_sat(), satoshi, "height {height}");
        }
        // Core's own test of the whole supply (`validation_tests.cpp`): sampled each thousand blocks.
        let supply: u64 = (0..14_000_000).step_by(1000).map(|height| subsidy.at(height).to_sat() * 1000).sum();
        assert_eq!(supply, 2_099_999_997_690_000);
    }
}
