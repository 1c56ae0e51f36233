//! The events that the chain state sends to subscribers, and a bounded queue for a subscriber on another thread.
//!
//! An event carries its block, so that no subscriber reads it from disk. The writer never waits for a subscriber, and a
//! slow one does not take more memory: when a queue is over its bound, its events are replaced by
//! [`ChainEvent::Missed`].
//!
//! Events are numbered from 1 at each opening of the chain state. A snapshot has the number of the last event that it contains
//! ([`ChainSnapshot::sequence`](super::ChainSnapshot::sequence)). So a subscriber that missed events takes a snapshot whose
//! number is not below that of [`ChainEvent::Missed`], ignores the events up to the snapshot's number, and continues with
//! the next. Under [`CommitPolicy::EveryBlock`](super::CommitPolicy::EveryBlock) the newest snapshot always will do; under
//! other policies the subscriber may have to wait for the next commit. A chain in memory has no snapshots: its subscribers
//! ask the chain state itself.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use super::outcome::InvalidBlock;
use crate::block::DecodedBlock;

/// A change of the chain. Under [`super::CommitPolicy::EveryBlock`] it is durable before the event is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChainEvent {
    /// A block was connected on top of the active chain.
    Connected {
        /// The block.
        block: Arc<DecodedBlock>,
        /// Its height.
        height: u32,
    },
    /// The last block of the active chain was disconnected.
    Disconnected {
        /// The block.
        block: Arc<DecodedBlock>,
        /// Its height.
        height: u32,
    },
    /// The active chain has another tip. Sent after the connections and disconnections that led there.
    TipChanged {
        /// The tip.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// A block that was stored breaks a rule.
    Invalid(InvalidBlock),
    /// Events with numbers up to this one's were dropped, because a queue was over its bound.
    Missed,
}

impl ChainEvent {
    /// The bytes that the event counts against a bound.
    fn cost(&self) -> usize {
        /// Of an event without its block.
        const EVENT: usize = 256;
        match self {
            Self::Connected { block, .. } | Self::Disconnected { block, .. } => EVENT + block.memory(),
            _ => EVENT,
        }
    }
}

/// Takes events on the writer's thread.
pub trait EventSink: Send {
    /// Takes one event, with its number. It must return at once, whether or not it could keep the event. With `Break` the
    /// subscription ends.
    fn send(&mut self, sequence: u64, event: &ChainEvent) -> ControlFlow<()>;
}

impl<F: FnMut(u64, &ChainEvent) -> ControlFlow<()> + Send> EventSink for F {
    fn send(&mut self, sequence: u64, event: &ChainEvent) -> ControlFlow<()> {
        self(sequence, event)
    }
}

/// The bound in bytes of the events of one activation: a larger reorganisation is sent as [`ChainEvent::Missed`].
const MAX_PENDING_BYTES: usize = 256 << 20;

/// The events of the running activation, and the subscribers.
#[derive(Default)]
pub(super) struct Events {
    pending: BoundedEvents,
    sinks: Vec<Box<dyn EventSink>>,
    sequence: u64,
}

impl Events {
    /// Numbers and queues an event. Without subscribers it is dropped.
    pub(super) fn push(&mut self, event: ChainEvent) {
        self.sequence += 1;
        if !self.sinks.is_empty() {
            self.pending.push(self.sequence, event, MAX_PENDING_BYTES);
        }
    }

    /// The number of the last event.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Adds a subscriber.
    pub(super) fn subscribe(&mut self, sink: Box<dyn EventSink>) {
        self.sinks.push(sink);
    }

    /// Sends all pending events.
    pub(super) fn send(&mut self) {
        for NumberedEvent { sequence, event, .. } in std::mem::take(&mut self.pending).events {
            self.sinks.retain_mut(|sink| sink.send(sequence, &event).is_continue());
        }
    }
}

struct NumberedEvent {
    sequence: u64,
    event: ChainEvent,
    cost: usize,
}

/// Events in order, bounded in bytes.
#[derive(Default)]
struct BoundedEvents {
    events: VecDeque<NumberedEvent>,
    bytes: usize,
}

impl BoundedEvents {
    /// Appends an event. If the queue then costs more than `limit`, events are replaced by one [`ChainEvent::Missed`]:
    /// those that no snapshot has instead, [`ChainEvent::Invalid`], are kept as long as they take less than half the limit.
    fn push(&mut self, sequence: u64, event: ChainEvent, limit: usize) {
        self.append(sequence, event);
        if self.bytes <= limit {
            return;
        }
        let is_invalid = |kept: &NumberedEvent| matches!(kept.event, ChainEvent::Invalid(_));
        self.events.retain(is_invalid);
        self.bytes = self.events.iter().map(|kept| kept.cost).sum();
        if self.bytes > limit / 2 {
            self.events.clear();
            self.bytes = 0;
        }
        self.append(sequence, ChainEvent::Missed);
    }

    fn append(&mut self, sequence: u64, event: ChainEvent) {
        let cost = event.cost();
        self.bytes += cost;
        self.events.push_back(NumberedEvent { sequence, event, cost });
    }

    fn pop(&mut self) -> Option<NumberedEvent> {
        let first = self.events.pop_front()?;
        self.bytes -= first.cost;
        Some(first)
    }
}

struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct QueueState {
    events: BoundedEvents,
    /// The number of the event that was taken last.
    taken: u64,
    /// One end was dropped.
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// The writer's end of a queue.
pub(super) struct QueueSink(Arc<Queue>);

/// Both ends of a queue for at most `limit` bytes of events.
pub(super) fn queue(limit: usize) -> (QueueSink, EventQueue) {
    let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), limit });
    (QueueSink(Arc::clone(&queue)), EventQueue(queue))
}

impl EventSink for QueueSink {
    fn send(&mut self, sequence: u64, event: &ChainEvent) -> ControlFlow<()> {
        let mut state = self.0.lock();
        if state.closed {
            return ControlFlow::Break(());
        }
        state.events.push(sequence, event.clone(), self.0.limit);
        drop(state);
        self.0.changed.notify_all();
        ControlFlow::Continue(())
    }
}

impl Drop for QueueSink {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A subscriber's end of a queue. Dropping it ends the subscription.
pub struct EventQueue(Arc<Queue>);

impl EventQueue {
    /// The next event, if there is one now.
    #[must_use]
    pub fn try_next(&self) -> Option<ChainEvent> {
        let mut state = self.0.lock();
        let NumberedEvent { sequence, event, .. } = state.events.pop()?;
        state.taken = sequence;
        Some(event)
    }

    /// The number of the event that was taken last; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.lock().taken
    }

    /// Waits for the next event for at most `timeout`. `None`: there was none, or the chain state was dropped.
    #[must_use]
    pub fn next_within(&self, timeout: Duration) -> Option<ChainEvent> {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return self.wait() };
        let mut state = self.0.lock();
        while state.events.events.is_empty() && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.try_next()
    }

    /// Whether the chain state was dropped, so that no more events are sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Waits for the next event. `None`: the chain state was dropped and the queue is empty.
    fn wait(&self) -> Option<ChainEvent> {
        let mut state = self.0.lock();
        while state.events.events.is_empty() && !state.closed {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.try_next()
    }

    /// Takes the events that are in the queue now.
    pub fn drain(&self) -> impl Iterator<Item = ChainEvent> {
        std::iter::from_fn(|| self.try_next())
    }
}

/// Waits for events until the chain state is dropped.
impl Iterator for EventQueue {
    type Item = ChainEvent;

    fn next(&mut self) -> Option<ChainEvent> {
        self.wait()
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;
    use bitcoin::hashes::Hash;

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::RuleError;

    fn connected(height: u32) -> ChainEvent {
        let block = DecodedBlock::decode(serialize(&ChainParams::regtest().genesis)).unwrap();
        ChainEvent::Connected { block: Arc::new(block), height }
    }

    fn tip(height: u32) -> ChainEvent {
        ChainEvent::TipChanged { hash: BlockHash::all_zeros(), height }
    }

    /// Heights in the order told, and `None` for [`ChainEvent::Missed`].
    fn heights(events: impl Iterator<Item = ChainEvent>) -> Vec<Option<u32>> {
        let height = |event| match event {
            ChainEvent::Connected { height, .. } | ChainEvent::TipChanged { height, .. } => Some(height),
            _ => None,
        };
        events.map(height).collect()
    }

    #[test]
    fn a_queue_that_is_not_read_holds_no_more_than_its_limit_and_says_what_it_missed() {
        let cost = connected(1).cost();
        let (mut sink, queue) = queue(3 * cost);
        for height in 1..=3 {
            assert!(sink.send(height.into(), &connected(height)).is_continue());
        }
        assert_eq!(heights(queue.drain()), [Some(1), Some(2), Some(3)]);
        assert_eq!(queue.0.lock().events.bytes, 0);
        assert_eq!(queue.sequence(), 3);
        for height in 4..=101 {
            assert!(sink.send(height.into(), &connected(height)).is_continue());
            let events = &queue.0.lock().events;
            assert!(events.bytes <= 3 * cost);
            assert_eq!(events.bytes, events.events.iter().map(|queued| queued.event.cost()).sum::<usize>());
        }
        let first = queue.try_next();
        assert!(matches!(first, Some(ChainEvent::Missed)));
        let missed = queue.sequence();
        let told = [vec![None], heights(queue.drain())].concat();
        assert_eq!((told[1], *told.last().unwrap()), (Some(missed as u32 + 1), Some(101)));
        assert!(told[1..].windows(2).all(|two| two[0].unwrap() + 1 == two[1].unwrap()), "{told:?}");
    }

    #[test]
    fn a_reorganisation_of_more_than_may_be_pending_is_told_as_missed() {
        let (sink, queue) = queue(usize::MAX);
        let mut events = Events::default();
        events.push(connected(0));
        assert!(events.pending.events.is_empty(), "no subscriber");
        events.sinks.push(Box::new(sink));
        let too_many = (MAX_PENDING_BYTES / connected(1).cost()) as u32 + 1;
        for height in 1..=too_many {
            events.push(connected(height));
        }
        events.push(tip(too_many));
        assert!(events.pending.bytes <= MAX_PENDING_BYTES);
        events.send();
        assert_eq!(heights(queue.drain()), [None, Some(too_many)]);
        assert_eq!(events.pending.bytes, 0);
        assert_eq!((events.sequence(), queue.sequence()), (u64::from(too_many) + 2, u64::from(too_many) + 2));
    }

    /// No snapshot says why a block is invalid.
    #[test]
    fn an_invalid_block_is_told_although_events_before_and_after_it_are_dropped() {
        let invalid = || InvalidBlock {
            hash: BlockHash::all_zeros(),
            height: Some(7),
            error: RuleError::PreviousNotFound { previous: BlockHash::all_zeros() },
        };
        let limit = 3 * connected(1).cost();
        let mut events = BoundedEvents::default();
        events.push(1, ChainEvent::Invalid(invalid()), limit);
        (2..=9).for_each(|sequence| events.push(sequence, connected(1), limit));
        let told: Vec<_> = std::iter::from_fn(|| events.pop()).map(|told| (told.sequence, told.event)).collect();
        assert!(matches!(&told[0], (1, ChainEvent::Invalid(told)) if *told == invalid()), "{told:?}");
        assert!(matches!(&told[1], (missed, ChainEvent::Missed) if *missed > 1), "{told:?}");
        assert!(told.windows(2).all(|two| two[0].0 < two[1].0), "{told:?}");
        assert_eq!(events.bytes, 0);
        // Many of them are bounded like all others.
        for sequence in 1..=1_000 {
            events.push(sequence, ChainEvent::Invalid(invalid()), limit);
            assert!(events.bytes <= limit);
        }
    }

    #[test]
    fn either_end_may_go_first() {
        let (mut sink, queue) = queue(usize::MAX);
        assert!(sink.send(1, &tip(1)).is_continue());
        drop(sink);
        assert!(queue.is_closed());
        assert_eq!(heights(queue), [Some(1)], "queued events can still be read");
        let (mut sink, queue) = super::queue(usize::MAX);
        assert!(queue.next_within(Duration::from_millis(1)).is_none());
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.next_within(Duration::MAX));
            assert!(sink.send(1, &tip(1)).is_continue());
            waiting.join().unwrap()
        });
        assert!(waiting.is_some());
        drop(queue);
        assert!(sink.send(1, &tip(1)).is_break());
    }

    #[test]
    fn a_sink_that_breaks_is_told_nothing_more() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let sink = move |_: u64, event: &ChainEvent| {
            kept.lock().unwrap().push(event.clone());
            if kept.lock().unwrap().len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut events = Events::default();
        events.sinks.push(Box::new(sink));
        for height in 1..=4 {
            events.push(tip(height));
        }
        events.send();
        assert_eq!(heights(told.lock().unwrap().drain(..)), [Some(1), Some(2)]);
        assert!(events.sinks.is_empty());
    }
}
