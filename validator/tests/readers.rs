//! Readers in other threads: whatever the writer does, what they see is one whole moment of the chain.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{
    ChainEvent, ChainReader, ChainSnapshot, ChainState, ChainStateOptions, ChainView, CommitPolicy,
};
use adit_validator::coins::statistics::CoinStatistics;
use adit_validator::store::StoreError;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint};
use support::{Branch, NOW, QUEUE, connect_all, eventful, in_memory, on_disk, options};

/// The coins at every block that is a tip on the way, from a chain state in memory.
fn coins_at_every_tip(blocks: &[adit_validator::block::DecodedBlock]) -> HashMap<BlockHash, CoinStatistics> {
    let mut state = in_memory();
    let mut coins = HashMap::from([(state.tip().hash, state.coin_statistics().unwrap())]);
    for block in blocks {
        state.accept_block(block.clone(), NOW).unwrap();
        coins.insert(state.tip().hash, state.coin_statistics().unwrap());
    }
    coins
}

/// Holds all that a snapshot says against the tip that it names.
fn check(snapshot: &ChainSnapshot, coins: &HashMap<BlockHash, CoinStatistics>) {
    let (tip, tree) = (snapshot.tip(), snapshot.headers());
    let expected = coins.get(&tip.hash).unwrap_or_else(|| panic!("height {} is no place to rest", tip.height));
    assert_eq!(snapshot.coin_statistics().unwrap(), *expected, "at height {}", tip.height);
    assert!(tree.entry(tree.best_header()).chain_work >= tip.chain_work && !tip.is_failed());

    let mut above: Option<&adit_validator::headers::Entry> = None;
    for height in (0..=tip.height).rev() {
        let entry = snapshot.active_at(height).unwrap();
        let id = tree.lookup(&entry.hash).unwrap();
        assert!(entry.height == height && snapshot.is_active(id));
        assert!(above.is_none_or(|above| above.header.prev_blockhash == entry.hash));
        above = Some(entry);
    }
    assert!(snapshot.active_at(tip.height + 1).is_none());

    let block = snapshot.block(&tip.hash).unwrap().unwrap();
    assert_eq!(snapshot.block_bytes(&tip.hash).unwrap().unwrap(), block.raw());
    if tip.height > 0 {
        let spent = snapshot.undo(&tip.hash).unwrap().unwrap().spent;
        assert_eq!(spent.len() + 1, block.transactions().len());
        // The newest coinbase cannot be spent yet; what the block spent is gone.
        let coin = snapshot.coin(&OutPoint { txid: block.txids()[0], vout: 0 }).unwrap().unwrap();
        assert_eq!((coin.height, coin.is_coinbase), (tip.height, true));
        for input in block.transactions()[1..].iter().flat_map(|transaction| &transaction.input) {
            assert_eq!(snapshot.coin(&input.previous_output).unwrap(), None);
        }
    }
    assert_eq!(snapshot.next_block(tip.header.time + 1).prev_hash, tip.hash);
    let everything = snapshot.headers_after(&[], &BlockHash::all_zeros(), usize::MAX);
    assert_eq!(everything.len(), tip.height as usize);
    assert!(everything.last().is_none_or(|last| last.block_hash() == tip.hash));
}

/// Tells readers that the writer is done, by a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Checks snapshots until the writer is done, then the last one. Returns how many different tips there were.
fn read(reader: &ChainReader, done: &AtomicBool, coins: &HashMap<BlockHash, CoinStatistics>) -> usize {
    let (mut tips, mut last) = (0, BlockHash::all_zeros());
    loop {
        let was_done = done.load(Ordering::Acquire);
        let snapshot = reader.snapshot();
        if snapshot.tip().hash != last {
            (tips, last) = (tips + 1, snapshot.tip().hash);
        }
        check(&snapshot, coins);
        // It stays what it is, however the chain goes on.
        thread::yield_now();
        check(&snapshot, coins);
        if was_done {
            return tips;
        }
    }
}

#[test]
fn readers_see_whole_moments_through_connects_and_a_deep_reorganisation() {
    // Reorganisations every few blocks, then two of 60 blocks and more, then two more by order.
    let mut blocks = eventful(4);
    let mut one = Branch::from_genesis();
    one.mine(100, 0, 0);
    let mut other = one.clone();
    one.mine(61, 70, 2);
    other.mine(122, 71, 2);
    blocks.extend(one.blocks[100..].iter().chain(&other.blocks[100..]).cloned());
    let coins = coins_at_every_tip(&blocks);
    for commit in [CommitPolicy::EveryBlock, CommitPolicy::WhenFull] {
        let folder = tempfile::tempdir().unwrap();
        let mut state = on_disk(folder.path(), options(commit, 30_000));
        let reader = state.reader().unwrap();
        let (done, start) = (AtomicBool::new(false), Barrier::new(4));
        thread::scope(|threads| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let (reader, done, start, coins) = (reader.clone(), &done, &start, &coins);
                    threads.spawn(move || {
                        start.wait();
                        read(&reader, done, coins)
                    })
                })
                .collect();
            start.wait();
            let end = End(&done);
            for block in &blocks {
                state.accept_block(block.clone(), NOW).unwrap();
            }
            assert_eq!(state.tip().hash, other.tip_hash());
            state.invalidate(&other.blocks[130].hash()).unwrap();
            assert_eq!(reader.snapshot().tip().hash, one.tip_hash());
            state.reconsider(&other.blocks[150].hash()).unwrap();
            state.flush().unwrap();
            drop(end);
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
        assert_eq!(reader.snapshot().tip().hash, other.tip_hash());
    }
}

#[test]
fn a_snapshot_is_never_behind_what_was_told_of_committed_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = on_disk(folder.path(), ChainStateOptions::default());
    let (events, reader) = (state.subscribe_queue(QUEUE), state.reader().unwrap());
    let listener = thread::spawn(move || {
        let mut told = 0;
        for event in events {
            if let ChainEvent::TipChanged { hash, .. } = event {
                let snapshot = reader.snapshot();
                let entry = snapshot.headers().entry(snapshot.headers().lookup(&hash).expect("it was told"));
                assert!(snapshot.tip().chain_work >= entry.chain_work);
                told += 1;
            }
        }
        told
    });
    for block in eventful(3) {
        state.accept_block(block, NOW).unwrap();
    }
    state.close().unwrap();
    assert!(listener.join().unwrap() > 100);
}

/// The active chain as one subscriber knows it: from events or, after a gap, from a snapshot and the events after it.
#[test]
fn a_subscriber_that_missed_events_goes_on_from_a_snapshot() {
    const LIMIT: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let mut state = on_disk(folder.path(), ChainStateOptions::default());
    let mut active = vec![state.tip().hash];
    let (mut events, reader) = (state.subscribe_queue(LIMIT), state.reader().unwrap());
    let follower = thread::spawn(move || {
        let (mut missed, mut known) = (0, 0);
        while let Some(event) = events.next() {
            // Slower than the writer.
            thread::sleep(Duration::from_millis(2));
            match event {
                ChainEvent::Missed => {
                    let snapshot = reader.snapshot();
                    assert!(snapshot.sequence() >= events.sequence(), "every block is committed");
                    let heights = 0..=snapshot.tip().height;
                    active = heights.map(|height| snapshot.active_at(height).unwrap().hash).collect();
                    (missed, known) = (missed + 1, snapshot.sequence());
                }
                _ if events.sequence() <= known => {}
                ChainEvent::Connected { block, height } => {
                    assert_eq!(active.last(), Some(&block.header().prev_blockhash));
                    active.push(block.hash());
                    assert_eq!(active.len(), height as usize + 1);
                }
                ChainEvent::Disconnected { block, .. } => assert_eq!(active.pop(), Some(block.hash())),
                ChainEvent::TipChanged { hash, .. } => assert_eq!(active.last(), Some(&hash)),
                _ => {}
            }
        }
        (active, missed)
    });
    for block in eventful(3) {
        state.accept_block(block, NOW).unwrap();
    }
    let wanted: Vec<_> = (0..=state.tip().height).map(|height| state.active_at(height).unwrap().hash).collect();
    state.close().unwrap();
    let (active, missed) = follower.join().unwrap();
    assert!(missed > 0, "nothing was missed");
    assert_eq!(active, wanted);
}

#[test]
fn the_folder_is_in_use_until_the_last_snapshot_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(3, 0, 0);
    let mut state = on_disk(folder.path(), options(CommitPolicy::WhenFull, 1 << 20));
    connect_all(&mut state, &chain.blocks);
    assert_eq!(state.durable_tip().height, 0);
    // Asking makes durable what is there, so that there is something to see.
    let reader = state.reader().unwrap();
    assert_eq!((state.durable_tip().height, reader.snapshot().tip().height), (3, 3));
    // Between commits readers stay where they are.
    let next = chain.clone().mine(1, 0, 0).blocks[3].clone();
    state.accept_block(next, NOW).unwrap();
    assert_eq!(reader.snapshot().tip().height, 3);
    let snapshot = reader.snapshot();
    drop(reader);
    let again = state.reader().unwrap();
    assert_eq!((again.snapshot().tip().height, snapshot.tip().height), (4, 3));
    drop(again);
    state.close().unwrap();

    let open = || ChainState::open(folder.path(), ChainParams::regtest(), ChainStateOptions::default());
    assert!(matches!(open(), Err(StoreError::InUse { .. })));
    assert_eq!(snapshot.coin_statistics().unwrap().total, Amount::from_int_btc(150));
    assert_eq!(snapshot.block(&chain.tip_hash()).unwrap().unwrap().raw(), chain.blocks[2].raw());
    drop(snapshot);
    assert_eq!(open().unwrap().tip().height, 4);

    assert!(matches!(in_memory().reader(), Err(StoreError::NoSnapshots)));
}

#[test]
fn locators_find_the_fork_as_in_core() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(40, 0, 0);
    let mut side = Branch::from_genesis();
    side.mine(30, 0, 0).mine(5, 1, 0);
    let mut state = on_disk(folder.path(), options(CommitPolicy::WhenFull, 1 << 20));
    connect_all(&mut state, &chain.blocks);
    for block in &side.blocks {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    let snapshot = Arc::new(state.reader().unwrap().snapshot());
    let heights: Vec<u32> = snapshot
        .locator()
        .iter()
        .map(|hash| snapshot.headers().entry(snapshot.headers().lookup(hash).unwrap()).height)
        .collect();
    assert_eq!(heights, [40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 27, 23, 15, 0]);

    let (none, tip) = (BlockHash::all_zeros(), chain.tip_hash());
    let locator = [side.tip_hash(), side.blocks[31].hash(), side.blocks[27].hash()];
    let after = |locator: &[BlockHash], stop: &BlockHash, limit| -> Vec<BlockHash> {
        snapshot.headers_after(locator, stop, limit).iter().map(Header::block_hash).collect()
    };
    let hashes = |heights: std::ops::RangeInclusive<usize>| -> Vec<BlockHash> {
        heights.map(|height| chain.blocks[height - 1].hash()).collect()
    };
    assert_eq!(after(&locator, &none, 2000), hashes(29..=40));
    assert_eq!(after(&locator, &none, 5), hashes(29..=33));
    assert_eq!(after(&locator, &chain.blocks[30].hash(), 2000), hashes(29..=31));
    assert_eq!(after(&[], &none, 2000), hashes(1..=40));
    assert!(after(&[tip], &none, 2000).is_empty());
    // A peer that is ahead on our own chain has our tip.
    let ahead = chain.clone().mine(1, 0, 0).blocks[40].clone();
    state.accept_header(ahead.header(), NOW);
    let snapshot = state.reader().unwrap().snapshot();
    assert_eq!(snapshot.find_fork(&[ahead.hash()]), snapshot.tip_id());
    assert_eq!(snapshot.headers().entry(snapshot.headers().best_header()).hash, ahead.hash());
}
