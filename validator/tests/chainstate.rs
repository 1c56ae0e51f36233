//! The chain state end to end: orders of arrival, reorganisations, invalid branches, restarts.

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use adit_testchain::{ChainGenerator, ChainShape};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{
    BlockOutcome, ChainEvent, ChainState, ChainStateOptions, ChainView, CommitPolicy, HeaderOutcome, InvalidBlock,
};
use adit_validator::import::{Imported, Importer};
use adit_validator::rules::RuleError;
use adit_validator::store::StoreError;
use proptest::prelude::*;
use support::on_disk as open_folder;
use support::{Branch, NOW, QUEUE, Told, check_coins, connect_all, eventful, fork, in_memory, options, told};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_ends_on_most_work_with_the_coins_of_a_fresh_replay(
        order in Just((100..115_usize).collect::<Vec<_>>()).prop_shuffle(),
        headers_first in proptest::collection::vec(any::<bool>(), 15),
    ) {
        let (common, short, long) = fork();
        let mut state = in_memory();
        connect_all(&mut state, &common.blocks[..100]);
        let late = common.blocks[100..].iter().chain(&short.blocks[105..]).chain(&long.blocks[105..]);
        let late: Vec<&DecodedBlock> = late.collect();
        let mut importer = Importer::new(state.params(), usize::MAX);
        for at in order {
            let block = late[at - 100];
            if headers_first[at - 100] {
                let outcome = state.accept_header(block.header(), NOW);
                prop_assert!(!matches!(outcome, HeaderOutcome::Invalid(_)), "{:?}", outcome);
            }
            importer.push(at, block.raw().to_vec());
        }
        importer.end();
        let mut accepted = Vec::new();
        while let Some(Imported { source, result }) = importer.next(&mut state, NOW).unwrap() {
            let (_, outcome) = result.unwrap();
            prop_assert!(!matches!(outcome, BlockOutcome::Invalid(_) | BlockOutcome::Duplicate), "{:?}", outcome);
            accepted.extend((outcome != BlockOutcome::UnknownParent).then_some(source));
        }
        accepted.sort_unstable();
        prop_assert_eq!(accepted, (100..115).collect::<Vec<_>>());
        prop_assert_eq!(state.tip().hash, long.tip_hash());
        prop_assert_eq!(importer.unconnected().count(), 0);
        check_coins(&state, "after any order");
    }
}

#[test]
fn outcomes_tell_what_became_of_a_block() {
    let (common, short, long) = fork();
    let mut state = in_memory();
    connect_all(&mut state, &common.blocks);
    let mut give = |block: &DecodedBlock| state.accept_block(block.clone(), NOW).unwrap();
    assert_eq!(give(&long.blocks[106]), BlockOutcome::UnknownParent);
    assert_eq!(give(&long.blocks[106]), BlockOutcome::UnknownParent);
    assert_eq!(give(&short.blocks[105]), BlockOutcome::Connected { height: 106 });
    assert_eq!(give(&short.blocks[105]), BlockOutcome::Duplicate);
    assert_eq!(give(&long.blocks[105]), BlockOutcome::SideBranch { height: 106 });
    assert_eq!(give(&long.blocks[106]), BlockOutcome::Connected { height: 107 });
    // The same work as the tip, and later.
    assert_eq!(give(&short.blocks[106]), BlockOutcome::SideBranch { height: 107 });
    assert_eq!(state.tip().hash, long.blocks[106].hash());

    for block in &long.blocks[107..] {
        let height = state.accept_header(block.header(), NOW);
        assert!(matches!(height, HeaderOutcome::Accepted { .. }));
    }
    assert_eq!(state.accept_header(long.blocks[107].header(), NOW), HeaderOutcome::Known { height: 108 });
    assert_eq!(state.headers().entry(state.headers().best_header()).hash, long.tip_hash());
    let last = state.accept_block(long.blocks[110].clone(), NOW).unwrap();
    assert_eq!(last, BlockOutcome::AncestorsMissing { height: 111 });
    connect_all(&mut state, &long.blocks[107..110]);
    assert_eq!(state.tip().hash, long.tip_hash());
    assert_eq!(state.block(&long.tip_hash()).unwrap().unwrap().raw(), long.blocks[110].raw());
    let orphan_header = Branch::from_genesis().mine(2, 9, 0).blocks[1].clone();
    assert_eq!(state.accept_header(orphan_header.header(), NOW), HeaderOutcome::UnknownParent);
}

#[test]
fn a_deep_reorganisation_there_and_back_restores_every_coin() {
    let mut common = Branch::from_genesis();
    common.mine(110, 0, 1);
    let (mut one, mut other) = (common.clone(), common);
    one.mine(200, 1, 3);
    other.mine(201, 2, 3);
    let mut state = in_memory();
    connect_all(&mut state, &one.blocks);
    let before = state.coin_statistics().unwrap();
    let events = state.subscribe_queue(QUEUE);

    for block in &other.blocks[110..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, other.tip_hash());
    check_coins(&state, "");
    let events: Vec<Told> = events.drain().map(told).collect();
    let disconnected = events.iter().filter(|event| matches!(event, Told::Disconnected(..))).count();
    let connected = events.iter().filter(|event| matches!(event, Told::Connected(..))).count();
    assert_eq!((disconnected, connected), (200, 201));
    assert_eq!(events.first(), Some(&Told::Disconnected(one.tip_hash(), 310)));
    assert_eq!(events.last(), Some(&Told::Tip(other.tip_hash(), 311)));

    let tip = one.tip_hash();
    one.mine(2, 1, 0);
    state.accept_block(one.blocks[310].clone(), NOW).unwrap();
    assert_eq!(state.accept_block(one.blocks[311].clone(), NOW).unwrap(), BlockOutcome::Connected { height: 312 });
    let coinbases = state.coin_statistics().unwrap().count - before.count;
    assert_eq!(coinbases, 2, "the coins of {tip} and two new coinbases");
    check_coins(&state, "");
}

#[test]
fn an_invalid_block_in_a_heavier_branch_leaves_the_best_valid_chain() {
    let (common, short, _) = fork();
    let mut bad = common.clone();
    bad.mine(2, 3, 2).mine_greedy(3, 1_000).mine(3, 3, 1);
    let mut state = in_memory();
    connect_all(&mut state, &short.blocks);
    let before = state.coin_statistics().unwrap();
    let events = state.subscribe_queue(QUEUE);

    // After their headers the blocks come last one first, so that only the first of the branch lets it be tried.
    for block in &bad.blocks[105..] {
        state.accept_header(block.header(), NOW);
    }
    for (block, height) in bad.blocks[106..].iter().rev().zip((107..=111).rev()) {
        assert_eq!(state.accept_block(block.clone(), NOW).unwrap(), BlockOutcome::AncestorsMissing { height });
    }
    let outcome = state.accept_block(bad.blocks[105].clone(), NOW).unwrap();
    assert_eq!(outcome, BlockOutcome::SideBranch { height: 106 });
    let greedy = bad.blocks[107].hash();
    assert_eq!((state.tip().hash, state.coin_statistics().unwrap()), (short.tip_hash(), before));
    let invalid = events.drain().find_map(|event| match event {
        ChainEvent::Invalid(invalid) => {
            Some((invalid.hash, invalid.height, invalid.error.reject_reason().into_owned()))
        }
        _ => None,
    });
    assert_eq!(invalid, Some((greedy, Some(108), "bad-cb-amount".to_owned())));

    // It is remembered, and so is everything above it.
    for block in &bad.blocks[107..] {
        let again = state.accept_block(block.clone(), NOW).unwrap();
        assert_eq!(again, BlockOutcome::KnownInvalid { first: greedy });
        assert_eq!(state.accept_header(block.header(), NOW), HeaderOutcome::KnownInvalid { first: greedy });
    }
    let above = bad.clone().mine(1, 4, 0).blocks[111].clone();
    let error = RuleError::PreviousInvalid { previous: bad.tip_hash() };
    let refused = InvalidBlock { hash: above.hash(), height: Some(112), error };
    assert_eq!(state.accept_block(above.clone(), NOW).unwrap(), BlockOutcome::Invalid(refused));
    assert!(matches!(state.accept_header(above.header(), NOW), HeaderOutcome::Invalid(_)));

    // What was valid of it can still grow.
    let mut mended = common.clone();
    mended.mine(2, 3, 2).mine(5, 5, 1);
    for block in &mended.blocks[105..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, mended.tip_hash());
    check_coins(&state, "");
}

#[test]
fn a_block_that_breaks_a_rule_is_named_with_the_rule() {
    let mut chain = Branch::from_genesis();
    chain.mine(2, 0, 0);
    let mut state = in_memory();
    connect_all(&mut state, &chain.blocks);
    let greedy = chain.clone().mine_greedy(1, 1_000).blocks[2].clone();
    let BlockOutcome::Invalid(invalid) = state.accept_block(greedy.clone(), NOW).unwrap() else { panic!("accepted") };
    assert_eq!((invalid.hash, invalid.height), (greedy.hash(), Some(3)));
    assert_eq!(invalid.error.reject_reason(), "bad-cb-amount");
    assert_eq!(
        (state.tip().height, state.headers().best_header()),
        (2, state.headers().lookup(&chain.tip_hash()).unwrap())
    );

    // Other bytes under a good header do not make it invalid.
    let good = chain.clone().mine(1, 2, 0).blocks[2].clone();
    let mut mutated = good.block().clone();
    mutated.txdata[0].output[0].value = bitcoin::Amount::ONE_SAT;
    let mutated = DecodedBlock::decode(bitcoin::consensus::serialize(&mutated)).unwrap();
    let BlockOutcome::Invalid(invalid) = state.accept_block(mutated, NOW).unwrap() else { panic!("accepted") };
    assert_eq!(invalid.error.reject_reason(), "bad-txnmrklroot");
    assert_eq!(state.accept_block(good, NOW).unwrap(), BlockOutcome::Connected { height: 3 });

    // A time too far ahead is right later.
    let next = chain.clone().mine(1, 2, 0).mine(1, 2, 0).blocks[3].clone();
    let early = u64::from(next.header().time) - 7_201;
    assert!(matches!(state.accept_block(next.clone(), early).unwrap(), BlockOutcome::Invalid(_)));
    assert_eq!(state.accept_block(next, early + 1).unwrap(), BlockOutcome::Connected { height: 4 });
}

#[test]
fn a_folder_comes_back_as_it_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let open = |commit, cache| ChainState::open(folder.path(), ChainParams::regtest(), options(commit, cache)).unwrap();
    let (common, short, long) = fork();

    let mut state = open(CommitPolicy::EveryBlock, 1 << 20);
    connect_all(&mut state, &common.blocks);
    for block in &short.blocks[105..] {
        state.accept_block(block.clone(), NOW).unwrap();
        assert_eq!(state.durable_tip().hash, state.tip().hash);
    }
    let coins = state.coin_statistics().unwrap();
    drop(state);

    // Not committed: lost, and nothing else.
    let mut state = open(CommitPolicy::WhenFull, 1 << 20);
    assert_eq!((state.tip().hash, state.coin_statistics().unwrap()), (short.tip_hash(), coins));
    for block in &long.blocks[105..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!((state.tip().hash, state.durable_tip().hash), (long.tip_hash(), short.tip_hash()));
    drop(state);
    let mut state = open(CommitPolicy::WhenFull, 0);
    assert_eq!((state.tip().hash, state.coin_statistics().unwrap()), (short.tip_hash(), coins));
    assert!(state.headers().lookup(&long.tip_hash()).is_none());

    // A cache of nothing commits at every block, in the middle of a reorganisation too.
    for block in &long.blocks[105..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.durable_tip().hash, long.tip_hash());
    assert_eq!(state.coin_cache_bytes(), 0);
    check_coins(&state, "");
    drop(state);

    // Undo data of earlier runs: back to the shorter branch, made longer.
    let mut short = short;
    short.mine(3, 1, 2);
    let mut state = open(CommitPolicy::WhenFull, 1 << 20);
    for block in &short.blocks[109..] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().hash, short.tip_hash());
    check_coins(&state, "");
    state.close().unwrap();
    assert_eq!(open(CommitPolicy::WhenFull, 0).tip().hash, short.tip_hash());
}

#[test]
fn a_folder_with_hardly_a_cache_and_memory_agree() {
    let folder = tempfile::tempdir().unwrap();
    let cache_bytes = 20_000;
    let options = options(CommitPolicy::WhenFull, cache_bytes);
    let mut on_disk = ChainState::open(folder.path(), ChainParams::regtest(), options).unwrap();
    let mut in_memory = in_memory();
    for block in eventful(8) {
        let outcome = on_disk.accept_block(block.clone(), NOW).unwrap();
        assert_eq!(outcome, in_memory.accept_block(block, NOW).unwrap());
        assert!(on_disk.coin_cache_bytes() <= cache_bytes);
    }
    assert_eq!(on_disk.tip().hash, in_memory.tip().hash);
    assert_eq!(on_disk.tip().height, 220);
    assert_eq!(on_disk.coin_statistics().unwrap(), in_memory.coin_statistics().unwrap());
    check_coins(&on_disk, "");
}

#[test]
fn a_flipped_byte_in_a_stored_block_is_named_by_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(102, 0, 1);
    let mut state = ChainState::open(folder.path(), ChainParams::regtest(), ChainStateOptions::default()).unwrap();
    connect_all(&mut state, &chain.blocks);
    let path = folder.path().join("blocks/blk00000.dat");
    let good = std::fs::read(&path).unwrap();
    let last = chain.blocks[101].raw().len();
    for at in good.len() - last - 8..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let error = state.block(&chain.tip_hash()).unwrap_err();
        let StoreError::Damaged { path: named, offset, .. } = &error else { panic!("byte {at}: {error}") };
        let start = good.len() - last;
        assert!(*named == path && (start as u64 - 8..=start as u64).contains(offset), "byte {at}: {error}");
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(state.block(&chain.tip_hash()).unwrap().unwrap().raw(), chain.blocks[101].raw());
}

#[test]
fn a_chain_state_can_move_to_the_thread_that_writes() {
    let mut chain = Branch::from_genesis();
    let mut state = in_memory();
    let events = state.subscribe_queue(QUEUE);
    chain.mine(3, 0, 0);
    let tip = chain.tip_hash();
    std::thread::spawn(move || connect_all(&mut state, &chain.blocks)).join().unwrap();
    assert_eq!(events.map(told).last(), Some(Told::Tip(tip, 3)));
}

#[test]
fn failed_branches_are_remembered_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || ChainState::open(folder.path(), ChainParams::regtest(), ChainStateOptions::default()).unwrap();
    let mut chain = Branch::from_genesis();
    chain.mine(3, 0, 0);
    let mut bad = chain.clone();
    bad.mine_greedy(1, 1_000).mine(1, 1, 0);
    let mut state = open();
    connect_all(&mut state, &chain.blocks);
    assert!(matches!(state.accept_block(bad.blocks[3].clone(), NOW).unwrap(), BlockOutcome::Invalid(_)));
    drop(state);
    let mut state = open();
    assert_eq!(state.tip().hash, chain.tip_hash());
    let refused = state.accept_block(bad.blocks[4].clone(), NOW).unwrap();
    assert!(matches!(refused, BlockOutcome::Invalid(InvalidBlock { error: RuleError::PreviousInvalid { .. }, .. })));
}

#[test]
fn a_block_can_be_built_from_the_facts() {
    let mut chain = Branch::from_genesis();
    chain.mine(12, 0, 0);
    let mut state = in_memory();
    connect_all(&mut state, &chain.blocks);
    let time = chain.blocks[11].header().time + 1;
    let facts = state.next_block(time);
    assert_eq!(
        (facts.height, facts.prev_hash, facts.subsidy),
        (13, chain.tip_hash(), bitcoin::Amount::from_int_btc(50))
    );
    // The median of the last eleven blocks is the time of the sixth of them.
    assert_eq!(facts.median_time_past, chain.blocks[6].header().time);
    let mut block = chain.blocks[11].block().clone();
    block.header.prev_blockhash = facts.prev_hash;
    (block.header.bits, block.header.time) = (facts.bits, facts.min_time);
    block.txdata = vec![support::coinbase(facts.height, 0, facts.subsidy)];
    let build = |block| DecodedBlock::decode(bitcoin::consensus::serialize(&support::solve(block))).unwrap();
    let mut early = block.clone();
    early.header.time -= 1;
    assert!(matches!(state.accept_block(build(early), NOW).unwrap(), BlockOutcome::Invalid(_)));
    assert_eq!(state.accept_block(build(block), NOW).unwrap(), BlockOutcome::Connected { height: 13 });
}

#[test]
fn blocks_that_are_no_longer_kept_stop_a_reorganisation_with_their_name() {
    let (common, short, long) = fork();
    let mut state = ChainState::in_memory(ChainParams::regtest(), Some(2), ChainStateOptions::default()).unwrap();
    connect_all(&mut state, &common.blocks);
    connect_all(&mut state, &short.blocks[105..]);
    let tip = state.tip().hash;
    let mut last = Ok(BlockOutcome::UnknownParent);
    for block in &long.blocks[105..] {
        last = state.accept_block(block.clone(), NOW);
        if last.is_err() {
            break;
        }
    }
    assert!(matches!(last, Err(StoreError::NotKept { .. })), "{last:?}");
    // Whole blocks were taken back; the coins are those of the tip.
    assert_ne!(state.tip().hash, tip);
}

/// The header does not commit to witnesses: a rotten one must be damage, and not a script that fails.
#[test]
fn a_rotten_witness_is_damage_and_condemns_no_block() {
    let blocks: Vec<DecodedBlock> =
        ChainGenerator::new(ChainShape::small(3)).unwrap().map(|block| DecodedBlock::decode(block).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let options = ChainStateOptions::default().with_commit(CommitPolicy::EveryBlock);
    let mut state = open_folder(folder.path(), options);
    let [rest @ .., before, last] = blocks.as_slice() else { panic!("a chain has two blocks") };
    connect_all(&mut state, rest);
    assert!(matches!(state.accept_header(before.header(), NOW), HeaderOutcome::Accepted { .. }));
    let outcome = state.accept_block(last.clone(), NOW).unwrap();
    assert!(matches!(outcome, BlockOutcome::AncestorsMissing { .. }), "{outcome:?}");

    let has_witness = |tx: &usize| last.txids()[*tx].to_raw_hash() != last.wtxids()[*tx].to_raw_hash();
    let tx = (1..last.transactions().len()).find(has_witness).expect("a transaction with a witness");
    let raw = last.raw_transaction(tx);
    let path = folder.path().join("blocks/blk00000.dat");
    let mut bytes = std::fs::read(&path).unwrap();
    let start = bytes.windows(raw.len()).position(|window| window == raw).unwrap();
    // Before the lock time stands the end of the last witness.
    bytes[start + raw.len() - 8] ^= 1;
    std::fs::write(&path, &bytes).unwrap();

    assert!(matches!(state.block(&last.hash()), Err(StoreError::Damaged { .. })));
    let error = state.accept_block(before.clone(), NOW).unwrap_err();
    assert!(error.to_string().contains("blk00000.dat is damaged"), "{error}");
    let id = state.headers().lookup(&last.hash()).unwrap();
    assert!(!state.headers().entry(id).is_failed());
    drop(state);

    bytes[start + raw.len() - 8] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut state = open_folder(folder.path(), ChainStateOptions::default());
    state.accept_block(before.clone(), NOW).unwrap();
    assert_eq!(state.tip().hash, last.hash());
}
