//! Work for the miner from a chain state in this process: templates on its tip, solutions into it.
//!
//! This is the chain state's one writer: a solution is rebuilt into a block and accepted like a block from a peer, and the
//! next template is made before the lock is released.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use adit_hash::ScanTarget;
use adit_miner::{Coinbase, Solution, Submission, Template, TemplateId, WorkSource};
use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainView};
use adit_validator::filters::{FilterError, FilterHeader, FilterIndex};
use adit_validator::store::StoreError;
use adit_validator::template::{BlockTemplate, CoinbaseParts};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf};

use crate::clock::unix_time;

/// A template is replaced after this long even if the tip stays, so that its time does not fall behind. What a
/// device finds for the old one afterwards is lost, 100 ms of work at the most.
const REFRESH: Duration = Duration::from_secs(30);

/// How often to look whether the clock has caught up with a chain that is ahead of it.
const CLOCK_CHECK: Duration = Duration::from_millis(250);

/// What happened to the chain, in order.
#[derive(Debug)]
pub enum MiningEvent {
    /// A block of ours was connected and is durable.
    Mined(MinedBlock),
    /// A block of ours was refused, which means that Adit builds wrong blocks or that the store's chain is another's.
    Refused(String),
    /// The store or the filter index failed; no more work is given out.
    StoreFailed(FilterError),
}

/// The chain that is mined, and its filter index if there is one.
pub struct MinedChain {
    pub chain: ChainState,
    pub filters: Option<FilterIndex>,
}

impl From<ChainState> for MinedChain {
    fn from(chain: ChainState) -> Self {
        Self { chain, filters: None }
    }
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
    /// Its filter header, where filters are kept.
    pub filter_header: Option<FilterHeader>,
}

/// Templates on the tip of a chain state.
pub struct LocalWork {
    state: Mutex<State>,
    changed: Condvar,
    newest: AtomicU64,
}

struct State {
    /// `None` once closed.
    mined: Option<MinedChain>,
    payout: ScriptBuf,
    events: Sender<MiningEvent>,
    /// How many more blocks are wanted; `None`: any number.
    remaining: Option<u64>,
    current: Option<Current>,
    /// The id of the next template, which begins at 1.
    next_id: u64,
    /// Stands in every coinbase, so that no two runs search the same headers.
    salt: u64,
    /// There is no template because the chain is ahead of the clock.
    waits_for_clock: bool,
}

/// The template given out.
struct Current {
    block: BlockTemplate,
    template: Arc<Template>,
    made: Instant,
}

impl LocalWork {
    /// Mines on `mined`, at most `blocks` more blocks, rewards paid to `payout`. Events go to `events`.
    pub fn new(mined: MinedChain, blocks: Option<u64>, payout: ScriptBuf, events: Sender<MiningEvent>) -> Self {
        let mut state = State {
            mined: Some(mined),
            payout,
            events,
            remaining: blocks,
            current: None,
            next_id: 1,
            salt: RandomState::new().build_hasher().finish(),
            waits_for_clock: false,
        };
        state.renew();
        let newest = AtomicU64::new(state.newest());
        Self { state: Mutex::new(state), changed: Condvar::new(), newest }
    }

    /// Ends the work and makes the chain durable. Solutions that come later are stale.
    ///
    /// After a panic in the middle of a block what is in memory is not to be trusted: the chain stays as it was committed.
    pub fn close(&self) -> Result<(), StoreError> {
        let Ok(mut state) = self.state.lock() else { return Err(StoreError::Stopped) };
        state.current = None;
        let mined = state.mined.take();
        self.publish(&state);
        drop(state);
        mined.map_or(Ok(()), |mined| mined.chain.close())
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
            if state.is_due() {
                let before = state.newest();
                state.renew();
                // Without a new template nobody is woken: each would try again and wake the others.
                if state.newest() != before {
                    self.publish(&state);
                }
            }
            match &state.current {
                Some(current) if Some(current.template.id) != seen => return Some(current.template.clone()),
                _ => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let wait = left.min(CLOCK_CHECK);
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
        self.current.as_ref().map_or(0, |current| current.template.id.0)
    }

    /// Whether a template is wanted, because there is none or its time is old.
    fn is_due(&self) -> bool {
        self.remaining != Some(0) && self.current.as_ref().is_none_or(|current| current.made.elapsed() >= REFRESH)
    }

    /// Makes a template on the tip, or none while the chain is too far ahead of the clock.
    fn renew(&mut self) {
        self.current = None;
        let Some(MinedChain { chain, .. }) = &self.mined else { return };
        let now = u32::try_from(unix_time()).unwrap_or(u32::MAX);
        let salt = self.salt.wrapping_add(self.next_id);
        let next = chain.next_block(now);
        let Some(block) = BlockTemplate::new(&next, self.payout.clone(), now, salt) else {
            if !std::mem::replace(&mut self.waits_for_clock, true) {
                tracing::warn!(
                    "the chain is ahead of the clock: its next block has time {} at the least, the clock says {now}; mining waits",
                    next.min_time
                );
            }
            return;
        };
        self.waits_for_clock = false;
        let template = Arc::new(for_miner(&block, TemplateId(self.next_id)));
        self.next_id += 1;
        self.current = Some(Current { block, template, made: Instant::now() });
    }

    fn submit(&mut self, solution: &Solution) -> Submission {
        let (Some(current), Some(mined)) = (&self.current, &mut self.mined) else { return Submission::Stale };
        let MinedChain { chain, filters } = mined;
        if current.template.id != solution.template {
            return Submission::Stale;
        }
        let block = match current.block.solved(&solution.header, &solution.extranonce).map(DecodedBlock::decode) {
            Ok(Ok(block)) => block,
            Ok(Err(error)) => return Submission::Rejected(error.to_string()),
            Err(error) => return Submission::Rejected(error.to_string()),
        };
        let mut mined = MinedBlock {
            height: chain.tip().height + 1,
            hash: block.hash(),
            previous: block.header().prev_blockhash,
            time: block.header().time,
            bits: block.header().bits,
            transactions: block.transactions().len(),
            size: block.raw().len(),
            filter_header: None,
        };
        let (submission, event) = match chain.accept_block(block, unix_time()) {
            Ok(BlockOutcome::Connected { .. }) => {
                let indexed = filters.as_mut().map(|index| index.catch_up(&*chain)).transpose();
                mined.filter_header = *indexed.as_ref().unwrap_or(&None);
                // The block is durable, whatever became of its filter.
                let mined = MiningEvent::Mined(mined);
                match indexed {
                    Ok(_) => (Submission::Accepted, mined),
                    Err(error) => {
                        let _ = self.events.send(mined);
                        (Submission::Accepted, MiningEvent::StoreFailed(error))
                    }
                }
            }
            Ok(BlockOutcome::Invalid(invalid)) => {
                let reason = invalid.error.to_string();
                (Submission::Rejected(reason.clone()), MiningEvent::Refused(reason))
            }
            Ok(_) => return Submission::Stale,
            // Not the miner's fault, and said by the event.
            Err(error) => (Submission::Stale, MiningEvent::StoreFailed(error.into())),
        };
        let failed = matches!(event, MiningEvent::StoreFailed(_));
        if submission == Submission::Accepted {
            self.remaining = self.remaining.map(|blocks| blocks.saturating_sub(1));
        }
        // Whoever listened may be gone: then the run is ending, and nobody is left to tell.
        let _ = self.events.send(event);
        self.current = None;
        if failed {
            self.mined = None;
        } else if self.remaining != Some(0) {
            self.renew();
        }
        submission
    }
}

/// A block template as the miner takes it.
fn for_miner(block: &BlockTemplate, id: TemplateId) -> Template {
    let (header, CoinbaseParts { prefix, suffix, .. }) = (block.header(), block.coinbase());
    let coinbase = Coinbase::new(prefix, BlockTemplate::EXTRANONCE_LEN, suffix);
    let target = ScanTarget::from_le_bytes(bitcoin::Target::from(header.bits).to_le_bytes());
    let (prev_hash, bits) = (header.prev_blockhash.to_byte_array(), header.bits.to_consensus());
    Template::new(id, prev_hash, coinbase, header.time, bits, target)
        .with_height(block.height())
        .with_version(header.version.to_consensus(), BlockTemplate::VERSION_MASK)
        .with_merkle_branch(block.merkle_branch().into_iter().map(Hash::to_byte_array).collect())
        .with_max_time(block.max_time())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use adit_miner::{CheckedCandidate, Job};
    use adit_validator::chain::ChainParams;
    use adit_validator::chainstate::ChainStateOptions;
    use adit_validator::rules::MAX_FUTURE_BLOCK_TIME;

    use super::*;

    const ANYONE: [u8; 1] = [0x51];

    fn regtest() -> ChainState {
        ChainState::in_memory(ChainParams::regtest(), None, ChainStateOptions::default()).unwrap()
    }

    fn work_on(chain: ChainState) -> LocalWork {
        LocalWork::new(chain.into(), None, ScriptBuf::from_bytes(ANYONE.to_vec()), channel().0)
    }

    /// A solution of the template that is there now; two of every three nonces or so give one.
    fn solve(template: &Arc<Template>) -> Solution {
        let job = Job::new(template.clone()).unwrap();
        let work = job.draw(1000).unwrap();
        (0..1000)
            .find_map(|nonce| match work.check_nonce(nonce) {
                CheckedCandidate::Solution(solution) => Some(solution),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn a_solution_becomes_a_block_once() {
        let work = work_on(regtest());
        for height in 1..=5 {
            let template = work.wait_newer(None, Duration::ZERO).unwrap();
            assert_eq!((template.height, work.newest()), (height, Some(template.id)));
            let solution = solve(&template);
            assert_eq!(work.submit(&solution), Submission::Accepted);
            assert_eq!(work.submit(&solution), Submission::Stale);
        }
        assert_eq!(work.lock().mined.as_ref().unwrap().chain.tip().height, 5);
    }

    #[test]
    fn no_two_runs_search_the_same_headers() {
        let [one, other] = [(), ()].map(|()| work_on(regtest()).wait_newer(None, Duration::ZERO).unwrap());
        assert_ne!(one.coinbase.prefix, other.coinbase.prefix);
    }

    /// Eleven blocks from beyond the two hours that a block may be ahead: the next one would be refused.
    #[test]
    fn a_chain_ahead_of_the_clock_waits_for_it() {
        let ahead = unix_time() + 3 * MAX_FUTURE_BLOCK_TIME;
        let mut chain = regtest();
        for _ in 0..11 {
            let time = u32::try_from(ahead).unwrap();
            let next = chain.next_block(time);
            let block = BlockTemplate::new(&next, ScriptBuf::from_bytes(ANYONE.to_vec()), time, 0).unwrap();
            let solution = solve(&Arc::new(for_miner(&block, TemplateId(1))));
            let block = DecodedBlock::decode(block.solved(&solution.header, &solution.extranonce).unwrap()).unwrap();
            let outcome = chain.accept_block(block, ahead).unwrap();
            assert!(matches!(outcome, BlockOutcome::Connected { .. }), "{outcome:?}");
        }
        let work = work_on(chain);
        assert_eq!(work.newest(), None);
        assert_eq!(work.wait_newer(None, Duration::from_millis(1)), None);
    }
}
