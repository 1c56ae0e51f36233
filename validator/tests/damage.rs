//! The rule book from outside: blocks with one rule broken, and blocks that only look wrong, all of which Bitcoin Core's
//! kernel has judged (testchain/tests/damage.rs), get the same verdict and the same reason from the chain state.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

use adit_testchain::assemble::TestNetwork;
use adit_testchain::{Case, Damage, EdgeCase, Expect, Rng, Scene};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainStateOptions, ChainView, CommitPolicy};

/// Cases of the long series, or `ADIT_DAMAGE_CASES`.
fn cases_in_series() -> usize {
    std::env::var("ADIT_DAMAGE_CASES").map_or(400, |cases| cases.parse().expect("ADIT_DAMAGE_CASES is a number"))
}

/// A scene and a chain state that have gone through its warm-up.
struct Stage {
    scene: Scene,
    chain: ChainState,
    now: u64,
    differences: Vec<String>,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        let mut scene = Scene::new(TestNetwork::Regtest, seed, now as u32);
        let options = ChainStateOptions::default().with_commit(CommitPolicy::WhenFull);
        let mut chain = ChainState::in_memory(ChainParams::regtest(), None, options).unwrap();
        for block in scene.warm_up() {
            let outcome = chain.accept_block(DecodedBlock::decode(block).unwrap(), now).unwrap();
            assert!(matches!(outcome, BlockOutcome::Connected { .. }), "{outcome:?}");
        }
        Self { scene, chain, now, differences: Vec::new() }
    }

    /// Submits the case's blocks; what differs from what Core says is kept, with the case's name.
    fn play(&mut self, case: &Case, name: &str) {
        for (index, step) in case.steps.iter().enumerate() {
            let before = self.chain.tip().hash;
            let verdict = self.verdict(&step.block);
            let moved = self.chain.tip().hash != before;
            let met = match (&step.expect, &verdict) {
                (Expect::Accept, Ok(())) => moved,
                (Expect::Reject(reason), Err(seen)) => !moved && same_reason(reason, seen),
                _ => false,
            };
            if !met {
                self.differences.push(format!("{name}, block {index}: wanted {:?}, got {verdict:?}", step.expect));
            }
        }
    }

    fn verdict(&mut self, block: &[u8]) -> Result<(), String> {
        let block = DecodedBlock::decode(block).map_err(|error| format!("undecodable: {error}"))?;
        match self.chain.accept_block(block, self.now).unwrap() {
            BlockOutcome::Connected { .. } => Ok(()),
            BlockOutcome::Invalid(invalid) => Err(invalid.error.reject_reason().into_owned()),
            // Two outcomes that Core tells as reasons. Ours are not errors: an orphan is kept for its parent.
            BlockOutcome::UnknownParent => Err("prev-blk-not-found".to_owned()),
            BlockOutcome::KnownInvalid { .. } => Err("duplicate-invalid".to_owned()),
            outcome => Err(format!("{outcome:?}")),
        }
    }

    fn finish(self) {
        assert!(self.differences.is_empty(), "{}", self.differences.join("\n"));
        assert_eq!(self.chain.tip().hash, self.scene.chain().tip().hash);
    }
}

/// The kernel is newer than Core 28 and calls a failing script by another name; it also says how the script fails, which its
/// interface does not give out.
fn same_reason(kernel: &str, ours: &str) -> bool {
    let script = "script-verify-flag-failed";
    kernel == ours || (kernel.contains(script) && ours.contains(script))
}

#[test]
fn every_damage_is_refused_for_its_reason() {
    let mut stage = Stage::new(21);
    for &damage in Damage::ALL {
        let case = damage.case(&mut stage.scene);
        stage.play(&case, &format!("{damage:?}"));
    }
    stage.finish();
}

#[test]
fn every_edge_case_is_accepted() {
    let mut stage = Stage::new(22);
    for &edge in EdgeCase::ALL {
        let case = edge.case(&mut stage.scene);
        stage.play(&case, &format!("{edge:?}"));
    }
    stage.finish();
}

#[test]
fn cases_in_any_order_on_one_chain_get_their_verdicts() {
    let mut stage = Stage::new(23);
    let mut rng = Rng::new(23);
    for _ in 0..cases_in_series() {
        let choice = rng.below(Damage::ALL.len() + EdgeCase::ALL.len());
        let (case, name) = match Damage::ALL.get(choice) {
            Some(&damage) => (damage.case(&mut stage.scene), format!("{damage:?}")),
            None => {
                let edge = EdgeCase::ALL[choice - Damage::ALL.len()];
                (edge.case(&mut stage.scene), format!("{edge:?}"))
            }
        };
        stage.play(&case, &name);
    }
    stage.finish();
}
