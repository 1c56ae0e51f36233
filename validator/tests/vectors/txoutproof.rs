//! Proofs of transactions in recorded blocks: they have the same bytes as those of an independent writer of Bitcoin Core's
//! format, and no changed proof proves the same transactions.

use adit_testchain::Rng;
use adit_testchain::trials::{Missing, read_vector};
use adit_validator::block::DecodedBlock;
use adit_validator::txoutproof::{ProvenTransaction, TxOutProof};
use bitcoin::consensus::serialize;
use bitcoin::{MerkleBlock, Txid};

use crate::{block, blocks_of_main};

/// Sets of a block's transactions to prove: the first, the last, all, and some at random.
fn sets(block: &DecodedBlock, rng: &mut Rng) -> Vec<Vec<Txid>> {
    let ids = block.txids();
    let mut sets = vec![vec![ids[0]], vec![ids[ids.len() - 1]], ids.to_vec()];
    for count in 1..=5 {
        sets.push((0..count).map(|_| ids[rng.below(ids.len())]).collect());
    }
    sets
}

fn check_proofs_of(block: &DecodedBlock, rng: &mut Rng) {
    for set in sets(block, rng) {
        let proof = TxOutProof::make(block, &set).unwrap();
        let theirs =
            MerkleBlock::from_header_txids_with_predicate(block.header(), block.txids(), |id| set.contains(id));
        assert_eq!(proof.encode(), serialize(&theirs), "block {}", block.hash());
        assert_eq!(TxOutProof::decode(&proof.encode()), Ok(proof.clone()));
        let proven = proof.check_against_block(block).unwrap();
        for ProvenTransaction { txid, position } in &proven {
            assert_eq!(block.txids()[*position as usize], *txid);
        }
        let mut wanted: Vec<Txid> = set;
        let mut seen: Vec<Txid> = proven.iter().map(|proven| proven.txid).collect();
        wanted.sort_unstable();
        wanted.dedup();
        seen.sort_unstable();
        assert_eq!(seen, wanted);
    }
}

pub fn proofs_are_those_of_an_independent_writer() -> Result<(), Missing> {
    let mut rng = Rng::new(1);
    for height in [866_342, 481_824, 481_823, 367_891, 91_842] {
        check_proofs_of(&block(height)?, &mut rng);
    }
    for block in blocks_of_main(&read_vector("mainnet/blocks-1-255.dat")?) {
        check_proofs_of(&DecodedBlock::decode(block).unwrap(), &mut rng);
    }
    Ok(())
}

/// Proofs with one flipped bit are invalid, except where the bit marks another transaction whose id is in the proof: then the
/// proof is valid for other transactions.
pub fn no_flipped_bit_leaves_a_proof_what_it_was() -> Result<(), Missing> {
    let block = block(481_824)?;
    let mut rng = Rng::new(2);
    let (mut refused, mut others) = (0, 0);
    for set in sets(&block, &mut rng).into_iter().filter(|set| set.len() <= 5) {
        let proof = TxOutProof::make(&block, &set).unwrap();
        let (bytes, proven) = (proof.encode(), proof.check().unwrap());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match TxOutProof::decode(&flipped).and_then(|proof| proof.check_against_block(&block)) {
                Err(_) => refused += 1,
                Ok(other) => {
                    assert_ne!(other, proven, "bit {bit}");
                    assert!(other.iter().all(|other| block.txids()[other.position as usize] == other.txid));
                    others += 1;
                }
            }
        }
        for length in 0..bytes.len() {
            assert!(TxOutProof::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(TxOutProof::decode(&[&bytes[..], &[0]].concat()).is_err(), "a byte more");
    }
    assert!(others < refused / 100, "{others} other proofs, {refused} refused");
    Ok(())
}
