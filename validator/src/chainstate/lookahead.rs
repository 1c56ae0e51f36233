//! Blocks that are known to come next: decoded, checked by themselves, and their coins read, while the ones before connect.
//!
//! One block alone leaves threads idle: the walk through its coins and the files are one thread's work, and its scripts are
//! everybody's. With the next blocks at hand there is always something to do. Nothing is decided ahead: what is
//! read of the coins is as the last commit left them, and is put into the cache only if no commit came since and the
//! cache knows nothing newer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use bitcoin::OutPoint;

use super::timings::timed;
use super::{BlockOutcome, ChainState, CommitPolicy};
use crate::block::{DecodeError, DecodedBlock};
use crate::chain::ChainParams;
use crate::coins::Coin;
use crate::rules::{self, RuleError};
use crate::store::StoreError;

/// How many blocks it takes to keep the threads busy: one is connected, the coins of one are read, and one is decoded.
const DEPTH: usize = 3;

/// A block, and whether it keeps the rules that it can break by itself.
type Checked = (DecodedBlock, Result<(), RuleError>);

/// Blocks on their way into a chain state, in the order in which they will be taken.
pub struct Lookahead {
    params: Arc<ChainParams>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    block: Promised<Result<Checked, DecodeError>>,
    coins: Option<Coins>,
}

/// Coins that a block spends and that the cache did not have.
struct Coins {
    /// How many commits there had been.
    commits: u64,
    outpoints: Arc<[OutPoint]>,
    found: Receiver<Result<Vec<Option<Coin>>, StoreError>>,
}

/// What another thread is making.
enum Promised<T> {
    Coming(Receiver<T>),
    Here(T),
}

impl<T> Promised<T> {
    /// It, if it is there.
    fn look(&mut self) -> Option<&T> {
        if let Self::Coming(receiver) = self
            && let Ok(made) = receiver.try_recv()
        {
            *self = Self::Here(made);
        }
        match self {
            Self::Coming(_) => None,
            Self::Here(made) => Some(made),
        }
    }

    fn wait(self) -> T {
        match self {
            Self::Coming(receiver) => wait_for(&receiver),
            Self::Here(made) => made,
        }
    }
}

/// What a thread of the pool is making. Where this is a thread of the pool itself it works on meanwhile: it may be the only
/// one.
fn wait_for<T>(receiver: &Receiver<T>) -> T {
    while rayon::current_thread_index().is_some() {
        match receiver.try_recv() {
            Ok(made) => return made,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::thread::yield_now();
        }
    }
    receiver.recv().expect("a thread that makes something does not panic")
}

/// Runs `work` on the pool.
fn promise<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = channel();
    rayon::spawn(move || {
        // Whoever asked may be gone.
        let _ = sender.send(work());
    });
    receiver
}

impl Lookahead {
    /// For blocks of the chain with these parameters.
    #[must_use]
    pub fn new(params: &ChainParams) -> Self {
        Self { params: Arc::new(params.clone()), waiting: VecDeque::new() }
    }

    /// Takes the bytes of a block, which another thread decodes.
    pub fn push(&mut self, bytes: Vec<u8>) {
        let params = Arc::clone(&self.params);
        let block = promise(move || {
            let block = DecodedBlock::decode(bytes)?;
            let verdict = rules::validate_block_in_isolation(&params.consensus, &block);
            Ok((block, verdict))
        });
        self.waiting.push_back(Waiting { block: Promised::Coming(block), coins: None });
    }

    /// Whether so many blocks wait that the first should be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= DEPTH
    }
}

impl Drop for Lookahead {
    /// Waits for threads that read coins, since they hold the database open.
    fn drop(&mut self) {
        for coins in self.waiting.iter().filter_map(|waiting| waiting.coins.as_ref()) {
            let _ = wait_for(&coins.found);
        }
    }
}

/// A block that is decoded and was checked by itself.
pub struct ReadyBlock {
    block: DecodedBlock,
    verdict: Result<(), RuleError>,
}

impl ReadyBlock {
    /// The block.
    #[must_use]
    pub const fn block(&self) -> &DecodedBlock {
        &self.block
    }
}

impl ChainState {
    /// The first block that waits, or why its bytes are none. What it spends goes into the coin cache as far as it was
    /// found by now, and what the block after it spends is looked for from now on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn next_ready(
        &mut self,
        lookahead: &mut Lookahead,
    ) -> Result<Option<Result<ReadyBlock, DecodeError>>, StoreError> {
        let Some(Waiting { block, coins }) = lookahead.waiting.pop_front() else { return Ok(None) };
        let ready = block.wait().map(|(block, verdict)| ReadyBlock { block, verdict });
        if let (Some(Coins { commits, outpoints, found }), Ok(ready)) = (coins, &ready) {
            let found = wait_for(&found)?;
            if commits == self.commits {
                timed(&mut self.timings.fetch, || self.coins.keep_found(&outpoints, &found));
                self.prepared = Some(ready.block.hash());
            }
        }
        if let Some(next) = lookahead.waiting.front_mut() {
            self.find_coins(next);
        }
        Ok(Some(ready))
    }

    /// Has another thread look for the coins of a block that the cache does not have. Not with a commit every block, which
    /// would make all that is found old.
    fn find_coins(&self, waiting: &mut Waiting) {
        if self.options.commit == CommitPolicy::EveryBlock {
            return;
        }
        let Some(Ok((block, Ok(())))) = waiting.block.look() else { return };
        let Some(reader) = self.store.coin_reader() else { return };
        let outpoints: Arc<[OutPoint]> = self.coins.unknown(block.spent_from_before()).into();
        let wanted = Arc::clone(&outpoints);
        let found = promise(move || reader.load_coins(&wanted));
        waiting.coins = Some(Coins { commits: self.commits, outpoints, found });
    }

    /// As [`Self::accept_block`], for a block that was made ready.
    ///
    /// # Errors
    /// As for [`Self::accept_block`].
    pub fn accept_ready_block(&mut self, ready: ReadyBlock, now: u64) -> Result<BlockOutcome, StoreError> {
        self.accept(ready.block, Some(ready.verdict), now)
    }
}
