//! Transactions without signatures, whose outputs anybody can spend.

use crate::scene::{bare_true, transaction};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, Transaction, TxOut, Txid};

/// Output 0 of a transaction that does not exist, a different one for each `n`.
pub fn outpoint(n: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([n; 32]), vout: 0 }
}

/// A final transaction of version 2 without signature or witness. It spends `outpoints` and creates an output with a bare
/// `OP_TRUE` for each of `values`, which are in satoshi. A value may be negative, which is against the rules.
pub fn spend(outpoints: &[OutPoint], values: &[i64]) -> Transaction {
    let output = |&value: &i64| TxOut { value: Amount::from_sat(value.cast_unsigned()), script_pubkey: bare_true() };
    transaction(outpoints, values.iter().map(output).collect())
}
