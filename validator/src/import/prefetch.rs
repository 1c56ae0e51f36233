//! Prefetching: the next blocks are decoded, checked in isolation, and their coins read, while the current block
//! connects.
//!
//! One block alone leaves threads idle: its coins and the files are one thread's work, only its scripts run on all. The
//! next blocks use the idle threads. Outcomes are those of blocks that are accepted one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::block::{DecodeError, DecodedBlock};
use crate::chain::ChainParams;
use crate::chainstate::{ChainState, FetchedCoins, IncomingBlock};
use crate::store::{FilePosition, StoreError};

/// The number of blocks that keeps the threads busy: one connects, the coins of one are read, and one is decoded.
const DEPTH: usize = 3;

/// Blocks that are prepared for a chain state, in order. Each has a `T` that says where it came from.
pub struct Prefetch<T> {
    params: Arc<ChainParams>,
    waiting: VecDeque<PendingBlock<T>>,
}

struct PendingBlock<T> {
    source: T,
    block: Pending<Result<IncomingBlock, DecodeError>>,
    coins: Option<Receiver<Result<FetchedCoins, StoreError>>>,
}

/// A block that was decoded and checked in isolation, or why its bytes are not a block.
#[derive(Debug)]
pub struct PrefetchedBlock<T> {
    /// The value that was pushed with its bytes.
    pub source: T,
    /// The block, ready for [`ChainState::accept_block`].
    pub block: Result<IncomingBlock, DecodeError>,
}

/// A result that another thread computes.
enum Pending<T> {
    Running(Receiver<T>),
    Ready(T),
}

impl<T> Pending<T> {
    /// The result, if it is ready.
    fn poll(&mut self) -> Option<&T> {
        if let Self::Running(receiver) = self
            && let Ok(made) = receiver.try_recv()
        {
            *self = Self::Ready(made);
        }
        match self {
            Self::Running(_) => None,
            Self::Ready(made) => Some(made),
        }
    }

    fn wait(self) -> T {
        match self {
            Self::Running(receiver) => wait_for(&receiver),
            Self::Ready(made) => made,
        }
    }
}

/// Waits for a result of a thread of the pool. A thread of the pool runs other tasks meanwhile, since it may be the
/// only one.
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
    receiver.recv().expect("a prefetching thread does not panic")
}

/// Runs `work` on the thread pool.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = channel();
    rayon::spawn(move || {
        // The receiver may have been dropped.
        let _ = sender.send(work());
    });
    receiver
}

impl<T> Prefetch<T> {
    /// A prefetch queue for the chain with these parameters.
    #[must_use]
    pub fn new(params: &ChainParams) -> Self {
        Self { params: Arc::new(params.clone()), waiting: VecDeque::new() }
    }

    /// Adds the bytes of a block, which another thread decodes and checks.
    pub fn push(&mut self, source: T, bytes: Vec<u8>) {
        self.push_stored(source, bytes, None);
    }

    /// As [`Self::push`], for a block at `position` in the store's files.
    pub(super) fn push_stored(&mut self, source: T, bytes: Vec<u8>, position: Option<FilePosition>) {
        let params = Arc::clone(&self.params);
        let block = spawn(move || {
            let block = DecodedBlock::decode(bytes)?;
            Ok(IncomingBlock::checked(&params, Arc::new(block)).at(position))
        });
        self.waiting.push_back(PendingBlock { source, block: Pending::Running(block), coins: None });
    }

    /// Whether the queue has enough blocks, so that the first should be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= DEPTH
    }

    /// Takes the first block. The coins that were read for it go into the coin cache of `chain`, and reading the coins
    /// of the block after it starts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn next(&mut self, chain: &mut ChainState) -> Result<Option<PrefetchedBlock<T>>, StoreError> {
        let Some(PendingBlock { source, block, coins }) = self.waiting.pop_front() else { return Ok(None) };
        let block = block.wait();
        if let Some(coins) = coins {
            chain.add_fetched(&wait_for(&coins)?);
        }
        if let Some(next) = self.waiting.front_mut()
            && let Some(Ok(block)) = next.block.poll()
            && block.is_good()
        {
            next.coins = chain.coin_fetch(block.block()).map(|fetch| spawn(move || fetch.run()));
        }
        Ok(Some(PrefetchedBlock { source, block }))
    }
}

impl<T> Drop for Prefetch<T> {
    /// Waits for the threads that read coins, since they hold the database open.
    fn drop(&mut self) {
        for coins in self.waiting.iter().filter_map(|waiting| waiting.coins.as_ref()) {
            let _ = wait_for(coins);
        }
    }
}
