//! `tx_valid.json` and `tx_invalid.json`: transactions with the outputs that they spend.

use std::collections::HashMap;

use adit_testchain::trials::Missing;
use adit_validator::block::DecodedBlock;
use adit_validator::consensus::ScriptFlags;
use adit_validator::rules::validate_transaction_in_isolation;
use bitcoin::{Amount, OutPoint, TxOut};
use serde_json::Value;

use super::script_text::assemble;
use super::{CaseFlags, FLAGS, all_but, cases, first_failing_input, flag_sets, text, without};

/// A transaction and what it spends.
struct Case {
    /// A block of nothing but the transaction: our decoder takes blocks.
    block: DecodedBlock,
    spent: Vec<TxOut>,
    flags: String,
}

impl Case {
    fn parse(case: &[Value]) -> Self {
        let mut outputs = HashMap::new();
        for spent in case[0].as_array().unwrap() {
            let vout = spent[1].as_i64().unwrap();
            let vout = u32::try_from(vout).unwrap_or_else(|_| i32::try_from(vout).unwrap().cast_unsigned());
            let outpoint = OutPoint { txid: text(&spent[0]).parse().unwrap(), vout };
            let value = spent.get(3).map_or(0, |value| value.as_u64().unwrap());
            let output = TxOut { value: Amount::from_sat(value), script_pubkey: assemble(text(&spent[2])) };
            outputs.insert(outpoint, output);
        }
        let raw = hex::decode(text(&case[1])).unwrap();
        let block = DecodedBlock::decode([&[0; 80][..], &[1], &raw].concat()).unwrap();
        let inputs = &block.transactions()[0].input;
        let spent = inputs.iter().filter_map(|input| outputs.get(&input.previous_output).cloned()).collect();
        Self { block, spent, flags: text(&case[2]).to_owned() }
    }

    fn is_sound(&self) -> bool {
        let size = self.block.stripped_transaction_size(0);
        validate_transaction_in_isolation(&self.block.transactions()[0], size).is_ok()
    }

    fn holds(&self, flags: ScriptFlags) -> bool {
        let spent: Vec<&TxOut> = self.spent.iter().collect();
        assert_eq!(spent.len(), self.block.transactions()[0].input.len(), "every input has its output");
        first_failing_input(self.block.raw_transaction(0), &spent, flags).is_none()
    }
}

/// The flags of a valid transaction are those that it would break: it passes without them, however many others are left
/// out as well, and fails with each of them.
pub fn cores_valid_transactions() -> Result<(), Missing> {
    let sets: Vec<ScriptFlags> = flag_sets().collect();
    let (mut valid, mut broken, mut policy) = (0, 0, 0);
    for case in cases("tx_valid")? {
        let parsed = Case::parse(&case);
        let context = || Value::Array(case.clone());
        assert!(parsed.is_sound(), "{}", context());
        let excluded = CaseFlags::parse(&parsed.flags);
        let flags = all_but(excluded.consensus);
        for set in sets.iter().filter(|set| flags.contains(**set)) {
            assert!(parsed.holds(*set), "{set:?}: {}", context());
        }
        for (name, flag) in FLAGS.iter().filter(|(_, flag)| excluded.consensus.contains(*flag)) {
            assert!(!parsed.holds(all_but(without(excluded.consensus, *flag))), "{name}: {}", context());
            broken += 1;
        }
        policy += excluded.policy.len();
        valid += 1;
    }
    println!(
        "{valid} valid transactions; {broken} times a flag that one breaks, {policy} times a policy flag, not tried"
    );
    assert_eq!((valid, broken, policy), (121, 10, 92));
    Ok(())
}

/// The flags of an invalid transaction are those that it breaks: it fails with them, however many others are added, and
/// passes without any one of them. `BADTX` marks one that is wrong by itself.
pub fn cores_invalid_transactions() -> Result<(), Missing> {
    let sets: Vec<ScriptFlags> = flag_sets().collect();
    let (mut unsound, mut invalid, mut policy) = (0, 0, 0);
    for case in cases("tx_invalid")? {
        let parsed = Case::parse(&case);
        let context = || Value::Array(case.clone());
        assert_eq!(parsed.is_sound(), parsed.flags != "BADTX", "{}", context());
        if parsed.flags == "BADTX" {
            unsound += 1;
            continue;
        }
        let required = CaseFlags::parse(&parsed.flags);
        if !required.policy.is_empty() {
            // Without the one policy flag that it breaks it passes: Core's vectors name no flag that is not needed.
            assert!(parsed.holds(required.consensus), "{}", context());
            policy += 1;
            continue;
        }
        for set in sets.iter().filter(|set| set.contains(required.consensus)) {
            assert!(!parsed.holds(*set), "{set:?}: {}", context());
        }
        for (name, flag) in FLAGS.iter().filter(|(_, flag)| required.consensus.contains(*flag)) {
            let fewer = without(required.consensus, *flag);
            let fewer = if *name == "P2SH" { without(fewer, ScriptFlags::WITNESS) } else { fewer };
            assert!(parsed.holds(fewer), "without {name}: {}", context());
        }
        invalid += 1;
    }
    println!("{unsound} transactions wrong by themselves, {invalid} by consensus, {policy} by policy alone");
    assert_eq!((unsound, invalid, policy), (9, 70, 14));
    Ok(())
}
