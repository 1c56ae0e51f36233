//! The block signature of a signet (BIP325): a challenge script that every block must satisfy.
//!
//! A k-of-n challenge also makes a private chain that only certain signers can extend. The signature is a script and a
//! witness that spend a virtual output, which is in no block. The output's script is the challenge, and its transaction
//! commits to the block without the signature. The script engine checks the signature, so any script can be a challenge.
//!
//! Source: Bitcoin Core, `signet.cpp`.

use bitcoin::consensus::{Decodable, serialize};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{
    Amount, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, transaction,
};

use super::error::{RuleError, SignetFault};
use super::merkle::merkle_root;
use super::script_ops::ops;
use super::scripts::first_failing_input;
use super::witness::witness_commitment;
use crate::block::DecodedBlock;
use crate::consensus::{ConsensusParams, ScriptFlags};

/// The first bytes of the push that holds the signature.
const SIGNET_HEADER: [u8; 4] = [0xec, 0xc7, 0xda, 0xa2];

/// On a signet, the block's signature satisfies the challenge. The genesis block needs none.
pub(super) fn check_signet_solution(params: &ConsensusParams, block: &DecodedBlock) -> Result<(), RuleError> {
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

/// The two virtual transactions of BIP325, which are in no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignetTransactions {
    /// Commits to the block. The challenge locks its only output.
    pub to_spend: Transaction,
    /// Spends that output with the signature in the block. A block's signers sign this transaction.
    pub to_sign: Transaction,
}

/// The virtual transactions that the signature of `block` signs and spends.
///
/// # Errors
/// The coinbase has no witness commitment, or the signature is malformed.
///
/// Source: Bitcoin Core, `signet.cpp`, `SignetTxs::Create`.
pub fn signet_transactions(challenge: &Script, block: &DecodedBlock) -> Result<SignetTransactions, SignetFault> {
    let (index, _) = witness_commitment(block).ok_or(SignetFault::NoCommitment)?;
    let mut coinbase = block.transactions()[0].clone();
    let mut script_sig = ScriptBuf::new();
    let mut witness = Witness::new();
    // Without a solution the challenge may still be satisfied: OP_TRUE needs none.
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
    let to_spend = virtual_transaction(
        TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(0).push_slice(data).into_script(),
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        },
        challenge.to_owned(),
    );
    let previous_output = OutPoint { txid: to_spend.compute_txid(), vout: 0 };
    let to_sign = virtual_transaction(
        TxIn { previous_output, script_sig, sequence: Sequence::ZERO, witness },
        Builder::new().push_opcode(OP_RETURN).into_script(),
    );
    Ok(SignetTransactions { to_spend, to_sign })
}

fn read_all<T: Decodable>(rest: &mut &[u8]) -> Result<T, SignetFault> {
    T::consensus_decode_from_finite_reader(rest).map_err(|_| SignetFault::Malformed)
}

fn virtual_transaction(input: TxIn, script_pubkey: ScriptBuf) -> Transaction {
    Transaction {
        version: transaction::Version(0),
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey }],
    }
}

/// Removes the solution from a commitment. Returns the script, in which only the header is left of the push with the
/// solution, and the solution. `None`: no push begins with the header and is longer.
///
/// As in Core the script is encoded again from its operations up to its first truncated push, with pushes in their shortest
/// form. Source: Bitcoin Core, `signet.cpp`, `FetchAndClearCommitmentSection`.
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

#[cfg(test)]
mod tests {
    use bitcoin::opcodes::all::OP_CHECKMULTISIG;
    use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
    use bitcoin::sighash::SighashCache;
    use bitcoin::{Block, EcdsaSighashType, PublicKey};

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{anyone_can_spend, block_of, coin, coinbase, mine};

    /// Block 1 of the public signet.
    const BLOCK_1: &str = "00000020f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000f575c83235984e7dc4afc\
        1f30944c170462e84437ab6f2d52e16878a79e4678bd1914d5fae77031eccf4070001010000000001010000000000000000000000000000000\
        000000000000000000000000000000000ffffffff025151feffffff0200f2052a010000001600149243f727dd5343293eb83174324019ec16c\
        2630f0000000000000000776a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf94c4fecc7daa2490\
        047304402205e423a8754336ca99dbe16509b877ef1bf98d008836c725005b3c787c41ebe46022047246e4467ad7cc7f1ad98662afcaf14c11\
        5e0095a227c7b05c5182591c23e7e01000120000000000000000000000000000000000000000000000000000000000000000000000000";

    fn block_1() -> DecodedBlock {
        DecodedBlock::decode(hex::decode(BLOCK_1).unwrap()).unwrap()
    }

    #[test]
    fn a_recorded_block_satisfies_the_public_challenge() {
        let signet = ChainParams::signet().consensus;
        assert_eq!(check_signet_solution(&signet, &block_1()), Ok(()));
    }

    #[test]
    fn it_does_not_satisfy_the_challenge_to_have_both_signatures() {
        let mut signet = ChainParams::signet().consensus;
        let mut challenge = signet.signet_challenge.take().unwrap().into_bytes();
        challenge[0] = 0x52;
        signet.signet_challenge = Some(ScriptBuf::from_bytes(challenge));
        let error = check_signet_solution(&signet, &block_1()).unwrap_err();
        assert_eq!(error, RuleError::SignetSolution { fault: SignetFault::Unsatisfied });
        assert_eq!(error.reject_reason(), "bad-signet-blksig");
    }

    #[test]
    fn the_signature_covers_the_header_and_the_transactions() {
        let signet = ChainParams::signet().consensus;
        type Damage = fn(&mut Block);
        let damages: [Damage; 4] = [
            |block| block.header.time += 1,
            |block| block.header.version = bitcoin::block::Version::from_consensus(0x2000_0001),
            |block| block.header.prev_blockhash = bitcoin::BlockHash::all_zeros(),
            |block| block.txdata[0].output[0].value = Amount::from_sat(1),
        ];
        for damage in damages {
            let mut block = block_1().block().clone();
            damage(&mut block);
            let block = DecodedBlock::decode(serialize(&block)).unwrap();
            let error = check_signet_solution(&signet, &block).unwrap_err();
            assert_eq!(error, RuleError::SignetSolution { fault: SignetFault::Unsatisfied });
        }
    }

    #[test]
    fn the_genesis_block_and_other_chains_need_no_signature() {
        let genesis = DecodedBlock::decode(serialize(&ChainParams::signet().genesis)).unwrap();
        assert_eq!(check_signet_solution(&ChainParams::signet().consensus, &genesis), Ok(()));
        assert_eq!(check_signet_solution(&ChainParams::regtest().consensus, &block_of(vec![coinbase(1, 50)])), Ok(()));
    }

    /// Regtest with a challenge.
    fn challenged(challenge: ScriptBuf) -> ConsensusParams {
        let mut params = ChainParams::regtest().consensus;
        params.signet_challenge = Some(challenge);
        params
    }

    /// A block whose commitment is followed by these pushes.
    fn block_with(pushes: &[&[u8]]) -> DecodedBlock {
        let mut coinbase = coinbase(1, 50);
        coinbase.input[0].witness = Witness::from_slice(&[[0; 32]]);
        let mut script = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &[0; 32]].concat();
        for data in pushes {
            push(&mut script, data);
        }
        let mut output = coin(0, 0).output;
        output.script_pubkey = ScriptBuf::from_bytes(script);
        coinbase.output.push(output);
        block_of(vec![coinbase])
    }

    #[test]
    fn a_trivial_challenge_needs_a_commitment_and_no_solution() {
        let params = challenged(anyone_can_spend());
        assert_eq!(check_signet_solution(&params, &block_with(&[])), Ok(()));
        let error = check_signet_solution(&params, &block_of(vec![coinbase(1, 50)])).unwrap_err();
        assert_eq!(error, RuleError::SignetSolution { fault: SignetFault::NoCommitment });
    }

    #[test]
    fn a_solution_is_a_script_and_a_witness_and_no_more() {
        let params = challenged(anyone_can_spend());
        let with =
            |solution: &[u8]| check_signet_solution(&params, &block_with(&[&[&SIGNET_HEADER, solution].concat()]));
        assert_eq!(with(&[0, 0]), Ok(()));
        for malformed in [&[0][..], &[0, 0, 0], &[5, 1, 2], &[0, 1]] {
            let error = with(malformed).unwrap_err();
            assert_eq!(error, RuleError::SignetSolution { fault: SignetFault::Malformed }, "{malformed:02x?}");
        }
    }

    #[test]
    fn only_the_first_push_that_goes_on_after_the_header_is_the_solution() {
        let section = |data: &[u8]| [&SIGNET_HEADER, data].concat();
        let mut script = vec![0x6a, 0x51];
        for data in [&SIGNET_HEADER[..], &section(&[1]), &section(&[2])] {
            push(&mut script, data);
        }
        let (cleared, solution) = split_solution(Script::from_bytes(&script)).unwrap();
        let mut wanted = vec![0x6a, 0x51];
        for data in [&SIGNET_HEADER[..], &SIGNET_HEADER, &section(&[2])] {
            push(&mut wanted, data);
        }
        assert_eq!((cleared.into_bytes(), solution), (wanted, vec![1]));
        assert_eq!(split_solution(Script::from_bytes(&[0x6a, 4, 0xec, 0xc7, 0xda, 0xa2])), None);
    }

    /// A private chain with six signers, of whom five must sign.
    #[test]
    fn five_of_six_signers() {
        let secp = Secp256k1::new();
        let keys: Vec<_> = (1..=6).map(|n| SecretKey::from_slice(&[n; 32]).unwrap()).collect();
        let mut challenge = Builder::new().push_int(5);
        for key in &keys {
            challenge = challenge.push_key(&PublicKey::new(key.public_key(&secp)));
        }
        let params = challenged(challenge.push_int(6).push_opcode(OP_CHECKMULTISIG).into_script());
        let challenge = params.signet_challenge.clone().unwrap();
        // The signatures cover the block without the solution: only the header is in the push.
        let unsigned = block_with(&[&SIGNET_HEADER]);
        let SignetTransactions { to_sign, .. } = signet_transactions(&challenge, &unsigned).unwrap();
        let digest = SighashCache::new(&to_sign).legacy_signature_hash(0, &challenge, 1).unwrap();
        let signatures: Vec<_> = keys
            .iter()
            .map(|key| {
                let signature = secp.sign_ecdsa(&Message::from_digest(digest.to_byte_array()), key);
                bitcoin::ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All }.serialize()
            })
            .collect();
        let verdict = |signers: &[usize]| {
            let mut script_sig = Builder::new().push_int(0);
            for &signer in signers {
                script_sig = script_sig.push_slice(signatures[signer]);
            }
            let solution = [&SIGNET_HEADER[..], &serialize(&script_sig.into_script()), &[0]].concat();
            let mut block = block_with(&[&solution]).block().clone();
            block.header.time = unsigned.header().time;
            check_signet_solution(&params, &mine(block))
        };
        let unsatisfied = Err(RuleError::SignetSolution { fault: SignetFault::Unsatisfied });
        assert_eq!(verdict(&[0, 1, 2, 3, 4]), Ok(()));
        assert_eq!(verdict(&[1, 2, 3, 4, 5]), Ok(()));
        assert_eq!(verdict(&[0, 1, 2, 3]), unsatisfied);
        assert_eq!(verdict(&[0, 1, 2, 3, 3]), unsatisfied);
        assert_eq!(verdict(&[1, 0, 2, 3, 4]), unsatisfied, "out of order");
    }
}
