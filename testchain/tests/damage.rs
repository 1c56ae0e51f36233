//! Compares every damage and every edge case with Bitcoin Core: the reject reason is the one in the table.

use adit_testchain::assemble::{self, TestNetwork};
use adit_testchain::{Case, ChainGenerator, ChainShape, Damage, EdgeCase, Expect, Oracle, Rng, Scene, Verdict};
use bitcoin::consensus::serialize;
use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// Cases of the long series: each damage and edge case about twice, or `ADIT_TESTCHAIN_CASES`.
fn cases_in_series() -> usize {
    std::env::var("ADIT_TESTCHAIN_CASES").map_or(400, |cases| cases.parse().expect("ADIT_TESTCHAIN_CASES is a number"))
}

/// A scene and an oracle that have gone through its warm-up.
fn stage(seed: u64) -> (Scene, Oracle) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs() as u32;
    let mut scene = Scene::new(TestNetwork::Regtest, seed, now);
    let oracle = Oracle::regtest(1).expect("the kernel opens a chain in a temporary folder");
    for block in scene.warm_up() {
        assert_eq!(oracle.submit(&block).verdict, Verdict::Accepted);
    }
    (scene, oracle)
}

/// Submits the case's blocks. Returns the differences from the expected verdicts, with the case's name.
fn differences(oracle: &Oracle, case: &Case, name: &dyn Debug) -> Vec<String> {
    let mut found = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        let before = oracle.tip();
        let verdict = oracle.submit(&step.block).verdict;
        let met = match &step.expect {
            Expect::Accept => verdict == Verdict::Accepted && oracle.tip() != before,
            Expect::Reject(reason) => verdict.reason() == *reason && oracle.tip() == before,
        };
        if !met {
            found.push(format!("{name:?}, block {index}: expected {:?}, got {verdict:?}", step.expect));
        }
    }
    found
}

#[test]
fn core_rejects_every_damage_for_its_reason() {
    let (mut scene, oracle) = stage(11);
    let mut found = Vec::new();
    for &damage in Damage::ALL {
        let case = damage.case(&mut scene);
        let rejected = |expect: &Expect| *expect == Expect::Reject(damage.reason());
        assert!(case.steps.iter().any(|step| rejected(&step.expect)), "{damage:?} rejects nothing");
        found.extend(differences(&oracle, &case, &damage));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn core_accepts_every_edge_case() {
    let (mut scene, oracle) = stage(12);
    let mut found = Vec::new();
    for &edge in EdgeCase::ALL {
        let case = edge.case(&mut scene);
        assert!(case.steps.iter().all(|step| step.expect == Expect::Accept) && !case.steps.is_empty());
        found.extend(differences(&oracle, &case, &edge));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_cases() {
    let make = || {
        let mut scene = Scene::new(TestNetwork::Regtest, 13, 1_700_000_000);
        scene.warm_up();
        let mut blocks = Vec::new();
        for damage in [Damage::TransactionsDuplicated, Damage::V0AmountWrong, Damage::WitnessChanged] {
            blocks.extend(damage.case(&mut scene).steps.into_iter().map(|step| step.block));
        }
        blocks
    };
    assert_eq!(make(), make());
}

#[test]
fn cases_in_any_order_on_one_chain_get_their_verdicts() {
    let (mut scene, oracle) = stage(14);
    let mut rng = Rng::new(14);
    let mut found = Vec::new();
    for _ in 0..cases_in_series() {
        let choice = rng.below(Damage::ALL.len() + EdgeCase::ALL.len());
        let (case, name) = match Damage::ALL.get(choice) {
            Some(&damage) => (damage.case(&mut scene), format!("{damage:?}")),
            None => {
                let edge = EdgeCase::ALL[choice - Damage::ALL.len()];
                (edge.case(&mut scene), format!("{edge:?}"))
            }
        };
        found.extend(differences(&oracle, &case, &name));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(oracle.tip(), scene.chain().tip().hash);
}

/// Grows the honest branch to equal work, then the bad one past it: Core tries the bad one, and comes back.
#[test]
fn a_longer_branch_with_a_bad_block_in_it_loses() {
    let mut trunk = ChainGenerator::new(ChainShape::small(15)).unwrap();
    let oracle = Oracle::regtest(1).unwrap();
    while trunk.tip().height < 110 {
        assert!(oracle.submit(&trunk.next_block()).verdict.is_accepted());
    }
    let (mut left, mut right) = (trunk.fork(1), trunk.fork(2));
    for _ in 0..2 {
        assert!(oracle.submit(&left.next_block()).verdict.is_accepted());
    }
    let bad = {
        assert!(oracle.submit(&right.next_block()).verdict.is_accepted());
        let mut draft = right.draft();
        draft.block.txdata[0].output[0].value += bitcoin::Amount::ONE_SAT;
        assemble::seal(&TestNetwork::Regtest, &mut draft.block);
        let bytes = serialize(&draft.block);
        right.accept(draft);
        bytes
    };
    // Equal work, seen later: stored and not connected, so that Core has not checked it yet.
    assert_eq!(oracle.submit(&bad).verdict, Verdict::Accepted);
    let bad_hash = right.tip().hash;
    let submission = oracle.submit(&right.next_block());
    assert_eq!(submission.verdict, Verdict::Accepted);
    let [(hash, rejection)] = &submission.also_rejected[..] else { panic!("{submission:?}") };
    assert_eq!((*hash, rejection.reason.as_str()), (bad_hash, "bad-cb-amount"));
    assert_eq!(oracle.tip(), left.tip().hash);
    assert_eq!(oracle.submit(&right.next_block()).verdict.reason(), "bad-prevblk");
    assert!(oracle.submit(&left.next_block()).verdict.is_accepted());
    assert_eq!(oracle.tip(), left.tip().hash);
}
