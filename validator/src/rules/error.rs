//! The rules that a block can break.

use std::borrow::Cow;
use std::fmt;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, OutPoint, ScriptBuf, Target, TxMerkleNode, Txid, WitnessCommitment};

use super::rule_errors::rule_errors;
use super::transaction_error::TransactionError;
use crate::block::DecodedBlock;
use crate::consensus::{MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, MAX_MONEY, TargetFault};

/// The reason why the signature of a signet block is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignetFault {
    /// The coinbase has no witness commitment, in which the signature would be.
    #[error("no witness commitment")]
    NoCommitment,
    /// The signature section is not a script and a witness, or something follows them.
    #[error("a malformed solution")]
    Malformed,
    /// The signature does not satisfy the challenge.
    #[error("a solution that fails")]
    Unsatisfied,
}

/// The first ten bytes as hexadecimal digits.
struct Prefix<'a>(&'a [u8]);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(10).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if self.0.len() > 10 { f.write_str("…") } else { Ok(()) }
    }
}

/// Describes a previous block that is not known. Only a genesis block has the hash zero there.
fn unknown(previous: BlockHash) -> String {
    if previous == BlockHash::all_zeros() {
        "no previous block, as in the genesis block of another chain".to_owned()
    } else {
        format!("unknown previous block {previous}")
    }
}

rule_errors! {
    /// A rule of consensus that a block breaks.
    ///
    /// Transactions are counted from the coinbase, which is 0; inputs and outputs from 0; amounts are in satoshi.
    pub enum RuleError,
    /// The name that Bitcoin Core 28 gives the rule, as peers, pools and callers of `submitblock` get it.
    ///
    /// One name contains a value: `bad-version(0x…)`. For a failing script it is the name without Core's script error in
    /// brackets, which the script engine does not return.
    reject_reason: Cow<'static, str>, source: Transaction { error };

    // The header, in isolation.

    /// The compact target is invalid or above the chain's limit.
    InvalidTarget {
        /// The compact target.
        bits: CompactTarget,
        /// The reason.
        fault: TargetFault,
        /// The chain's easiest target.
        limit: Target,
    }
    "high-hash",
    seen format_args!("target 0x{bits:08x}, {fault}"),
    wanted format_args!("a target from 1 to {limit:064x}");

    /// The hash is above the target.
    HighHash {
        /// The block's hash.
        hash: BlockHash,
        /// The target.
        target: Target,
    }
    "high-hash", seen hash, wanted format_args!("at most {target:064x}");

    // The header, in context.

    /// The previous block is unknown.
    PreviousNotFound {
        /// Its hash.
        previous: BlockHash,
    }
    "prev-blk-not-found", seen unknown(*previous), wanted "a known block";

    /// The previous block breaks a rule.
    PreviousInvalid {
        /// Its hash.
        previous: BlockHash,
    }
    "bad-prevblk", seen format_args!("invalid previous block {previous}"), wanted "a valid block";

    /// The target is not the required one, which follows from the ancestors.
    DifficultyBits {
        /// The header's target.
        seen: CompactTarget,
        /// The required target.
        wanted: CompactTarget,
    }
    "bad-diffbits", seen format_args!("0x{seen:08x}"), wanted format_args!("0x{wanted:08x}");

    /// The block is not later than the median of its eleven ancestors.
    TimeTooOld {
        /// The block's time, in seconds since 1970.
        time: u32,
        /// The median.
        median: u32,
    }
    "time-too-old", seen format_args!("time {time}"), wanted format_args!("a time after the median, {median}");

    /// The first block of a period is much earlier than its parent (BIP94).
    Timewarp {
        /// The block's time, in seconds since 1970.
        time: u32,
        /// Ten minutes before the parent's.
        earliest: u32,
    }
    "time-timewarp-attack", seen format_args!("time {time}"), wanted format_args!("{earliest} or later");

    /// The block is more than two hours ahead of the network.
    TimeTooNew {
        /// The block's time, in seconds since 1970.
        time: u32,
        /// Two hours from now.
        latest: u64,
    }
    "time-too-new", seen format_args!("time {time}"), wanted format_args!("{latest} or earlier");

    /// A soft fork has retired the version (BIP34, BIP66, BIP65).
    ObsoleteVersion {
        /// The block's version.
        version: i32,
        /// The least version at its height.
        wanted: i32,
    }
    format!("bad-version(0x{version:08x})"), seen format_args!("version {version}"), wanted format_args!("{wanted} or above");

    // The block, in isolation.

    /// The block's signature does not satisfy the signet's challenge (BIP325).
    SignetSolution {
        /// The reason.
        fault: SignetFault,
    }
    "bad-signet-blksig", seen fault, wanted "a solution that satisfies the challenge";

    /// The header does not commit to these transactions.
    MerkleRoot {
        /// The root in the header.
        seen: TxMerkleNode,
        /// The root of the transactions.
        wanted: TxMerkleNode,
    }
    "bad-txnmrklroot", seen seen, wanted wanted;

    /// Transactions are repeated in a way that does not change the Merkle root (CVE-2012-2459).
    DuplicateTransactions {}
    "bad-txns-duplicate", seen "two equal neighbours in the Merkle tree", wanted "none";

    /// The block has no transactions, or is too long without its witnesses.
    BlockLength {
        /// The number of its transactions.
        transactions: usize,
        /// Its length in bytes, without witnesses.
        stripped_size: usize,
    }
    "bad-blk-length",
    seen format_args!("{transactions} transactions, {stripped_size} bytes without witnesses"),
    wanted format_args!("1 or more, and at most {}", MAX_BLOCK_WEIGHT / 4);

    /// The first transaction is no coinbase.
    CoinbaseMissing {}
    "bad-cb-missing", seen "a first transaction that spends an output", wanted "a coinbase";

    /// Another transaction is a coinbase.
    CoinbaseMultiple {
        /// Its position in the block.
        tx: usize,
    }
    "bad-cb-multiple", seen format_args!("transaction {tx} is a coinbase"), wanted "only the first";

    // A transaction of the block.

    /// A transaction breaks a rule.
    Transaction {
        /// Its position in the block; the coinbase's is 0.
        tx: usize,
        /// Its id.
        txid: Txid,
        /// The rule.
        error: TransactionError,
    }
    error.reject_reason(),
    seen format_args!("transaction {tx} ({txid}): {}", error.seen()), wanted error.wanted();

    /// The cost of the signature operations is above the limit (BIP141).
    SigopCost {
        /// Their cost up to the transaction that passed the limit.
        cost: u64,
    }
    "bad-blk-sigops", seen cost, wanted format_args!("at most {MAX_BLOCK_SIGOPS_COST}");

    // The block, in context.

    /// The coinbase does not begin with the height (BIP34).
    CoinbaseHeight {
        /// Its script.
        script: ScriptBuf,
        /// The required first bytes.
        wanted: ScriptBuf,
        /// The block's height.
        height: u32,
    }
    "bad-cb-height",
    seen Prefix(script.as_bytes()), wanted format_args!("{} for height {height}", Prefix(wanted.as_bytes()));

    /// The coinbase's witness is not one item of 32 bytes (BIP141).
    WitnessNonceSize {
        /// The number of its items.
        items: usize,
        /// The length of the first in bytes, if there is one.
        length: Option<usize>,
    }
    "bad-witness-nonce-size",
    seen format_args!("{items} items, the first of {} bytes", length.unwrap_or(0)), wanted "1 item of 32 bytes";

    /// The coinbase does not commit to these witnesses (BIP141).
    WitnessMerkleRoot {
        /// The commitment in the coinbase.
        seen: WitnessCommitment,
        /// The commitment to the witnesses.
        wanted: WitnessCommitment,
    }
    "bad-witness-merkle-match", seen seen, wanted wanted;

    /// A transaction has a witness, and the coinbase commits to none.
    UnexpectedWitness {
        /// Its position in the block.
        tx: usize,
    }
    "unexpected-witness", seen format_args!("transaction {tx} with a witness"), wanted "none without a commitment";

    /// The block's weight is above the limit (BIP141).
    Weight {
        /// Its weight.
        weight: usize,
    }
    "bad-blk-weight", seen weight, wanted format_args!("at most {MAX_BLOCK_WEIGHT}");

    // The block, as it connects.

    /// A transaction would overwrite an unspent output (BIP30).
    OverwritesCoin {
        /// The output.
        outpoint: OutPoint,
    }
    "bad-txns-BIP30", seen format_args!("overwrites {outpoint}"), wanted "outputs that are new or spent";

    /// The sum of the block's fees is above 21 million coins.
    FeesOutOfRange {
        /// The sum, up to the transaction that passed the limit.
        fees: i64,
    }
    "bad-txns-accumulated-fee-outofrange", seen fees, wanted format_args!("0 to {MAX_MONEY}");

    /// The coinbase creates more than the subsidy and the fees.
    CoinbaseAmount {
        /// The amount that it creates.
        seen: i64,
        /// The subsidy and the fees.
        wanted: i64,
    }
    "bad-cb-amount", seen seen, wanted format_args!("at most {wanted}");
}

impl RuleError {
    /// Wraps an error of transaction `tx` of `block`.
    pub(super) fn in_transaction(block: &DecodedBlock, tx: usize) -> impl FnOnce(TransactionError) -> Self {
        move |error| RuleError::Transaction { tx, txid: block.txids()[tx], error }
    }

    /// Whether every block with this hash is permanently invalid, so that the hash may be stored as invalid.
    ///
    /// It is not if other bytes can have the same hash (Core's `BLOCK_MUTATED`), if the block may become valid with time
    /// (`BLOCK_TIME_FUTURE`), or if only the parent is missing (`BLOCK_MISSING_PREV`).
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !matches!(
            self,
            RuleError::TimeTooNew { .. }
                | RuleError::PreviousNotFound { .. }
                | RuleError::MerkleRoot { .. }
                | RuleError::DuplicateTransactions {}
                | RuleError::WitnessNonceSize { .. }
                | RuleError::WitnessMerkleRoot { .. }
                | RuleError::UnexpectedWitness { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_rule_value_seen_and_value_wanted() {
        let error = RuleError::TimeTooOld { time: 5, median: 7 };
        assert_eq!(error.to_string(), "time-too-old: seen time 5; wanted a time after the median, 7");
        let error = RuleError::CoinbaseHeight {
            script: ScriptBuf::from_bytes((0..12).collect()),
            wanted: ScriptBuf::from_bytes(vec![0x51]),
            height: 1,
        };
        assert_eq!(error.to_string(), "bad-cb-height: seen 00010203040506070809…; wanted 51 for height 1");
    }

    #[test]
    fn the_source_of_a_broken_transaction_is_its_error() {
        let error = TransactionError::NoInputs {};
        let wrapped = RuleError::Transaction { tx: 1, txid: Txid::all_zeros(), error: error.clone() };
        let source = std::error::Error::source(&wrapped).and_then(|source| source.downcast_ref::<TransactionError>());
        assert_eq!(source, Some(&error));
        assert!(std::error::Error::source(&error).is_none());
        assert!(std::error::Error::source(&RuleError::CoinbaseMissing {}).is_none());
    }

    #[test]
    fn only_what_the_hash_covers_is_permanent() {
        assert!(RuleError::CoinbaseMissing {}.is_permanent());
        assert!(RuleError::Weight { weight: 4_000_001 }.is_permanent());
        assert!(!RuleError::DuplicateTransactions {}.is_permanent());
        assert!(!RuleError::UnexpectedWitness { tx: 1 }.is_permanent());
        assert!(!RuleError::TimeTooNew { time: 2, latest: 1 }.is_permanent());
    }
}
