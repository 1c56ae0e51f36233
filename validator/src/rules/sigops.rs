//! Counts the signature operations of a transaction for the limit of a block.
//!
//! The counts read scripts without running them, use a multisignature's number of keys in some scripts only, and continue
//! after an operation that would fail. All of this is consensus. `bitcoin`'s accurate count is not used: unlike Core it reads
//! the number of keys even if other operations follow that number.

use bitcoin::opcodes::all::{
    OP_CHECKMULTISIG, OP_CHECKMULTISIGVERIFY, OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_PUSHNUM_1, OP_PUSHNUM_16,
};
use bitcoin::{Script, Transaction, TxIn};

use super::error::RuleError;
use super::script_ops::{Op, ops};
use crate::coins::Coin;
use crate::consensus::{MAX_BLOCK_SIGOPS_COST, ScriptFlags, WITNESS_SCALE_FACTOR};

/// The count of a multisignature whose number of keys is not used.
const MAX_PUBKEYS_PER_MULTISIG: u64 = 20;

/// A block's signature operations cost at most 80,000.
///
/// Source: BIP141; Bitcoin Core, `validation.cpp`, `CheckBlock` and `ConnectBlock`.
pub(super) fn check_sigop_cost(cost: u64) -> Result<(), RuleError> {
    if cost <= MAX_BLOCK_SIGOPS_COST { Ok(()) } else { Err(RuleError::SigopCost { cost }) }
}

/// The signature operations in a transaction's own scripts, each multisignature counted as twenty.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `GetLegacySigOpCount`.
#[must_use]
pub fn legacy_sigops(transaction: &Transaction) -> u64 {
    let inputs = transaction.input.iter().map(|input| sigops(&input.script_sig, false));
    let outputs = transaction.output.iter().map(|output| sigops(&output.script_pubkey, false));
    inputs.chain(outputs).sum()
}

/// The cost of a transaction's signature operations, including those of P2SH and witnesses. `spent` are the coins of its
/// inputs, in order; none for a coinbase.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `GetTransactionSigOpCost`.
#[must_use]
pub fn sigop_cost(transaction: &Transaction, spent: &[Coin], flags: ScriptFlags) -> u64 {
    let scale = WITNESS_SCALE_FACTOR as u64;
    let mut cost = legacy_sigops(transaction) * scale;
    if flags.contains(ScriptFlags::P2SH) {
        cost += p2sh_sigops(transaction, spent) * scale;
    }
    if flags.contains(ScriptFlags::WITNESS) {
        cost += transaction.input.iter().zip(spent).map(|(input, coin)| witness_sigops(input, coin)).sum::<u64>();
    }
    cost
}

/// The signature operations in the redeem scripts of a transaction's P2SH inputs. `spent` are the coins of its inputs, in order.
///
/// Source: Bitcoin Core, `consensus/tx_verify.cpp`, `GetP2SHSigOpCount`.
#[must_use]
pub fn p2sh_sigops(transaction: &Transaction, spent: &[Coin]) -> u64 {
    let inputs = transaction.input.iter().zip(spent).filter(|(_, coin)| coin.output.script_pubkey.is_p2sh());
    inputs.map(|(input, _)| redeem_script_sigops(&input.script_sig)).sum()
}

/// The signature operations of an input's witness program, native or nested in P2SH.
///
/// Source: Bitcoin Core, `script/interpreter.cpp`, `CountWitnessSigOps` and `WitnessSigOps`.
#[must_use]
pub fn witness_sigops(input: &TxIn, coin: &Coin) -> u64 {
    let script = &coin.output.script_pubkey;
    let program: &Script = if script.is_witness_program() {
        script
    } else if script.is_p2sh() {
        match last_push(&input.script_sig).map(Script::from_bytes) {
            Some(redeem_script) if redeem_script.is_witness_program() => redeem_script,
            _ => return 0,
        }
    } else {
        return 0;
    };
    if program.is_p2wpkh() {
        1
    } else if program.is_p2wsh() {
        input.witness.last().map_or(0, |witness_script| sigops(Script::from_bytes(witness_script), true))
    } else {
        0
    }
}

/// The signature operations in `script`. With `accurate`, a multisignature directly after OP_1 to OP_16 counts 1 to 16.
///
/// Source: Bitcoin Core, `script/script.cpp`, `CScript::GetSigOpCount(bool)`.
fn sigops(script: &Script, accurate: bool) -> u64 {
    let mut count = 0;
    let mut last = 0xff;
    for op in ops(script.as_bytes()).map_while(Result::ok) {
        if op.opcode == OP_CHECKSIG.to_u8() || op.opcode == OP_CHECKSIGVERIFY.to_u8() {
            count += 1;
        } else if op.opcode == OP_CHECKMULTISIG.to_u8() || op.opcode == OP_CHECKMULTISIGVERIFY.to_u8() {
            count += match last {
                number if accurate && (OP_PUSHNUM_1.to_u8()..=OP_PUSHNUM_16.to_u8()).contains(&number) => {
                    u64::from(number - OP_PUSHNUM_1.to_u8() + 1)
                }
                _ => MAX_PUBKEYS_PER_MULTISIG,
            };
        }
        last = op.opcode;
    }
    count
}

/// The signature operations in the redeem script of a P2SH input, which is the last push of `script_sig`.
///
/// Source: Bitcoin Core, `script/script.cpp`, `CScript::GetSigOpCount(const CScript&)`.
fn redeem_script_sigops(script_sig: &Script) -> u64 {
    last_push(script_sig).map_or(0, |redeem_script| sigops(Script::from_bytes(redeem_script), true))
}

/// The data of the last push of a script that only pushes. OP_1 to OP_16 have no data.
fn last_push(script: &Script) -> Option<&[u8]> {
    let mut last: &[u8] = &[];
    for op in ops(script.as_bytes()) {
        last = op.ok().filter(Op::is_push)?.data;
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use bitcoin::script::{Builder, PushBytesBuf};
    use bitcoin::{Amount, ScriptBuf, TxOut, Witness, absolute, transaction};
    use proptest::prelude::*;

    use super::*;

    fn coin(script_pubkey: ScriptBuf) -> Coin {
        Coin { output: TxOut { value: Amount::ONE_BTC, script_pubkey }, height: 1, is_coinbase: false }
    }

    fn spend(script_sig: ScriptBuf, witness: Witness) -> Transaction {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn { script_sig, witness, ..TxIn::default() }],
            output: vec![],
        }
    }

    fn push(bytes: &[u8]) -> ScriptBuf {
        Builder::new().push_slice(PushBytesBuf::try_from(bytes.to_vec()).unwrap()).into_script()
    }

    const ALL: fn() -> ScriptFlags = || ScriptFlags::P2SH | ScriptFlags::WITNESS;
    /// OP_2, two keys' worth of nothing, OP_3, OP_CHECKMULTISIG, OP_CHECKSIG.
    const MULTISIG: [u8; 4] = [0x52, 0x53, 0xae, 0xac];

    #[test]
    fn the_limit_is_inclusive() {
        assert_eq!(check_sigop_cost(80_000), Ok(()));
        assert_eq!(check_sigop_cost(80_001), Err(RuleError::SigopCost { cost: 80_001 }));
    }

    #[test]
    fn bare_multisignatures_count_twenty() {
        let transaction = spend(ScriptBuf::from_bytes(MULTISIG.to_vec()), Witness::new());
        assert_eq!(legacy_sigops(&transaction), 21);
        assert_eq!(sigop_cost(&transaction, &[coin(ScriptBuf::new())], ALL()), 84);
    }

    #[test]
    fn counting_ends_at_a_truncated_push() {
        assert_eq!(sigops(Script::from_bytes(&[0xac, 0x4c, 5, 0xac]), false), 1);
    }

    #[test]
    fn only_the_number_just_before_a_multisignature_counts_its_keys() {
        for (script, count) in [
            (&[0x51, 0xae][..], 1),
            (&[0x60, 0xaf], 16),
            (&[0x00, 0xae], 20),
            (&[0x51, 0xac, 0xae], 21),
            (&[0x51, 0x01, 0x07, 0xae], 20),
            (&[0x51, 0x61, 0xae], 20),
        ] {
            assert_eq!(sigops(Script::from_bytes(script), true), count, "{script:02x?}");
        }
    }

    #[test]
    fn p2sh_counts_keys() {
        let script = ScriptBuf::from_bytes(MULTISIG.to_vec());
        let transaction = spend(push(&MULTISIG), Witness::new());
        let spent = [coin(script.to_p2sh())];
        assert_eq!(sigop_cost(&transaction, &spent, ALL()), 16);
        assert_eq!(sigop_cost(&transaction, &spent, ScriptFlags::NONE), 0);
        // A script signature that does more than push reveals nothing.
        let mut script_sig = push(&MULTISIG).into_bytes();
        script_sig.push(0x61);
        let transaction = spend(ScriptBuf::from_bytes(script_sig), Witness::new());
        assert_eq!(sigop_cost(&transaction, &spent, ALL()), 0);
    }

    #[test]
    fn witnesses_count_unscaled() {
        let script = ScriptBuf::from_bytes(MULTISIG.to_vec());
        let witness = Witness::from_slice(&[&MULTISIG[..]]);
        let p2wsh = script.to_p2wsh();
        let native = spend(ScriptBuf::new(), witness.clone());
        assert_eq!(sigop_cost(&native, &[coin(p2wsh.clone())], ALL()), 4);
        assert_eq!(sigop_cost(&native, &[coin(p2wsh.clone())], ScriptFlags::P2SH), 0);
        let nested = spend(push(p2wsh.as_bytes()), witness);
        assert_eq!(sigop_cost(&nested, &[coin(p2wsh.to_p2sh())], ALL()), 4);
        let p2wpkh = ScriptBuf::from_bytes([&[0, 20][..], &[7; 20]].concat());
        assert_eq!(sigop_cost(&spend(ScriptBuf::new(), Witness::new()), &[coin(p2wpkh)], ALL()), 1);
        let taproot = ScriptBuf::from_bytes([&[0x51, 32][..], &[7; 32]].concat());
        assert_eq!(sigop_cost(&native, &[coin(taproot)], ALL()), 0);
    }

    proptest! {
        #[test]
        fn the_inaccurate_count_is_that_of_bitcoin(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), 0xac..=0xaf_u8, 0x4b..=0x61_u8], 0..60,
        )) {
            let script = ScriptBuf::from_bytes(bytes);
            prop_assert_eq!(sigops(&script, false), script.count_sigops_legacy() as u64);
        }
    }
}
