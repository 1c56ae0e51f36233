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

#[cfg(test)]
mod tests {
    use bitcoin::{OutPoint, ScriptBuf};

    use super::*;
    use crate::rules::testing::{block_of, coin, coinbase, outpoint, spend};

    const FAILS: u8 = 0x00;
    const SUCCEEDS: u8 = 0x51;

    /// Checks a block whose transactions spend coins with these one-opcode scripts.
    fn verdict(transactions: &[&[u8]]) -> Result<(), RuleError> {
        let mut next = 0;
        let mut fresh = || {
            next += 1;
            outpoint(next)
        };
        let mut block = vec![coinbase(1, 50)];
        let mut spent = Vec::new();
        for scripts in transactions {
            let outpoints: Vec<OutPoint> = scripts.iter().map(|_| fresh()).collect();
            block.push(spend(&outpoints, &[1]));
            spent.push(
                scripts
                    .iter()
                    .map(|&script| {
                        let mut coin = coin(1, 1);
                        coin.output.script_pubkey = ScriptBuf::from_bytes(vec![script]);
                        coin
                    })
                    .collect(),
            );
        }
        check_scripts(&block_of(block), &spent, ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::TAPROOT)
    }

    #[test]
    fn scripts_that_succeed_are_accepted() {
        assert_eq!(verdict(&[]), Ok(()));
        assert_eq!(verdict(&[&[SUCCEEDS], &[SUCCEEDS; 3]]), Ok(()));
    }

    #[test]
    fn the_first_input_that_fails_is_reported() {
        for _ in 0..50 {
            let error = verdict(&[&[SUCCEEDS], &[SUCCEEDS, FAILS, FAILS], &[FAILS; 100]]).unwrap_err();
            let RuleError::Script { tx, input, .. } = error else { panic!("{error}") };
            assert_eq!((tx, input), (2, 1));
            assert_eq!(error.reject_reason(), "mandatory-script-verify-flag-failed");
        }
    }

    /// A coin that needs a rule which only some flags bring: OP_CHECKSEQUENCEVERIFY is an OP_NOP3 without its flag.
    #[test]
    fn flags_reach_the_engine() {
        let transaction = spend(&[outpoint(1)], &[1]);
        let raw = bitcoin::consensus::serialize(&transaction);
        let mut coin = coin(1, 1);
        coin.output.script_pubkey = ScriptBuf::from_bytes(vec![0x51, 0xb2]);
        assert_eq!(first_failing_input(&raw, &[&coin.output], ScriptFlags::P2SH), None);
        let csv = ScriptFlags::P2SH | ScriptFlags::CHECKSEQUENCEVERIFY;
        assert_eq!(first_failing_input(&raw, &[&coin.output], csv), Some(0));
    }
}
