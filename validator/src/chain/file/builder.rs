//! Makes a chain file from an operator's choices. The rest follows from these, with the values of the dev chain as defaults.

use bitcoin::block::Version;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::{Amount, CompactTarget, ScriptBuf, Target, Work};

use super::{ChainFile, ChainFileError, DifficultyRule, FORMAT, GenesisTable, NetworkTable, RulesTable};
use crate::chain::addresses::AddressPrefixes;
use crate::chain::peer::PeerAddress;
use crate::consensus::{Deployments, Subsidy};

/// The easiest target of a chain that does not choose one: 2^24 hashes a block, as on the dev chain.
const DEFAULT_POW_LIMIT: u32 = 0x1e00_ffff;

/// The seconds between the blocks of a chain that does not choose them, as on the dev chain.
const DEFAULT_SPACING: u32 = 10;

/// The choices for a new chain. [`Self::build`] makes the chain file.
#[derive(Clone, Debug)]
#[must_use]
pub struct ChainFileBuilder {
    name: String,
    time: u32,
    magic: Option<[u8; 4]>,
    rpc_port: Option<u16>,
    p2p_port: Option<u16>,
    seeds: Vec<PeerAddress>,
    addresses: AddressPrefixes,
    message: Option<String>,
    pow_limit: CompactTarget,
    spacing: u32,
    subsidy: Subsidy,
    challenge: Option<ScriptBuf>,
    difficulty: Option<DifficultyRule>,
}

impl ChainFile {
    /// A new chain file for the chain `name`, whose genesis block has this time, in seconds since 1970.
    pub fn builder(name: impl Into<String>, time: u32) -> ChainFileBuilder {
        ChainFileBuilder {
            name: name.into(),
            time,
            magic: None,
            rpc_port: None,
            p2p_port: None,
            seeds: Vec::new(),
            addresses: AddressPrefixes::regtest(),
            message: None,
            pow_limit: CompactTarget::from_consensus(DEFAULT_POW_LIMIT),
            spacing: DEFAULT_SPACING,
            subsidy: Subsidy::BITCOIN,
            challenge: None,
            difficulty: None,
        }
    }
}

impl ChainFileBuilder {
    /// Sets the magic. `None`: it is derived from the chain's identity.
    pub fn with_magic(self, magic: Option<[u8; 4]>) -> Self {
        Self { magic, ..self }
    }

    /// Sets the TCP port for JSON-RPC. `None`: it is derived from the magic, an even port from 20000 to 29998.
    pub fn with_rpc_port(self, rpc_port: Option<u16>) -> Self {
        Self { rpc_port, ..self }
    }

    /// Sets the TCP port for peers. `None`: it is derived from the magic, an odd port from 20001 to 29999.
    pub fn with_p2p_port(self, p2p_port: Option<u16>) -> Self {
        Self { p2p_port, ..self }
    }

    /// Sets the peers to connect to first.
    pub fn with_seeds(self, seeds: Vec<PeerAddress>) -> Self {
        Self { seeds, ..self }
    }

    /// Sets the prefix of segwit addresses. The other prefixes are those of Bitcoin's test chains.
    pub fn with_bech32_hrp(self, bech32_hrp: impl Into<String>) -> Self {
        let addresses = AddressPrefixes { bech32_hrp: bech32_hrp.into(), ..AddressPrefixes::test() };
        Self { addresses, ..self }
    }

    /// Sets the text of the genesis coinbase. `None`: `Adit chain` and the name.
    pub fn with_message(self, message: Option<String>) -> Self {
        Self { message, ..self }
    }

    /// Sets the easiest target, which is also the genesis block's.
    pub fn with_pow_limit(self, pow_limit: CompactTarget) -> Self {
        Self { pow_limit, ..self }
    }

    /// Sets the wanted time between blocks, in seconds.
    pub fn with_spacing(self, spacing: u32) -> Self {
        Self { spacing, ..self }
    }

    /// Sets the block subsidy.
    pub fn with_subsidy(self, subsidy: Subsidy) -> Self {
        Self { subsidy, ..self }
    }

    /// Sets the script that every block must satisfy (BIP325). `None`: proof of work is enough.
    pub fn with_challenge(self, challenge: Option<ScriptBuf>) -> Self {
        Self { challenge, ..self }
    }

    /// Sets the difficulty rule; without it, it is [`DifficultyRule::asert`] with a half-life of 60 spacings.
    pub fn with_difficulty(self, difficulty: DifficultyRule) -> Self {
        Self { difficulty: Some(difficulty), ..self }
    }

    /// The chain file. Every value is checked; the genesis block is not mined and its hash not stated. The genesis coinbase
    /// pays nothing to an OP_RETURN, and every soft fork is active from block 1 on.
    ///
    /// # Errors
    /// A value is out of bounds or does not fit another. The error's line is that of [`ChainFile::to_toml`].
    pub fn build(self) -> Result<ChainFile, ChainFileError> {
        let difficulty = self.difficulty.unwrap_or_else(|| DifficultyRule::asert(None, self.spacing));
        let message = self.message.unwrap_or_else(|| format!("Adit chain {}", self.name));
        let mut file = ChainFile {
            format: FORMAT,
            name: self.name,
            // A valid magic and valid ports, until these can be derived.
            magic: [0xff; 4],
            network: NetworkTable {
                p2p_port: 1,
                rpc_port: 2,
                seeds: self.seeds,
                minimum_chain_work: Work::from_be_bytes([0; 32]),
                assume_valid: None,
            },
            addresses: self.addresses,
            genesis: GenesisTable {
                time: self.time,
                bits: self.pow_limit,
                nonce: 0,
                version: Version::ONE,
                message,
                script: Builder::new().push_opcode(OP_RETURN).into_script(),
                value: Amount::ZERO,
                hash: None,
            },
            rules: RulesTable {
                pow_limit: Target::from_compact(self.pow_limit),
                spacing: self.spacing,
                subsidy: self.subsidy.initial,
                halving_interval: self.subsidy.halving_interval,
                challenge: self.challenge,
                difficulty,
                deployments: Deployments::FROM_BLOCK_1,
            },
        };
        // The magic is derived from values that are valid, and the ports from the magic.
        ChainFile::parse_unsolved(&file.to_toml())?;
        file.magic = self.magic.unwrap_or_else(|| file.derived_magic());
        let [_, _, third, fourth] = file.magic;
        let base = 20_000 + u16::from_be_bytes([third, fourth]) % 5_000 * 2;
        file.network.rpc_port = self.rpc_port.unwrap_or(base);
        file.network.p2p_port = self.p2p_port.unwrap_or(base + 1);
        ChainFile::parse_unsolved(&file.to_toml())?;
        Ok(file)
    }
}
