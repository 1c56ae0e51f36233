//! Every damage and every edge case against Bitcoin Core: the reason is the one that the rule book names.

use adit_testchain::assemble::Network;
use adit_testchain::{Case, Damage, EdgeCase, Expect, Oracle, Scene, Verdict};
use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// A scene and an oracle that have gone through its warm-up.
fn stage(seed: u64) -> (Scene, Oracle) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32;
    let mut scene = Scene::new(Network::Regtest, seed, now);
    let oracle = Oracle::regtest(1).unwrap();
    for block in scene.warm_up() {
        assert_eq!(oracle.submit(&block).verdict, Verdict::Accepted);
    }
    (scene, oracle)
}

/// Submits the case's blocks; what differs from what was expected is said, with the case's name.
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
        let case = scene.damage(damage);
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
        let case = scene.edge(edge);
        assert!(case.steps.iter().all(|step| step.expect == Expect::Accept) && !case.steps.is_empty());
        found.extend(differences(&oracle, &case, &edge));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_cases() {
    let make = || {
        let mut scene = Scene::new(Network::Regtest, 13, 1_700_000_000);
        scene.warm_up();
        let mut blocks = Vec::new();
        for damage in [Damage::TransactionsDuplicated, Damage::V0AmountWrong, Damage::WitnessChanged] {
            blocks.extend(scene.damage(damage).steps.into_iter().map(|step| step.block));
        }
        blocks
    };
    assert_eq!(make(), make());
}
