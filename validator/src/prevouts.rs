//! Checks one block without its ancestors, with a list of the outputs that it spends.
//!
//! The list replaces the coin set and is trusted; the report names the rules not checked. All other rules, scripts included,
//! are checked by the same code as for a block that connects.

mod core_block;
mod error;
mod list;

use crate::block::DecodedBlock;
use crate::consensus::{ConsensusParams, Difficulty};
use crate::rules::alone;
use crate::rules::{ConnectOptions, Connected, RuleError, validate_block_in_isolation};

pub use error::PrevoutsError;
pub use list::{MAX_JSON_LEN, Prevouts};

/// A rule that was not checked, because it needs ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unchecked {
    /// Bitcoin Core's name of the rule.
    pub rule: &'static str,
    /// The data that is needed to check it.
    pub lacking: &'static str,
}

/// A block that breaks none of the checked rules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedBlock {
    /// Its height, from the list. From BIP34 on it was compared with the coinbase.
    pub height: u32,
    /// The result of connecting it to the listed coins.
    pub connected: Connected,
    /// The rules that were not checked.
    pub unchecked: Vec<Unchecked>,
}

/// The reason why a block was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The list is not the list of its prevouts.
    #[error(transparent)]
    Prevouts(#[from] PrevoutsError),
}

/// Checks `block` against every rule that needs `prevouts` and no ancestors. `now` is the time in seconds since 1970.
///
/// # Errors
/// The block breaks a rule, or `prevouts` is not the list of its prevouts.
pub fn check_block_with_prevouts(
    params: &ConsensusParams,
    block: &DecodedBlock,
    prevouts: &Prevouts,
    now: u64,
    options: ConnectOptions,
) -> Result<CheckedBlock, CheckError> {
    let height = prevouts.height();
    if let Err(mismatch) = prevouts.check_fits(block) {
        // Rules in isolation are reported first. All others depend on the list, at least on its height.
        validate_block_in_isolation(params, block)?;
        return Err(mismatch.into());
    }
    let connected = alone::validate_block_alone(params, height, block, prevouts.coins(), now, options)?;
    Ok(CheckedBlock { height, connected, unchecked: unchecked(params, height, block) })
}

/// The rules for this block that need its ancestors.
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
