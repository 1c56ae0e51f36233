//! The parameters of a chain that its rules depend on.
//!
//! The fields have the names of Bitcoin Core's `Consensus::Params` (`consensus/params.h`) where it has one. The
//! parameters for peers, wallets and people are in [`ChainParams`](crate::chain::ChainParams), as in Core's `CChainParams`.

use bitcoin::{Amount, BlockHash, ScriptBuf, Target, Work};

use super::script_flags::ScriptFlags;

/// The consensus parameters of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsensusParams {
    /// The hash of the block at height 0. It is not validated, and its outputs cannot be spent.
    pub genesis_hash: BlockHash,
    /// The block subsidy.
    pub subsidy: Subsidy,
    /// The heights at which the soft forks become active.
    pub deployments: Deployments,
    /// The hash of the block at BIP34's height on a chain where coinbases before that height are known not to collide
    /// with later ones: above it, BIP30 need not be checked. `None`: it is always checked.
    pub bip34_hash: Option<BlockHash>,
    /// The blocks that are allowed to overwrite coins (BIP30), by height and hash.
    pub bip30_repeats: Vec<(u32, BlockHash)>,
    /// The blocks whose scripts are checked with other base flags than P2SH, WITNESS and TAPROOT, and those flags.
    pub script_flag_exceptions: Vec<(BlockHash, ScriptFlags)>,
    /// The easiest target that a block may have.
    pub pow_limit: Target,
    /// The wanted time between blocks, in seconds; not zero.
    pub pow_target_spacing: u32,
    /// The rule by which the target of a block follows from its ancestors.
    pub difficulty: Difficulty,
    /// The script that every block must satisfy (BIP325). `None`: proof of work is enough.
    pub signet_challenge: Option<ScriptBuf>,
    /// The least work that the best chain is known to have. A chain with less work is another chain or incomplete. No rule
    /// depends on it; the chain state reports it if its options come from [`ChainStateOptions::for_chain`].
    ///
    /// [`ChainStateOptions::for_chain`]: crate::chainstate::ChainStateOptions::for_chain
    pub minimum_chain_work: Work,
    /// A block whose ancestors' scripts are known to be valid, so that a node may skip them. No rule depends on it, and
    /// the chain state skips scripts only if its options name a block. `None`: no such block is known.
    pub default_assume_valid: Option<BlockHash>,
}

impl ConsensusParams {
    /// Parameters that have no historical exceptions and no signet challenge, with every soft fork active from block 1
    /// on.
    #[must_use]
    pub fn new(genesis_hash: BlockHash, pow_limit: Target, pow_target_spacing: u32, difficulty: Difficulty) -> Self {
        Self {
            genesis_hash,
            subsidy: Subsidy::BITCOIN,
            deployments: Deployments::FROM_BLOCK_1,
            bip34_hash: None,
            bip30_repeats: Vec::new(),
            script_flag_exceptions: Vec::new(),
            pow_limit,
            pow_target_spacing,
            difficulty,
            signet_challenge: None,
            minimum_chain_work: Work::from_be_bytes([0; 32]),
            default_assume_valid: None,
        }
    }
}

/// The rule by which the target of the next block follows from its ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difficulty {
    /// Bitcoin's rule: an adjustment every `pow_target_timespan / pow_target_spacing` blocks.
    Retarget {
        /// The wanted duration of a period, in seconds: two weeks on the public chains.
        pow_target_timespan: u32,
        /// Testnet's rule: a block more than two spacings later than its parent has the target `pow_limit`.
        pow_allow_min_difficulty_blocks: bool,
        /// Testnet4's rules (BIP94): an adjustment starts from the period's first target, and the first block of a period
        /// may not be more than ten minutes earlier than its parent.
        enforce_bip94: bool,
        /// Regtest's rule: the target stays at the end of a period.
        pow_no_retargeting: bool,
    },
    /// aserti3-2d: the target is an exponential of the chain's lag behind an absolute schedule.
    Asert {
        /// The lag that doubles the target, in seconds; not zero.
        half_life: u32,
        /// The height of the block at which the schedule starts. It and the blocks before it have the genesis block's
        /// target. Zero is a bad choice for a chain that starts long after its genesis block's time: see
        /// docs/adr/0001-dev-chain-asert-anchor.md.
        anchor_height: u32,
    },
}

impl Difficulty {
    /// The rule of Bitcoin's main chain.
    pub const BITCOIN: Difficulty = Difficulty::Retarget {
        pow_target_timespan: 14 * 24 * 60 * 60,
        pow_allow_min_difficulty_blocks: false,
        enforce_bip94: false,
        pow_no_retargeting: false,
    };
}

/// The block subsidy: the amount that a coinbase may create besides the fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsidy {
    /// The subsidy of the first blocks.
    pub initial: Amount,
    /// The number of blocks between halvings; 0: the subsidy never halves.
    pub halving_interval: u32,
}

impl Subsidy {
    /// The subsidy of Bitcoin's main chain.
    pub const BITCOIN: Subsidy = Subsidy { initial: Amount::from_int_btc(50), halving_interval: 210_000 };

    /// The subsidy of a block at `height`: the initial one, halved once each interval, zero from the 64th halving on.
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
/// P2SH and WITNESS have no height as script flags, and on public chains neither has TAPROOT: as in Bitcoin Core, the
/// rules apply them to every block except those in [`ConsensusParams::script_flag_exceptions`], because only those blocks
/// break them. A chain file may let taproot begin later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployments {
    /// The height in the coinbase, block version 2.
    pub bip34: u32,
    /// OP_CHECKLOCKTIMEVERIFY, block version 4.
    pub bip65: u32,
    /// Strict DER signatures, block version 3.
    pub bip66: u32,
    /// Relative lock times (BIP68), OP_CHECKSEQUENCEVERIFY (BIP112), median time past for lock times (BIP113).
    pub csv: u32,
    /// Witness commitments (BIP141) and NULLDUMMY (BIP147).
    pub segwit: u32,
    /// Taproot and tapscript (BIP341, BIP342) as script flags. On the public chains 0: see above.
    pub taproot: u32,
}

impl Deployments {
    /// Every soft fork is active from block 1 on.
    pub const FROM_BLOCK_1: Deployments = Deployments { bip34: 1, bip65: 1, bip66: 1, csv: 1, segwit: 1, taproot: 1 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subsidy_halves_and_ends() {
        let subsidy = Subsidy::BITCOIN;
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
        // Core's own test of the whole supply (`validation_tests.cpp`), which samples every thousandth block.
        let supply: u64 = (0..14_000_000).step_by(1000).map(|height| subsidy.at(height).to_sat() * 1000).sum();
        assert_eq!(supply, 2_099_999_997_690_000);
    }

    #[test]
    fn a_subsidy_without_an_interval_never_halves() {
        let subsidy = Subsidy { halving_interval: 0, ..Subsidy::BITCOIN };
        assert_eq!(subsidy.at(u32::MAX), subsidy.initial);
    }
}
