//! Events of a chain state: subscribers on other threads, slow ones, and ones that leave.

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::{ChainEvent, ChainView};
use support::{Branch, NOW, QUEUE, Told, connect_all, in_memory, told};

/// Blocks of some 10 kB.
fn long_blocks(count: u32) -> Branch {
    let mut chain = Branch::from_genesis();
    chain.padding = 10_000;
    chain.mine(count, 0, 0);
    chain
}

/// The block of an event, connected or disconnected.
fn block_of(event: &ChainEvent) -> Option<&Arc<DecodedBlock>> {
    match event {
        ChainEvent::Connected { block, .. } | ChainEvent::Disconnected { block, .. } => Some(block),
        _ => None,
    }
}

/// The subscriber reads one event and then nothing until the writer is done. The writer never waits for it, what waits
/// stays under the bound, and the gap is told.
#[test]
fn a_slow_subscriber_holds_up_nobody_and_is_told_what_it_missed() {
    const LIMIT: usize = 100_000;
    let chain = long_blocks(60);
    let mut state = in_memory();
    let events = state.subscribe_queue(LIMIT);
    let (first_read, wait_for_first) = mpsc::channel();
    let (writer_done, wait_for_writer) = mpsc::channel::<()>();
    let subscriber = std::thread::spawn(move || {
        let first = told(events.next_within(Duration::from_secs(60)).expect("an event"));
        first_read.send(()).unwrap();
        // The writer hangs up when it is done, whether or not it got that far.
        let _ = wait_for_writer.recv();
        let rest: Vec<ChainEvent> = events.drain().collect();
        (first, rest)
    });
    connect_all(&mut state, &chain.blocks[..1]);
    wait_for_first.recv().unwrap();
    connect_all(&mut state, &chain.blocks[1..]);
    assert_eq!(state.tip().hash, chain.tip_hash(), "the writer did not wait");
    drop(writer_done);
    let (first, rest) = subscriber.join().unwrap();

    assert_eq!(first, Told::Connected(chain.blocks[0].hash(), 1));
    let bytes: usize = rest.iter().filter_map(block_of).map(|block| block.raw().len()).sum();
    assert!(bytes <= LIMIT, "{bytes}");
    let rest: Vec<Told> = rest.into_iter().map(told).collect();
    assert_eq!((rest[0], rest.iter().filter(|told| **told == Told::Missed).count()), (Told::Missed, 1), "{rest:?}");
    // From the gap on everything is there, to the tip.
    let connected: Vec<u32> = rest
        .iter()
        .filter_map(|told| match told {
            Told::Connected(hash, height) => {
                assert_eq!(*hash, chain.blocks[*height as usize - 1].hash());
                Some(*height)
            }
            _ => None,
        })
        .collect();
    let first = connected[0];
    assert!(first > 2, "nothing was missed");
    assert_eq!(connected, (first..=60).collect::<Vec<_>>());
    assert_eq!(rest.last(), Some(&Told::Tip(chain.tip_hash(), 60)));
}

/// One block in memory, whoever follows the chain: what was handed in comes out of every queue, on any thread.
#[test]
fn all_subscribers_get_the_block_that_was_handed_in() {
    let mut common = Branch::from_genesis();
    common.mine(3, 0, 0);
    let (mut short, mut long) = (common.clone(), common.clone());
    short.mine(2, 1, 0);
    long.mine(3, 2, 0);
    let blocks: Vec<Arc<DecodedBlock>> =
        short.blocks.iter().chain(&long.blocks[3..]).map(|block| Arc::new(block.clone())).collect();

    let mut state = in_memory();
    let subscribers: Vec<_> = (0..2)
        .map(|_| {
            let events = state.subscribe_queue(QUEUE);
            std::thread::spawn(move || events.collect::<Vec<ChainEvent>>())
        })
        .collect();
    for block in &blocks {
        state.accept_block(Arc::clone(block), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, long.tip_hash());
    drop(state);

    let [one, other] =
        subscribers.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>().try_into().unwrap();
    let mut wanted: Vec<Told> = Vec::new();
    for (block, height) in short.blocks.iter().zip(1..) {
        wanted.extend([Told::Connected(block.hash(), height), Told::Tip(block.hash(), height)]);
    }
    wanted.extend([5, 4].map(|height| Told::Disconnected(short.blocks[height as usize - 1].hash(), height)));
    wanted.extend([4, 5, 6].map(|height| Told::Connected(long.blocks[height as usize - 1].hash(), height)));
    wanted.push(Told::Tip(long.tip_hash(), 6));
    for events in [&one, &other] {
        assert_eq!(events.iter().cloned().map(told).collect::<Vec<_>>(), wanted);
    }
    for (one, other) in one.iter().filter_map(block_of).zip(other.iter().filter_map(block_of)) {
        assert!(Arc::ptr_eq(one, other));
    }
    // What is connected at once is the block that was handed in; branches are read from the store when their turn comes.
    for (handed_in, event) in
        blocks.iter().zip(one.iter().filter(|event| matches!(event, ChainEvent::Connected { .. }))).take(5)
    {
        assert!(Arc::ptr_eq(handed_in, block_of(event).unwrap()));
    }
}

#[test]
fn a_sink_that_leaves_is_not_called_again_and_the_others_are() {
    let mut state = in_memory();
    let (leaver, stayer) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let calls = Arc::clone(&leaver);
    state.subscribe(move |_: u64, _: &ChainEvent| match calls.fetch_add(1, Ordering::Relaxed) {
        0..3 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    let calls = Arc::clone(&stayer);
    state.subscribe(move |_: u64, _: &ChainEvent| {
        calls.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    let queue = state.subscribe_queue(QUEUE);
    let mut chain = Branch::from_genesis();
    chain.mine(5, 0, 0);
    connect_all(&mut state, &chain.blocks[..4]);
    assert_eq!((queue.drain().count(), queue.is_closed()), (8, false));
    drop(queue);
    connect_all(&mut state, &chain.blocks[4..]);
    assert_eq!((leaver.load(Ordering::Relaxed), stayer.load(Ordering::Relaxed)), (4, 10), "two events a block");
}

#[test]
fn a_queue_ends_with_its_chain_state() {
    let mut state = in_memory();
    let events = state.subscribe_queue(QUEUE);
    assert!(events.next_within(Duration::from_millis(1)).is_none() && !events.is_closed());
    let mut chain = Branch::from_genesis();
    chain.mine(1, 0, 0);
    connect_all(&mut state, &chain.blocks);
    drop(state);
    assert!(events.is_closed());
    assert_eq!(
        events.map(told).last(),
        Some(Told::Tip(chain.tip_hash(), 1)),
        "what was told before is read to the end"
    );
}
