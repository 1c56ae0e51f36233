//! Blocks that are decoded and looked up ahead have the outcomes that they have one by one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use adit_testchain::Rng;
use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::{ChainState, ChainView, CommitPolicy};
use adit_validator::import::{Prefetch, PrefetchedBlock};
use support::{NOW, eventful, on_disk, options};

/// Blocks that reorganise the chain every few of them; some with a flipped byte before them, or too short.
fn fed(seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut fed = Vec::new();
    for block in eventful(6) {
        let raw = block.raw().to_vec();
        match rng.below(6) {
            0 => {
                let mut flipped = raw.clone();
                let at = 80 + rng.below(raw.len() - 80);
                flipped[at] ^= 1;
                fed.push(flipped);
            }
            1 => fed.push(raw[..rng.below(raw.len())].to_vec()),
            _ => {}
        }
        fed.push(raw);
    }
    fed
}

fn one_by_one(state: &mut ChainState, fed: &[Vec<u8>]) -> Vec<String> {
    let outcome = |bytes: &Vec<u8>| match DecodedBlock::decode(bytes.as_slice()) {
        Ok(block) => format!("{:?}", state.accept_block(block, NOW).unwrap()),
        Err(error) => error.to_string(),
    };
    fed.iter().map(outcome).collect()
}

fn prefetched(state: &mut ChainState, fed: &[Vec<u8>]) -> Vec<String> {
    let mut prefetch = Prefetch::new(state.params());
    let mut outcomes = Vec::new();
    let mut take = |prefetch: &mut Prefetch<usize>| {
        let Some(PrefetchedBlock { source, block }) = prefetch.next(state).unwrap() else { return false };
        assert_eq!(source, outcomes.len());
        outcomes.push(match block {
            Ok(block) => format!("{:?}", state.accept_block(block, NOW).unwrap()),
            Err(error) => error.to_string(),
        });
        true
    };
    for (at, bytes) in fed.iter().enumerate() {
        prefetch.push(at, bytes.clone());
        if prefetch.is_full() {
            take(&mut prefetch);
        }
    }
    while take(&mut prefetch) {}
    outcomes
}

/// With caches that hold everything, some, and next to nothing, so that what is found ahead is mostly new, partly dropped
/// again, and mostly old by the time of a commit.
#[test]
fn outcomes_and_coins_are_the_same() {
    for (seed, commit, cache) in [
        (1, CommitPolicy::WhenFull, 1 << 20),
        (2, CommitPolicy::WhenFull, 60_000),
        (3, CommitPolicy::WhenFull, 0),
        (4, CommitPolicy::EveryBlock, 60_000),
    ] {
        let fed = fed(seed);
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [mut plain, mut ahead] = [0, 1].map(|at: usize| on_disk(folders[at].path(), options(commit, cache)));
        let outcomes = [one_by_one(&mut plain, &fed), prefetched(&mut ahead, &fed)];
        assert_eq!(outcomes[0], outcomes[1], "{seed}");
        assert!(outcomes[0].iter().any(|outcome| outcome.starts_with("Invalid")), "{seed}: nothing was refused");
        assert_eq!(plain.tip().hash, ahead.tip().hash);
        assert_eq!(plain.tip().height, 190);
        assert_eq!(plain.coin_statistics().unwrap(), ahead.coin_statistics().unwrap(), "{seed}");
        ahead.close().unwrap();
        // Nothing that looked ahead holds the folder.
        let again = on_disk(folders[1].path(), options(commit, cache));
        assert_eq!(again.coin_statistics().unwrap(), plain.coin_statistics().unwrap());
    }
}
