//! Blocks that come next: decoded, checked in isolation, and their coins read, while the ones before connect.
//!
//! One block alone leaves threads idle: the walk through its coins and the files are one thread's work, and its scripts are
//! everybody's. With the next blocks there is always something to do. Nothing is decided ahead: outcomes are those of
//! blocks that are accepted one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::block::{DecodeError, DecodedBlock};
use crate::chain::ChainParams;
use crate::chainstate::{ChainState, FetchedCoins, IncomingBlock};
use crate::store::{FilePosition, StoreError};

/// How many blocks it takes to keep the threads busy: one is connected, the coins of one are read, and one is decoded.
const DEPTH: usize = 3;

/// Blocks on their way into a chain state, in the order in which they will be taken. Each carries a `T` that says where it
/// came from.
pub struct Prefetch<T> {
    params: Arc<ChainParams>,
    waiting: VecDeque<PendingBlock<T>>,
}

struct PendingBlock<T> {
    source: T,
    block: Pending<Result<IncomingBlock, DecodeError>>,
    coins: Option<Receiver<Result<FetchedCoins, StoreError>>>,
}

/// A block that is decoded and was checked in isolation, or why its bytes are no block.
#[derive(Debug)]
pub struct PrefetchedBlock<T> {
    /// What was given with its bytes.
    pub source: T,
    /// The block, ready for [`ChainState::accept_block`].
    pub block: Result<IncomingBlock, DecodeError>,
}

/// What another thread is making.
enum Pending<T> {
    Coming(Receiver<T>),
    Here(T),
}

impl<T> Pending<T> {
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

impl<T> Prefetch<T> {
    /// For blocks of the chain with these parameters.
    #[must_use]
    pub fn new(params: &ChainParams) -> Self {
        Self { params: Arc::new(params.clone()), waiting: VecDeque::new() }
    }

    /// Takes the bytes of a block, which another thread decodes.
    pub fn push(&mut self, source: T, bytes: Vec<u8>) {
        self.push_stored(source, bytes, None);
    }

    /// As [`Self::push`], for a block that lies in the store's files at `position`.
    pub(super) fn push_stored(&mut self, source: T, bytes: Vec<u8>, position: Option<FilePosition>) {
        let params = Arc::clone(&self.params);
        let block = promise(move || {
            let block = DecodedBlock::decode(bytes)?;
            Ok(IncomingBlock::checked(&params, Arc::new(block)).at(position))
        });
        self.waiting.push_back(PendingBlock { source, block: Pending::Coming(block), coins: None });
    }

    /// Whether so many blocks wait that the first should be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= DEPTH
    }

    /// The first block that waits. What it spends goes into the coin cache of `chain` as far as it was found by now, and what
    /// the block after it spends is looked for from now on.
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
            && let Some(Ok(block)) = next.block.look()
            && block.is_good()
        {
            next.coins = chain.coin_fetch(block.block()).map(|fetch| promise(move || fetch.run()));
        }
        Ok(Some(PrefetchedBlock { source, block }))
    }
}

impl<T> Drop for Prefetch<T> {
    /// Waits for threads that read coins, since they hold the database open.
    fn drop(&mut self) {
        for coins in self.waiting.iter().filter_map(|waiting| waiting.coins.as_ref()) {
            let _ = wait_for(coins);
        }
    }
}
