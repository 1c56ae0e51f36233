//! Compares a signet with a k-of-n challenge with Bitcoin Core: signed blocks are accepted, all others refused.

use adit_testchain::assemble::{self, SignetAuthority, TestNetwork, commit_witness, finish, mine, sign_signet};
use adit_testchain::{ChainGenerator, ChainShape, Oracle};
use bitcoin::consensus::serialize;
use bitcoin::{Block, Witness};
use std::sync::Arc;

#[test]
fn a_threshold_of_signers_makes_a_block_and_fewer_do_not() {
    let authority = Arc::new(SignetAuthority::new(1, 2, 3));
    let challenge = authority.challenge();
    let network = TestNetwork::Signet(Arc::clone(&authority));
    let oracle = Oracle::signet(challenge.as_bytes(), 0).unwrap();
    let mut chain = ChainGenerator::on(network.clone(), ChainShape::small(1)).unwrap();
    for _ in 0..2 {
        assert!(oracle.submit(&chain.next_block()).verdict.is_accepted());
        assert_eq!(oracle.tip(), chain.tip().hash);
    }

    let draft = chain.draft().block;
    let reason = |sign: &dyn Fn(&mut Block)| {
        let mut block = draft.clone();
        commit_witness(&mut block);
        sign(&mut block);
        assemble::set_merkle_root(&mut block);
        mine(&mut block.header, network.target());
        oracle.submit(&serialize(&block)).verdict.reason().to_owned()
    };
    let [first, second, third] = [0, 1, 2].map(|index| &authority.signers[index]);
    assert_eq!(reason(&|_| ()), "bad-signet-blksig", "no solution");
    assert_eq!(reason(&|block| sign_signet(block, &challenge, &[first])), "bad-signet-blksig", "one of two");
    assert_eq!(reason(&|block| sign_signet(block, &challenge, &[second, first])), "bad-signet-blksig", "order");
    let changed = |block: &mut Block| {
        sign_signet(block, &challenge, &[first, second]);
        block.txdata[0].output[0].value -= bitcoin::Amount::ONE_SAT;
    };
    assert_eq!(reason(&changed), "bad-signet-blksig", "signed before a change");
    assert_eq!(reason(&|block| sign_signet(block, &challenge, &[first, third])), "", "any two in order");
}

#[test]
fn a_block_without_a_commitment_cannot_carry_a_solution() {
    let authority = Arc::new(SignetAuthority::new(2, 1, 1));
    let network = TestNetwork::Signet(Arc::clone(&authority));
    let oracle = Oracle::signet(authority.challenge().as_bytes(), 0).unwrap();
    let mut block = ChainGenerator::on(network.clone(), ChainShape::small(2)).unwrap().draft().block;
    block.txdata[0].input[0].witness = Witness::new();
    finish(&network, &mut block);
    assert_eq!(oracle.submit(&serialize(&block)).verdict.reason(), "bad-signet-blksig");
}

#[test]
fn the_magic_is_the_hash_of_the_challenge() {
    // The default signet's challenge and magic, as Bitcoin Core publishes them: two signers of which one signs.
    let keys = [
        "03ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430",
        "0359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c4",
    ];
    let mut authority = SignetAuthority::new(3, 1, 2);
    for (signer, key) in authority.signers.iter_mut().zip(keys) {
        signer.public = key.parse().unwrap();
    }
    assert_eq!(TestNetwork::Signet(Arc::new(authority)).magic(), [0x0a, 0x03, 0xcf, 0x40]);
}
