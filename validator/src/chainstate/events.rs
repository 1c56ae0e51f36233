//! The events that the chain state sends to subscribers, and a bounded queue for a subscriber on another thread.
//!
//! An event carries its block, so that no subscriber reads it from disk. The writer never waits for a subscriber, and a
//! slow one does not take more memory: when a queue is over its bound, all of it is replaced by [`ChainEvent::Missed`].
//! The subscriber then takes a snapshot and continues from there.

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
    /// A block that had been stored on a branch breaks a rule.
    Invalid(InvalidBlock),
    /// Events were dropped because a queue was over its bound. A snapshot has the state after them.
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
    /// Takes one event. It must return at once, whether or not it could keep the event. With `Break` the subscription
    /// ends.
    fn send(&mut self, event: &ChainEvent) -> ControlFlow<()>;
}

impl<F: FnMut(&ChainEvent) -> ControlFlow<()> + Send> EventSink for F {
    fn send(&mut self, event: &ChainEvent) -> ControlFlow<()> {
        self(event)
    }
}

/// The bound in bytes of the events of one activation: a larger reorganisation is sent as [`ChainEvent::Missed`].
const MAX_PENDING_BYTES: usize = 256 << 20;

/// The events of the running activation, and the subscribers.
#[derive(Default)]
pub(super) struct Events {
    pending: VecDeque<ChainEvent>,
    pending_bytes: usize,
    sinks: Vec<Box<dyn EventSink>>,
}

impl Events {
    /// Queues an event. Without subscribers it is dropped.
    pub(super) fn push(&mut self, event: ChainEvent) {
        if !self.sinks.is_empty() {
            push_bounded(&mut self.pending, &mut self.pending_bytes, MAX_PENDING_BYTES, event);
        }
    }

    /// Adds a subscriber.
    pub(super) fn subscribe(&mut self, sink: Box<dyn EventSink>) {
        self.sinks.push(sink);
    }

    /// Sends all pending events.
    pub(super) fn send(&mut self) {
        for event in self.pending.drain(..) {
            self.sinks.retain_mut(|sink| sink.send(&event).is_continue());
        }
        self.pending_bytes = 0;
    }
}

/// Appends `event`. If the queue then costs more than `limit`, all of it becomes one [`ChainEvent::Missed`].
fn push_bounded(queue: &mut VecDeque<ChainEvent>, bytes: &mut usize, limit: usize, event: ChainEvent) {
    *bytes += event.cost();
    queue.push_back(event);
    if *bytes > limit {
        queue.clear();
        *bytes = ChainEvent::Missed.cost();
        queue.push_back(ChainEvent::Missed);
    }
}

struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<ChainEvent>,
    bytes: usize,
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
    fn send(&mut self, event: &ChainEvent) -> ControlFlow<()> {
        let mut guard = self.0.lock();
        let QueueState { events, bytes, closed } = &mut *guard;
        if *closed {
            return ControlFlow::Break(());
        }
        push_bounded(events, bytes, self.0.limit, event.clone());
        drop(guard);
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
        let event = state.events.pop_front()?;
        state.bytes -= event.cost();
        Some(event)
    }

    /// Waits for the next event for at most `timeout`. `None`: there was none, or the chain state was dropped.
    #[must_use]
    pub fn next_within(&self, timeout: Duration) -> Option<ChainEvent> {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.lock();
        while state.events.is_empty() && !state.closed {
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
        while state.events.is_empty() && !state.closed {
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
            assert!(sink.send(&connected(height)).is_continue());
        }
        assert_eq!(heights(queue.drain()), [Some(1), Some(2), Some(3)]);
        assert_eq!(queue.0.lock().bytes, 0);
        for height in 4..=101 {
            assert!(sink.send(&connected(height)).is_continue());
            let state = queue.0.lock();
            assert!(state.bytes <= 3 * cost);
            assert_eq!(state.bytes, state.events.iter().map(ChainEvent::cost).sum::<usize>());
        }
        let told = heights(queue.drain());
        assert_eq!((told[0], *told.last().unwrap()), (None, Some(101)));
        assert!(told[1..].windows(2).all(|two| two[0].unwrap() + 1 == two[1].unwrap()), "{told:?}");
    }

    #[test]
    fn a_reorganisation_of_more_than_may_be_pending_is_told_as_missed() {
        let (sink, queue) = queue(usize::MAX);
        let mut events = Events::default();
        events.push(connected(0));
        assert!(events.pending.is_empty(), "no subscriber");
        events.sinks.push(Box::new(sink));
        let too_many = (MAX_PENDING_BYTES / connected(1).cost()) as u32 + 1;
        for height in 1..=too_many {
            events.push(connected(height));
        }
        events.push(tip(too_many));
        assert!(events.pending_bytes <= MAX_PENDING_BYTES);
        events.send();
        assert_eq!(heights(queue.drain()), [None, Some(too_many)]);
        assert_eq!(events.pending_bytes, 0);
    }

    #[test]
    fn either_end_may_go_first() {
        let (mut sink, queue) = queue(usize::MAX);
        assert!(sink.send(&tip(1)).is_continue());
        drop(sink);
        assert!(queue.is_closed());
        assert_eq!(heights(queue), [Some(1)], "queued events can still be read");
        let (mut sink, queue) = super::queue(usize::MAX);
        assert!(queue.next_within(Duration::from_millis(1)).is_none());
        drop(queue);
        assert!(sink.send(&tip(1)).is_break());
    }

    #[test]
    fn a_sink_that_breaks_is_told_nothing_more() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let sink = move |event: &ChainEvent| {
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
