//! The chain file: a private chain described by its operator, in TOML.
//!
//! docs/chain-file.md describes every field. The types here have the structure of the file, so values are checked as they
//! are read: unknown fields are refused, each value is bounded, and values that depend on each other are checked last. A
//! chain's genesis block commits to its rules, so a file with edited rules has no valid genesis block and is refused.

mod builder;
mod error;
mod fields;
mod limits;
mod tables;
mod write;

use std::io::Read;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::{Amount, Block, BlockHash, CompactTarget, ScriptBuf, Target, TxMerkleNode, TxOut, Work};
use serde::Deserialize;

pub use builder::ChainFileBuilder;
pub use error::{ChainFileError, ChainFileReadError};
pub use limits::{FORMAT, MAX_CHAIN_FILE_SIZE};

use super::addresses::AddressPrefixes;
use super::genesis;
use super::params::ChainParams;
use super::peer::PeerAddress;
use crate::consensus::{ConsensusParams, Deployments, Difficulty, Subsidy, derive_target};
use error::FieldMismatch;
use tables::{AddressTable, DeploymentTable};

/// The longest wanted duration of a retarget period, in seconds. Four times as many seconds still fit 32 bits.
const MAX_TIMESPAN: u32 = 1 << 30;

/// The contents of a chain file. [`Self::read`] and [`Self::parse`] return a checked one, [`Self::builder`] makes a new one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ChainFile {
    /// The file's format: [`FORMAT`].
    pub format: u32,
    /// The chain's name, also the name of its folder.
    #[serde(deserialize_with = "fields::name")]
    pub name: String,
    /// The four bytes before every message and block, in the order in which they are sent.
    #[serde(deserialize_with = "fields::magic")]
    pub magic: [u8; 4],
    /// Its ports, peers and known blocks. Not part of the chain's identity.
    pub network: NetworkTable,
    /// The prefixes of its addresses. Not part of the chain's identity.
    #[serde(deserialize_with = "AddressTable::deserialize")]
    pub addresses: AddressPrefixes,
    /// Its genesis block.
    pub genesis: GenesisTable,
    /// Its consensus rules.
    pub rules: RulesTable,
}

/// The table `[network]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NetworkTable {
    /// The TCP port for peers.
    #[serde(deserialize_with = "fields::number::<_, u16, 1, 65535>")]
    pub p2p_port: u16,
    /// The TCP port for JSON-RPC.
    #[serde(deserialize_with = "fields::number::<_, u16, 1, 65535>")]
    pub rpc_port: u16,
    /// Peers to ask first.
    #[serde(default, deserialize_with = "fields::seeds")]
    pub seeds: Vec<PeerAddress>,
    /// The least work that the chain is known to have, in hashes.
    #[serde(default = "no_work", deserialize_with = "fields::work")]
    pub minimum_chain_work: Work,
    /// A block whose ancestors' scripts are known to be valid.
    #[serde(default, deserialize_with = "fields::block_hash")]
    pub assume_valid: Option<BlockHash>,
}

/// The table `[genesis]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GenesisTable {
    /// The header's time, in seconds since 1970.
    #[serde(deserialize_with = "fields::number::<_, u32, 1, 0xffff_ffff>")]
    pub time: u32,
    /// The header's target.
    #[serde(deserialize_with = "fields::compact")]
    pub bits: CompactTarget,
    /// The nonce with which the header's hash meets the target.
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub nonce: u32,
    /// The header's version.
    #[serde(deserialize_with = "fields::version")]
    pub version: Version,
    /// The text in the coinbase.
    #[serde(deserialize_with = "fields::message")]
    pub message: String,
    /// The coinbase's output script. Its coin cannot be spent.
    #[serde(deserialize_with = "fields::script")]
    pub script: ScriptBuf,
    /// The coinbase's output value, in satoshi.
    #[serde(deserialize_with = "fields::amount")]
    pub value: Amount,
    /// The block's hash. If it is given it is checked.
    #[serde(default, deserialize_with = "fields::block_hash")]
    pub hash: Option<BlockHash>,
}

/// The table `[rules]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RulesTable {
    /// The easiest target.
    #[serde(deserialize_with = "fields::pow_limit")]
    pub pow_limit: Target,
    /// The wanted time between blocks, in seconds; thirty days at most.
    #[serde(deserialize_with = "fields::number::<_, u32, 1, 2_592_000>")]
    pub spacing: u32,
    /// The subsidy of the first blocks, in satoshi.
    #[serde(deserialize_with = "fields::amount")]
    pub subsidy: Amount,
    /// The number of blocks between halvings of the subsidy; 0: it never halves.
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    pub halving_interval: u32,
    /// The script that every block must satisfy (BIP325).
    #[serde(default, deserialize_with = "fields::challenge")]
    pub challenge: Option<ScriptBuf>,
    /// The difficulty rule.
    pub difficulty: DifficultyRule,
    /// The heights at which the soft forks become active.
    #[serde(deserialize_with = "DeploymentTable::deserialize")]
    pub deployments: Deployments,
}

/// `difficulty` of `[rules]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum DifficultyRule {
    /// Every block has the genesis block's target.
    None,
    /// Bitcoin's rule.
    Retarget {
        /// The number of blocks in a period.
        #[serde(deserialize_with = "fields::number::<_, u32, 2, 1_000_000>")]
        interval: u32,
        /// Testnet's rule: a block more than two spacings after its parent has the limit's target.
        #[serde(default)]
        allow_min_difficulty: bool,
        /// Testnet4's rules (BIP94): an adjustment starts from the period's first target, and the first block of a period may
        /// not be more than ten minutes earlier than its parent.
        #[serde(default)]
        bip94: bool,
    },
    /// aserti3-2d.
    Asert {
        /// The lag that doubles the target, in seconds; ten years at most.
        #[serde(deserialize_with = "fields::number::<_, u32, 1, 315_360_000>")]
        half_life: u32,
        /// The height of the block at which the schedule starts.
        #[serde(deserialize_with = "fields::number::<_, u32, 0, 1_000_000>")]
        anchor_height: u32,
    },
}

fn no_work() -> Work {
    Work::from_be_bytes([0; 32])
}

impl ChainFile {
    /// Reads and checks a chain file. At most [`MAX_CHAIN_FILE_SIZE`] bytes and one are read.
    ///
    /// # Errors
    /// The input cannot be read, is too long, is not UTF-8 or is empty, or as [`Self::parse`].
    pub fn read(input: impl Read) -> Result<Self, ChainFileReadError> {
        let mut bytes = Vec::new();
        input.take(MAX_CHAIN_FILE_SIZE as u64 + 1).read_to_end(&mut bytes)?;
        // The length is checked first: the end may be cut off in the middle of a character.
        if bytes.len() > MAX_CHAIN_FILE_SIZE {
            return Err(ChainFileReadError::TooLarge);
        }
        let text = str::from_utf8(&bytes).map_err(|error| ChainFileReadError::NotText { byte: error.valid_up_to() })?;
        if text.trim().is_empty() {
            return Err(ChainFileReadError::Empty);
        }
        Ok(Self::parse(text)?)
    }

    /// Reads a chain file's text. Memory is bounded by a multiple of its length.
    ///
    /// # Errors
    /// It is too long, is not TOML, a field is missing or unknown, a value is out of bounds or does not fit another, or the
    /// genesis block has no proof of work or another hash than stated.
    pub fn parse(text: &str) -> Result<Self, ChainFileError> {
        let file = Self::parse_unsolved(text)?;
        file.check_genesis().map_err(|mismatch| mismatch.in_text(text))?;
        Ok(file)
    }

    /// As [`Self::parse`], for a file whose genesis block has not been mined. The block's hash is not checked.
    ///
    /// # Errors
    /// As [`Self::parse`], except for the genesis block's hash.
    pub fn parse_unsolved(text: &str) -> Result<Self, ChainFileError> {
        /// The field that every format has. A later format may have fields that this version does not know.
        #[derive(Deserialize)]
        struct AnyFormat {
            format: toml::Spanned<i64>,
        }

        if text.len() > MAX_CHAIN_FILE_SIZE {
            return Err(ChainFileError::TooLarge { seen: text.len() });
        }
        let AnyFormat { format } = toml::from_str(text).map_err(|error| ChainFileError::toml(error, text))?;
        if *format.get_ref() != i64::from(FORMAT) {
            return Err(ChainFileError::format(&format, text));
        }
        let file: Self = toml::from_str(text).map_err(|error| ChainFileError::toml(error, text))?;
        file.check_together().map_err(|mismatch| mismatch.in_text(text))?;
        Ok(file)
    }

    /// The parameters of the chain.
    #[must_use]
    pub fn params(&self) -> ChainParams {
        let Self { network, rules, .. } = self;
        let genesis = self.genesis_block([0; 32]);
        let mut params = ChainParams {
            name: self.name.clone(),
            magic: self.magic,
            p2p_port: network.p2p_port,
            rpc_port: network.rpc_port,
            addresses: self.addresses.clone(),
            seeds: network.seeds.clone(),
            consensus: ConsensusParams {
                subsidy: Subsidy { initial: rules.subsidy, halving_interval: rules.halving_interval },
                deployments: rules.deployments,
                signet_challenge: rules.challenge.clone(),
                minimum_chain_work: network.minimum_chain_work,
                default_assume_valid: network.assume_valid,
                ..ConsensusParams::new(
                    genesis.block_hash(),
                    rules.pow_limit,
                    rules.spacing,
                    rules.difficulty.with_spacing(rules.spacing),
                )
            },
            genesis,
        };
        // The rules hash does not cover the genesis block that commits to it.
        params.genesis = self.genesis_block(params.rules_hash().to_byte_array());
        params.consensus.genesis_hash = params.genesis.block_hash();
        params
    }

    /// The genesis block, which commits to `rules`.
    fn genesis_block(&self, rules: [u8; 32]) -> Block {
        let GenesisTable { time, bits, nonce, version, .. } = self.genesis;
        let (prev_blockhash, merkle_root) = (BlockHash::all_zeros(), TxMerkleNode::all_zeros());
        let header = Header { version, prev_blockhash, merkle_root, time, bits, nonce };
        let output = TxOut { value: self.genesis.value, script_pubkey: self.genesis.script.clone() };
        genesis::committed(header, &self.genesis.message, output, rules)
    }

    /// A magic derived from the rest of the chain's identity, genesis time included. Its first byte is not ASCII, and no
    /// built-in chain has it.
    #[must_use]
    pub fn derived_magic(&self) -> [u8; 4] {
        let unmarked = Self { magic: [0; 4], ..self.clone() }.params();
        let mut engine = sha256::Hash::engine();
        engine.input(unmarked.rules_text().as_bytes());
        engine.input(&self.genesis.time.to_le_bytes());
        let mut digest = sha256::Hash::from_engine(engine);
        loop {
            let [first, second, third, fourth, ..] = digest.to_byte_array();
            let magic = [first | 0x80, second, third, fourth];
            if !fields::is_reserved_magic(magic) {
                return magic;
            }
            digest = sha256::Hash::hash(digest.as_byte_array());
        }
    }

    /// Values that depend on each other fit.
    fn check_together(&self) -> Result<(), FieldMismatch> {
        let Self { network, addresses, rules, .. } = self;
        if network.p2p_port == network.rpc_port {
            return Err(FieldMismatch::new("network.rpc_port", network.rpc_port, "another port than network.p2p_port"));
        }
        if addresses.p2pkh == addresses.p2sh {
            return Err(FieldMismatch::new("addresses.p2sh", addresses.p2sh, "another byte than addresses.p2pkh"));
        }
        if addresses.xpub == addresses.xprv {
            let seen = format!("{:08x}", u32::from_be_bytes(addresses.xprv));
            return Err(FieldMismatch::new("addresses.xprv", seen, "other bytes than addresses.xpub"));
        }
        match rules.difficulty {
            DifficultyRule::Retarget { interval, .. }
                if interval.checked_mul(rules.spacing).is_none_or(|timespan| timespan > MAX_TIMESPAN) =>
            {
                let wanted = format!("at most {} with this spacing", MAX_TIMESPAN / rules.spacing);
                Err(FieldMismatch::new("rules.difficulty.retarget.interval", interval, wanted))
            }
            DifficultyRule::Asert { half_life, .. } if half_life < rules.spacing => {
                let wanted = format!("at least one spacing, {}", rules.spacing);
                Err(FieldMismatch::new("rules.difficulty.asert.half_life", half_life, wanted))
            }
            _ => Ok(()),
        }?;
        derive_target(self.genesis.bits, rules.pow_limit).map_err(|_| {
            let seen = format!("{:08x}", self.genesis.bits.to_consensus());
            let wanted = format!("a target from 1 to rules.pow_limit, {:064x}", rules.pow_limit);
            FieldMismatch::new("genesis.bits", seen, wanted)
        })?;
        Ok(())
    }

    /// The genesis block has the stated hash, if any, and proof of work.
    fn check_genesis(&self) -> Result<(), FieldMismatch> {
        let hash = self.params().consensus.genesis_hash;
        let edited = "a chain's name, magic, genesis and rules cannot be changed: `adit chain new` makes another chain";
        if let Some(stated) = self.genesis.hash.filter(|stated| *stated != hash) {
            let wanted = format!("{hash}, which follows from the file ({edited})");
            return Err(FieldMismatch::new("genesis.hash", stated, wanted));
        }
        let target = Target::from_compact(self.genesis.bits);
        if !target.is_met_by(hash) {
            let seen = format!("{} gives the hash {hash}", self.genesis.nonce);
            let wanted = format!("at most {target:064x} ({edited})");
            return Err(FieldMismatch::new("genesis.nonce", seen, wanted));
        }
        Ok(())
    }
}

impl DifficultyRule {
    /// aserti3-2d from block 1 on, as on the dev chain. `half_life` and `spacing` are in seconds. `None`: 60 spacings.
    #[must_use]
    pub fn asert(half_life: Option<u32>, spacing: u32) -> Self {
        Self::Asert { half_life: half_life.unwrap_or(spacing.saturating_mul(60)), anchor_height: 1 }
    }

    /// Bitcoin's rule without testnet's exceptions. `interval` is in blocks. `None`: 2,016.
    #[must_use]
    pub fn retarget(interval: Option<u32>) -> Self {
        Self::Retarget { interval: interval.unwrap_or(2016), allow_min_difficulty: false, bip94: false }
    }

    /// The consensus parameter for this rule and this many seconds between blocks.
    fn with_spacing(self, spacing: u32) -> Difficulty {
        match self {
            // Every block ends a period, and a period that ends changes nothing.
            Self::None => Difficulty::Retarget {
                pow_target_timespan: spacing,
                pow_allow_min_difficulty_blocks: false,
                enforce_bip94: false,
                pow_no_retargeting: true,
            },
            Self::Retarget { interval, allow_min_difficulty, bip94 } => Difficulty::Retarget {
                pow_target_timespan: interval.saturating_mul(spacing),
                pow_allow_min_difficulty_blocks: allow_min_difficulty,
                enforce_bip94: bip94,
                pow_no_retargeting: false,
            },
            Self::Asert { half_life, anchor_height } => Difficulty::Asert { half_life, anchor_height },
        }
    }
}

#[cfg(test)]
mod tests;
