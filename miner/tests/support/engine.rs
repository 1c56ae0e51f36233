//! What tests of the engine share: a source of work whose templates the test sets, and a wait for an engine's figures.
//!
//! `src/engine/tests` includes this file too.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use adit_hash::ScanTarget;
use adit_miner::{Coinbase, Engine, EngineSnapshot, Solution, Submission, Template, TemplateId, WorkSource};

/// Far beyond what any wait needs on the slowest machine.
pub const FOREVER: Duration = Duration::from_secs(120);

/// Gives the template that the test sets, and answers every solution as it was told to.
pub struct TestSource {
    template: Mutex<Option<Arc<Template>>>,
    changed: Condvar,
    submitted: Mutex<Vec<Solution>>,
    answer: Submission,
    /// Whether an accepted solution makes the next template, as a chain does.
    chain: bool,
}

impl TestSource {
    pub fn new(template: impl Into<Option<Template>>, answer: Submission, chain: bool) -> Arc<Self> {
        let template = Mutex::new(template.into().map(Arc::new));
        Arc::new(Self { template, changed: Condvar::new(), submitted: Mutex::default(), answer, chain })
    }

    /// Replaces the template; `None` withdraws it.
    pub fn set(&self, template: impl Into<Option<Template>>) {
        *self.template.lock().unwrap() = template.into().map(Arc::new);
        self.changed.notify_all();
    }

    /// Every solution so far, in order.
    pub fn submitted(&self) -> Vec<Solution> {
        self.submitted.lock().unwrap().clone()
    }
}

impl WorkSource for TestSource {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        let stays = |now: &mut Option<Arc<Template>>| now.as_ref().is_none_or(|template| Some(template.id) == seen);
        let (now, waited) = self.changed.wait_timeout_while(self.template.lock().unwrap(), timeout, stays).unwrap();
        if waited.timed_out() { None } else { now.clone() }
    }

    fn newest(&self) -> Option<TemplateId> {
        self.template.lock().unwrap().as_ref().map(|template| template.id)
    }

    fn submit(&self, solution: &Solution) -> Submission {
        self.submitted.lock().unwrap().push(solution.clone());
        if self.chain {
            let mut next = template(solution.template.0 + 1, self.template.lock().unwrap().as_ref().unwrap().target);
            next.prev_hash = solution.hash;
            self.set(next);
        }
        self.answer.clone()
    }
}

/// A target that one hash in about 65,000 meets.
pub fn moderate() -> ScanTarget {
    ScanTarget::from_top(0x0000_ffff)
}

/// A template with BIP320's version bits, an extranonce of four bytes and ten minutes to roll.
pub fn template(id: u64, target: ScanTarget) -> Template {
    let coinbase = Coinbase::new(vec![1; 42], 4, vec![2; 60]);
    Template::new(TemplateId(id), [7; 32], coinbase, 1_700_000_000, 0x207f_ffff, target)
        .with_height(100 + id as u32)
        .with_version(0x2000_0000, 0x1fff_e000)
        .with_merkle_branch(vec![[3; 32], [4; 32]])
        .with_max_time(1_700_000_600)
}

/// Looks at the engine until `done`.
pub fn wait_for(engine: &Engine, done: impl Fn(&EngineSnapshot) -> bool) -> EngineSnapshot {
    let start = Instant::now();
    loop {
        let snapshot = engine.snapshot();
        if done(&snapshot) {
            return snapshot;
        }
        assert!(start.elapsed() < FOREVER, "never came: {snapshot:#?}");
        thread::sleep(Duration::from_millis(1));
    }
}
