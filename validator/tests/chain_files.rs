//! Chains from files: no chain accepts the blocks or the store of another.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainFile;
use adit_validator::chain::ChainParams;
use adit_validator::chain::file::DifficultyRule;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainStateOptions, ChainView, HeaderOutcome};
use adit_validator::store::StoreError;
use adit_validator::template::BlockTemplate;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Block, CompactTarget, ScriptBuf, Target};
use support::{Branch, NOW, connect_all, solve};

/// A chain as easy as regtest, in which `edit` changes something. Its genesis block is mined.
fn chain(edit: impl FnOnce(&mut ChainFile)) -> ChainParams {
    let mut file = ChainFile::builder("grid", 1_600_000_000)
        .with_magic(Some([0xc0, 0xff, 0xee, 0x01]))
        .with_pow_limit(CompactTarget::from_consensus(0x207f_ffff))
        .with_spacing(600)
        .with_difficulty(DifficultyRule::None)
        .build()
        .expect("a good chain file");
    edit(&mut file);
    while !Target::from_compact(file.genesis.bits).is_met_by(file.params().consensus.genesis_hash) {
        file.genesis.nonce += 1;
    }
    ChainFile::parse(&file.to_toml()).expect("a good chain file").params()
}

#[test]
fn blocks_of_a_chain_with_another_rule_are_not_taken() {
    let ours = chain(|_| {});
    // The other chain's blocks keep all of our rules: only its genesis block tells them apart.
    let theirs = chain(|file| file.rules.halving_interval += 1);
    let mut state = ChainState::in_memory(ours.clone(), None, ChainStateOptions::default()).expect("memory");
    for block in &Branch::on(theirs.clone()).mine(3, 0, 0).blocks {
        assert_eq!(state.accept_header(block.header(), NOW), HeaderOutcome::UnknownParent);
        assert_eq!(state.accept_block(block.clone(), NOW).expect("memory"), BlockOutcome::UnknownParent);
    }
    assert_eq!(state.accept_header(&theirs.genesis.header, NOW), HeaderOutcome::UnknownParent);
    assert_eq!((state.tip().height, state.headers().count()), (0, 1));
    connect_all(&mut state, &Branch::on(ours).mine(3, 1, 0).blocks);
    assert_eq!(state.tip().height, 3);
}

/// Mines the block that the template for `now` describes, at the latest time to which it may be rolled; its time.
fn mine_template(state: &mut ChainState, now: u32, salt: u64) -> u32 {
    let next = state.next_block(now);
    let template = BlockTemplate::new(&next, ScriptBuf::new(), next.time, salt).unwrap();
    let mut block: Block =
        deserialize(&template.solved(&serialize(template.header()).try_into().unwrap(), &[7; 8]).unwrap()).unwrap();
    block.header.time = template.max_time();
    let block = DecodedBlock::decode(serialize(&solve(block))).unwrap();
    let outcome = state.accept_block(block, NOW).unwrap();
    assert!(matches!(outcome, BlockOutcome::Connected { .. }), "{next:?}: {outcome:?}");
    template.max_time()
}

/// Templates obey the rules about time: BIP94's at the start of a period, and testnet's of twenty minutes.
#[test]
fn templates_are_mined_on_chains_whose_rules_ask_about_time() {
    let retarget = |bip94| DifficultyRule::Retarget { interval: 6, allow_min_difficulty: true, bip94 };
    for bip94 in [false, true] {
        let params = chain(|file| file.rules.difficulty = retarget(bip94));
        let mut state = ChainState::in_memory(params, None, ChainStateOptions::default()).unwrap();
        let start = state.tip().header.time;
        let mut bounded = 0;
        for height in 1..=24_u32 {
            // The last block of each period is an hour ahead of those after it.
            let ahead = if height % 6 == 5 { 3_600 } else { 0 };
            let now = start + height * 600 + ahead;
            let next = state.next_block(now);
            bounded += u32::from(height % 6 == 0 && next.min_time > next.median_time_past + 1);
            let time = mine_template(&mut state, now, u64::from(height));
            assert!(time >= next.min_time && time <= next.max_time);
        }
        assert_eq!(bounded > 0, bip94, "BIP94 binds the first block of a period");
    }
}

#[test]
fn a_store_of_a_chain_with_the_same_name_is_refused_with_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (chain(|_| {}), chain(|file| file.rules.spacing += 1));
    ChainState::open(folder.path(), ours.clone(), ChainStateOptions::default())
        .expect("a new store")
        .close()
        .expect("durable");
    let Err(StoreError::OtherChain { found, wanted, .. }) =
        ChainState::open(folder.path(), theirs.clone(), ChainStateOptions::default())
    else {
        panic!("the other chain's store was opened");
    };
    assert_eq!(found, format!("grid (genesis {})", ours.consensus.genesis_hash));
    assert_eq!(wanted, format!("grid (genesis {})", theirs.consensus.genesis_hash));
}
