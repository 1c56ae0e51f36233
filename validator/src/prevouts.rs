//! One block by itself, with a list of the outputs that it spends: all that can be checked without its ancestors.
//!
//! The list stands for the coins. That its outputs exist and are unspent is taken from it, not checked, like everything
//! that only ancestors know; the report says which rules that leaves open. Everything else is checked as for a block that
//! connects, scripts included, by the same code.

use std::io::{self, Read};

use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut};
use serde::Deserialize;

use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::consensus::{ConsensusParams, Difficulty};
use crate::rules::alone;
use crate::rules::{ConnectOptions, Connected, RuleError, validate_block_in_isolation};

/// The longest list that is read, in bytes. The outputs that a block of four million bytes can spend, ordinary ones, take
/// a tenth of it.
pub const MAX_JSON_LEN: u64 = 256 << 20;

/// What the columns of the list are called, in their order.
const FIELDS: [&str; 6] =
    ["outpoint", "value_sat", "script_pubkey", "creation_height", "is_coinbase", "creation_mtp_or_time"];

/// The outputs that a block spends, in the order in which it spends them.
#[derive(Clone, Debug)]
pub struct Prevouts {
    height: u32,
    outpoints: Vec<OutPoint>,
    /// What each of them is.
    coins: Vec<Coin>,
}

/// Why a list cannot be read, or is not the list of a block. Entries are counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrevoutsError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("more than {MAX_JSON_LEN} bytes")]
    TooLong,
    /// It is not JSON, or not of this form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It has other columns.
    #[error("fields {seen:?}; wanted {FIELDS:?}")]
    Fields {
        /// Which.
        seen: Vec<String>,
    },
    /// A column of an entry means nothing.
    #[error("entry {entry}: {field} {value:?}: {reason}")]
    Entry {
        /// Which entry.
        entry: usize,
        /// The column.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has more or fewer entries than the block has inputs.
    #[error("{seen} entries; the block spends {wanted} outputs")]
    Count {
        /// How many it has.
        seen: usize,
        /// How many the block spends.
        wanted: usize,
    },
    /// An entry is not the output that the block spends at its place.
    #[error("entry {entry}: {seen}; the block spends {wanted} there")]
    Outpoint {
        /// Which entry.
        entry: usize,
        /// What it is.
        seen: OutPoint,
        /// What the block spends.
        wanted: OutPoint,
    },
    /// An entry is not the output that the block itself makes.
    #[error("entry {entry}: {outpoint} is not as the block makes it")]
    NotAsMade {
        /// Which entry.
        entry: usize,
        /// The output.
        outpoint: OutPoint,
    },
    /// An entry claims to be as high as the block or higher, and no transaction of the block makes it.
    #[error("entry {entry}: created at height {created}; the block at height {height} does not make it")]
    NotMade {
        /// Which entry.
        entry: usize,
        /// The height that it claims.
        created: u32,
        /// The block's.
        height: u32,
    },
}

/// The file's form: `prevouts` holds a row for each output, with the columns that `fields` names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    height: u32,
    fields: Vec<String>,
    prevouts: Vec<(String, u64, String, u32, bool, u32)>,
}

impl Prevouts {
    /// Reads a list. Memory is bounded by a multiple of its length, and that by [`MAX_JSON_LEN`].
    pub fn read(file: impl Read) -> Result<Self, PrevoutsError> {
        let mut json = Vec::new();
        file.take(MAX_JSON_LEN + 1).read_to_end(&mut json)?;
        if json.len() as u64 > MAX_JSON_LEN {
            return Err(PrevoutsError::TooLong);
        }
        let File { height, fields, prevouts } = serde_json::from_slice(&json)?;
        if fields != FIELDS {
            return Err(PrevoutsError::Fields { seen: fields });
        }
        let (mut outpoints, mut coins) = (Vec::with_capacity(prevouts.len()), Vec::with_capacity(prevouts.len()));
        for (entry, (outpoint, value, script, height, is_coinbase, _time)) in prevouts.into_iter().enumerate() {
            outpoints.push(parse(entry, FIELDS[0], &outpoint, str::parse::<OutPoint>)?);
            let script_pubkey = parse(entry, FIELDS[2], &script, ScriptBuf::from_hex)?;
            let output = TxOut { value: Amount::from_sat(value), script_pubkey };
            coins.push(Coin { output, height, is_coinbase });
        }
        Ok(Self { height, outpoints, coins })
    }

    /// The height of the block that the list is about.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// This is the list of what `block` spends.
    fn check_fits(&self, block: &DecodedBlock) -> Result<(), PrevoutsError> {
        let wanted = block.spent().count();
        if self.coins.len() != wanted {
            return Err(PrevoutsError::Count { seen: self.coins.len(), wanted });
        }
        for (entry, (wanted, &outpoint)) in block.spent().zip(&self.outpoints).enumerate() {
            if outpoint != wanted {
                return Err(PrevoutsError::Outpoint { entry, seen: outpoint, wanted });
            }
            if let Some(tx) = block.position(&outpoint.txid) {
                self.check_as_made(block, tx, entry)?;
            } else if self.coins[entry].height >= self.height {
                let created = self.coins[entry].height;
                return Err(PrevoutsError::NotMade { entry, created, height: self.height });
            }
        }
        Ok(())
    }

    /// An entry for an output of transaction `tx` of the block says what that transaction says.
    fn check_as_made(&self, block: &DecodedBlock, tx: usize, entry: usize) -> Result<(), PrevoutsError> {
        let (outpoint, coin) = (self.outpoints[entry], &self.coins[entry]);
        let transaction = &block.transactions()[tx];
        let made = transaction.output.get(outpoint.vout as usize).map(|output| Coin {
            output: output.clone(),
            height: self.height,
            is_coinbase: transaction.is_coinbase(),
        });
        // An output that the transaction does not have is for the rules to refuse.
        if made.is_some_and(|made| made != *coin) {
            return Err(PrevoutsError::NotAsMade { entry, outpoint });
        }
        Ok(())
    }
}

fn parse<T, E: ToString>(
    entry: usize,
    field: &'static str,
    value: &str,
    parser: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, PrevoutsError> {
    parser(value).map_err(|error| PrevoutsError::Entry {
        entry,
        field,
        value: value.chars().take(100).collect(),
        reason: error.to_string(),
    })
}

/// A rule that could not be checked for lack of ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unchecked {
    /// Bitcoin Core's name of the rule.
    pub rule: &'static str,
    /// What it would have taken.
    pub lacking: &'static str,
}

/// A block that obeys every rule that could be checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedBlock {
    /// Its height, by the list and, from BIP34 on, by its coinbase.
    pub height: u32,
    /// What connecting it to the listed coins came to.
    pub connected: Connected,
    /// The rules that could not be checked.
    pub unchecked: Vec<Unchecked>,
}

/// Why a block is not found to be good.
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
pub fn check_block_with_prevouts(
    params: &ConsensusParams,
    block: &DecodedBlock,
    prevouts: &Prevouts,
    now: u64,
    options: ConnectOptions,
) -> Result<CheckedBlock, CheckError> {
    let height = prevouts.height;
    if let Err(misfit) = prevouts.check_fits(block) {
        // What the block breaks by itself is told first. All else depends on the list, if only for its height.
        validate_block_in_isolation(params, block)?;
        return Err(misfit.into());
    }
    let connected = alone::validate_block_alone(params, height, block, &prevouts.coins, now, options)?;
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
