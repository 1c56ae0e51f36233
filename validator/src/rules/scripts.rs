//! The scripts of a block's inputs, run by Bitcoin Core's own engine on every core.
//!
//! A transaction is parsed and its signature hashes are prepared once, by the thread that gets to it; its inputs are then
//! spread over all threads, so that a block of one huge transaction keeps as many busy as one of many small ones.

use bitcoin::TxOut;
use bitcoinkernel::{PrecomputedTransactionData, ScriptPubkey, verify};
use rayon::prelude::*;

use super::RuleError;
use super::script_flags::ScriptFlags;
use crate::block::DecodedBlock;
use crate::coins::Coin;

/// Every input's script and witness satisfy the script of the coin that it spends. `spent` holds the coins of each
/// transaction but the coinbase. Of several inputs that fail the first is reported, whichever thread is the quicker.
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckInputScripts`.
pub(super) fn check_scripts(block: &DecodedBlock, spent: &[Vec<Coin>], flags: ScriptFlags) -> Result<(), RuleError> {
    let failing = spent.par_iter().enumerate().find_map_first(|(after_coinbase, coins)| {
        let tx = after_coinbase + 1;
        let outputs: Vec<&TxOut> = coins.iter().map(|coin| &coin.output).collect();
        first_failing_input(block.raw_transaction(tx), &outputs, flags).map(|input| (tx, input))
    });
    match failing {
        Some((tx, input)) => Err(RuleError::Script { tx, txid: block.txids()[tx], input }),
        None => Ok(()),
    }
}

/// The first input of a transaction whose script fails. `spent` are the outputs that its inputs spend, one each.
///
/// What the engine cannot read at all counts as failing: no transaction that came through the decoder is like that.
pub(super) fn first_failing_input(raw: &[u8], spent: &[&TxOut], flags: ScriptFlags) -> Option<usize> {
    let Some(prepared) = Prepared::new(raw, spent) else { return Some(0) };
    (0..spent.len()).into_par_iter().find_first(|&input| !prepared.succeeds(input, flags))
}

/// A transaction in the engine's form.
struct Prepared {
    transaction: bitcoinkernel::Transaction,
    data: PrecomputedTransactionData,
    scripts: Vec<ScriptPubkey>,
    values: Vec<i64>,
}

impl Prepared {
    fn new(raw: &[u8], spent: &[&TxOut]) -> Option<Self> {
        let transaction = bitcoinkernel::Transaction::new(raw).ok()?;
        let scripts: Vec<_> = spent
            .iter()
            .map(|output| ScriptPubkey::new(output.script_pubkey.as_bytes()))
            .collect::<Result<_, _>>()
            .ok()?;
        let values: Vec<_> = spent.iter().map(|output| output.value.to_sat().cast_signed()).collect();
        let outputs: Vec<_> =
            scripts.iter().zip(&values).map(|(script, &value)| bitcoinkernel::TxOut::new(script, value)).collect();
        let data = PrecomputedTransactionData::new(&transaction, &outputs).ok()?;
        Some(Self { transaction, data, scripts, values })
    }

    fn succeeds(&self, input: usize, flags: ScriptFlags) -> bool {
        let (script, value) = (&self.scripts[input], self.values[input]);
        verify(script, Some(value), &self.transaction, input, Some(flags.to_kernel()), &self.data).is_ok()
    }
}
