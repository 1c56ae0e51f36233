//! One block by itself, with a list of the outputs that it spends: all that can be checked without its ancestors.
//!
//! The list stands for the coins. That its outputs exist and are unspent is taken from it, not checked, like everything
//! that only ancestors know; the report says which rules that leaves open. Everything else is checked as for a block that
//! connects, scripts included, by the same code.

use std::collections::HashMap;
use std::io::{self, Read};

use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};
use foldhash::fast::RandomState;
use serde::Deserialize;

use crate::block::DecodedBlock;
use crate::chain::{ChainParams, Difficulty};
use crate::coins::Coin;
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
        let spenders = block.transactions().iter().filter(|transaction| !transaction.is_coinbase());
        let spent = spenders.flat_map(|transaction| &transaction.input).map(|input| input.previous_output);
        let wanted = spent.clone().count();
        if self.coins.len() != wanted {
            return Err(PrevoutsError::Count { seen: self.coins.len(), wanted });
        }
        let places: HashMap<Txid, usize, RandomState> = block.txids().iter().copied().zip(0..).collect();
        for (entry, (wanted, &outpoint)) in spent.zip(&self.outpoints).enumerate() {
            if outpoint != wanted {
                return Err(PrevoutsError::Outpoint { entry, seen: outpoint, wanted });
            }
            if let Some(&tx) = places.get(&outpoint.txid) {
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
    params: &ChainParams,
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
    let connected = alone::connect_block(params, height, block, &prevouts.coins, now, options)?;
    Ok(CheckedBlock { height, connected, unchecked: unchecked(params, height, block) })
}

/// The rules that the ancestors of a block like this one would decide.
fn unchecked(params: &ChainParams, height: u32, block: &DecodedBlock) -> Vec<Unchecked> {
    let mut rules = vec![
        Unchecked { rule: "prev-blk-not-found", lacking: "the previous block" },
        Unchecked { rule: "bad-diffbits", lacking: "the targets and times of the blocks before" },
        Unchecked { rule: "time-too-old", lacking: "the times of the eleven blocks before" },
        Unchecked { rule: "bad-txns-inputs-missingorspent", lacking: "the coins; the list stands for them" },
        Unchecked { rule: "bad-txns-BIP30", lacking: "the coins that the block would overwrite" },
    ];
    if matches!(params.difficulty, Difficulty::Retarget { bip94: true, .. }) {
        rules.push(Unchecked { rule: "time-timewarp-attack", lacking: "the time of the previous block" });
    }
    if height >= params.deployments.csv && block.transactions().iter().any(alone::is_locked_by_time) {
        rules.push(Unchecked { rule: "bad-txns-nonfinal", lacking: "median times past, for lock times in seconds" });
    }
    rules
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;

    use super::*;
    use crate::rules::testing::{Vectors, block_of, coin, coinbase, outpoint, spend, vectors};

    const NOW: u64 = 1_795_392_000;

    fn recorded(vectors: &Vectors, height: u32) -> (DecodedBlock, Prevouts) {
        let block = DecodedBlock::decode(vectors.read(&format!("mainnet/block-{height}.bin"))).unwrap();
        let prevouts = vectors.read(&format!("mainnet/block-{height}.prevouts.json"));
        (block, Prevouts::read(&prevouts[..]).unwrap())
    }

    fn check_recorded(height: u32, inputs: usize, unchecked: usize) {
        let Some(vectors) = vectors() else { return };
        let (block, prevouts) = recorded(&vectors, height);
        let main = ChainParams::main();
        let checked = check_block_with_prevouts(&main, &block, &prevouts, NOW, ConnectOptions::default()).unwrap();
        assert_eq!((checked.height, checked.connected.inputs), (height, inputs));
        let reward: Amount = block.transactions()[0].output.iter().map(|output| output.value).sum();
        assert_eq!(checked.connected.fees, reward - main.subsidy.at(height), "both miners took all");
        assert_eq!(checked.unchecked.len(), unchecked, "{:?}", checked.unchecked);
    }

    #[test]
    fn recorded_block_367891_obeys_every_rule() {
        check_recorded(367_891, 20_817, 5);
    }

    #[test]
    fn recorded_block_866342_obeys_every_rule() {
        check_recorded(866_342, 7972, 6);
    }

    /// A list with these rows, for height 105.
    fn json(rows: &str) -> String {
        let fields = serde_json::to_string(&FIELDS).unwrap();
        format!(r#"{{"height":105,"fields":{fields},"prevouts":[{rows}]}}"#)
    }

    /// A row as the files have them.
    fn row(outpoint: OutPoint, coin: &Coin) -> String {
        let Coin { output, height, is_coinbase } = coin;
        let (value, script) = (output.value.to_sat(), output.script_pubkey.to_hex_string());
        format!(r#"["{outpoint}",{value},"{script}",{height},{is_coinbase},1600000000]"#)
    }

    /// What becomes of a block on regtest whose first transaction spends a coin of 100, and whose second what it made,
    /// with these rows.
    fn verdict(rows: &[String]) -> Result<CheckedBlock, CheckError> {
        let (block, _) = family();
        let prevouts = Prevouts::read(json(&rows.join(",")).as_bytes()).unwrap();
        check_block_with_prevouts(&ChainParams::regtest(), &block, &prevouts, NOW, ConnectOptions::default())
    }

    fn family() -> (DecodedBlock, OutPoint) {
        let parent = spend(&[outpoint(1)], &[90]);
        let made = OutPoint { txid: parent.compute_txid(), vout: 0 };
        (block_of(vec![coinbase(105, 50), parent, spend(&[made], &[80])]), made)
    }

    fn good_rows() -> [String; 2] {
        [row(outpoint(1), &coin(100, 5)), row(family().1, &coin(90, 105))]
    }

    #[test]
    fn a_good_list_is_accepted() {
        let checked = verdict(&good_rows()).unwrap();
        assert_eq!(checked.connected.fees, Amount::from_sat(20));
        let reasons: Vec<_> = checked.unchecked.iter().map(|unchecked| unchecked.rule).collect();
        assert!(!reasons.contains(&"bad-txns-nonfinal"), "nothing is locked by time");
    }

    #[test]
    fn rules_are_checked_on_what_the_list_says() {
        let [_, second] = good_rows();
        let mut young = coin(100, 6);
        young.is_coinbase = true;
        for (row, reason) in [
            (row(outpoint(1), &young), "bad-txns-premature-spend-of-coinbase"),
            (row(outpoint(1), &coin(89, 5)), "bad-txns-in-belowout"),
            (row(outpoint(1), &coin(-1, 5)), "bad-txns-inputvalues-outofrange"),
            (row(outpoint(1), &coin(100, 5)).replace("\"51\"", "\"00\""), "mandatory-script-verify-flag-failed"),
        ] {
            let error = verdict(&[row, second.clone()]).unwrap_err();
            let CheckError::Rule(error) = error else { panic!("{error}") };
            assert_eq!(error.reject_reason(), reason);
        }
    }

    #[test]
    fn a_list_of_another_block_is_refused() {
        let [first, second] = good_rows();
        let family = family();
        for (rows, message) in [
            (vec![first.clone()], "1 entries; the block spends 2 outputs".to_owned()),
            (
                vec![second.clone(), first.clone()],
                format!("entry 0: {}; the block spends {} there", family.1, outpoint(1)),
            ),
            (
                vec![first.clone(), row(family.1, &coin(91, 105))],
                format!("entry 1: {} is not as the block makes it", family.1),
            ),
            (
                vec![row(outpoint(1), &coin(100, 105)), second],
                "entry 0: created at height 105; the block at height 105 does not make it".to_owned(),
            ),
        ] {
            assert_eq!(verdict(&rows).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_rules_in_context_are_checked_as_far_as_a_height_decides() {
        let prevouts = Prevouts::read(json("").as_bytes()).unwrap();
        let regtest = ChainParams::regtest();
        let check = |block: &DecodedBlock, now| {
            check_block_with_prevouts(&regtest, block, &prevouts, now, ConnectOptions::default()).map(|_| ())
        };
        let good = block_of(vec![coinbase(105, 50)]);
        assert!(check(&good, NOW).is_ok());
        let reason = |result: Result<(), CheckError>| match result {
            Err(CheckError::Rule(error)) => error.reject_reason().into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(check(&good, 0)), "time-too-new");
        assert_eq!(reason(check(&block_of(vec![coinbase(104, 50)]), NOW)), "bad-cb-height");
        assert_eq!(reason(check(&block_of(vec![]), NOW)), "bad-blk-length");
        let mut locked = coinbase(105, 50);
        locked.lock_time = bitcoin::absolute::LockTime::from_consensus(105);
        locked.input[0].sequence = bitcoin::Sequence::ZERO;
        assert_eq!(reason(check(&block_of(vec![locked]), NOW)), "bad-txns-nonfinal");
        let mut old = good.block().clone();
        old.header.version = bitcoin::block::Version::ONE;
        assert_eq!(reason(check(&crate::rules::testing::mine(old), NOW)), "bad-version(0x00000001)");
    }

    #[test]
    fn locks_by_time_are_reported_as_not_checked() {
        let mut transaction = spend(&[outpoint(1)], &[90]);
        transaction.input[0].sequence = bitcoin::Sequence::from_consensus(1 << 22 | 5);
        let block = block_of(vec![coinbase(105, 50), transaction]);
        let prevouts = Prevouts::read(json(&row(outpoint(1), &coin(100, 5))).as_bytes()).unwrap();
        let regtest = ChainParams::regtest();
        let checked = check_block_with_prevouts(&regtest, &block, &prevouts, NOW, ConnectOptions::default()).unwrap();
        assert!(checked.unchecked.iter().any(|unchecked| unchecked.rule == "bad-txns-nonfinal"));
    }

    #[test]
    fn what_is_no_list_is_refused_and_says_why() {
        let good = json(&good_rows()[0]);
        assert!(Prevouts::read(good.as_bytes()).is_ok());
        for (damaged, message) in [
            (String::new(), "EOF while parsing a value at line 1 column 0"),
            (good.replace("\"height\":105,", ""), "missing field `height`"),
            (good.replace("\"height\"", "\"depth\""), "unknown field `depth`"),
            (good.replace("is_coinbase", "coinbase"), "wanted [\"outpoint\""),
            (good.replace(":0\"", ":x\""), "entry 0: outpoint "),
            (good.replace("\"51\"", "\"5\""), "entry 0: script_pubkey \"5\": "),
            (good.replace(",100,", ",-1,"), "invalid value"),
            (good.replace(",1600000000]", "]"), "invalid length 5"),
            (good.replace(",1600000000]", ",1,1]"), "trailing characters"),
            (good.clone() + "x", "trailing characters"),
        ] {
            let error = Prevouts::read(damaged.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}; wanted {message}");
        }
    }

    #[test]
    fn a_list_that_never_ends_is_refused() {
        let error = Prevouts::read(io::repeat(b' ')).unwrap_err();
        assert!(matches!(error, PrevoutsError::TooLong));
    }

    /// Bytes over the whole of two recorded blocks: each one flipped, and the block no longer good.
    #[test]
    fn damage_to_recorded_blocks_is_found() {
        use rayon::prelude::*;

        let Some(vectors) = vectors() else { return };
        let main = ChainParams::main();
        for height in [367_891, 866_342] {
            let (block, prevouts) = recorded(&vectors, height);
            let raw = block.raw();
            let step = raw.len() / 150;
            // The whole header and the start of the coinbase, then a sample.
            (0..150_usize).chain((150..raw.len()).step_by(step)).par_bridge().for_each(|at| {
                let mut damaged = raw.to_vec();
                damaged[at] ^= 1 << (at % 8);
                let Ok(damaged) = DecodedBlock::decode(damaged) else { return };
                let verdict = check_block_with_prevouts(&main, &damaged, &prevouts, NOW, ConnectOptions::default());
                assert!(matches!(verdict, Err(CheckError::Rule(_))), "block {height}, byte {at}");
            });
            assert_eq!(serialize(block.block()), raw);
        }
    }
}
