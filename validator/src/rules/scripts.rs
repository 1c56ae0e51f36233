//! Runs scripts: every input's script and witness satisfy the script of the coin that it spends.
//!
//! Bitcoin Core's own engine runs them, on every core. A transaction is parsed and its signature hashes are prepared
//! once, by one thread; its inputs are then divided among all threads, so that a block of one huge transaction uses as
//! many threads as one of many small ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bitcoin::TxOut;
use bitcoinkernel::prelude::*;
use bitcoinkernel::{KernelError, PrecomputedTransactionData, ScriptPubkey, verify};
use rayon::Scope;
use rayon::prelude::*;

use super::error::RuleError;
use super::transaction_error::TransactionError;
use crate::block::DecodedBlock;
use crate::coins::Coin;
use crate::consensus::ScriptFlags;

/// The scripts of one transaction succeed. `raw` are its bytes, witnesses included, and `coins` those that its inputs
/// spend, in order.
///
/// Runs on the current `rayon` pool. Of several inputs that fail the first is reported.
///
/// # Errors
/// [`TransactionError::Script`]. It is also the error for bytes that the engine cannot read, and for another number of coins
/// than inputs.
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckInputScripts`.
pub fn check_input_scripts(raw: &[u8], coins: &[Coin], flags: ScriptFlags) -> Result<(), TransactionError> {
    check_input_scripts_unless(raw, coins, flags, || false)
}

/// As [`check_input_scripts`]. Once `is_cancelled` returns true, remaining inputs are skipped.
fn check_input_scripts_unless(
    raw: &[u8],
    coins: &[Coin],
    flags: ScriptFlags,
    is_cancelled: impl Fn() -> bool + Sync,
) -> Result<(), TransactionError> {
    let outputs: Vec<&TxOut> = coins.iter().map(|coin| &coin.output).collect();
    match first_failing_input_unless(raw, &outputs, flags, is_cancelled) {
        Some(input) => Err(TransactionError::Script { input }),
        None => Ok(()),
    }
}

/// The scripts of a block, which run beside its other rules.
///
/// They need the coins of their own transaction only, so each starts as soon as these are known. Of several inputs that
/// fail the first is reported, whichever thread finds it first.
pub(super) struct ScriptChecks<'a> {
    block: &'a DecodedBlock,
    flags: ScriptFlags,
    /// The first transaction known to fail, and its error.
    failing: Mutex<Option<(usize, TransactionError)>>,
    /// The position from which on transactions are skipped, because one before them fails.
    limit: AtomicUsize,
}

/// Starts the scripts of a block's transactions on the threads of a scope.
pub(super) struct ScriptStarter<'a, 'scope> {
    checks: &'scope ScriptChecks<'scope>,
    scope: &'a Scope<'scope>,
}

impl<'scope> ScriptStarter<'_, 'scope> {
    /// Runs the scripts of transaction `tx`, which spends `coins`, on another thread.
    pub(super) fn start(&self, tx: usize, coins: &'scope [Coin]) {
        let checks = self.checks;
        self.scope.spawn(move |_| checks.run(tx, coins));
    }
}

impl<'a> ScriptChecks<'a> {
    pub(super) fn new(block: &'a DecodedBlock, flags: ScriptFlags) -> Self {
        Self { block, flags, failing: Mutex::new(None), limit: AtomicUsize::new(usize::MAX) }
    }

    /// Calls `rules`, and runs the scripts that it starts at the same time. A failing script is reported only if `rules`
    /// succeeds. Returns the result of `rules`, and the time that scripts took after it.
    pub(super) fn run_beside<'scope, T, E: From<RuleError>>(
        &'scope self,
        rules: impl FnOnce(&ScriptStarter<'_, 'scope>) -> Result<T, E>,
    ) -> Result<(T, Duration), E> {
        let (outcome, end) = rayon::in_place_scope(|scope| {
            let outcome = rules(&ScriptStarter { checks: self, scope });
            if outcome.is_err() {
                self.stop();
            }
            (outcome, Instant::now())
        });
        let waited = end.elapsed();
        let outcome = outcome?;
        self.check_scripts()?;
        Ok((outcome, waited))
    }

    fn run(&self, tx: usize, coins: &[Coin]) {
        let is_cancelled = || tx >= self.limit.load(Ordering::Relaxed);
        if is_cancelled() {
            return;
        }
        let raw = self.block.raw_transaction(tx);
        if let Err(error) = check_input_scripts_unless(raw, coins, self.flags, is_cancelled) {
            let mut failing = self.failing();
            if failing.as_ref().is_none_or(|(first, _)| tx < *first) {
                *failing = Some((tx, error));
            }
            self.limit.fetch_min(tx, Ordering::Relaxed);
        }
    }

    /// Skips all scripts that have not started.
    fn stop(&self) {
        self.limit.store(0, Ordering::Relaxed);
    }

    /// No script fails. Called when all scripts have ended.
    fn check_scripts(&self) -> Result<(), RuleError> {
        match self.failing().take() {
            Some((tx, error)) => Err(RuleError::in_transaction(self.block, tx)(error)),
            None => Ok(()),
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<(usize, TransactionError)>> {
        self.failing.lock().expect("nothing that holds the first failure panics")
    }
}

/// The first input of a transaction whose script fails. `spent` are the outputs that its inputs spend, in order.
///
/// Bytes that the engine cannot read fail at input 0; the decoder accepts no such transaction.
pub(super) fn first_failing_input(raw: &[u8], spent: &[&TxOut], flags: ScriptFlags) -> Option<usize> {
    first_failing_input_unless(raw, spent, flags, || false)
}

/// As [`first_failing_input`]. Once `is_cancelled` returns true, remaining inputs are skipped.
fn first_failing_input_unless(
    raw: &[u8],
    spent: &[&TxOut],
    flags: ScriptFlags,
    is_cancelled: impl Fn() -> bool + Sync,
) -> Option<usize> {
    let Some(prepared) = Prepared::new(raw, spent, flags) else { return Some(0) };
    (0..spent.len()).into_par_iter().find_first(|&input| !is_cancelled() && !prepared.succeeds(input, flags))
}

/// A transaction in the engine's form.
///
/// The engine's `btck_script_pubkey_verify` copies the prepared data with all spent outputs at every call: quadratic in the
/// number of inputs. Only taproot signatures commit to those outputs. So there are two sets of data, and the one with
/// outputs is made and copied for taproot inputs only. The engine refuses the flag TAPROOT with data without outputs, so
/// other inputs run without the flag; `interpreter.cpp` reads it only for a native witness program of version 1 and 32
/// bytes (`VerifyWitnessProgram`).
struct Prepared<'a> {
    transaction: bitcoinkernel::Transaction,
    spent: &'a [&'a TxOut],
    data: PrecomputedTransactionData,
    /// The data with the spent outputs; `None`: no input spends a taproot output.
    taproot: Option<PrecomputedTransactionData>,
}

impl<'a> Prepared<'a> {
    fn new(raw: &[u8], spent: &'a [&'a TxOut], flags: ScriptFlags) -> Option<Self> {
        let transaction = bitcoinkernel::Transaction::new(raw).ok().filter(|tx| tx.input_count() == spent.len())?;
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

    /// Runs the script of an input. The script is converted here, on the thread that runs it.
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
        let started = checks.run_beside(|starter| {
            for (tx, coins) in (1..).zip(&spent) {
                starter.start(tx, coins);
            }
            Ok::<(), RuleError>(())
        });
        started.map(|_| ())
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
            let RuleError::Transaction { tx, ref error, .. } = error else { panic!("{error}") };
            assert_eq!((tx, error), (2, &TransactionError::Script { input: 1 }));
            assert_eq!(error.reject_reason(), "mandatory-script-verify-flag-failed");
        }
    }

    #[test]
    fn cancelled_scripts_are_not_run() {
        let raw = bitcoin::consensus::serialize(&spend(&[outpoint(1)], &[1]));
        let mut coin = coin(1, 1);
        coin.output.script_pubkey = ScriptBuf::from_bytes(vec![FAILS]);
        let failing =
            |is_cancelled| first_failing_input_unless(&raw, &[&coin.output], ScriptFlags::P2SH, || is_cancelled);
        assert_eq!((failing(false), failing(true)), (Some(0), None));

        let block = block_of(vec![coinbase(1, 50), spend(&[outpoint(1)], &[1])]);
        let checks = ScriptChecks::new(&block, ScriptFlags::P2SH);
        checks.stop();
        checks.run(1, std::slice::from_ref(&coin));
        assert_eq!(checks.check_scripts(), Ok(()));
    }

    #[test]
    fn a_transaction_is_checked_without_a_block() {
        let raw = bitcoin::consensus::serialize(&spend(&[outpoint(1), outpoint(2)], &[1]));
        let good = coin(1, 1);
        let mut bad = good.clone();
        bad.output.script_pubkey = ScriptBuf::from_bytes(vec![FAILS]);
        let verdict = |coins: &[Coin]| check_input_scripts(&raw, coins, ScriptFlags::P2SH);
        assert_eq!(verdict(&[good.clone(), good.clone()]), Ok(()));
        let failing = |input| Err(TransactionError::Script { input });
        assert_eq!(verdict(&[good.clone(), bad]), failing(1));
        assert_eq!(verdict(std::slice::from_ref(&good)), failing(0), "a coin for each input");
        assert_eq!(check_input_scripts(&raw[1..], &[good.clone(), good], ScriptFlags::P2SH), failing(0));
    }

    /// OP_CHECKSEQUENCEVERIFY is OP_NOP3 without its flag.
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
