//! Tests of valid and damaged lists of prevouts, and of the verdicts on their blocks.

use std::io;

use bitcoin::{Amount, OutPoint};

use super::list::FIELDS;
use super::*;
use crate::chain::ChainParams;
use crate::coins::Coin;
use crate::rules::testing::{block_of, coin, coinbase, outpoint, spend};

const NOW: u64 = 1_795_392_000;

/// A list with these rows, for height 105.
fn json(rows: &str) -> String {
    let fields = serde_json::to_string(&FIELDS).unwrap();
    format!(r#"{{"height":105,"fields":{fields},"prevouts":[{rows}]}}"#)
}

/// A row of the list.
fn row(outpoint: OutPoint, coin: &Coin) -> String {
    let Coin { output, height, is_coinbase } = coin;
    let (value, script) = (output.value.to_sat(), output.script_pubkey.to_hex_string());
    format!(r#"["{outpoint}",{value},"{script}",{height},{is_coinbase},1600000000]"#)
}

/// The verdict on a block on regtest with these rows. Its first transaction spends a coin of 100, its second the output of
/// the first.
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

/// The block as Bitcoin Core prints it. An input has a prevout if `prevouts` has one for it.
fn core_json(block: &DecodedBlock, height: u32, prevouts: &[Coin]) -> serde_json::Value {
    use serde_json::json;

    let mut prevouts = prevouts.iter();
    let transactions: Vec<_> = (block.transactions().iter().zip(block.txids()))
        .map(|(transaction, txid)| {
            let vin: Vec<_> = transaction
                .input
                .iter()
                .map(|input| {
                    let (OutPoint { txid, vout }, sequence) = (input.previous_output, input.sequence.0);
                    if transaction.is_coinbase() {
                        return json!({ "coinbase": input.script_sig.to_hex_string(), "sequence": sequence });
                    }
                    let mut vin =
                        json!({ "txid": txid.to_string(), "vout": vout, "scriptSig": { "asm": "", "hex": "" } });
                    if let Some(Coin { output, height, is_coinbase }) = prevouts.next() {
                        // As a number with eight decimals, which a binary fraction would not keep.
                        let (whole, part) = (output.value.to_sat() / 100_000_000, output.value.to_sat() % 100_000_000);
                        let value: serde_json::Value = json!(format!("@{whole}.{part:08}@"));
                        let script = json!({ "asm": "1", "desc": "raw(51)", "hex": output.script_pubkey.to_hex_string(),
                            "type": "nonstandard" });
                        vin["prevout"] = json!({ "generated": is_coinbase, "height": height, "value": value,
                            "scriptPubKey": script });
                    }
                    vin["sequence"] = json!(sequence);
                    vin
                })
                .collect();
            json!({ "txid": txid.to_string(), "version": 2, "locktime": 0, "vin": vin,
                "vout": [{ "value": 0.5, "n": 0, "scriptPubKey": { "hex": "51" } }], "fee": 0.00000010, "hex": "00" })
        })
        .collect();
    json!({ "hash": block.hash().to_string(), "confirmations": 7, "height": height, "time": block.header().time,
        "difficulty": 1.0e-10, "nTx": transactions.len(), "tx": transactions })
}

/// The text of such a block, with its values as numbers.
fn core_text(json: &serde_json::Value) -> String {
    json.to_string().replace("\"@", "").replace("@\"", "")
}

#[test]
fn the_json_of_core_is_a_list_too() {
    let (block, _) = family();
    let value = 9_007_199_254_740_993;
    let text = core_text(&core_json(&block, 105, &[coin(value, 5), coin(90, 105)]));
    assert!(text.contains(r#""value":90071992.54740993"#), "{text}");
    let prevouts = Prevouts::read(text.as_bytes()).unwrap();
    assert_eq!((prevouts.height(), prevouts.coins()), (105, &[coin(value, 5), coin(90, 105)][..]));

    let check = |coins: &[Coin]| {
        let prevouts = Prevouts::read(core_text(&core_json(&block, 105, coins)).as_bytes()).unwrap();
        let regtest = ChainParams::regtest().consensus;
        check_block_with_prevouts(&regtest, &block, &prevouts, NOW, ConnectOptions::default())
    };
    assert_eq!(check(&[coin(100, 5), coin(90, 105)]).unwrap().connected.fees, Amount::from_sat(20));
    let mut young = coin(100, 6);
    young.is_coinbase = true;
    let CheckError::Rule(error) = check(&[young, coin(90, 105)]).unwrap_err() else { panic!("a rule is broken") };
    assert_eq!(error.reject_reason(), "bad-txns-premature-spend-of-coinbase");
}

/// The output of other calls of `getblock`, and other gaps. Each error is one line that names the missing part.
#[test]
fn json_of_core_with_less_detail_is_refused() {
    let (block, _) = family();
    let full = core_json(&block, 105, &[coin(100, 5), coin(90, 105)]);
    let mut ids = full.clone();
    ids["tx"] = block.txids().iter().map(ToString::to_string).collect();
    let cut = |field: &str| {
        let mut json = full.clone();
        json["tx"][2]["vin"][0]["prevout"].as_object_mut().unwrap().remove(field);
        core_text(&json)
    };
    let text = core_text(&full);
    for (json, message) in [
        (core_text(&ids), "transaction 0 is an id only; wanted the block as `getblock HASH 3` prints it"),
        (
            core_text(&core_json(&block, 105, &[])),
            "transaction 1: input 0 has no prevout; wanted the block as `getblock",
        ),
        (core_text(&core_json(&block, 105, &[coin(100, 5)])), "transaction 2: input 0 has no prevout; wanted"),
        (cut("value"), "transaction 2: missing field `value`"),
        (cut("height"), "transaction 2: missing field `height`"),
        (cut("generated"), "transaction 2: missing field `generated`"),
        (cut("scriptPubKey"), "transaction 2: missing field `scriptPubKey`"),
        (text.replace("\"height\":105,\"nTx\"", "\"nTx\""), "missing field `height`"),
        (text.replace("0.00000090", "-0.00000090"), "transaction 2: input 0: value -0.00000090; wanted bitcoin"),
        (text.replace("0.00000090", "0.000000901"), "transaction 2: input 0: value 0.000000901; wanted bitcoin"),
        (text.replace("0.00000090", "\"0.1\""), "transaction 2: input 0: value \"0.1\"; wanted bitcoin"),
    ] {
        let error = Prevouts::read(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message) && !error.contains('\n'), "{error}; wanted {message}");
    }
}

#[test]
fn a_list_that_never_ends_is_refused() {
    let error = Prevouts::read(io::repeat(b' ')).unwrap_err();
    assert!(matches!(error, PrevoutsError::TooLong { .. }));
}
