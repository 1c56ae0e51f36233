//! Work for the miner from a chain state in this process: templates on its tip, solutions into it.
//!
//! The chain state has one writer, and this is it: a solution is rebuilt into a block and given to the chain state exactly as
//! a stranger's would be, and the template that follows is made before the lock is released.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_miner::{Solution, Submission, Template, TemplateId, WorkSource};
use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::{BlockOutcome, ChainState};
use adit_validator::store::StoreError;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf};

use crate::template::BlockTemplate;

/// A template is replaced after this long even if the tip stays, so that its time does not fall behind.
const REFRESH: Duration = Duration::from_secs(10);

/// What happened to the chain, in order.
#[derive(Debug)]
pub enum Event {
    /// A block of ours was connected and is durable.
    Mined(MinedBlock),
    /// A block of ours was refused, which means that Adit builds wrong blocks or that the store's chain is another's.
    Refused(String),
    /// The store failed; no more work is given out.
    StoreFailed(StoreError),
}

/// A block that we mined.
#[derive(Clone, Debug)]
pub struct MinedBlock {
    pub height: u32,
    pub hash: BlockHash,
    pub previous: BlockHash,
    pub time: u32,
    pub bits: CompactTarget,
    pub transactions: usize,
    /// Serialized size in bytes.
    pub size: usize,
}

/// Templates on the tip of a chain state.
pub struct LocalWork {
    state: Mutex<State>,
    changed: Condvar,
    newest: AtomicU64,
}

struct State {
    /// `None` once closed.
    chain: Option<ChainState>,
    payout: ScriptBuf,
    events: Sender<Event>,
    /// How many more blocks are wanted; `None`: any number.
    remaining: Option<u64>,
    /// The templates that a solution may still come for: all on the present tip.
    templates: HashMap<TemplateId, BlockTemplate>,
    current: Option<(Arc<Template>, Instant)>,
    /// The id of the next template, which begins at 1.
    next_id: u64,
}

impl LocalWork {
    /// Mines on `chain`, at most `blocks` more blocks, rewards paid to `payout`. Events go to `events`.
    pub fn new(chain: ChainState, blocks: Option<u64>, payout: ScriptBuf, events: Sender<Event>) -> Self {
        let mut state = State {
            chain: Some(chain),
            payout,
            events,
            remaining: blocks,
            templates: HashMap::new(),
            current: None,
            next_id: 1,
        };
        state.renew();
        let newest = AtomicU64::new(state.newest());
        Self { state: Mutex::new(state), changed: Condvar::new(), newest }
    }

    /// Ends the work and makes the chain durable. Solutions that come later are stale.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.withdraw();
        let chain = state.chain.take();
        self.publish(&state);
        drop(state);
        chain.map_or(Ok(()), ChainState::close)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the chain")
    }

    fn publish(&self, state: &State) {
        self.newest.store(state.newest(), Ordering::Release);
        self.changed.notify_all();
    }
}

impl WorkSource for LocalWork {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if state.current.as_ref().is_some_and(|(_, made)| made.elapsed() >= REFRESH) {
                state.renew();
                self.publish(&state);
            }
            if let Some((template, _)) = state.current.as_ref().filter(|(template, _)| Some(template.id) != seen) {
                return Some(template.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let refresh = state.current.as_ref().map_or(REFRESH, |(_, made)| REFRESH.saturating_sub(made.elapsed()));
            let wait = left.min(refresh.max(Duration::from_millis(1)));
            state = self.changed.wait_timeout(state, wait).expect("nothing panics while it holds the chain").0;
        }
    }

    fn newest(&self) -> Option<TemplateId> {
        match self.newest.load(Ordering::Acquire) {
            0 => None,
            id => Some(TemplateId(id)),
        }
    }

    fn submit(&self, solution: &Solution) -> Submission {
        let mut state = self.lock();
        let submission = state.submit(solution);
        self.publish(&state);
        submission
    }
}

impl State {
    /// The newest template's id, 0 where there is none.
    fn newest(&self) -> u64 {
        self.current.as_ref().map_or(0, |(template, _)| template.id.0)
    }

    /// Makes a template on the tip. Templates on the same tip stay solvable.
    fn renew(&mut self) {
        let Some(chain) = &self.chain else { return };
        let now = unix_time();
        let time = u32::try_from(now).unwrap_or(u32::MAX);
        let next = chain.next_block(time.max(chain.tip().median_time_past.saturating_add(1)));
        let block = BlockTemplate::new(&next, self.payout.clone(), time);
        let id = TemplateId(self.next_id);
        self.next_id += 1;
        self.current = Some((Arc::new(block.for_miner(id, next.height)), Instant::now()));
        self.templates.insert(id, block);
    }

    /// Gives out nothing more.
    fn withdraw(&mut self) {
        self.templates.clear();
        self.current = None;
    }

    fn submit(&mut self, solution: &Solution) -> Submission {
        let (Some(template), Some(chain)) = (self.templates.get(&solution.template), &mut self.chain) else {
            return Submission::Stale;
        };
        let block = match template.solved(solution).map(DecodedBlock::decode) {
            Ok(Ok(block)) => block,
            Ok(Err(error)) => return Submission::Rejected(error.to_string()),
            Err(error) => return Submission::Rejected(error.to_string()),
        };
        let mined = MinedBlock {
            height: chain.tip().height + 1,
            hash: block.hash(),
            previous: block.header().prev_blockhash,
            time: block.header().time,
            bits: block.header().bits,
            transactions: block.transactions().len(),
            size: block.raw().len(),
        };
        let (submission, event) = match chain.accept_block(block, unix_time()) {
            Ok(BlockOutcome::Connected { .. }) => (Submission::Accepted, Event::Mined(mined)),
            Ok(BlockOutcome::Invalid(invalid)) => {
                let reason = invalid.error.to_string();
                (Submission::Rejected(reason.clone()), Event::Refused(reason))
            }
            Ok(_) => return Submission::Stale,
            Err(error) => {
                let reason = error.to_string();
                (Submission::Rejected(reason), Event::StoreFailed(error))
            }
        };
        let failed = matches!(event, Event::StoreFailed(_));
        if submission == Submission::Accepted {
            self.remaining = self.remaining.map(|blocks| blocks.saturating_sub(1));
        }
        // Whoever listened may be gone: then the run is ending, and nobody is left to tell.
        let _ = self.events.send(event);
        self.withdraw();
        if !failed && self.remaining != Some(0) {
            self.renew();
        }
        submission
    }
}

/// Seconds since 1970; 0 where the clock stands before.
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
