//! The rules of Bitcoin Core's block validation, as ways to break each alone.
//!
//! The table below is the rule book. A rule that regtest cannot reach is not in it: `bad-txns-BIP30` (heights make every
//! coinbase unique), `bad-txns-oversize` (the block's own limit bites first), `bad-txns-inputvalues-outofrange`,
//! `bad-txns-fee-outofrange` and `bad-txns-accumulated-fee-outofrange` (regtest never has 21 million coins),
//! `time-timewarp-attack` (BIP94 is off by default).

mod block;
mod coins;
mod header;
mod legacy;
mod taproot;
mod transaction;
mod witness;

pub(crate) mod scripts;

pub(crate) use coins::{locked_by_height, locked_by_time, spend_coinbase};
pub(crate) use transaction::free_transaction;

use crate::scene::{Case, Scene};

/// The reject reason of a script that fails, with the script error's text.
///
/// The prefix is that of the vendored Bitcoin Core; 28.0 says `mandatory-script-verify-flag-failed`, or
/// `block-validation-failed` when script threads are on.
macro_rules! script {
    ($error:literal) => {
        concat!("block-script-verify-flag-failed (", $error, ")")
    };
}

/// Declares [`Damage`], one line a rule: name, what is wrong, Bitcoin Core's reject reason, the function that does it.
macro_rules! rule_book {
    ($($name:ident: $doc:literal, $reason:expr, $build:path;)*) => {
        /// One way to break a valid next block, and only that.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Damage {
            $(#[doc = $doc] $name,)*
        }

        impl Damage {
            /// Every damage.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Bitcoin Core's reject reason.
            pub fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)*
                }
            }

            /// The blocks of this damage on the present tip.
            pub fn case(self, scene: &mut Scene) -> Case {
                match self {
                    $(Self::$name => $build(scene, self.reason()),)*
                }
                scene.finish_case()
            }
        }
    };
}

rule_book! {
    // The header.
    HashAboveTarget: "The hash misses the target.", "high-hash", header::hash_above_target;
    TargetNegative: "The compact target is negative.", "high-hash", header::target_negative;
    TargetZero: "The compact target is zero.", "high-hash", header::target_zero;
    TargetOverflow: "The compact target does not fit 256 bits.", "high-hash", header::target_overflow;
    TargetAboveLimit: "The target is easier than the network's limit.", "high-hash", header::target_above_limit;
    TargetNotRequired: "The target is not the one that the ancestors require.", "bad-diffbits", header::target_not_required;
    TimeAtMedian: "The time is the median time past.", "time-too-old", header::time_at_median;
    TimeTooNew: "The time is more than two hours ahead.", "time-too-new", header::time_too_new;
    Version1: "Version 1 after BIP34.", "bad-version(0x00000001)", header::version_1;
    Version2: "Version 2 after BIP66.", "bad-version(0x00000002)", header::version_2;
    Version3: "Version 3 after BIP65.", "bad-version(0x00000003)", header::version_3;
    VersionNegative: "A version with the sign bit, which is below 4.", "bad-version(0xa0000000)", header::version_negative;
    ParentUnknown: "The previous block is not known.", "prev-blk-not-found", header::parent_unknown;
    ParentInvalid: "The previous block is known to be invalid.", "bad-prevblk", header::parent_invalid;
    Resubmitted: "The block itself is known to be invalid.", "duplicate-invalid", header::resubmitted;

    // The block.
    MerkleRootWrong: "The Merkle root is not that of the transactions.", "bad-txnmrklroot", block::merkle_root_wrong;
    TransactionLost: "A transaction is missing, under the header of the whole block.", "bad-txnmrklroot", block::transaction_lost;
    TransactionsDuplicated: "Trailing transactions are repeated under the same root (CVE-2012-2459).", "bad-txns-duplicate", block::transactions_duplicated;
    NoTransactions: "There is no transaction.", "bad-blk-length", block::no_transactions;
    StrippedTooLarge: "A million and one bytes without witnesses.", "bad-blk-length", block::stripped_too_large;
    WeightTooLarge: "Four million and one weight units.", "bad-blk-weight", block::weight_too_large;
    CoinbaseNotFirst: "The coinbase is second.", "bad-cb-missing", block::coinbase_not_first;
    CoinbaseMissing: "There is no coinbase.", "bad-cb-missing", block::coinbase_missing;
    CoinbaseTwice: "There are two coinbases.", "bad-cb-multiple", block::coinbase_twice;
    CoinbaseScriptShort: "The coinbase's script has one byte.", "bad-cb-length", block::coinbase_script_short;
    CoinbaseScriptLong: "The coinbase's script has 101 bytes.", "bad-cb-length", block::coinbase_script_long;
    CoinbaseHeightWrong: "The coinbase starts with the next height.", "bad-cb-height", block::coinbase_height_wrong;
    CoinbaseHeightNotMinimal: "The coinbase's height is padded.", "bad-cb-height", block::coinbase_height_not_minimal;
    CoinbaseNotFinal: "The coinbase has a lock time to come.", "bad-txns-nonfinal", block::coinbase_not_final;
    CoinbasePaysTooMuch: "The coinbase claims a satoshi above subsidy and fees.", "bad-cb-amount", block::coinbase_pays_too_much;
    LegacySigopsTooMany: "20,001 legacy signature operations.", "bad-blk-sigops", block::legacy_sigops_too_many;
    P2shSigopsTooMany: "A cost of 80,001, nearly all of it in P2SH scripts.", "bad-blk-sigops", block::p2sh_sigops_too_many;
    WitnessSigopsTooMany: "A cost of 80,001, all of it in witness scripts.", "bad-blk-sigops", block::witness_sigops_too_many;

    // The witness commitment.
    ReservedValueShort: "The witness reserved value has 31 bytes.", "bad-witness-nonce-size", block::reserved_value_short;
    ReservedValueTwice: "The coinbase's witness has two elements.", "bad-witness-nonce-size", block::reserved_value_twice;
    ReservedValueChanged: "The reserved value is not the committed one.", "bad-witness-merkle-match", block::reserved_value_changed;
    WitnessChanged: "A witness is not the committed one.", "bad-witness-merkle-match", block::witness_changed;
    WitnessUncommitted: "There are witnesses and no commitment.", "unexpected-witness", block::witness_uncommitted;

    // A transaction alone.
    NoInputs: "A transaction has no input.", "bad-txns-vin-empty", transaction::no_inputs;
    NoOutputs: "A transaction has no output.", "bad-txns-vout-empty", transaction::no_outputs;
    ValueNegative: "An output has a value of minus one satoshi.", "bad-txns-vout-negative", transaction::value_negative;
    ValueTooLarge: "An output has a satoshi above 21 million coins.", "bad-txns-vout-toolarge", transaction::value_too_large;
    ValuesTooLarge: "The outputs together are above 21 million coins.", "bad-txns-txouttotal-toolarge", transaction::values_too_large;
    InputTwice: "A transaction names a coin twice (CVE-2018-17144).", "bad-txns-inputs-duplicate", transaction::input_twice;
    PrevoutNull: "A transaction that is no coinbase names the null coin.", "bad-txns-prevout-null", transaction::prevout_null;
    LockedByHeight: "A lock time of the block's own height.", "bad-txns-nonfinal", transaction::locked_by_height;
    LockedByTime: "A lock time of the median time past (BIP113).", "bad-txns-nonfinal", transaction::locked_by_time;

    // A transaction and its coins.
    CoinUnknown: "A coin of no known transaction.", "bad-txns-inputs-missingorspent", coins::unknown;
    CoinIndexUnknown: "An output index that the transaction does not have.", "bad-txns-inputs-missingorspent", coins::index_unknown;
    CoinSpentBefore: "A coin that an earlier block spent.", "bad-txns-inputs-missingorspent", coins::spent_before;
    CoinSpentInBlock: "A coin that an earlier transaction of the block spent.", "bad-txns-inputs-missingorspent", coins::spent_in_block;
    CoinCreatedLater: "A coin that a later transaction of the block creates.", "bad-txns-inputs-missingorspent", coins::created_later;
    CoinOfGenesis: "The genesis block's coinbase.", "bad-txns-inputs-missingorspent", coins::of_genesis;
    CoinUnspendable: "An `OP_RETURN` output, which never becomes a coin.", "bad-txns-inputs-missingorspent", coins::unspendable;
    CoinScriptTooLong: "An output of 10,001 bytes of script, which never becomes a coin.", "bad-txns-inputs-missingorspent", coins::script_too_long;
    CoinbaseImmature: "A coinbase 99 blocks deep.", "bad-txns-premature-spend-of-coinbase", coins::coinbase_immature;
    CoinbaseOfSameBlock: "The block's own coinbase.", "bad-txns-premature-spend-of-coinbase", coins::coinbase_of_same_block;
    OutputsAboveInputs: "The outputs exceed the inputs by a satoshi.", "bad-txns-in-belowout", coins::outputs_above_inputs;
    RelativeHeightUnmet: "A relative lock of one block too many (BIP68).", "bad-txns-nonfinal", coins::relative_height_unmet;
    RelativeTimeUnmet: "A relative lock of 512 seconds too many (BIP68).", "bad-txns-nonfinal", coins::relative_time_unmet;
    RelativeNegativeVersion: "An unmet relative lock in a transaction of version -1, which is above 2 as Core reads it.", "bad-txns-nonfinal", coins::relative_negative_version;

    // Scripts before BIP141.
    SignatureOfOther: "An ECDSA signature over other bytes.", script!("Script evaluated without error but finished with a false/empty top stack element"), legacy::signature_of_other;
    KeyOfOther: "A public key that the hash does not match.", script!("Script failed an OP_EQUALVERIFY operation"), legacy::key_of_other;
    SignatureNotStrictDer: "A signature whose R is padded (BIP66).", script!("Non-canonical DER signature"), legacy::signature_not_strict_der;
    ScriptSigEmpty: "Nothing to unlock a P2PKH coin with.", script!("Operation not valid with the current stack size"), legacy::script_sig_empty;
    WitnessForLegacy: "A witness for a coin that takes none.", script!("Witness provided for non-witness script"), legacy::witness_for_legacy;
    RedeemScriptOfOther: "A redeem script that the hash does not match (BIP16).", script!("Script evaluated without error but finished with a false/empty top stack element"), legacy::redeem_script_of_other;
    ScriptSigNotPushOnly: "An operation in the input of a P2SH coin.", script!("Only push operators allowed in signatures"), legacy::script_sig_not_push_only;
    DummyNotNull: "A multisig dummy that is not empty (BIP147).", script!("Dummy CHECKMULTISIG argument must be zero"), legacy::dummy_not_null;
    SignaturesOutOfOrder: "Multisig signatures in the wrong order.", script!("Script evaluated without error but finished with a false/empty top stack element"), legacy::signatures_out_of_order;
    SignaturesTooFew: "One signature of two.", script!("Operation not valid with the current stack size"), legacy::signatures_too_few;
    CltvHeightUnmet: "A lock time below the script's (BIP65).", script!("Locktime requirement not satisfied"), legacy::cltv_height_unmet;
    CltvKindsDiffer: "A lock time in blocks where the script wants seconds.", script!("Locktime requirement not satisfied"), legacy::cltv_kinds_differ;
    CltvFinalInput: "A lock time that the input's final sequence disables.", script!("Locktime requirement not satisfied"), legacy::cltv_final_input;
    CltvNegative: "A negative lock time in the script.", script!("Negative locktime"), legacy::cltv_negative;
    CsvUnmet: "A sequence below the script's (BIP112).", script!("Locktime requirement not satisfied"), legacy::csv_unmet;
    CsvVersion1: "A relative lock in a transaction of version 1.", script!("Locktime requirement not satisfied"), legacy::csv_version_1;
    CsvDisabled: "A sequence that disables the relative lock.", script!("Locktime requirement not satisfied"), legacy::csv_disabled;
    CsvKindsDiffer: "A sequence in blocks where the script wants seconds.", script!("Locktime requirement not satisfied"), legacy::csv_kinds_differ;
    CsvNegative: "A negative relative lock in the script.", script!("Negative locktime"), legacy::csv_negative;
    TopFalse: "A script that leaves false.", script!("Script evaluated without error but finished with a false/empty top stack element"), legacy::top_false;
    VerifyFails: "`OP_VERIFY` of false.", script!("Script failed an OP_VERIFY operation"), legacy::verify_fails;
    NumEqualVerifyFails: "`OP_NUMEQUALVERIFY` of two and three.", script!("Script failed an OP_NUMEQUALVERIFY operation"), legacy::num_equal_verify_fails;
    CheckSigVerifyFails: "`OP_CHECKSIGVERIFY` of an empty signature.", script!("Script failed an OP_CHECKSIGVERIFY operation"), legacy::check_sig_verify_fails;
    CheckMultisigVerifyFails: "`OP_CHECKMULTISIGVERIFY` of an empty signature.", script!("Script failed an OP_CHECKMULTISIGVERIFY operation"), legacy::check_multisig_verify_fails;
    AltStackEmpty: "`OP_FROMALTSTACK` with nothing there.", script!("Operation not valid with the current altstack size"), legacy::alt_stack_empty;
    ReturnExecuted: "`OP_RETURN` behind another operation.", script!("OP_RETURN was encountered"), legacy::return_executed;
    OpcodeDisabled: "`OP_CAT` in a branch that is not taken.", script!("Attempted to use a disabled opcode"), legacy::opcode_disabled;
    OpcodeReserved: "`OP_RESERVED` executed.", script!("Opcode missing or not understood"), legacy::opcode_reserved;
    ConditionalUnbalanced: "`OP_IF` without `OP_ENDIF`.", script!("Invalid OP_IF construction"), legacy::conditional_unbalanced;
    PushTooLong: "A push of 521 bytes.", script!("Push value size limit exceeded"), legacy::push_too_long;
    OperationsTooMany: "202 operations.", script!("Operation limit exceeded"), legacy::operations_too_many;
    StackTooDeep: "1,001 stack elements.", script!("Stack size limit exceeded"), legacy::stack_too_deep;
    KeysTooMany: "Multisig of 21 keys.", script!("Pubkey count negative or limit exceeded"), legacy::keys_too_many;
    SignaturesAboveKeys: "Multisig of two signatures and one key.", script!("Signature count negative or greater than pubkey count"), legacy::signatures_above_keys;
    NumberTooLong: "Arithmetic on five bytes.", script!("Script number overflowed or is non-minimally encoded"), legacy::number_too_long;

    // Witness version 0.
    V0SignatureOfOther: "A BIP143 signature over other bytes.", script!("Script evaluated without error but finished with a false/empty top stack element"), witness::signature_of_other;
    V0AmountWrong: "A BIP143 signature that commits to another amount.", script!("Script evaluated without error but finished with a false/empty top stack element"), witness::amount_wrong;
    V0KeyOfOther: "A key that the program does not match.", script!("Script failed an OP_EQUALVERIFY operation"), witness::key_of_other;
    V0SignatureNotStrictDer: "A witness signature whose R is padded.", script!("Non-canonical DER signature"), witness::signature_not_strict_der;
    V0WitnessEmpty: "No witness for a P2WSH coin.", script!("Witness program was passed an empty witness"), witness::witness_empty;
    V0WitnessMissing: "No witness for a P2WPKH coin.", script!("Witness program hash mismatch"), witness::witness_missing;
    V0WitnessLong: "Three witness elements for a P2WPKH coin.", script!("Witness program hash mismatch"), witness::witness_long;
    V0ScriptSigNotEmpty: "An input script for a native witness coin.", script!("Witness requires empty scriptSig"), witness::script_sig_not_empty;
    V0NestedExtraPush: "More than the redeem script for a nested witness coin.", script!("Witness requires only-redeemscript scriptSig"), witness::nested_extra_push;
    V0ProgramLength: "A version 0 program of 31 bytes.", script!("Witness program has incorrect length"), witness::program_length;
    V0ScriptOfOther: "A witness script that the program does not match.", script!("Witness program hash mismatch"), witness::script_of_other;
    V0StackNotClean: "A witness script that leaves two elements.", script!("Stack size must be exactly one after execution"), witness::stack_not_clean;
    V0ElementTooLong: "A witness element of 521 bytes.", script!("Push value size limit exceeded"), witness::element_too_long;
    V0ScriptTooLong: "A witness script of 10,001 bytes.", script!("Script is too big"), witness::script_too_long;
    V0DummyNotNull: "A multisig dummy in a witness that is not empty.", script!("Dummy CHECKMULTISIG argument must be zero"), witness::dummy_not_null;
    V0CltvUnmet: "A lock time below the witness script's.", script!("Locktime requirement not satisfied"), witness::cltv_unmet;
    V0CsvUnmet: "A sequence below the witness script's.", script!("Locktime requirement not satisfied"), witness::csv_unmet;

    // Taproot.
    SchnorrSignatureOfOther: "A Schnorr signature over other bytes.", script!("Invalid Schnorr signature"), taproot::signature_of_other;
    SchnorrSignatureShort: "A Schnorr signature of 63 bytes.", script!("Invalid Schnorr signature size"), taproot::signature_short;
    SchnorrHashTypeZero: "65 bytes with a hash type of zero.", script!("Invalid Schnorr signature hash type"), taproot::hash_type_zero;
    SchnorrHashTypeUnknown: "65 bytes with a hash type of four.", script!("Invalid Schnorr signature hash type"), taproot::hash_type_unknown;
    SchnorrSingleWithoutOutput: "`SIGHASH_SINGLE` for an input without an output of its number.", script!("Invalid Schnorr signature hash type"), taproot::single_without_output;
    AnnexUnsigned: "An annex that the signature does not commit to.", script!("Invalid Schnorr signature"), taproot::annex_unsigned;
    TaprootWitnessEmpty: "No witness for a taproot coin.", script!("Witness program was passed an empty witness"), taproot::witness_empty;
    ControlBlockLength: "A control block of 34 bytes.", script!("Invalid Taproot control block size"), taproot::control_block_length;
    ControlBlockWrong: "A control block with another path.", script!("Witness program hash mismatch"), taproot::control_block_wrong;
    ControlBlockParity: "A control block with the other parity.", script!("Witness program hash mismatch"), taproot::control_block_parity;
    LeafOfOther: "A script that is not in the tree.", script!("Witness program hash mismatch"), taproot::leaf_of_other;
    TapscriptSignatureOfOther: "A signature over other bytes in a leaf.", script!("Invalid Schnorr signature"), taproot::tapscript_signature_of_other;
    TapscriptStackNotClean: "A leaf that leaves two elements.", script!("Stack size must be exactly one after execution"), taproot::stack_not_clean;
    TapscriptMultisig: "`OP_CHECKMULTISIG` in a leaf.", script!("OP_CHECKMULTISIG(VERIFY) is not available in tapscript"), taproot::multisig;
    TapscriptIfNotMinimal: "`OP_IF` of two in a leaf.", script!("OP_IF/NOTIF argument must be minimal in tapscript"), taproot::if_not_minimal;
    TapscriptKeyEmpty: "An empty public key in a leaf.", script!("Empty public key in tapscript"), taproot::key_empty;
    TapscriptBudget: "More signature checks than the witness's weight pays for.", script!("Too much signature validation relative to witness weight"), taproot::budget;
    TapscriptElementTooLong: "An element of 521 bytes for a leaf.", script!("Push value size limit exceeded"), taproot::element_too_long;
    TapscriptStackTooDeep: "1,001 elements for a leaf.", script!("Stack size limit exceeded"), taproot::stack_too_deep;
    TapscriptOpcodeUnknown: "An opcode above the last in a leaf: no `OP_SUCCESS`.", script!("Opcode missing or not understood"), taproot::opcode_unknown;
    TapscriptCltvUnmet: "A lock time below the leaf's.", script!("Locktime requirement not satisfied"), taproot::cltv_unmet;
}
