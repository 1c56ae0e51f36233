//! The importer: blocks in any order and more than once, parents that are late, invalid or never come, and a bounded number
//! of blocks that wait.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use adit_testchain::Rng;
use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainView};
use adit_validator::import::{Imported, Importer};
use support::{Branch, NOW, check_coins, fork, in_memory};

/// What became of each block that was pushed, by its number, in the order in which it was told. `None`: no block.
fn outcomes(importer: &mut Importer<usize>, state: &mut ChainState) -> Vec<(usize, Option<BlockOutcome>)> {
    let mut outcomes = Vec::new();
    while let Some(Imported { source, result }) = importer.next(state, NOW).unwrap() {
        outcomes.push((source, result.ok().map(|(_, outcome)| outcome)));
    }
    outcomes
}

/// Pushes all blocks, the numbers of which are their places, and says that there are no more.
fn import<'a>(
    importer: &mut Importer<usize>,
    state: &mut ChainState,
    blocks: impl IntoIterator<Item = &'a DecodedBlock>,
) -> Vec<(usize, Option<BlockOutcome>)> {
    let mut told = Vec::new();
    for (at, block) in blocks.into_iter().enumerate() {
        importer.push(at, block.raw().to_vec());
        told.extend(outcomes(importer, state));
    }
    importer.end();
    told.extend(outcomes(importer, state));
    told
}

/// Heights 1 to `count` of one chain.
fn chain(count: u32) -> Branch {
    let mut chain = Branch::from_genesis();
    chain.mine(count, 0, 0);
    chain
}

#[test]
fn each_block_is_accepted_once_however_often_and_in_whatever_order_it_comes() {
    let (common, short, long) = fork();
    let blocks: Vec<&DecodedBlock> =
        common.blocks.iter().chain(&short.blocks[105..]).chain(&long.blocks[105..]).collect();
    for seed in 0..4 {
        let mut rng = Rng::new(seed);
        // Each block two times, and bytes that are no block in between.
        let mut order: Vec<usize> = (0..2 * blocks.len() + 5).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, rng.below(at + 1));
        }
        let mut state = in_memory();
        let mut importer = Importer::new(state.params(), usize::MAX);
        let mut told = Vec::new();
        for &at in &order {
            let bytes = blocks.get(at / 2).map_or_else(|| vec![7; at], |block| block.raw().to_vec());
            importer.push(at, bytes);
            told.extend(outcomes(&mut importer, &mut state));
        }
        importer.end();
        told.extend(outcomes(&mut importer, &mut state));

        for at in 0..2 * blocks.len() + 5 {
            assert!(told.iter().any(|(source, _)| *source == at), "seed {seed}: {at} was never told of");
        }
        for at in 0..blocks.len() {
            let of_block = told.iter().filter(|(source, _)| source / 2 == at).map(|(_, outcome)| outcome);
            let accepted = of_block.filter(|outcome| {
                let outcome = outcome.as_ref().expect("it is a block");
                assert!(!matches!(outcome, BlockOutcome::Invalid(_) | BlockOutcome::KnownInvalid { .. }));
                !matches!(outcome, BlockOutcome::Duplicate | BlockOutcome::UnknownParent)
            });
            assert_eq!(accepted.count(), 1, "seed {seed}, block {at}");
        }
        let not_blocks = told.iter().filter(|(_, outcome)| outcome.is_none());
        assert!(not_blocks.clone().all(|(source, _)| *source >= 2 * blocks.len()));
        assert_eq!(not_blocks.count(), 5);
        assert_eq!((state.tip().hash, importer.unconnected().count()), (long.tip_hash(), 0), "seed {seed}");
        check_coins(&state, &format!("seed {seed}"));
    }
}

#[test]
fn blocks_whose_parent_does_not_come_are_left_and_connect_when_it_does() {
    let chain = chain(12);
    let mut state = in_memory();
    let mut importer = Importer::new(state.params(), usize::MAX);
    // All but height 5, from the top.
    let order: Vec<&DecodedBlock> =
        chain.blocks.iter().rev().filter(|block| block.hash() != chain.blocks[4].hash()).collect();
    let told = import(&mut importer, &mut state, order.iter().copied());
    assert_eq!(state.tip().height, 4);
    let unknown = told.iter().filter(|(_, outcome)| *outcome == Some(BlockOutcome::UnknownParent)).count();
    assert_eq!(unknown, 7 + 3, "all but height 1 came before their parents");
    let waiting: Vec<_> = importer.unconnected().map(|(block, source)| (block.hash(), *source)).collect();
    let wanted: Vec<_> = (0..7).map(|at| (chain.blocks[11 - at].hash(), at)).collect();
    assert_eq!(waiting, wanted, "oldest first, with where they came from");

    importer.push(99, chain.blocks[4].raw().to_vec());
    let told = outcomes(&mut importer, &mut state);
    let connected = |(source, height)| (source, Some(BlockOutcome::Connected { height }));
    let wanted: Vec<_> = [99, 6, 5, 4, 3, 2, 1, 0].into_iter().zip(5..).map(connected).collect();
    assert_eq!(told, wanted);
    assert_eq!(importer.unconnected().count(), 0);
}

/// A block that breaks a rule when it connects is known with its header, so its child is refused. The child's header is not
/// kept: for those on the child the parent never came.
#[test]
fn children_of_a_block_that_breaks_a_rule_are_refused() {
    let mut bad = chain(3);
    bad.mine_greedy(1, 1_000).mine(3, 1, 0);
    let mut state = in_memory();
    let mut importer = Importer::new(state.params(), usize::MAX);
    let told = import(&mut importer, &mut state, bad.blocks.iter().rev());
    assert_eq!(state.tip().height, 3);
    let reasons: Vec<_> = told
        .iter()
        .filter_map(|(source, outcome)| match outcome {
            Some(BlockOutcome::Invalid(invalid)) => Some((*source, invalid.error.reject_reason().into_owned())),
            _ => None,
        })
        .collect();
    // Numbers from the top: height 7 is number 0.
    assert_eq!(reasons, [(3, "bad-cb-amount".to_owned()), (2, "bad-prevblk".to_owned())]);
    assert_eq!(importer.unconnected().map(|(_, source)| *source).collect::<Vec<_>>(), [0, 1]);
}

/// Bytes that do not belong to their header say nothing of the block with that header: whoever waits for it goes on waiting.
#[test]
fn children_wait_on_when_the_bytes_of_their_parent_are_not_its_own() {
    let chain = chain(6);
    let mut malleated = chain.blocks[3].raw().to_vec();
    // The lock time of its last transaction.
    *malleated.last_mut().unwrap() ^= 1;
    let malleated = DecodedBlock::decode(malleated).unwrap();
    assert_eq!(malleated.hash(), chain.blocks[3].hash());

    let mut state = in_memory();
    let mut importer = Importer::new(state.params(), usize::MAX);
    let blocks = &chain.blocks;
    let told =
        import(&mut importer, &mut state, [&blocks[0], &blocks[1], &blocks[2], &blocks[4], &blocks[5], &malleated]);
    let Some((5, Some(BlockOutcome::Invalid(invalid)))) = told.last() else { panic!("{told:?}") };
    assert_eq!(invalid.error.reject_reason(), "bad-txnmrklroot");
    assert_eq!((state.tip().height, importer.unconnected().count()), (3, 2));

    importer.push(9, blocks[3].raw().to_vec());
    assert_eq!(outcomes(&mut importer, &mut state).len(), 3);
    assert_eq!((state.tip().hash, importer.unconnected().count()), (chain.tip_hash(), 0));
}

#[test]
fn at_most_so_many_bytes_wait_and_the_oldest_are_forgotten() {
    let chain = chain(41);
    let mut state = in_memory();
    let mut importer = Importer::new(state.params(), 10_000);
    import(&mut importer, &mut state, chain.blocks[1..].iter().rev());
    let waiting: Vec<_> = importer.unconnected().map(|(block, _)| block.hash()).collect();
    assert!((3..30).contains(&waiting.len()), "{}: some 700 bytes each", waiting.len());
    let newest = chain.blocks[1..=waiting.len()].iter().rev().map(DecodedBlock::hash);
    assert_eq!(waiting, newest.collect::<Vec<_>>());

    importer.push(99, chain.blocks[0].raw().to_vec());
    assert_eq!(outcomes(&mut importer, &mut state).len(), 1 + waiting.len());
    assert_eq!(state.tip().height as usize, 1 + waiting.len());
    // What was forgotten is taken when it comes again.
    import(&mut importer, &mut state, &chain.blocks);
    assert_eq!(state.tip().hash, chain.tip_hash());
}

/// Without room to wait, a block whose parent is not there is told of and forgotten.
#[test]
fn nothing_waits_where_there_is_no_room() {
    let chain = chain(3);
    let mut state = in_memory();
    let mut importer = Importer::new(state.params(), 0);
    let told = import(&mut importer, &mut state, chain.blocks.iter().rev());
    let wanted = [BlockOutcome::UnknownParent, BlockOutcome::UnknownParent, BlockOutcome::Connected { height: 1 }];
    assert_eq!(told, (0..).zip(wanted.map(Some)).collect::<Vec<_>>());
    assert_eq!((state.tip().height, importer.unconnected().count()), (1, 0));
}
