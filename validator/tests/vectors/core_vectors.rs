//! Bitcoin Core's public test vectors. Each case is checked, or counted with the reason why it cannot be checked; the
//! counts are asserted.
//!
//! The engine behind `check_input_scripts` takes consensus flags only. Core's vectors also name policy flags, by which a node
//! refuses to relay transactions that a block may hold. Every flag is a soft fork: it only ever refuses more. So what
//! passes with policy flags passes without them; and what fails fails without them too, unless the error is one that a
//! policy flag raises.

pub mod script_text;
pub mod scripts;
pub mod signature_hashes;
pub mod taproot;
pub mod transactions;

use adit_testchain::trials::{Missing, read_vector};
use adit_validator::coins::Coin;
use adit_validator::consensus::ScriptFlags;
use adit_validator::rules::{TransactionError, check_input_scripts};
use bitcoin::TxOut;
use serde_json::Value;

/// The consensus flags by the names that the vectors give them.
const FLAGS: [(&str, ScriptFlags); 7] = [
    ("P2SH", ScriptFlags::P2SH),
    ("DERSIG", ScriptFlags::DERSIG),
    ("NULLDUMMY", ScriptFlags::NULLDUMMY),
    ("CHECKLOCKTIMEVERIFY", ScriptFlags::CHECKLOCKTIMEVERIFY),
    ("CHECKSEQUENCEVERIFY", ScriptFlags::CHECKSEQUENCEVERIFY),
    ("WITNESS", ScriptFlags::WITNESS),
    ("TAPROOT", ScriptFlags::TAPROOT),
];

/// The policy flags, which the engine does not take.
const POLICY: [&str; 12] = [
    "STRICTENC",
    "LOW_S",
    "SIGPUSHONLY",
    "MINIMALDATA",
    "DISCOURAGE_UPGRADABLE_NOPS",
    "CLEANSTACK",
    "DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM",
    "MINIMALIF",
    "NULLFAIL",
    "WITNESS_PUBKEYTYPE",
    "CONST_SCRIPTCODE",
    "NONE",
];

/// A case's flags: those of consensus, and the names of the others.
struct CaseFlags {
    consensus: ScriptFlags,
    policy: Vec<String>,
}

impl CaseFlags {
    fn parse(text: &str) -> Self {
        let mut flags = Self { consensus: ScriptFlags::NONE, policy: Vec::new() };
        for name in text.split(',').filter(|name| !name.is_empty()) {
            match FLAGS.iter().find(|(known, _)| *known == name) {
                Some((_, flag)) => flags.consensus = flags.consensus | *flag,
                None if POLICY.contains(&name) => flags.policy.push(name.to_owned()),
                None => panic!("no flag is called {name:?}"),
            }
        }
        flags.policy.retain(|name| name != "NONE");
        flags
    }

    fn has_policy(&self, name: &str) -> bool {
        self.policy.iter().any(|flag| flag == name)
    }
}

/// Every set of consensus flags that the engine takes: witnesses need P2SH.
fn flag_sets() -> impl Iterator<Item = ScriptFlags> {
    let set = |mask: usize| {
        let chosen = FLAGS.iter().enumerate().filter(move |(bit, _)| mask >> bit & 1 == 1);
        chosen.fold(ScriptFlags::NONE, |set, (_, (_, flag))| set | *flag)
    };
    let possible = |set: &ScriptFlags| set.contains(ScriptFlags::P2SH) || !set.contains(ScriptFlags::WITNESS);
    (0..1 << FLAGS.len()).map(set).filter(possible)
}

/// Every consensus flag that is not among `excluded`; without P2SH there are no witnesses either.
fn all_but(excluded: ScriptFlags) -> ScriptFlags {
    let kept = FLAGS.iter().filter(|(_, flag)| !excluded.contains(*flag));
    let set = kept.fold(ScriptFlags::NONE, |set, (_, flag)| set | *flag);
    if set.contains(ScriptFlags::P2SH) { set } else { without(set, ScriptFlags::WITNESS) }
}

/// `set` less one flag.
fn without(set: ScriptFlags, removed: ScriptFlags) -> ScriptFlags {
    let kept = FLAGS.iter().filter(|(_, flag)| set.contains(*flag) && *flag != removed);
    kept.fold(ScriptFlags::NONE, |set, (_, flag)| set | *flag)
}

/// The cases of a file; comments, which are arrays of one string, are left out.
fn cases(name: &str) -> Result<Vec<Vec<Value>>, Missing> {
    let all: Vec<Vec<Value>> = serde_json::from_slice(&read_vector(&format!("core/{name}.json"))?).unwrap();
    Ok(all.into_iter().filter(|case| case.len() > 1).collect())
}

/// The first input whose script fails, of a transaction that spends these outputs.
fn first_failing_input(raw: &[u8], spent: &[&TxOut], flags: ScriptFlags) -> Option<usize> {
    let coin = |output: &&TxOut| Coin { output: (*output).clone(), height: 1, is_coinbase: false };
    let coins: Vec<Coin> = spent.iter().map(coin).collect();
    match check_input_scripts(raw, &coins, flags) {
        Ok(()) => None,
        Err(TransactionError::Script { input }) => Some(input),
        Err(error) => panic!("{error}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("wanted a string: {value}"))
}
