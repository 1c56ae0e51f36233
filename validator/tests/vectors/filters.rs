//! `blockfilters.json`, Bitcoin Core's vectors of BIP158.

use adit_testchain::trials::{Missing, read_vector};
use adit_validator::block::DecodedBlock;
use adit_validator::coins::{BlockUndo, Coin};
use adit_validator::filters::{FilterHeader, basic_filter};
use bitcoin::{Amount, ScriptBuf, TxOut};

/// Filter and filter header of ten blocks of testnet3.
pub fn cores_filters() -> Result<(), Missing> {
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&read_vector("core/blockfilters.json")?).unwrap();
    // The first is a heading of one string.
    for case in &cases[1..] {
        let text = |column: usize| case[column].as_str().unwrap();
        let block = DecodedBlock::decode(hex::decode(text(2)).unwrap()).unwrap();
        assert_eq!(block.hash().to_string(), text(1));
        let coin = |script: &serde_json::Value| {
            let script_pubkey = ScriptBuf::from_hex(script.as_str().unwrap()).unwrap();
            Coin { output: TxOut { value: Amount::ZERO, script_pubkey }, height: 1, is_coinbase: false }
        };
        let undo = BlockUndo { spent: vec![case[3].as_array().unwrap().iter().map(coin).collect()] };
        let filter = basic_filter(&block, &undo);
        assert_eq!(hex::encode(&filter.content), text(5), "height {}", case[0]);
        let previous: FilterHeader = text(4).parse().unwrap();
        assert_eq!(filter.filter_header(&previous).to_string(), text(6), "height {}", case[0]);
    }
    assert_eq!(cases.len(), 11, "ten filters and a heading");
    Ok(())
}
