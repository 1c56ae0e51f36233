//! Gives random mutants to Bitcoin Core: whatever its verdict, it still accepts the honest chain.

use adit_testchain::assemble::TestNetwork;
use adit_testchain::mutate::{Mutation, apply, mutate};
use adit_testchain::{Oracle, Rng, Scene, Verdict};
use bitcoin::block::Header;
use bitcoin::consensus::deserialize_partial;
use std::collections::BTreeMap;

#[test]
fn mutants_get_many_verdicts_and_leave_the_chain_alone() {
    let mut scene = Scene::new(TestNetwork::Regtest, 21, 0);
    let oracle = Oracle::regtest(1).unwrap();
    for block in scene.warm_up() {
        assert_eq!(oracle.submit(&block).verdict, Verdict::Accepted);
    }
    let mut rng = Rng::new(21);
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let mut other = scene.honest(1).remove(0);
    oracle.submit(&other);
    for _ in 0..30 {
        // Mutants of a block that the oracle has not seen, so that an unchanged one does not pass for a duplicate.
        let block = scene.honest(1).remove(0);
        for _ in 0..20 {
            let (mutant, _) = mutate(&TestNetwork::Regtest, &mut rng, &block, &other);
            let label = match oracle.submit(&mutant).verdict {
                Verdict::Rejected(rejection) => rejection.reason,
                verdict => format!("{verdict:?}"),
            };
            assert!(!label.is_empty(), "a rejection without a reason");
            *verdicts.entry(label).or_default() += 1;
            if oracle.tip() != parent_of(&block) {
                break; // The mutant was a valid block.
            }
        }
        // A mutant that was accepted has the same work and came first; the honest chain wins with its next block.
        assert!(oracle.submit(&block).verdict.is_accepted());
        let next = scene.honest(1).remove(0);
        assert!(oracle.submit(&next).verdict.is_accepted());
        assert_eq!(oracle.tip(), scene.chain().tip().hash);
        other = next;
    }
    for wanted in ["Undecodable", "bad-txnmrklroot", "high-hash", "bad-cb-missing"] {
        assert!(verdicts.contains_key(wanted), "no {wanted} in {verdicts:?}");
    }
    assert!(verdicts.len() >= 10, "{verdicts:?}");
}

fn parent_of(block: &[u8]) -> bitcoin::BlockHash {
    deserialize_partial::<Header>(block).expect("an honest block has a header").0.prev_blockhash
}

#[test]
fn every_mutation_copes_with_any_bytes() {
    let mut scene = Scene::new(TestNetwork::Regtest, 22, 0);
    let block = scene.honest(1).remove(0);
    let mut rng = Rng::new(22);
    for mutation in Mutation::ALL {
        for start in [&block[..], &block[..81], &[], &[0xff; 7]] {
            for other in [&block[..], &[]] {
                let mut bytes = start.to_vec();
                apply(&TestNetwork::Regtest, &mut rng, mutation, &mut bytes, other);
            }
        }
        let mut bytes = block.clone();
        for _ in 0..8 {
            apply(&TestNetwork::Regtest, &mut rng, mutation, &mut bytes, &block);
        }
        let idle = [Mutation::Splice, Mutation::SwapTransactions];
        assert!(bytes != block || idle.contains(&mutation), "{mutation:?} changes nothing");
    }
}
