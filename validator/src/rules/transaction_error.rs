//! The rules that a transaction can break, in a block or outside.

use bitcoin::OutPoint;

use super::rule_errors::rule_errors;
use crate::consensus::{COINBASE_MATURITY, MAX_BLOCK_WEIGHT, MAX_MONEY};

rule_errors! {
    /// A rule of consensus that a transaction breaks.
    ///
    /// Inputs and outputs are counted from 0; amounts are in satoshi.
    pub enum TransactionError,
    /// The name that Bitcoin Core 28 gives the rule when a block breaks it.
    ///
    /// For a failing script it is the name without Core's script error in brackets, which the script engine does not
    /// return.
    reject_reason: &'static str;

    // In isolation.

    /// There are no inputs.
    NoInputs {}
    "bad-txns-vin-empty", seen "no inputs", wanted "1 or more";

    /// There are no outputs.
    NoOutputs {}
    "bad-txns-vout-empty", seen "no outputs", wanted "1 or more";

    /// The transaction is larger than a block may be.
    Oversize {
        /// Its length in bytes, without witnesses.
        stripped_size: usize,
    }
    "bad-txns-oversize",
    seen format_args!("{stripped_size} bytes without witnesses"),
    wanted format_args!("at most {}", MAX_BLOCK_WEIGHT / 4);

    /// An output's value is below zero.
    NegativeOutput {
        /// The index of the output.
        output: usize,
        /// Its value.
        value: i64,
    }
    "bad-txns-vout-negative", seen format_args!("output {output}: {value}"), wanted "0 or above";

    /// An output's value is above 21 million coins.
    OutputTooLarge {
        /// The index of the output.
        output: usize,
        /// Its value.
        value: i64,
    }
    "bad-txns-vout-toolarge", seen format_args!("output {output}: {value}"), wanted format_args!("at most {MAX_MONEY}");

    /// The sum of the outputs' values is above 21 million coins (CVE-2010-5139).
    OutputTotalTooLarge {
        /// The sum, up to the output that passed the limit.
        total: i64,
    }
    "bad-txns-txouttotal-toolarge", seen format_args!("{total}"), wanted format_args!("at most {MAX_MONEY}");

    /// Two inputs spend one output (CVE-2018-17144).
    DuplicateInput {
        /// The output.
        outpoint: OutPoint,
    }
    "bad-txns-inputs-duplicate", seen format_args!("spends {outpoint} twice"), wanted "once";

    /// The coinbase's script is too short or too long.
    CoinbaseScriptLength {
        /// Its length in bytes.
        length: usize,
    }
    "bad-cb-length", seen format_args!("a script of {length} bytes"), wanted "2 to 100";

    /// A transaction that is no coinbase has a coinbase's input.
    NullPrevout {
        /// The index of the input.
        input: usize,
    }
    "bad-txns-prevout-null", seen format_args!("input {input} spends the null output"), wanted "an output";

    // In context.

    /// The lock time has not passed.
    NonFinal {
        /// The lock time: a height, or seconds since 1970.
        lock_time: u32,
        /// The value that it is compared with: the block's height, or its ancestors' median time (BIP113), or its time.
        now: u32,
    }
    "bad-txns-nonfinal", seen format_args!("locked until {lock_time}"), wanted format_args!("a lock below {now}");

    // With the coins that it spends.

    /// An input spends a coin that does not exist or is spent.
    MissingInput {
        /// The index of the input.
        input: usize,
        /// The output that it spends.
        outpoint: OutPoint,
    }
    "bad-txns-inputs-missingorspent", seen format_args!("input {input} spends {outpoint}"), wanted "an unspent output";

    /// An input spends a coinbase too soon.
    ImmatureCoinbase {
        /// The index of the input.
        input: usize,
        /// The number of blocks since the coinbase.
        depth: u32,
    }
    "bad-txns-premature-spend-of-coinbase",
    seen format_args!("input {input} spends a coinbase after {depth} blocks"),
    wanted format_args!("{COINBASE_MATURITY} or more");

    /// The value of a spent coin, or the sum of the values, is below zero or above 21 million coins.
    InputValueOutOfRange {
        /// The input at which the limit was passed.
        input: usize,
        /// The sum up to it.
        total: i64,
    }
    "bad-txns-inputvalues-outofrange",
    seen format_args!("{total} up to input {input}"), wanted format_args!("0 to {MAX_MONEY}");

    /// The outputs are worth more than what the inputs spend.
    InputsBelowOutputs {
        /// The sum of the inputs.
        value_in: i64,
        /// The sum of the outputs.
        value_out: i64,
    }
    "bad-txns-in-belowout", seen format_args!("spends {value_in}"), wanted format_args!("{value_out}, which it creates");

    /// The fee is out of range. Unreachable: earlier rules refuse such fees.
    FeeOutOfRange {
        /// The fee.
        fee: i64,
    }
    "bad-txns-fee-outofrange", seen format_args!("{fee}"), wanted format_args!("0 to {MAX_MONEY}");

    /// An input spends a coin that is younger, in blocks, than its sequence number allows (BIP68).
    HeightLock {
        /// The index of the input.
        input: usize,
        /// The first height at which it may.
        unlocked: u64,
        /// The block's height.
        height: u32,
    }
    "bad-txns-nonfinal",
    seen format_args!("input {input} at height {height}"),
    wanted format_args!("height {unlocked} or above");

    /// An input spends a coin that is younger, in seconds, than its sequence number allows (BIP68).
    TimeLock {
        /// The index of the input.
        input: usize,
        /// The first median time past at which it may, in seconds since 1970.
        unlocked: u64,
        /// The ancestors' median time.
        median: u32,
    }
    "bad-txns-nonfinal",
    seen format_args!("input {input} at median time {median}"),
    wanted format_args!("{unlocked} or later");

    /// A script fails.
    Script {
        /// The index of the input.
        input: usize,
    }
    "mandatory-script-verify-flag-failed", seen format_args!("input {input} fails"), wanted "scripts that succeed";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_rule_value_seen_and_value_wanted() {
        let error = TransactionError::ImmatureCoinbase { input: 3, depth: 99 };
        let text =
            "bad-txns-premature-spend-of-coinbase: seen input 3 spends a coinbase after 99 blocks; wanted 100 or more";
        assert_eq!(error.to_string(), text);
    }
}
