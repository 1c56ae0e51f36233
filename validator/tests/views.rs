//! What a view of the chain answers, asked of the writer and of a snapshot by the same code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use adit_validator::block::DecodedBlock;
use adit_validator::chainstate::{ChainView, CommitPolicy};
use adit_validator::coins::Coin;
use adit_validator::rules::ConnectError;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint, Target};
use support::{Branch, NOW, connect_all, in_memory, on_disk, options};

/// Asks everything of a view whose active chain is `active`, and which also has the blocks of `side` from `fork` on.
fn check_view(view: &impl ChainView, active: &Branch, side: &Branch, fork: u32) {
    let tip = &active.blocks[active.height as usize - 1];
    assert_eq!(view.params().name, "regtest");
    assert_eq!((view.tip().height, view.tip().hash), (active.height, tip.hash()));
    assert_eq!(view.headers().entry(view.tip_id()).hash, tip.hash());
    assert_eq!(view.active_at(active.height + 1).map(|entry| entry.hash), None);

    for (block, height) in active.blocks.iter().zip(1..) {
        let id = view.headers().lookup(&block.hash()).unwrap();
        assert_eq!(view.active_at(height).map(|entry| entry.hash), Some(block.hash()));
        assert!(view.is_active(id));
        assert_eq!(view.block(&block.hash()).unwrap().unwrap().raw(), block.raw());
        assert_eq!(view.block_bytes(&block.hash()).unwrap().unwrap(), block.raw());
        let undo = view.undo(&block.hash()).unwrap().unwrap();
        let inputs: Vec<usize> = block.transactions()[1..].iter().map(|tx| tx.input.len()).collect();
        assert_eq!(undo.spent.iter().map(Vec::len).collect::<Vec<_>>(), inputs);
    }
    for block in &side.blocks[fork as usize..] {
        let id = view.headers().lookup(&block.hash()).unwrap();
        assert!(!view.is_active(id));
        assert_eq!(view.block(&block.hash()).unwrap().unwrap().raw(), block.raw());
        assert_eq!(view.undo(&block.hash()).unwrap(), None, "it was never connected");
    }
    let unknown = BlockHash::all_zeros();
    assert!(view.block(&unknown).unwrap().is_none() && view.undo(&unknown).unwrap().is_none());

    check_candidates(view, active, side);
    check_coins(view, active);

    let facts = view.next_block(tip.header().time + 600);
    assert_eq!((facts.height, facts.prev_hash), (active.height + 1, tip.hash()));
    assert_eq!((facts.subsidy, facts.bits), (Amount::from_int_btc(50), tip.header().bits));

    let locator = view.locator();
    assert_eq!((locator.first(), locator.last()), (Some(&tip.hash()), Some(&view.params().consensus.genesis_hash)));
    let theirs = [side.blocks[side.height as usize - 1].hash(), side.blocks[fork as usize - 1].hash()];
    assert_eq!(view.headers().entry(view.find_fork(&theirs)).height, fork);
    let headers = view.headers_after(&theirs, &unknown, 2);
    let wanted: Vec<_> = active.blocks[fork as usize..].iter().take(2).map(|block| *block.header()).collect();
    assert_eq!(headers, wanted);
}

/// Proposals without proof of work on top of `active`.
fn check_candidates(view: &impl ChainView, active: &Branch, side: &Branch) {
    let unsolved = |branch: &Branch| {
        let mut block = branch.blocks.last().unwrap().block().clone();
        let target = Target::from_compact(block.header.bits);
        while target.is_met_by(block.header.block_hash()) {
            block.header.nonce += 1;
        }
        DecodedBlock::decode(serialize(&block)).unwrap()
    };
    let checked = view.check_candidate(&unsolved(active.clone().mine(1, 9, 2)), NOW).unwrap();
    assert!(checked.inputs > 0, "no coin was asked for");
    for (bad, reason) in
        [(active.clone().mine_greedy(9, 1_000), "bad-cb-amount"), (side.clone().mine(1, 9, 0), "prev-blk-not-found")]
    {
        match view.check_candidate(&unsolved(bad), NOW) {
            Err(ConnectError::Rule(error)) => assert_eq!(error.reject_reason(), reason),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

/// Every output of the chain is a coin, or was spent, or can never be one; all together are those of a replay.
fn check_coins(view: &impl ChainView, active: &Branch) {
    let spent: Vec<OutPoint> = active
        .blocks
        .iter()
        .flat_map(|block| &block.transactions()[1..])
        .flat_map(|tx| tx.input.iter().map(|input| input.previous_output))
        .collect();
    let mut count = 0;
    for (block, height) in active.blocks.iter().zip(1..) {
        for ((tx, txid), at) in block.transactions().iter().zip(block.txids()).zip(0..) {
            for (output, vout) in tx.output.iter().zip(0..) {
                let outpoint = OutPoint { txid: *txid, vout };
                let is_coin = !spent.contains(&outpoint) && !output.script_pubkey.is_op_return();
                let wanted = is_coin.then(|| Coin { output: output.clone(), height, is_coinbase: at == 0 });
                assert_eq!(view.coin(&outpoint).unwrap(), wanted, "{outpoint}");
                count += u64::from(is_coin);
            }
        }
    }
    let mut replay = in_memory();
    connect_all(&mut replay, &active.blocks);
    let statistics = view.coin_statistics().unwrap();
    assert_eq!((statistics.count, statistics), (count, replay.coin_statistics().unwrap()));
}

#[test]
fn the_writer_and_a_snapshot_answer_alike() {
    let mut common = Branch::from_genesis();
    common.mine(104, 0, 2);
    let (mut active, mut side) = (common.clone(), common);
    side.mine(2, 1, 1);
    active.mine(4, 2, 2);
    for commit in [CommitPolicy::EveryBlock, CommitPolicy::WhenFull] {
        let folder = tempfile::tempdir().unwrap();
        let mut state = on_disk(folder.path(), options(commit, 1 << 20));
        connect_all(&mut state, &active.blocks);
        for block in &side.blocks[104..] {
            state.accept_block(block.clone(), NOW).unwrap();
        }
        check_view(&state, &active, &side, 104);
        let snapshot = state.reader().unwrap().snapshot();
        check_view(&snapshot, &active, &side, 104);

        // The writer goes on, and the snapshot stays as it was.
        let mut longer = active.clone();
        longer.mine(3, 3, 2);
        connect_all(&mut state, &longer.blocks[108..]);
        check_view(&state, &longer, &side, 104);
        check_view(&snapshot, &active, &side, 104);
        check_view(&state.reader().unwrap().snapshot(), &longer, &side, 104);
    }
}
