//! The rules of a transaction in isolation, which need neither coins nor a chain.
//!
//! Source of all rules in this file: Bitcoin Core, `consensus/tx_check.cpp`, `CheckTransaction`.

use bitcoin::Transaction;

use super::transaction_error::TransactionError;
use crate::consensus::{MAX_BLOCK_WEIGHT, MAX_MONEY, WITNESS_SCALE_FACTOR};

/// Checks a transaction in isolation. `stripped_size` is its length in bytes without witnesses.
///
/// # Errors
/// The first rule that the transaction breaks, in Bitcoin Core's order.
pub fn validate_transaction_in_isolation(
    transaction: &Transaction,
    stripped_size: usize,
) -> Result<(), TransactionError> {
    check_inputs_exist(transaction)?;
    check_outputs_exist(transaction)?;
    check_size(stripped_size)?;
    check_output_values(transaction)?;
    check_inputs_differ(transaction)?;
    if transaction.is_coinbase() {
        check_coinbase_script_length(transaction)
    } else {
        check_prevouts_not_null(transaction)
    }
}

/// A transaction has inputs.
fn check_inputs_exist(transaction: &Transaction) -> Result<(), TransactionError> {
    if transaction.input.is_empty() { Err(TransactionError::NoInputs {}) } else { Ok(()) }
}

/// A transaction has outputs.
fn check_outputs_exist(transaction: &Transaction) -> Result<(), TransactionError> {
    if transaction.output.is_empty() { Err(TransactionError::NoOutputs {}) } else { Ok(()) }
}

/// A transaction's length without witnesses is at most a quarter of the largest weight of a block.
fn check_size(stripped_size: usize) -> Result<(), TransactionError> {
    if stripped_size * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT {
        return Err(TransactionError::Oversize { stripped_size });
    }
    Ok(())
}

/// No output's value, and no sum of them, is negative or above 21 million coins (CVE-2010-5139).
fn check_output_values(transaction: &Transaction) -> Result<(), TransactionError> {
    let mut total = 0;
    for (output, txout) in transaction.output.iter().enumerate() {
        // `bitcoin` reads the 64 bits as unsigned; for consensus they are signed.
        let value = txout.value.to_sat().cast_signed();
        if value < 0 {
            return Err(TransactionError::NegativeOutput { output, value });
        }
        if value > MAX_MONEY {
            return Err(TransactionError::OutputTooLarge { output, value });
        }
        total += value;
        if total > MAX_MONEY {
            return Err(TransactionError::OutputTotalTooLarge { total });
        }
    }
    Ok(())
}

/// No two inputs spend the same output (CVE-2018-17144).
fn check_inputs_differ(transaction: &Transaction) -> Result<(), TransactionError> {
    if transaction.input.len() < 2 {
        return Ok(());
    }
    // Sorting takes less time than hashing every outpoint, and an attacker cannot make it slow.
    let mut outpoints: Vec<_> = transaction.input.iter().map(|input| input.previous_output).collect();
    outpoints.sort_unstable();
    match outpoints.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(TransactionError::DuplicateInput { outpoint: pair[0] }),
        None => Ok(()),
    }
}

/// A coinbase's script has 2 to 100 bytes.
fn check_coinbase_script_length(coinbase: &Transaction) -> Result<(), TransactionError> {
    match coinbase.input[0].script_sig.len() {
        2..=100 => Ok(()),
        length => Err(TransactionError::CoinbaseScriptLength { length }),
    }
}

/// Only a coinbase has an input that spends the null output.
fn check_prevouts_not_null(transaction: &Transaction) -> Result<(), TransactionError> {
    match transaction.input.iter().position(|input| input.previous_output.is_null()) {
        Some(input) => Err(TransactionError::NullPrevout { input }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, OutPoint, ScriptBuf, TxIn, TxOut, Txid, absolute, transaction};

    use super::*;

    /// A transaction with inputs that spend outputs 0, 1, … of some transaction, and outputs of these values.
    fn transaction(inputs: u32, values: &[i64]) -> Transaction {
        let outpoint = |vout| OutPoint { txid: Txid::from_byte_array([7; 32]), vout };
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: (0..inputs).map(|n| TxIn { previous_output: outpoint(n), ..TxIn::default() }).collect(),
            output: values
                .iter()
                .map(|value| TxOut { value: Amount::from_sat(value.cast_unsigned()), script_pubkey: ScriptBuf::new() })
                .collect(),
        }
    }

    fn verdict(transaction: &Transaction) -> Result<(), TransactionError> {
        validate_transaction_in_isolation(transaction, transaction.base_size())
    }

    #[test]
    fn inputs_and_outputs_exist() {
        assert_eq!(verdict(&transaction(1, &[0])), Ok(()));
        assert_eq!(verdict(&transaction(0, &[0])), Err(TransactionError::NoInputs {}));
        assert_eq!(verdict(&transaction(1, &[])), Err(TransactionError::NoOutputs {}));
    }

    #[test]
    fn the_stripped_size_is_bounded() {
        assert_eq!(check_size(1_000_000), Ok(()));
        let stripped_size = 1_000_001;
        assert_eq!(check_size(stripped_size), Err(TransactionError::Oversize { stripped_size }));
    }

    #[test]
    fn values_and_their_sum_are_in_range() {
        assert_eq!(verdict(&transaction(1, &[MAX_MONEY])), Ok(()));
        assert_eq!(verdict(&transaction(1, &[MAX_MONEY - 1, 1])), Ok(()));
        let error = TransactionError::NegativeOutput { output: 1, value: -1 };
        assert_eq!(verdict(&transaction(1, &[0, -1])), Err(error));
        let error = TransactionError::OutputTooLarge { output: 0, value: MAX_MONEY + 1 };
        assert_eq!(verdict(&transaction(1, &[MAX_MONEY + 1])), Err(error));
        let error = TransactionError::OutputTotalTooLarge { total: MAX_MONEY + 1 };
        assert_eq!(verdict(&transaction(1, &[MAX_MONEY, 1, MAX_MONEY])), Err(error));
    }

    #[test]
    fn inputs_differ() {
        let mut transaction = transaction(40, &[0]);
        assert_eq!(verdict(&transaction), Ok(()));
        transaction.input[5].previous_output.vout = 33;
        let outpoint = transaction.input[5].previous_output;
        assert_eq!(verdict(&transaction), Err(TransactionError::DuplicateInput { outpoint }));
    }

    #[test]
    fn coinbase_scripts_have_2_to_100_bytes() {
        let mut coinbase = transaction(1, &[0]);
        coinbase.input[0].previous_output = OutPoint::null();
        for (length, good) in [(0, false), (1, false), (2, true), (100, true), (101, false)] {
            coinbase.input[0].script_sig = ScriptBuf::from_bytes(vec![0; length]);
            let wanted = if good { Ok(()) } else { Err(TransactionError::CoinbaseScriptLength { length }) };
            assert_eq!(verdict(&coinbase), wanted);
        }
    }

    #[test]
    fn only_a_coinbase_spends_nothing() {
        let mut transaction = transaction(3, &[0]);
        transaction.input[2].previous_output = OutPoint::null();
        assert_eq!(verdict(&transaction), Err(TransactionError::NullPrevout { input: 2 }));
        transaction.input[2].previous_output.vout = 0;
        assert_eq!(verdict(&transaction), Ok(()), "an id of zeros alone is an id");
    }
}
