//! Lists of prevouts: real ones, damaged ones, and what rules make of the blocks that they are for.

use bitcoin::consensus::serialize;

use super::*;
use crate::chain::ChainParams;
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
    let main = ChainParams::main().consensus;
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
    check_block_with_prevouts(&ChainParams::regtest().consensus, &block, &prevouts, NOW, ConnectOptions::default())
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
        (vec![second.clone(), first.clone()], format!("entry 0: {}; the block spends {} there", family.1, outpoint(1))),
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
    let regtest = ChainParams::regtest().consensus;
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
    let regtest = ChainParams::regtest().consensus;
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
    let main = ChainParams::main().consensus;
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
