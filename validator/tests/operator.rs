//! `invalidate`, `reconsider` and `precious`: what becomes active, what is remembered, and what a cut in the middle leaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{
    BlockOutcome, ChainEvent, ChainState, ChainStateOptions, ChainView, CommitPolicy, HeaderOutcome, OperatorOutcome,
};
use adit_validator::coins::{BlockUndo, Coin};
use adit_validator::headers::EntryId;
use adit_validator::rules::RuleError;
use adit_validator::store::folder::FolderStore;
use adit_validator::store::{
    BlockLocation, BlockReader, CoinSource, Commit, Identity, NewBlock, Span, Store, StoreError, StoredBlock,
};
use bitcoin::OutPoint;
use proptest::prelude::*;
use support::{Branch, NOW, QUEUE, Told, check_coins, connect_all, fork, in_memory, on_disk, options, told};

/// Feeds all three, so that the long branch is active.
fn feed(state: &mut ChainState, (common, short, long): &(Branch, Branch, Branch)) {
    for block in common.blocks.iter().chain(&short.blocks[105..]).chain(&long.blocks[105..]) {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, long.tip_hash());
}

#[test]
fn the_best_of_the_others_takes_over_and_gives_way_again() {
    let branches = fork();
    let (_, short, long) = &branches;
    let mut state = in_memory();
    feed(&mut state, &branches);
    let events = state.subscribe_queue(QUEUE);
    let at = |branch: &Branch, height: u32| branch.blocks[height as usize - 1].hash();

    let second = at(long, 107);
    assert_eq!(state.invalidate(&second).unwrap(), OperatorOutcome::Done);
    assert_eq!(state.tip().hash, short.tip_hash());
    check_coins(&state, "after invalidate");
    let mut wanted = Vec::new();
    wanted.extend((106..=111).rev().map(|height| Told::Disconnected(at(long, height), height)));
    wanted.extend((106..=109).map(|height| Told::Connected(at(short, height), height)));
    wanted.push(Told::Tip(short.tip_hash(), 109));
    assert_eq!(events.drain().map(told).collect::<Vec<_>>(), wanted);

    // What stands on it is refused by the names that Core gives.
    let known = state.accept_block(long.blocks[108].clone(), NOW).unwrap();
    assert_eq!(known, BlockOutcome::KnownInvalid { first: second });
    let child = long.clone().mine(1, 7, 0).blocks[111].clone();
    let BlockOutcome::Invalid(refused) = state.accept_block(child.clone(), NOW).unwrap() else { panic!("taken") };
    assert_eq!(refused.error.reject_reason(), "bad-prevblk");
    assert!(matches!(
        state.accept_header(child.header(), NOW),
        HeaderOutcome::Invalid(RuleError::PreviousInvalid { previous }) if previous == long.tip_hash()
    ));
    assert_eq!(state.headers().entry(state.headers().best_header()).hash, short.tip_hash());

    // Any block of the line takes the mark back.
    assert_eq!(state.reconsider(&at(long, 110)).unwrap(), OperatorOutcome::Done);
    assert_eq!(
        (state.tip().hash, state.headers().lookup(&long.tip_hash())),
        (long.tip_hash(), Some(state.headers().best_header()))
    );
    check_coins(&state, "after reconsider");
    assert_eq!(state.accept_block(child.clone(), NOW).unwrap(), BlockOutcome::Connected { height: 112 });

    // A branch that is not active: nothing moves, and it does not come back.
    assert_eq!(events.drain().map(told).last(), Some(Told::Tip(child.hash(), 112)));
    assert_eq!(state.invalidate(&at(short, 106)).unwrap(), OperatorOutcome::Done);
    assert_eq!(state.tip().hash, child.hash());
    assert_eq!(events.drain().count(), 0);
    assert_eq!(state.invalidate(&second).unwrap(), OperatorOutcome::Done);
    assert_eq!(state.tip().hash, at(long, 106), "what is below the invalid block is still the best");
    check_coins(&state, "between two invalid branches");

    // All the way down.
    assert_eq!(state.invalidate(&at(long, 1)).unwrap(), OperatorOutcome::Done);
    assert_eq!((state.tip().height, state.coin_statistics().unwrap().count), (0, 0));
    assert_eq!(state.invalidate(&state.params().consensus.genesis_hash.clone()).unwrap(), OperatorOutcome::Genesis);
    let unknown = Branch::from_genesis().mine(1, 50, 0).tip_hash();
    for outcome in [state.invalidate(&unknown), state.reconsider(&unknown), state.precious(&unknown)] {
        assert_eq!(outcome.unwrap(), OperatorOutcome::UnknownBlock);
    }
    assert_eq!(state.reconsider(&at(long, 1)).unwrap(), OperatorOutcome::Done);
    assert_eq!(state.tip().hash, child.hash());
}

#[test]
fn a_block_that_broke_a_rule_is_found_to_break_it_again() {
    let mut chain = Branch::from_genesis();
    chain.mine(103, 0, 1);
    let mut state = in_memory();
    connect_all(&mut state, &chain.blocks);
    let greedy = chain.clone().mine_greedy(1, 1_000).blocks[103].clone();
    assert!(matches!(state.accept_block(greedy.clone(), NOW).unwrap(), BlockOutcome::Invalid(_)));
    let events = state.subscribe_queue(QUEUE);
    assert_eq!(state.reconsider(&greedy.hash()).unwrap(), OperatorOutcome::Done);
    assert_eq!(state.tip().hash, chain.tip_hash());
    let told: Vec<ChainEvent> = events.drain().collect();
    assert!(
        matches!(&told[..], [ChainEvent::Invalid(invalid)] if invalid.error.reject_reason() == "bad-cb-amount"),
        "{told:?}"
    );
    let again = state.accept_block(greedy.clone(), NOW).unwrap();
    assert_eq!(again, BlockOutcome::KnownInvalid { first: greedy.hash() });
}

#[test]
fn marks_last_over_a_restart_and_preferences_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let open = |commit| on_disk(folder.path(), options(commit, 1 << 20));
    let branches = fork();
    let (common, short, long) = &branches;
    let mut state = open(CommitPolicy::WhenFull);
    feed(&mut state, &branches);
    assert_eq!(state.durable_tip().height, 0);
    state.invalidate(&long.blocks[107].hash()).unwrap();
    // An order that was answered is kept, whatever the policy.
    drop(state);
    let mut state = open(CommitPolicy::WhenFull);
    assert_eq!(state.tip().hash, short.tip_hash());
    let first = long.blocks[107].hash();
    assert_eq!(state.accept_header(long.blocks[110].header(), NOW), HeaderOutcome::KnownInvalid { first });
    state.reconsider(&first).unwrap();
    drop(state);
    let mut state = open(CommitPolicy::EveryBlock);
    assert_eq!(state.tip().hash, long.tip_hash());

    // A third branch, as long as the longest.
    let mut equal = common.clone();
    equal.mine(6, 3, 2);
    for block in &equal.blocks[105..] {
        let outcome = state.accept_block(block.clone(), NOW).unwrap();
        assert!(matches!(outcome, BlockOutcome::SideBranch { .. }), "{outcome:?}");
    }
    for (preferred, other) in [(&equal, long), (long, &equal), (&equal, long)] {
        state.precious(&other.tip_hash()).unwrap();
        state.precious(&preferred.tip_hash()).unwrap();
        assert_eq!(state.tip().hash, preferred.tip_hash());
        check_coins(&state, "precious");
    }
    state.precious(&short.tip_hash()).unwrap();
    state.precious(&common.tip_hash()).unwrap();
    assert_eq!(state.tip().hash, equal.tip_hash(), "less work is never preferred");
    drop(state);
    // The tip is what it was, and of the others whoever comes next with more work wins.
    let mut state = open(CommitPolicy::EveryBlock);
    assert_eq!(state.tip().hash, equal.tip_hash());
    let next = long.clone().mine(1, 4, 1).blocks[111].clone();
    assert_eq!(state.accept_block(next, NOW).unwrap(), BlockOutcome::Connected { height: 112 });
    // Preferred only among equals.
    state.precious(&equal.tip_hash()).unwrap();
    assert_eq!(state.tip().height, 112);
    check_coins(&state, "at the end");
}

/// A data folder whose commits fail once there were enough.
struct Cut {
    store: FolderStore,
    left: Arc<AtomicUsize>,
}

impl CoinSource for Cut {
    fn load_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        self.store.load_coin(outpoint)
    }
    fn for_each_coin(&self, with: &mut dyn FnMut(OutPoint, Coin)) -> Result<(), StoreError> {
        self.store.for_each_coin(with)
    }
}

impl BlockReader for Cut {
    fn read_block(&self, block: &StoredBlock) -> Result<Vec<u8>, StoreError> {
        self.store.read_block(block)
    }
    fn read_undo(&self, block: &StoredBlock) -> Result<BlockUndo, StoreError> {
        self.store.read_undo(block)
    }
    fn damaged_block(&self, block: &StoredBlock, what: String) -> StoreError {
        self.store.damaged_block(block, what)
    }
}

impl Store for Cut {
    fn is_durable(&self) -> bool {
        true
    }
    fn append_block(&mut self, block: &NewBlock<'_>) -> Result<BlockLocation, StoreError> {
        self.store.append_block(block)
    }
    fn append_undo(&mut self, block: &StoredBlock, undo: &BlockUndo) -> Result<Span, StoreError> {
        self.store.append_undo(block, undo)
    }
    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(1).ok_or(StoreError::Stopped)?;
        self.left.store(left, Ordering::Relaxed);
        self.store.commit(commit)
    }
}

/// Every block of the reorganisation that an order brings is a commit here, and each is the last in turn.
#[test]
fn an_order_cut_off_at_any_commit_is_finished_by_the_next_start() {
    let branches = fork();
    let (_, short, long) = &branches;
    let base = tempfile::tempdir().unwrap();
    let mut cuts = 0;
    for commits in 0.. {
        let folder = base.path().join(commits.to_string());
        let mut state = on_disk(&folder, options(CommitPolicy::EveryBlock, 1 << 20));
        feed(&mut state, &branches);
        state.close().unwrap();

        let left = Arc::new(AtomicUsize::new(commits));
        let mut state = open_cut(&folder, &left);
        let order = state.invalidate(&long.blocks[106].hash());
        let reached = state.durable_tip().hash;
        let cut_off = order.is_err();
        drop(state);
        let state = on_disk(&folder, options(CommitPolicy::EveryBlock, 1 << 20));
        let expected = if commits == 0 { long.tip_hash() } else { short.tip_hash() };
        assert_eq!(state.tip().hash, expected, "after {commits} commits, at {reached}");
        check_coins(&state, &format!("after {commits} commits"));
        if !cut_off {
            break;
        }
        cuts += 1;
    }
    assert!(cuts >= 10, "five blocks back, four or more up, each a commit; there were {cuts} cuts");
}

fn open_cut(folder: &Path, left: &Arc<AtomicUsize>) -> ChainState {
    let params = ChainParams::regtest();
    let identity = Identity::of(&params);
    let (store, loaded) = FolderStore::open(folder, &identity, 4 << 20).unwrap();
    let store = Cut { store, left: Arc::clone(left) };
    ChainState::with_store(Box::new(store), loaded, params, options(CommitPolicy::WhenFull, 0)).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Give(usize),
    Invalidate(usize),
    Reconsider(usize),
    Precious(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let block = || 0..20_usize;
    prop_oneof![
        6 => block().prop_map(Step::Give),
        2 => block().prop_map(Step::Invalidate),
        2 => block().prop_map(Step::Reconsider),
        2 => block().prop_map(Step::Precious),
        1 => Just(Step::Restart),
    ]
}

/// Four branches of five blocks above a common base, two of which share three blocks.
fn branches() -> Vec<DecodedBlock> {
    let mut base = Branch::from_genesis();
    base.mine(3, 0, 0);
    let mut blocks = base.blocks.clone();
    for salt in 1..=2 {
        let mut branch = base.clone();
        branch.mine(3, salt, 0);
        let mut other = branch.clone();
        blocks.extend_from_slice(&branch.mine(2, salt, 0).blocks[3..]);
        blocks.extend_from_slice(&other.mine(3, 10 * salt, 0).blocks[6..]);
    }
    blocks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_steps_leave_the_most_work_that_is_not_held_invalid(steps in proptest::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let open = || on_disk(folder.path(), ChainStateOptions::default());
        let blocks = branches();
        let mut state = open();
        for step in steps {
            let hash = |at: usize| blocks[at % blocks.len()].hash();
            match step {
                Step::Give(at) => drop(state.accept_block(blocks[at % blocks.len()].clone(), NOW).unwrap()),
                Step::Invalidate(at) => drop(state.invalidate(&hash(at)).unwrap()),
                Step::Reconsider(at) => drop(state.reconsider(&hash(at)).unwrap()),
                Step::Precious(at) => {
                    let before = state.tip().chain_work;
                    state.precious(&hash(at)).unwrap();
                    prop_assert_eq!(state.tip().chain_work, before);
                }
                Step::Restart => {
                    let (tip, coins) = (state.tip().hash, state.coin_statistics().unwrap());
                    drop(state);
                    state = open();
                    prop_assert_eq!((state.tip().hash, state.coin_statistics().unwrap()), (tip, coins));
                }
            }
            let tree = state.headers();
            prop_assert!(!state.tip().is_failed());
            let has_all = |id| tree.path(EntryId::GENESIS, id).iter().all(|id| tree.entry(*id).location.is_some());
            for id in tree.ids().filter(|id| !tree.entry(*id).is_failed() && has_all(*id)) {
                prop_assert!(tree.entry(id).chain_work <= state.tip().chain_work, "{} was left", tree.entry(id).hash);
            }
        }
        check_coins(&state, "after all steps");
    }
}
