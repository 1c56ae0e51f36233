//! Checks inputs: coins exist, are mature and cover the outputs.
//!
//! Source of all rules in this file: Bitcoin Core, `consensus/tx_verify.cpp`, `CheckTxInputs`.

use bitcoin::{Amount, OutPoint, Transaction};

use super::transaction_error::TransactionError;
use crate::coins::Coin;
use crate::consensus::{COINBASE_MATURITY, MAX_MONEY};

/// Input `input` spends a coin that exists and is not spent. `coin` is the result of the lookup of `outpoint`. Returns the
/// coin.
///
/// # Errors
/// [`TransactionError::MissingInput`].
pub fn check_input_unspent(input: usize, outpoint: OutPoint, coin: Option<Coin>) -> Result<Coin, TransactionError> {
    coin.ok_or(TransactionError::MissingInput { input, outpoint })
}

/// The coins that a transaction spends in a block at `height` are mature and in range, and worth at least its outputs.
/// Returns the fee.
///
/// `coins` are those of the inputs, in order; each has passed [`check_input_unspent`]. The transaction is no coinbase
/// and has passed [`validate_transaction_in_isolation`](super::validate_transaction_in_isolation).
///
/// # Errors
/// A coinbase is spent too soon, a value or the sum of them is out of range, the outputs are worth more than the
/// inputs, or the fee is out of range.
pub fn validate_inputs(transaction: &Transaction, coins: &[Coin], height: u32) -> Result<Amount, TransactionError> {
    debug_assert_eq!(coins.len(), transaction.input.len(), "a coin for each input");
    let mut total = 0;
    for (input, coin) in coins.iter().enumerate() {
        check_maturity(input, coin, height)?;
        total = check_input_value(input, coin, total)?;
    }
    check_fee_range(check_value_out(transaction, total)?)
}

/// The sum of a transaction's outputs, in satoshi. The outputs are in range.
pub(super) fn value_out(transaction: &Transaction) -> i64 {
    transaction.output.iter().fold(0, |sum, output| sum.saturating_add(output.value.to_sat().cast_signed()))
}

/// A coinbase is spent at least a hundred blocks later.
fn check_maturity(input: usize, coin: &Coin, height: u32) -> Result<(), TransactionError> {
    let depth = height.saturating_sub(coin.height);
    if coin.is_coinbase && depth < COINBASE_MATURITY {
        return Err(TransactionError::ImmatureCoinbase { input, depth });
    }
    Ok(())
}

/// The value of a coin is in range, and so is its sum with `total`, the value of the coins before it. Returns the sum.
fn check_input_value(input: usize, coin: &Coin, total: i64) -> Result<i64, TransactionError> {
    let value = coin.output.value.to_sat().cast_signed();
    let total = total.saturating_add(value);
    if !(0..=MAX_MONEY).contains(&value) || !(0..=MAX_MONEY).contains(&total) {
        return Err(TransactionError::InputValueOutOfRange { input, total });
    }
    Ok(total)
}

/// The inputs are worth at least as much as the outputs. Returns the fee.
fn check_value_out(transaction: &Transaction, value_in: i64) -> Result<i64, TransactionError> {
    let value_out = value_out(transaction);
    if value_in < value_out {
        return Err(TransactionError::InputsBelowOutputs { value_in, value_out });
    }
    Ok(value_in - value_out)
}

/// A fee is in the range of amounts.
fn check_fee_range(fee: i64) -> Result<Amount, TransactionError> {
    if (0..=MAX_MONEY).contains(&fee) {
        Ok(Amount::from_sat(fee.cast_unsigned()))
    } else {
        Err(TransactionError::FeeOutOfRange { fee })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{coin, outpoint, spend};

    #[test]
    fn an_input_spends_a_coin_that_exists() {
        assert_eq!(check_input_unspent(1, outpoint(1), Some(coin(5, 1))), Ok(coin(5, 1)));
        let error = TransactionError::MissingInput { input: 1, outpoint: outpoint(1) };
        assert_eq!(check_input_unspent(1, outpoint(1), None), Err(error));
    }

    #[test]
    fn a_fee_is_what_the_outputs_leave() {
        let transaction = spend(&[outpoint(1), outpoint(2)], &[60, 30]);
        let coins = [coin(50, 1), coin(50, 1)];
        assert_eq!(validate_inputs(&transaction, &coins, 9), Ok(Amount::from_sat(10)));
        let transaction = spend(&[outpoint(1), outpoint(2)], &[60, 41]);
        let error = TransactionError::InputsBelowOutputs { value_in: 100, value_out: 101 };
        assert_eq!(validate_inputs(&transaction, &coins, 9), Err(error));
    }

    #[test]
    fn coinbases_mature_after_a_hundred_blocks() {
        let transaction = spend(&[outpoint(1)], &[1]);
        let mut young = coin(1, 5);
        young.is_coinbase = true;
        assert_eq!(validate_inputs(&transaction, std::slice::from_ref(&young), 105), Ok(Amount::ZERO));
        let error = TransactionError::ImmatureCoinbase { input: 0, depth: 99 };
        assert_eq!(validate_inputs(&transaction, &[young], 104), Err(error));
    }

    #[test]
    fn values_spent_are_in_range() {
        let transaction = spend(&[outpoint(1), outpoint(2)], &[MAX_MONEY]);
        assert_eq!(validate_inputs(&transaction, &[coin(MAX_MONEY - 1, 1), coin(1, 1)], 9), Ok(Amount::ZERO));
        let error = TransactionError::InputValueOutOfRange { input: 1, total: MAX_MONEY + 1 };
        assert_eq!(validate_inputs(&transaction, &[coin(MAX_MONEY, 1), coin(1, 1)], 9), Err(error));
        let error = TransactionError::InputValueOutOfRange { input: 0, total: -1 };
        assert_eq!(validate_inputs(&transaction, &[coin(-1, 1), coin(1, 1)], 9), Err(error));
    }

    #[test]
    fn a_fee_is_an_amount() {
        assert_eq!(check_fee_range(MAX_MONEY), Ok(Amount::MAX_MONEY));
        assert_eq!(check_fee_range(-1), Err(TransactionError::FeeOutOfRange { fee: -1 }));
        assert!(check_fee_range(MAX_MONEY + 1).is_err());
    }
}
