//! Reads a list of prevouts, and compares it with a block.

use std::io::Read;

use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut};
use serde::Deserialize;

use super::core_block;
use super::error::PrevoutsError;
use crate::block::DecodedBlock;
use crate::coins::{Coin, CoinRef};

/// The longest list that is read, in bytes. Adit's list for a block of four million bytes with ordinary outputs has a tenth
/// of it, Bitcoin Core's JSON of such a block a third.
pub const MAX_JSON_LEN: u64 = 256 << 20;

/// The names of the columns of the list, in order.
pub(super) const FIELDS: [&str; 6] =
    ["outpoint", "value_sat", "script_pubkey", "creation_height", "is_coinbase", "creation_mtp_or_time"];

/// The outputs that a block spends, in the order in which it spends them.
#[derive(Clone, Debug)]
pub struct Prevouts {
    height: u32,
    outpoints: Vec<OutPoint>,
    /// The coin at each of the outpoints.
    coins: Vec<Coin>,
}

/// The format of Adit's list: `prevouts` has a row for each output, with the columns that `fields` names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    height: u32,
    fields: Vec<String>,
    prevouts: Vec<(String, u64, String, u32, bool, u32)>,
}

impl Prevouts {
    /// Reads Adit's list, or a block as Bitcoin Core's `getblock HASH 3` prints it. The input has at most [`MAX_JSON_LEN`]
    /// bytes, and memory is bounded by a multiple of its length.
    ///
    /// # Errors
    /// It cannot be read, is too long, or has neither format.
    pub fn read(file: impl Read) -> Result<Self, PrevoutsError> {
        let mut json = Vec::new();
        file.take(MAX_JSON_LEN + 1).read_to_end(&mut json)?;
        if json.len() as u64 > MAX_JSON_LEN {
            return Err(PrevoutsError::TooLong { limit: MAX_JSON_LEN });
        }
        match serde_json::from_slice(&json) {
            Ok(file) => Self::from_file(file),
            Err(_) if core_block::is_core_block(&json) => {
                let (height, spent) = core_block::read(&json)?;
                let (outpoints, coins) = spent.into_iter().unzip();
                Ok(Self { height, outpoints, coins })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn from_file(file: File) -> Result<Self, PrevoutsError> {
        let File { height, fields, prevouts } = file;
        if fields != FIELDS {
            return Err(PrevoutsError::Fields { seen: fields, wanted: &FIELDS });
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

    /// The height of the block.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The coins, in the order in which the block spends them.
    pub(super) fn coins(&self) -> &[Coin] {
        &self.coins
    }

    /// The list is that of the prevouts of `block`.
    pub(super) fn check_fits(&self, block: &DecodedBlock) -> Result<(), PrevoutsError> {
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

    /// An entry for an output of transaction `tx` of the block is equal to that output.
    fn check_as_made(&self, block: &DecodedBlock, tx: usize, entry: usize) -> Result<(), PrevoutsError> {
        let (outpoint, coin) = (self.outpoints[entry], &self.coins[entry]);
        let transaction = &block.transactions()[tx];
        let made = transaction.output.get(outpoint.vout as usize).map(|output| CoinRef {
            output,
            height: self.height,
            is_coinbase: transaction.is_coinbase(),
        });
        // If the transaction has no such output, the rules refuse the block.
        if made.is_some_and(|made| made != coin.into()) {
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
