//! Blocks that look wrong and are valid: limits met exactly, what only policy forbids, what a soft fork may redefine.
//!
//! A validator that is stricter than Bitcoin Core splits the chain as surely as one that is laxer.

mod block;
mod script;
mod taproot;

use crate::scene::{Case, Scene};

/// Declares [`EdgeCase`], one line a case: name, what it is, the function that builds it.
macro_rules! edge_cases {
    ($($name:ident: $doc:literal, $build:path;)*) => {
        /// One valid block that a hasty validator rejects.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EdgeCase {
            $(#[doc = $doc] $name,)*
        }

        impl EdgeCase {
            /// Every case.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The blocks of this case on the present tip.
            pub fn case(self, scene: &mut Scene) -> Case {
                match self {
                    $(Self::$name => $build(scene),)*
                }
                scene.finish_case()
            }
        }
    };
}

edge_cases! {
    // The header.
    TimeAfterMedian: "A time one second after the median time past.", block::time_after_median;
    TimeNearlyTooNew: "A time ten minutes short of two hours ahead.", block::time_nearly_too_new;
    Version4: "Version 4, without BIP9's top bits.", block::version_4;
    VersionMax: "The largest version.", block::version_max;

    // The block.
    StrippedAtLimit: "A million bytes, none of them witness.", block::stripped_at_limit;
    WeightAtLimit: "Four million weight units.", block::weight_at_limit;
    LegacySigopsAtLimit: "20,000 legacy signature operations.", block::legacy_sigops_at_limit;
    P2shSigopsAtLimit: "A cost of 80,000 in P2SH scripts.", block::p2sh_sigops_at_limit;
    WitnessSigopsAtLimit: "A cost of 80,000 in witness scripts.", block::witness_sigops_at_limit;
    CoinbaseScriptLong: "A coinbase script of 100 bytes.", block::coinbase_script_long;
    CoinbaseScriptShort: "A coinbase script of the height alone.", block::coinbase_script_short;
    CoinbaseClaimsNothing: "A coinbase that leaves subsidy and fees unclaimed.", block::coinbase_claims_nothing;
    CoinbaseSequenceZero: "A coinbase with a sequence of zero and a lock time that has passed.", block::coinbase_sequence_zero;
    CommitmentAbsent: "No commitment, and no witness.", block::commitment_absent;
    CommitmentTwice: "Two commitments, of which the last counts.", block::commitment_twice;
    CommitmentLonger: "A commitment with bytes after its 38.", block::commitment_longer;
    CommitmentWithValue: "A commitment whose output has a value.", block::commitment_with_value;
    ReservedValueNotZero: "A reserved value other than zero.", block::reserved_value_not_zero;

    // Transactions.
    SixtyFourBytes: "A transaction of 64 bytes.", block::sixty_four_bytes;
    ValueZero: "An output of no value.", block::value_zero;
    OutputScriptEmpty: "An output with an empty script.", block::output_script_empty;
    OutputScriptTruncated: "An output whose script ends within a push.", block::output_script_truncated;
    TransactionChain: "Thirty transactions, each spending the one before.", block::transaction_chain;
    VersionZeroTransaction: "A transaction of version 0.", block::version_zero_transaction;
    VersionNegativeTransaction: "A transaction of version -1.", block::version_negative_transaction;
    LockedBelowHeight: "A lock time of the height before.", block::locked_below_height;
    LockedBelowMedian: "A lock time a second before the median time past.", block::locked_below_median;
    LockedButFinal: "A lock time far ahead that final sequences disable.", block::locked_but_final;
    CoinbaseMature: "A coinbase 100 blocks deep.", block::coinbase_mature;
    RelativeHeightMet: "A relative lock of the coin's exact depth.", block::relative_height_met;
    RelativeTimeMet: "A relative lock of the coin's exact age.", block::relative_time_met;
    RelativeVersion1: "An unmet relative lock in a transaction of version 1.", block::relative_version_1;
    RelativeDisabled: "An unmet relative lock with the disable flag.", block::relative_disabled;

    // Scripts that only policy forbids.
    HighS: "A signature with the larger S.", script::high_s;
    HashTypeUndefined: "A legacy signature with an undefined hash type.", script::hash_type_undefined;
    SingleWithoutOutput: "A legacy `SIGHASH_SINGLE` without an output of its number, which signs the number one.", script::single_without_output;
    KeyUncompressed: "An uncompressed key.", script::key_uncompressed;
    KeyHybrid: "A hybrid key.", script::key_hybrid;
    KeyUncompressedV0: "An uncompressed key in a P2WPKH coin.", script::key_uncompressed_v0;
    PushNotMinimal: "Pushes longer than needed.", script::push_not_minimal;
    SignatureNotNullOnFailure: "A failed `OP_CHECKSIG` of a signature that is not empty.", script::signature_not_null_on_failure;
    NopUpgradable: "`OP_NOP10`.", script::nop_upgradable;
    StackNotCleanLegacy: "A legacy script that leaves two elements.", script::stack_not_clean_legacy;
    ScriptSigWithOperations: "An input script that computes, for a bare coin.", script::script_sig_with_operations;
    CodeSeparator: "`OP_CODESEPARATOR` before a legacy signature check.", script::code_separator;
    OperationsAtLimit: "201 operations.", script::operations_at_limit;
    StackAtLimit: "1,000 stack elements.", script::stack_at_limit;
    PushAtLimit: "A push of 520 bytes.", script::push_at_limit;
    KeysAtLimit: "Multisig of 20 keys.", script::keys_at_limit;
    CltvMet: "A lock time equal to the script's.", script::cltv_met;
    CsvMet: "A sequence equal to the script's.", script::csv_met;
    CsvDisabledInScript: "A relative lock with the disable flag in the script.", script::csv_disabled_in_script;
    IfNotMinimalV0: "`OP_IF` of two in a version 0 script.", script::if_not_minimal_v0;
    ScriptAtLimitV0: "A witness script of 10,000 bytes.", script::script_at_limit_v0;

    // Taproot, and programs that a soft fork may give a meaning.
    ProgramVersion2: "A version 2 program without a witness.", taproot::program_version_2;
    ProgramVersion16: "A version 16 program with a witness of any kind.", taproot::program_version_16;
    ProgramVersion1Length: "A version 1 program of 33 bytes.", taproot::program_version_1_length;
    PayToAnchor: "A pay-to-anchor coin.", taproot::pay_to_anchor;
    NestedTaproot: "A taproot program nested in P2SH, where it has no meaning.", taproot::nested_taproot;
    Annex: "A signed annex.", taproot::annex;
    HashTypes: "A taproot signature of every hash type.", taproot::hash_types;
    OpSuccess: "`OP_SUCCESS` behind what would fail.", taproot::op_success;
    OpSuccessBeforeTruncation: "`OP_SUCCESS` before a push that is cut short.", taproot::op_success_before_truncation;
    LeafVersionUnknown: "A leaf of an unknown version.", taproot::leaf_version_unknown;
    KeyTypeUnknown: "A key of an unknown type in a leaf.", taproot::key_type_unknown;
    LeafLong: "A leaf of more than 10,000 bytes and 201 operations.", taproot::leaf_long;
    CheckSigAdd: "`OP_CHECKSIGADD` of one signature and one empty one.", taproot::check_sig_add;
    TapscriptSigopsUncounted: "Leaves whose signature operations are far above the block's limit.", taproot::sigops_uncounted;
}
