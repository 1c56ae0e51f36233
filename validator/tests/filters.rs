//! The filter index beside chains that fork, stop in the middle and come back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::collections::HashMap;
use std::path::Path;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView, CommitPolicy, PruneLock};
use adit_validator::filters::{BlockFilter, FilterError, FilterHash, FilterHeader, FilterIndex, IndexPosition};
use adit_validator::store::StoreError;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint, ScriptBuf};
use support::{Branch, NOW, connect_all, eventful, in_memory, on_disk, options};

fn open(folder: &Path, state: &ChainState) -> Result<FilterIndex, FilterError> {
    FilterIndex::open(&folder.join("filters"), &state.params().consensus.genesis_hash, PruneLock::new(0))
}

/// Every filter of the chain that ends in `tip` with its header, made by `bitcoin` from the outputs of the chain's own
/// blocks.
fn filters_of(state: &ChainState, tip: BlockHash) -> Vec<(BlockHash, BlockFilter, FilterHeader)> {
    let tree = state.headers();
    let tip = tree.lookup(&tip).unwrap();
    let mut scripts: HashMap<OutPoint, ScriptBuf> = HashMap::new();
    let mut previous = FilterHeader::all_zeros();
    let mut filters = Vec::new();
    for height in 0..=tree.entry(tip).height {
        let hash = tree.entry(tree.ancestor(tip, height)).hash;
        let block = state.block(&hash).unwrap().unwrap();
        for (txid, transaction) in block.txids().iter().zip(block.transactions()) {
            let outputs = (0..).zip(&transaction.output);
            scripts.extend(outputs.map(|(vout, out)| (OutPoint { txid: *txid, vout }, out.script_pubkey.clone())));
        }
        let filter = BlockFilter::new_script_filter(block.block(), |outpoint| Ok(scripts[outpoint].clone())).unwrap();
        previous = filter.filter_header(&previous);
        filters.push((hash, filter, previous));
    }
    filters
}

/// The index has every block of the chain that ends in `tip`, and says of each what it should.
fn check(index: &FilterIndex, state: &ChainState, tip: BlockHash) {
    let (tree, wanted) = (state.headers(), filters_of(state, tip));
    for (hash, filter, header) in &wanted {
        assert_eq!(&index.filter(tree, hash).unwrap(), filter);
        assert_eq!(&index.header(tree, hash).unwrap(), header);
    }
    let height = wanted.len() - 1;
    for start in [0, 1, height / 2, height] {
        let asked = index.filters(tree, start as u32, &tip).unwrap();
        assert!(
            asked.iter().eq(wanted[start..]
                .iter()
                .map(|(hash, filter, _)| (*hash, filter.clone()))
                .collect::<Vec<_>>()
                .iter())
        );
        let asked = index.hashes(tree, start as u32, &tip).unwrap();
        let hashes: Vec<_> = wanted[start..].iter().map(|(_, filter, _)| FilterHash::hash(&filter.content)).collect();
        assert_eq!(asked.hashes, hashes);
        let previous = start.checked_sub(1).map_or(FilterHeader::all_zeros(), |before| wanted[before].2);
        assert_eq!(asked.previous, previous);
    }
}

#[test]
fn the_index_keeps_up_with_reorganisations_and_forgets_no_branch() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = in_memory();
    let mut index = open(folder.path(), &state).unwrap();
    let mut tips = vec![state.tip().hash];
    for block in eventful(3) {
        state.accept_block(block, NOW).unwrap();
        index.catch_up(&state).unwrap();
        let tip = state.tip();
        assert_eq!(index.position(), Some(IndexPosition { height: tip.height, hash: tip.hash }));
        if state.tip().hash != tips[tips.len() - 1] {
            tips.push(state.tip().hash);
        }
    }
    // The tips of branches that were left, too.
    for tip in &tips[tips.len() - 30..] {
        check(&index, &state, *tip);
    }
    // One that is switched on now comes to the same.
    let late = tempfile::tempdir().unwrap();
    let mut late = open(late.path(), &state).unwrap();
    late.catch_up(&state).unwrap();
    assert_eq!(late.position(), index.position());
    check(&late, &state, state.tip().hash);
    let left = tips.iter().find(|hash| !state.is_active(state.headers().lookup(hash).unwrap())).unwrap();
    let height = state.headers().entry(state.headers().lookup(left).unwrap()).height;
    let error = late.filter(state.headers(), left).unwrap_err();
    assert_eq!(error.to_string(), format!("the filter index does not have block {left} at height {height}"));
}

#[test]
fn a_branch_that_comes_back_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, mut one) = (in_memory(), Branch::from_genesis());
    one.mine(105, 0, 1);
    let mut other = one.clone();
    one.mine(2, 1, 1);
    other.mine(3, 2, 1);
    let mut index = open(folder.path(), &state).unwrap();
    connect_all(&mut state, &one.blocks);
    assert_eq!(index.step(&state).unwrap().built, 108);
    for block in &other.blocks[105..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(index.step(&state).unwrap().built, 3);
    one.mine(2, 1, 1);
    for block in &one.blocks[107..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, one.tip_hash());
    assert_eq!(index.step(&state).unwrap().built, 2);
    check(&index, &state, one.tip_hash());
    check(&index, &state, other.tip_hash());
}

/// What a kill leaves is what is in the folder at that moment: copies of it, taken after each step, go on to the same
/// index. So does one whose chain state lost blocks that the index has.
#[test]
fn an_index_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(130, 0, 2);
    let open_state = || {
        let lazy = options(CommitPolicy::WhenFull, 64 << 20);
        ChainState::open(&folder.path().join("chain"), ChainParams::regtest(), lazy).unwrap()
    };
    let mut state = open_state();
    let mut index = open(folder.path(), &state).unwrap();
    let mut copies = Vec::new();
    for (at, block) in chain.blocks.iter().enumerate() {
        connect_all(&mut state, [block]);
        index.step(&state).unwrap();
        if at % 20 == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(&folder.path().join("filters"), &copy.path().join("filters"));
            copies.push(copy);
        }
        if at == 99 {
            state.flush().unwrap();
        }
    }
    drop(state);
    let mut state = open_state();
    assert_eq!((state.tip().height, index.position().unwrap().height), (100, 130));
    for copy in &copies {
        let mut index = open(copy.path(), &state).unwrap();
        index.catch_up(&state).unwrap();
        check(&index, &state, state.tip().hash);
    }
    // The blocks come again, and others.
    chain.blocks.truncate(110);
    connect_all(&mut state, &chain.blocks[100..]);
    let mut other = Branch::from_genesis();
    other.mine(100, 0, 2).mine(12, 1, 1);
    for block in &other.blocks[100..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, other.tip_hash());
    index.catch_up(&state).unwrap();
    check(&index, &state, state.tip().hash);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for found in std::fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let to = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy_folder(&found.path(), &to);
        } else {
            std::fs::copy(found.path(), to).unwrap();
        }
    }
}

#[test]
fn checkpoints_are_the_headers_of_every_thousandth_block() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, mut chain) = (in_memory(), Branch::from_genesis());
    chain.mine(2_003, 0, 0);
    connect_all(&mut state, &chain.blocks);
    let mut index = open(folder.path(), &state).unwrap();
    index.catch_up(&state).unwrap();
    let tree = state.headers();
    let at = |height: u32| state.active_at(height).unwrap().hash;
    for (stop, heights) in [(999, vec![]), (1_000, vec![1_000]), (1_999, vec![1_000]), (2_003, vec![1_000, 2_000])] {
        let wanted: Vec<_> = heights.iter().map(|height| index.header(tree, &at(*height)).unwrap()).collect();
        assert_eq!(index.checkpoints(tree, &at(stop)).unwrap(), wanted, "up to {stop}");
    }
    // The ranges of BIP157, and one block more.
    assert_eq!(index.hashes(tree, 4, &at(2_003)).unwrap().hashes.len(), 2_000);
    let error = index.hashes(tree, 3, &at(2_003)).unwrap_err();
    assert_eq!(error.to_string(), "heights 3 to 2003: a range has 1 to 2000 blocks");
    assert_eq!(index.filters(tree, 1_004, &at(2_003)).unwrap().len(), 1_000);
    assert!(matches!(index.filters(tree, 1_003, &at(2_003)), Err(FilterError::Range { .. })));
    assert!(matches!(index.filters(tree, 7, &at(6)), Err(FilterError::Range { .. })));
    let unknown = BlockHash::all_zeros();
    assert!(matches!(index.checkpoints(tree, &unknown), Err(FilterError::UnknownBlock { hash }) if hash == unknown));
}

#[test]
fn an_index_of_another_chain_is_refused_and_missing_blocks_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, mut chain) = (in_memory(), Branch::from_genesis());
    chain.mine(20, 0, 0);
    let mut index = open(folder.path(), &state).unwrap();
    connect_all(&mut state, &chain.blocks);
    index.catch_up(&state).unwrap();
    drop(index);
    let genesis = ChainParams::main().consensus.genesis_hash;
    let other = FilterIndex::open(&folder.path().join("filters"), &genesis, PruneLock::new(0));
    assert!(matches!(other, Err(FilterError::OtherChain { .. })));

    let late = tempfile::tempdir().unwrap();
    let mut pruned = ChainState::in_memory(ChainParams::regtest(), Some(5), ChainStateOptions::default()).unwrap();
    connect_all(&mut pruned, &chain.blocks);
    let mut index = open(late.path(), &pruned).unwrap();
    let error = index.catch_up(&pruned).unwrap_err();
    let genesis = pruned.params().consensus.genesis_hash;
    assert!(matches!(error, FilterError::Store(StoreError::NotKept { hash }) if hash == genesis), "{error}");
}

/// A long branch becomes active in one call, because its first block comes last. Its blocks are above the old lock and far
/// below the new tip.
#[test]
fn a_branch_that_becomes_active_at_once_is_not_pruned_before_it_is_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let mut short = Branch::from_genesis();
    short.mine(10, 1, 0);
    let mut long = short.clone();
    short.mine(99, 1, 0);
    long.mine(390, 2, 0);
    let lock = PruneLock::new(0);
    let pruned = ChainStateOptions::default().with_prune_bytes(Some(1)).with_block_file_bytes(5_000);
    let mut state = on_disk(folder.path(), pruned.with_prune_lock(lock.clone()));
    let genesis = state.params().consensus.genesis_hash;
    let mut index = FilterIndex::open(&folder.path().join("filters"), &genesis, lock.clone()).unwrap();
    connect_all(&mut state, &short.blocks);
    index.catch_up(&state).unwrap();
    assert_eq!(lock.height(), 110);
    for block in &long.blocks[10..] {
        state.accept_header(block.header(), NOW);
    }
    for block in long.blocks[11..].iter().chain(&long.blocks[10..11]) {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!((state.tip().hash, lock.height()), (long.tip_hash(), 11));
    index.catch_up(&state).unwrap();
    assert_eq!((index.position().unwrap().hash, lock.height()), (long.tip_hash(), 401));
    state.flush().unwrap();
    assert!(state.active_at(50).unwrap().is_pruned(), "nothing holds it any more");
}
