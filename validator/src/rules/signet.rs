//! The block signature of a signet (BIP325): a challenge script that every block must satisfy.
//!
//! A k-of-n challenge is also how a private chain is run by authority. The signature is a script and a witness that spend
//! an imaginary output, whose script is the challenge and whose transaction commits to the block with the signature left
//! out. So the script engine does the checking, and any script can be a challenge.
//!
//! Source: Bitcoin Core, `signet.cpp`.

use bitcoin::consensus::{Decodable, serialize};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{
    Amount, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, transaction,
};

use super::block::merkle_root;
use super::context::witness_commitment;
use super::error::{RuleError, SignetFault};
use super::script_flags::ScriptFlags;
use super::script_ops::ops;
use super::scripts::first_failing_input;
use crate::block::DecodedBlock;
use crate::chain::ChainParams;

/// How the push that holds the signature begins.
const SIGNET_HEADER: [u8; 4] = [0xec, 0xc7, 0xda, 0xa2];

/// On a signet, the block's signature satisfies the challenge. The genesis block needs none.
pub(super) fn check_signet_solution(params: &ChainParams, block: &DecodedBlock) -> Result<(), RuleError> {
    let Some(challenge) = &params.signet_challenge else { return Ok(()) };
    if block.hash() == params.genesis_hash {
        return Ok(());
    }
    let SignetTransactions { to_spend, to_sign } =
        signet_transactions(challenge, block).map_err(|fault| RuleError::SignetSolution { fault })?;
    let flags = ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::DERSIG | ScriptFlags::NULLDUMMY;
    match first_failing_input(&serialize(&to_sign), &[&to_spend.output[0]], flags) {
        Some(_) => Err(RuleError::SignetSolution { fault: SignetFault::Unsatisfied }),
        None => Ok(()),
    }
}

/// The two imaginary transactions of BIP325.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignetTransactions {
    /// The one that commits to the block and whose only output is locked by the challenge.
    pub to_spend: Transaction,
    /// The one that spends it, with the signature that the block holds. Who makes a block signs this one.
    pub to_sign: Transaction,
}

/// The transactions that the signature of `block` is about.
///
/// Source: Bitcoin Core, `signet.cpp`, `SignetTxs::Create`.
pub fn signet_transactions(challenge: &Script, block: &DecodedBlock) -> Result<SignetTransactions, SignetFault> {
    let (index, _) = witness_commitment(block).ok_or(SignetFault::NoCommitment)?;
    let mut coinbase = block.transactions()[0].clone();
    let mut script_sig = ScriptBuf::new();
    let mut witness = Witness::new();
    // Without a solution the challenge may still be satisfied: OP_TRUE asks for none.
    if let Some((cleared, solution)) = split_solution(&coinbase.output[index].script_pubkey) {
        coinbase.output[index].script_pubkey = cleared;
        let mut rest = &solution[..];
        script_sig = read_all(&mut rest)?;
        witness = read_all(&mut rest)?;
        if !rest.is_empty() {
            return Err(SignetFault::Malformed);
        }
    }
    let mut leaves: Vec<_> = block.txids().iter().map(|id| id.to_byte_array()).collect();
    leaves[0] = coinbase.compute_txid().to_byte_array();
    let mut data = serialize(&block.header().version);
    data.extend(block.header().prev_blockhash.to_byte_array());
    data.extend(merkle_root(leaves).root);
    data.extend(block.header().time.to_le_bytes());
    let data = PushBytesBuf::try_from(data).expect("72 bytes can be pushed");
    let to_spend = imaginary(
        TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(0).push_slice(data).into_script(),
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        },
        challenge.to_owned(),
    );
    let previous_output = OutPoint { txid: to_spend.compute_txid(), vout: 0 };
    let to_sign = imaginary(
        TxIn { previous_output, script_sig, sequence: Sequence::ZERO, witness },
        Builder::new().push_opcode(OP_RETURN).into_script(),
    );
    Ok(SignetTransactions { to_spend, to_sign })
}

fn read_all<T: Decodable>(rest: &mut &[u8]) -> Result<T, SignetFault> {
    T::consensus_decode_from_finite_reader(rest).map_err(|_| SignetFault::Malformed)
}

fn imaginary(input: TxIn, script_pubkey: ScriptBuf) -> Transaction {
    Transaction {
        version: transaction::Version(0),
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey }],
    }
}

/// Takes the solution out of a commitment: the script with only the header left of the push that held it, and what the
/// push held. `None`: no push begins with the header and goes on.
///
/// The script is written again from its operations as Core does it, pushes in their shortest form, up to its first
/// truncated push. Source: Bitcoin Core, `signet.cpp`, `FetchAndClearCommitmentSection`.
fn split_solution(commitment: &Script) -> Option<(ScriptBuf, Vec<u8>)> {
    let mut cleared = Vec::new();
    let mut solution = None;
    for op in ops(commitment.as_bytes()).map_while(Result::ok) {
        match op.data.strip_prefix(&SIGNET_HEADER) {
            _ if op.data.is_empty() => cleared.push(op.opcode),
            Some(rest) if solution.is_none() && !rest.is_empty() => {
                solution = Some(rest.to_vec());
                push(&mut cleared, &SIGNET_HEADER);
            }
            _ => push(&mut cleared, op.data),
        }
    }
    solution.map(|solution| (ScriptBuf::from_bytes(cleared), solution))
}

/// Appends a push of `data` in the shortest form for its length.
fn push(script: &mut Vec<u8>, data: &[u8]) {
    let data = PushBytesBuf::try_from(data.to_vec()).expect("data that was pushed can be pushed");
    script.extend(Builder::new().push_slice(data).into_bytes());
}
