//! The witness commitment (BIP141): the coinbase commits to the witnesses of all transactions.

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Transaction, WitnessCommitment};

use super::error::RuleError;
use super::merkle::merkle_root;
use crate::block::DecodedBlock;
use crate::consensus::ConsensusParams;

/// The first bytes of a witness commitment: OP_RETURN, a push of 36 bytes, the tag (BIP141).
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The coinbase commits to the witnesses, or there are none (BIP141).
///
/// Source: Bitcoin Core, `validation.cpp`, `CheckWitnessMalleation`.
pub(crate) fn check_witness_commitment(
    params: &ConsensusParams,
    height: u32,
    block: &DecodedBlock,
) -> Result<(), RuleError> {
    let commitment = if height >= params.deployments.segwit { witness_commitment(block) } else { None };
    let Some((_, seen)) = commitment else { return check_no_witness(block) };
    let reserved = check_witness_reserved_value(block)?;
    let mut leaves: Vec<_> = block.wtxids().iter().map(|id| id.to_byte_array()).collect();
    // The coinbase cannot commit to its own hash.
    leaves[0] = [0; 32];
    let mut engine = sha256d::Hash::engine();
    engine.input(&merkle_root(leaves).root);
    engine.input(&reserved);
    let wanted = WitnessCommitment::from_raw_hash(sha256d::Hash::from_engine(engine));
    if seen == wanted { Ok(()) } else { Err(RuleError::WitnessMerkleRoot { seen, wanted }) }
}

/// The last output of the coinbase that is a witness commitment: its index and the commitment.
///
/// Source: Bitcoin Core, `consensus/validation.h`, `GetWitnessCommitmentIndex`.
pub(super) fn witness_commitment(block: &DecodedBlock) -> Option<(usize, WitnessCommitment)> {
    let outputs = block.transactions().first()?.output.iter().enumerate();
    outputs.rev().find_map(|(index, output)| {
        let rest = output.script_pubkey.as_bytes().strip_prefix(&COMMITMENT_PREFIX)?;
        let (commitment, _) = rest.split_first_chunk::<32>()?;
        Some((index, WitnessCommitment::from_byte_array(*commitment)))
    })
}

/// The coinbase's witness is one item of 32 bytes: the reserved value, which the commitment covers.
fn check_witness_reserved_value(block: &DecodedBlock) -> Result<[u8; 32], RuleError> {
    let input = block.transactions().first().and_then(|coinbase| coinbase.input.first());
    let witness = &input.ok_or(RuleError::CoinbaseMissing {})?.witness;
    let first = witness.iter().next();
    match first.and_then(|item| item.try_into().ok()) {
        Some(reserved) if witness.len() == 1 => Ok(reserved),
        _ => Err(RuleError::WitnessNonceSize { items: witness.len(), length: first.map(<[u8]>::len) }),
    }
}

/// A block without a commitment has no witnesses.
fn check_no_witness(block: &DecodedBlock) -> Result<(), RuleError> {
    let has_witness = |transaction: &Transaction| transaction.input.iter().any(|input| !input.witness.is_empty());
    match block.transactions().iter().position(has_witness) {
        Some(tx) => Err(RuleError::UnexpectedWitness { tx }),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bitcoin::{Block, ScriptBuf, Witness};

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::{block_of, coin, coinbase, mine, outpoint, spend};

    /// A block with a transaction that has a witness, and with a commitment to it.
    pub(in crate::rules) fn with_witness() -> Block {
        let mut transaction = spend(&[outpoint(1)], &[1]);
        transaction.input[0].witness = Witness::from_slice(&[[7; 5]]);
        let mut coinbase = coinbase(1, 50);
        coinbase.input[0].witness = Witness::from_slice(&[[9; 32]]);
        let mut block = block_of(vec![coinbase, transaction]).block().clone();
        commit(&mut block);
        block
    }

    /// Adds an output that commits to the witnesses as they are.
    pub(in crate::rules) fn commit(block: &mut Block) {
        let root = block.witness_root().unwrap();
        let reserved = block.txdata[0].input[0].witness.to_vec().remove(0);
        let commitment = Block::compute_witness_commitment(&root, &reserved);
        let script = [&COMMITMENT_PREFIX[..], commitment.as_byte_array()].concat();
        let mut output = coin(0, 0).output;
        output.script_pubkey = ScriptBuf::from_bytes(script);
        block.txdata[0].output.push(output);
    }

    fn witness_verdict(block: Block) -> Result<(), RuleError> {
        check_witness_commitment(&ChainParams::regtest().consensus, 1, &mine(block))
    }

    #[test]
    fn witnesses_that_are_committed_to_are_accepted() {
        assert_eq!(witness_verdict(with_witness()), Ok(()));
        assert_eq!(witness_verdict(block_of(vec![coinbase(1, 50)]).block().clone()), Ok(()), "none, and no commitment");
    }

    #[test]
    fn the_last_commitment_counts() {
        let mut block = with_witness();
        let first = block.txdata[0].output.pop().unwrap();
        let mut wrong = first.clone();
        wrong.script_pubkey = ScriptBuf::from_bytes([&COMMITMENT_PREFIX[..], &[0; 40]].concat());
        let mut outputs = vec![wrong.clone(), first.clone()];
        block.txdata[0].output = outputs.clone();
        assert_eq!(witness_verdict(block.clone()), Ok(()));
        outputs.reverse();
        block.txdata[0].output = outputs;
        assert_eq!(witness_verdict(block).unwrap_err().reject_reason(), "bad-witness-merkle-match");
    }

    #[test]
    fn a_changed_witness_is_refused() {
        let mut block = with_witness();
        block.txdata[1].input[0].witness = Witness::from_slice(&[[8; 5]]);
        let error = witness_verdict(block).unwrap_err();
        assert_eq!(error.reject_reason(), "bad-witness-merkle-match");
        assert_ne!(error.seen(), error.wanted());
    }

    #[test]
    fn the_reserved_value_is_one_item_of_32_bytes() {
        for (witness, items, length) in [
            (Witness::new(), 0, None),
            (Witness::from_slice(&[[9; 31]]), 1, Some(31)),
            (Witness::from_slice(&[[9; 32], [9; 32]]), 2, Some(32)),
        ] {
            let mut block = with_witness();
            block.txdata[0].input[0].witness = witness;
            let error = witness_verdict(block).unwrap_err();
            assert_eq!(error, RuleError::WitnessNonceSize { items, length });
            assert_eq!(error.reject_reason(), "bad-witness-nonce-size");
        }
    }

    #[test]
    fn witnesses_without_a_commitment_are_refused() {
        let mut block = with_witness();
        block.txdata[0].output.pop();
        assert_eq!(witness_verdict(block), Err(RuleError::UnexpectedWitness { tx: 0 }));
        let mut main = ChainParams::main().consensus;
        main.pow_limit = ChainParams::regtest().consensus.pow_limit;
        let verdict = check_witness_commitment(&main, 481_823, &mine(with_witness()));
        assert_eq!(verdict, Err(RuleError::UnexpectedWitness { tx: 0 }), "before segwit nothing commits");
    }
}
