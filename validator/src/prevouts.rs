//! Checks one block without its ancestors, with a list of the outputs that it spends.
//!
//! The list stands for the coins. That its outputs exist and are unspent is taken from it, not checked, like everything
//! that only ancestors know; the report says which rules that leaves open. Everything else is checked as for a block that
//! connects, scripts included, by the same code.

mod core_block;
mod error;
mod list;

use crate::block::DecodedBlock;
use crate::consensus::{ConsensusParams, Difficulty};
use crate::rules::alone;
use crate::rules::{ConnectOptions, Connected, RuleError, validate_block_in_isolation};

pub use error::PrevoutsError;
pub use list::{MAX_JSON_LEN, Prevouts};

/// A rule that could not be checked for lack of ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unchecked {
    /// Bitcoin Core's name of the rule.
    pub rule: &'static str,
    /// What would be needed to check it.
    pub lacking: &'static str,
}

/// A block that breaks none of the rules that could be checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedBlock {
    /// Its height, by the list and, from BIP34 on, by its coinbase.
    pub height: u32,
    /// The result of connecting it to the listed coins.
    pub connected: Connected,
    /// The rules that could not be checked.
    pub unchecked: Vec<Unchecked>,
}

/// Why a block was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The list is not the list of what it spends.
    #[error(transparent)]
    Prevouts(#[from] PrevoutsError),
}

/// Checks of `block` all that can be checked with `prevouts` and without its ancestors. `now` is the time in seconds
/// since 1970.
///
/// # Errors
/// The block breaks a rule, or `prevouts` is not the list of what it spends.
pub fn check_block_with_prevouts(
    params: &ConsensusParams,
    block: &DecodedBlock,
    prevouts: &Prevouts,
    now: u64,
    options: ConnectOptions,
) -> Result<CheckedBlock, CheckError> {
    let height = prevouts.height();
    if let Err(misfit) = prevouts.check_fits(block) {
        // A rule that the block breaks in isolation is reported first. All others depend on the list, if only for its
        // height.
        validate_block_in_isolation(params, block)?;
        return Err(misfit.into());
    }
    let connected = alone::validate_block_alone(params, height, block, prevouts.coins(), now, options)?;
    Ok(CheckedBlock { height, connected, unchecked: unchecked(params, height, block) })
}

/// The rules that the ancestors of a block like this one would decide.
fn unchecked(params: &ConsensusParams, height: u32, block: &DecodedBlock) -> Vec<Unchecked> {
    let mut rules = vec![
        Unchecked { rule: "prev-blk-not-found", lacking: "the previous block" },
        Unchecked { rule: "bad-diffbits", lacking: "the targets and times of the blocks before" },
        Unchecked { rule: "time-too-old", lacking: "the times of the eleven blocks before" },
        Unchecked { rule: "bad-txns-inputs-missingorspent", lacking: "the coins; the list stands for them" },
        Unchecked { rule: "bad-txns-BIP30", lacking: "the coins that the block would overwrite" },
    ];
    if matches!(params.difficulty, Difficulty::Retarget { enforce_bip94: true, .. }) {
        rules.push(Unchecked { rule: "time-timewarp-attack", lacking: "the time of the previous block" });
    }
    if height >= params.deployments.csv && block.transactions().iter().any(alone::is_locked_by_time) {
        rules.push(Unchecked { rule: "bad-txns-nonfinal", lacking: "median times past, for lock times in seconds" });
    }
    rules
}

#[cfg(test)]
mod tests;
