//! Pruning: what goes, what stays, and what is said of what is gone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::fs;
use std::path::Path;

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{
    BlockOutcome, ChainState, ChainStateOptions, ChainView, CommitPolicy, MIN_BLOCKS_TO_KEEP, OperatorOutcome,
    PruneLock,
};
use adit_validator::coins::statistics::CoinStatistics;
use adit_validator::store::StoreError;
use support::{Branch, NOW, QUEUE, connect_all, in_memory, on_disk};

/// Files of 5,000 bytes, some twenty blocks each, and as few of them as may be.
fn pruned() -> ChainStateOptions {
    ChainStateOptions::default().with_prune_bytes(Some(1)).with_block_file_bytes(5_000)
}

/// The sizes of all block and undo files.
fn bytes(folder: &Path) -> u64 {
    fs::read_dir(folder.join("blocks")).unwrap().map(|found| found.unwrap().metadata().unwrap().len()).sum()
}

fn has(folder: &Path, file: &str) -> bool {
    folder.join("blocks").join(file).exists()
}

fn coins_of(blocks: &[DecodedBlock]) -> CoinStatistics {
    let mut state = in_memory();
    connect_all(&mut state, blocks);
    state.coin_statistics().unwrap()
}

#[test]
fn whole_old_files_go_and_the_last_288_blocks_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(400, 0, 1);
    let expected = coins_of(&chain.blocks);
    let mut state = on_disk(folder.path(), pruned());
    connect_all(&mut state, &chain.blocks[..MIN_BLOCKS_TO_KEEP as usize]);
    assert!(has(folder.path(), "blk00000.dat") && bytes(folder.path()) > 50_000, "nothing is old enough yet");
    connect_all(&mut state, &chain.blocks[MIN_BLOCKS_TO_KEEP as usize..]);
    assert!(!has(folder.path(), "blk00000.dat") && !has(folder.path(), "rev00000.dat"));

    let check = |state: &ChainState| {
        assert_eq!((state.tip().hash, state.coin_statistics().unwrap()), (chain.tip_hash(), expected));
        let mut gone = 0;
        for (block, height) in chain.blocks.iter().zip(1..) {
            match state.block(&block.hash()) {
                Ok(Some(kept)) => assert_eq!(kept.raw(), block.raw()),
                Err(error @ StoreError::Pruned { .. }) => {
                    assert!(height <= 400 - MIN_BLOCKS_TO_KEEP, "{height}");
                    assert_eq!(error.to_string(), format!("block {} at height {height} was pruned", block.hash()));
                    assert!(state.active_at(height).unwrap().is_pruned());
                    gone += 1;
                }
                other => panic!("height {height}: {other:?}"),
            }
        }
        // The file with height 112 in it may hold as many blocks above it.
        assert!(gone >= 60, "{gone}");
    };
    check(&state);
    assert_eq!(state.accept_block(chain.blocks[0].clone(), NOW).unwrap(), BlockOutcome::Duplicate);
    drop(state);
    // With pruning and without: what is gone stays gone, and the chain goes on.
    for (options, salt) in [(pruned(), 3), (ChainStateOptions::default(), 4)] {
        let mut state = on_disk(folder.path(), options);
        check(&state);
        let next = chain.clone().mine(1, salt, 1).blocks[400].clone();
        assert_eq!(state.accept_block(next.clone(), NOW).unwrap(), BlockOutcome::Connected { height: 401 });
        assert_eq!(state.invalidate(&next.hash()).unwrap(), OperatorOutcome::Done);
        state.reconsider(&next.hash()).unwrap();
        state.invalidate(&next.hash()).unwrap();
        check(&state);
    }
}

#[test]
fn the_stated_size_is_kept_to_where_blocks_are_old_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(500, 0, 1);
    let all: usize = chain.blocks.iter().map(|block| block.raw().len() + 8).sum();
    let limit = all as u64;
    // Every block is larger with its undo record, so that something must go, and everything old must not.
    let options = pruned().with_prune_bytes(Some(limit)).with_commit(CommitPolicy::WhenFull);
    let mut state = on_disk(folder.path(), options);
    connect_all(&mut state, &chain.blocks);
    let kept = bytes(folder.path());
    assert!(kept <= limit && kept > limit - 20_000, "{kept} of {limit}");
    assert!(!has(folder.path(), "blk00000.dat"));
    assert!(state.active_at(150).unwrap().location.is_some());
}

#[test]
fn what_somebody_waits_for_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(400, 0, 0);
    let lock = PruneLock::new(50);
    let mut state = on_disk(folder.path(), pruned().with_prune_lock(lock.clone()));
    connect_all(&mut state, &chain.blocks);
    let gone = |state: &ChainState| state.headers().ids().filter(|id| state.headers().entry(*id).is_pruned()).count();
    assert!((1..=50).contains(&gone(&state)), "{}", gone(&state));
    lock.release();
    state.flush().unwrap();
    assert!(gone(&state) > 60);
}

/// The lowest of all locks holds; each is moved and released on its own.
#[test]
fn two_locks_are_released_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(400, 0, 0);
    let (low, high) = (PruneLock::new(30), PruneLock::new(70));
    let options = pruned().with_block_file_bytes(2_500).with_prune_lock(low.clone()).with_prune_lock(high.clone());
    let mut state = on_disk(folder.path(), options);
    connect_all(&mut state, &chain.blocks);
    // The highest block that went. Files of some ten blocks go whole, lowest first.
    let gone_to = |state: &mut ChainState| {
        state.flush().unwrap();
        (1..=400).take_while(|height| state.active_at(*height).unwrap().is_pruned()).last().unwrap_or(0)
    };
    let held = |gone: u32, lock: u32| gone < lock && gone + 15 > lock;
    let gone = gone_to(&mut state);
    assert!(held(gone, 30), "{gone}");
    high.keep_from(75);
    assert_eq!(gone_to(&mut state), gone, "the other lock still holds");
    low.keep_from(50);
    let gone = gone_to(&mut state);
    assert!(held(gone, 50), "{gone}");
    low.release();
    let gone = gone_to(&mut state);
    assert!(held(gone, 75), "{gone}");
    high.release();
    let gone = gone_to(&mut state);
    assert!(held(gone, 400 - MIN_BLOCKS_TO_KEEP + 1), "{gone}");
}

#[test]
fn files_that_a_crash_left_behind_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(400, 0, 0);
    let mut state = on_disk(folder.path(), pruned());
    connect_all(&mut state, &chain.blocks);
    state.close().unwrap();
    // As if the process had ended between the commit and the deletion.
    let blocks = folder.path().join("blocks");
    fs::write(blocks.join("blk00000.dat"), b"some old blocks").unwrap();
    fs::write(blocks.join("rev00001.dat"), b"and what they spent").unwrap();
    let state = on_disk(folder.path(), pruned());
    assert_eq!(state.tip().hash, chain.tip_hash());
    assert!(!has(folder.path(), "blk00000.dat") && !has(folder.path(), "rev00001.dat"));
}

#[test]
fn a_reorganisation_below_what_is_kept_is_refused_before_anything_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut common = Branch::from_genesis();
    common.mine(20, 0, 0);
    let (mut chain, mut deep) = (common.clone(), common.clone());
    chain.mine(400, 1, 0);
    deep.mine(402, 2, 0);
    let mut state = on_disk(folder.path(), pruned());
    connect_all(&mut state, &chain.blocks);
    state.close().unwrap();
    // From here on everything is kept: with pruning, the other branch's beginning would be the next to go.
    let mut state = on_disk(folder.path(), ChainStateOptions::default());
    let coins = state.coin_statistics().unwrap();
    let events = state.subscribe_queue(QUEUE);
    let mut error = None;
    for block in &deep.blocks[20..] {
        if let Err(refused) = state.accept_block(block.clone(), NOW) {
            error = Some(refused);
            break;
        }
    }
    let Some(error @ StoreError::TooDeep { tip: 420, fork: 20, .. }) = error else { panic!("{error:?}") };
    let text = error.to_string();
    assert!(
        text.starts_with("the chain with most work, to block ") && text.ends_with("start again with an empty folder")
    );
    assert_eq!((state.tip().hash, state.coin_statistics().unwrap()), (chain.tip_hash(), coins));
    assert_eq!(events.drain().count(), 0);
    let low = chain.blocks[30].hash();
    assert!(matches!(state.invalidate(&low), Err(StoreError::TooDeep { .. })));
    assert!(!state.headers().entry(state.headers().lookup(&low).unwrap()).is_failed(), "nothing was marked");
    state.flush().unwrap();
    drop(state);

    // The next start says the same; only what was kept of the other branch's headers would have to go.
    let again = ChainState::open(folder.path(), ChainParams::regtest(), pruned());
    assert!(matches!(again.err(), Some(StoreError::TooDeep { .. })));
}

#[test]
fn a_branch_whose_beginning_was_pruned_waits_for_it_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut common = Branch::from_genesis();
    common.mine(60, 0, 0);
    let (mut chain, mut side) = (common.clone(), common.clone());
    chain.mine(350, 1, 0);
    side.mine(351, 2, 0);
    // The active chain's blocks lie in later files than the beginning of the other branch, and are kept longer.
    let mut state = on_disk(folder.path(), pruned().with_prune_bytes(None));
    connect_all(&mut state, &common.blocks);
    for block in &side.blocks[60..100] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    connect_all_or_side(&mut state, &chain.blocks[60..]);
    for block in &side.blocks[100..110] {
        let outcome = state.accept_block(block.clone(), NOW).unwrap();
        assert!(matches!(outcome, BlockOutcome::SideBranch { .. }));
    }
    state.close().unwrap();
    let mut state = on_disk(folder.path(), pruned().with_prune_bytes(Some(bytes(folder.path()) - 18_000)));
    state.flush().unwrap();
    let at = |state: &ChainState, height: usize| {
        let id = state.headers().lookup(&side.blocks[height - 1].hash()).unwrap();
        state.headers().entry(id).location.is_some()
    };
    assert!(!at(&state, 61) && at(&state, 110), "the beginning is gone, the end is not");
    let again = state.accept_block(side.blocks[109].clone(), NOW).unwrap();
    assert_eq!(again, BlockOutcome::Duplicate);
    let next = state.accept_block(side.blocks[110].clone(), NOW).unwrap();
    assert_eq!(next, BlockOutcome::AncestorsMissing { height: 111 });
    let missing: Vec<&DecodedBlock> =
        side.blocks[60..109].iter().filter(|block| !matches!(state.block(&block.hash()), Ok(Some(_)))).collect();
    assert!(!missing.is_empty());
    for block in missing {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    // It is whole again, as far as it goes; nothing else is.
    let next = state.accept_block(side.blocks[111].clone(), NOW).unwrap();
    assert!(matches!(next, BlockOutcome::SideBranch { height: 112 }), "{next:?}");
    assert_eq!(state.tip().hash, chain.tip_hash());
}

fn connect_all_or_side(state: &mut ChainState, blocks: &[DecodedBlock]) {
    for block in blocks {
        let outcome = state.accept_block(block.clone(), NOW).unwrap();
        assert!(matches!(outcome, BlockOutcome::Connected { .. } | BlockOutcome::SideBranch { .. }), "{outcome:?}");
    }
}

#[test]
fn readers_of_an_older_moment_are_told_what_was_pruned_since() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(400, 0, 0);
    let mut state = on_disk(folder.path(), pruned());
    connect_all(&mut state, &chain.blocks[..100]);
    let reader = state.reader().unwrap();
    let old = reader.snapshot();
    connect_all(&mut state, &chain.blocks[100..]);
    let first = chain.blocks[0].hash();
    for snapshot in [old.clone(), reader.snapshot()] {
        assert!(matches!(snapshot.block(&first), Err(StoreError::Pruned { height: 1, .. })));
        assert!(matches!(snapshot.block_bytes(&first), Err(StoreError::Pruned { height: 1, .. })));
        assert!(matches!(snapshot.undo(&first), Err(StoreError::Pruned { height: 1, .. })));
    }
    // Its coins are still those of its tip.
    assert_eq!(old.coin_statistics().unwrap(), coins_of(&chain.blocks[..100]));
    assert_eq!(old.tip().height, 100);
}
