//! The scripts of a block's inputs, run by Bitcoin Core's own engine on every core.
//!
//! A transaction is parsed and its signature hashes are prepared once, by the thread that gets to it; its inputs are then
//! spread over all threads, so that a block of one huge transaction keeps as many busy as one of many small ones.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitcoin::TxOut;
use bitcoinkernel::{KernelError, PrecomputedTransactionData, ScriptPubkey, verify};
use rayon::Scope;
use rayon::prelude::*;

use super::error::RuleError;
use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::consensus::ScriptFlags;

/// The scripts of a block: every input's script and witness satisfy the script of the coin that it spends.
///
/// They need the coins of their own transaction only, so each starts as soon as these are there. Of several inputs that
/// fail the first is reported, whichever thread is the quicker.
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckInputScripts`.
pub(super) struct ScriptChecks<'a> {
    block: &'a DecodedBlock,
    flags: ScriptFlags,
    /// The first input known to fail, as transaction and input.
    failing: Mutex<Option<(usize, usize)>>,
    /// Transactions from this one on need not be looked at any more: one before them fails.
    limit: AtomicUsize,
}

impl<'a> ScriptChecks<'a> {
    pub(super) fn new(block: &'a DecodedBlock, flags: ScriptFlags) -> Self {
        Self { block, flags, failing: Mutex::new(None), limit: AtomicUsize::new(usize::MAX) }
    }

    /// Runs the scripts of transaction `tx`, which spends `coins`, on another thread.
    pub(super) fn start<'scope>(&'scope self, scope: &Scope<'scope>, tx: usize, coins: &'scope [Coin]) {
        scope.spawn(move |_| self.run(tx, coins));
    }

    fn run(&self, tx: usize, coins: &[Coin]) {
        let is_moot = || tx >= self.limit.load(Ordering::Relaxed);
        if is_moot() {
            return;
        }
        let outputs: Vec<&TxOut> = coins.iter().map(|coin| &coin.output).collect();
        let raw = self.block.raw_transaction(tx);
        if let Some(input) = first_failing_input_unless(raw, &outputs, self.flags, is_moot) {
            let mut failing = self.failing.lock().expect("nothing that holds the first failure panics");
            let first = failing.map_or((tx, input), |first| first.min((tx, input)));
            *failing = Some(first);
            self.limit.fetch_min(first.0, Ordering::Relaxed);
        }
    }

    /// Nobody wants to know any more.
    pub(super) fn stop(&self) {
        self.limit.store(0, Ordering::Relaxed);
    }

    /// The rule itself, once all that was started has ended: no input's script fails.
    pub(super) fn check_scripts(self) -> Result<(), RuleError> {
        match self.failing.into_inner().expect("nothing that holds the first failure panics") {
            Some((tx, input)) => Err(RuleError::Script { tx, txid: self.block.txids()[tx], input }),
            None => Ok(()),
        }
    }
}

/// The first input of a transaction whose script fails. `spent` are the outputs that its inputs spend, one each.
///
/// What the engine cannot read at all counts as failing: no transaction that came through the decoder is like that.
pub(super) fn first_failing_input(raw: &[u8], spent: &[&TxOut], flags: ScriptFlags) -> Option<usize> {
    first_failing_input_unless(raw, spent, flags, || false)
}

/// The same; once `is_moot`, inputs count as good unseen.
fn first_failing_input_unless(
    raw: &[u8],
    spent: &[&TxOut],
    flags: ScriptFlags,
    is_moot: impl Fn() -> bool + Sync,
) -> Option<usize> {
    let Some(prepared) = Prepared::new(raw, spent, flags) else { return Some(0) };
    (0..spent.len()).into_par_iter().find_first(|&input| !is_moot() && !prepared.succeeds(input, flags))
}

/// A transaction in the engine's form.
///
/// The engine's `btck_script_pubkey_verify` copies the prepared data at every call, with all spent outputs that are in it: the
/// square of a transaction's inputs. Only taproot's signatures commit to those outputs. So there are two sets of data, and
/// the one with outputs is made, and copied, for taproot inputs alone. The engine refuses the flag TAPROOT with data without
/// outputs; other inputs run without the flag, which `interpreter.cpp` asks for nowhere but at a native witness program of
/// version 1 and 32 bytes (`VerifyWitnessProgram`).
struct Prepared<'a> {
    transaction: bitcoinkernel::Transaction,
    spent: &'a [&'a TxOut],
    data: PrecomputedTransactionData,
    /// With what all inputs spend; `None`: no input is taproot's.
    taproot: Option<PrecomputedTransactionData>,
}

impl<'a> Prepared<'a> {
    fn new(raw: &[u8], spent: &'a [&'a TxOut], flags: ScriptFlags) -> Option<Self> {
        let transaction = bitcoinkernel::Transaction::new(raw).ok()?;
        let data = PrecomputedTransactionData::new(&transaction, &[] as &[bitcoinkernel::TxOut]).ok()?;
        let taproot = if spent.iter().any(|output| is_taproot(output, flags)) {
            let outputs = spent.iter().map(|output| Ok(bitcoinkernel::TxOut::new(&script(output)?, value(output))));
            let outputs = outputs.collect::<Result<Vec<_>, KernelError>>().ok()?;
            Some(PrecomputedTransactionData::new(&transaction, &outputs).ok()?)
        } else {
            None
        };
        Some(Self { transaction, spent, data, taproot })
    }

    /// The input's script in the engine's form is made here, by the thread that needs it.
    fn succeeds(&self, input: usize, flags: ScriptFlags) -> bool {
        let output = self.spent[input];
        let (data, flags) = match &self.taproot {
            Some(taproot) if is_taproot(output, flags) => (taproot, flags),
            _ => (&self.data, flags.without(ScriptFlags::TAPROOT)),
        };
        let flags = Some(flags.to_kernel());
        script(output)
            .is_ok_and(|script| verify(&script, Some(value(output)), &self.transaction, input, flags, data).is_ok())
    }
}

fn is_taproot(output: &TxOut, flags: ScriptFlags) -> bool {
    flags.contains(ScriptFlags::TAPROOT) && output.script_pubkey.is_p2tr()
}

fn script(output: &TxOut) -> Result<ScriptPubkey, KernelError> {
    ScriptPubkey::new(output.script_pubkey.as_bytes())
}

fn value(output: &TxOut) -> i64 {
    output.value.to_sat().cast_signed()
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
        let mut spent: Vec<Vec<Coin>> = Vec::new();
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
        let block = block_of(block);
        let checks = ScriptChecks::new(&block, ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::TAPROOT);
        rayon::in_place_scope(|scope| {
            for (tx, coins) in (1..).zip(&spent) {
                checks.start(scope, tx, coins);
            }
        });
        checks.check_scripts()
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

    #[test]
    fn scripts_that_nobody_wants_to_know_about_are_not_run() {
        let raw = bitcoin::consensus::serialize(&spend(&[outpoint(1)], &[1]));
        let mut coin = coin(1, 1);
        coin.output.script_pubkey = ScriptBuf::from_bytes(vec![FAILS]);
        let failing = |is_moot| first_failing_input_unless(&raw, &[&coin.output], ScriptFlags::P2SH, || is_moot);
        assert_eq!((failing(false), failing(true)), (Some(0), None));

        let block = block_of(vec![coinbase(1, 50), spend(&[outpoint(1)], &[1])]);
        let checks = ScriptChecks::new(&block, ScriptFlags::P2SH);
        checks.stop();
        rayon::in_place_scope(|scope| checks.start(scope, 1, std::slice::from_ref(&coin)));
        assert_eq!(checks.check_scripts(), Ok(()));
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
