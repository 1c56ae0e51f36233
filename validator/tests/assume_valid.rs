//! Assumed-valid blocks and the minimum chain work: what they leave out, under which conditions, and what they report.

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainStateOptions, HeaderOutcome};
use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, ScriptBuf, Target, TxMerkleNode, Work};
use support::{Branch, NOW, connect_all, solve};

/// Regtest headers above a block that make two weeks of work: 2,016 of ten minutes, and one more to be above it.
const TWO_WEEKS: usize = 2017;

/// A chain whose block 102 spends a coin that anyone can spend with a script that fails.
struct Scene {
    before: Vec<DecodedBlock>,
    bad: DecodedBlock,
    /// Headers above it.
    above: Vec<Header>,
}

impl Scene {
    fn new() -> Self {
        let mut branch = Branch::from_genesis();
        branch.mine(101, 0, 0).mine(1, 0, 1);
        let last = branch.blocks.pop().expect("the block just mined");
        let mut block = last.block().clone();
        // OP_RETURN fails wherever it is executed.
        block.txdata[1].input[0].script_sig = ScriptBuf::from_bytes(vec![0x6a]);
        // A transaction that spends the one just changed would no longer find it.
        block.txdata.truncate(2);
        block.txdata[0].output[0].value = ChainParams::regtest().consensus.subsidy.at(102);
        let bad = DecodedBlock::decode(serialize(&solve(block))).expect("a block");
        let above = headers(*bad.header(), TWO_WEEKS + 1);
        Self { before: branch.blocks, bad, above }
    }

    /// Connects what is before the bad block, and takes in `above` headers on top of it.
    fn state(&self, options: ChainStateOptions, above: usize) -> ChainState {
        let mut state = ChainState::in_memory(ChainParams::regtest(), None, options).expect("memory");
        connect_all(&mut state, &self.before);
        let headers = [*self.bad.header()].into_iter().chain(self.above[..above].iter().copied());
        for header in headers {
            let outcome = state.accept_header(&header, NOW);
            assert!(matches!(outcome, HeaderOutcome::Accepted { .. }), "{outcome:?}");
        }
        state
    }

    /// What becomes of the bad block under so many headers.
    fn outcome(&self, options: ChainStateOptions, above: usize) -> BlockOutcome {
        self.state(options, above).accept_block(self.bad.clone(), NOW).expect("memory")
    }
}

fn headers(mut parent: Header, count: usize) -> Vec<Header> {
    let next = |_| {
        let mut header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: parent.block_hash(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: parent.time + 1,
            bits: parent.bits,
            nonce: 0,
        };
        while !Target::from_compact(header.bits).is_met_by(header.block_hash()) {
            header.nonce += 1;
        }
        parent = header;
        header
    };
    (0..count).map(next).collect()
}

fn assuming(hash: BlockHash) -> ChainStateOptions {
    ChainStateOptions::default().with_assume_valid(Some(hash))
}

fn refused(outcome: &BlockOutcome) -> bool {
    matches!(outcome, BlockOutcome::Invalid(invalid) if invalid.error.reject_reason().contains("script"))
}

#[test]
fn a_bad_script_is_taken_on_trust_only_under_an_assumed_valid_block() {
    let scene = Scene::new();
    let connected = BlockOutcome::Connected { height: 102 };
    let none = scene.outcome(ChainStateOptions::default(), TWO_WEEKS);
    assert!(refused(&none), "{none:?}");
    assert_eq!(scene.outcome(assuming(scene.bad.hash()), TWO_WEEKS), connected, "the block itself");
    let above = scene.above[1000].block_hash();
    assert_eq!(scene.outcome(assuming(above), TWO_WEEKS), connected, "an ancestor");

    let shallow = scene.outcome(assuming(scene.bad.hash()), TWO_WEEKS - 1);
    assert!(refused(&shallow), "two weeks of work are not more than two weeks: {shallow:?}");
    let below = scene.outcome(assuming(scene.before[100].hash()), TWO_WEEKS);
    assert!(refused(&below), "the assumed-valid block is below: {below:?}");
    let unknown = scene.outcome(assuming(scene.above[TWO_WEEKS].block_hash()), TWO_WEEKS);
    assert!(refused(&unknown), "its header is not known: {unknown:?}");
}

#[test]
fn the_best_header_must_descend_from_it_and_have_the_minimum_work() {
    let scene = Scene::new();
    let options = assuming(scene.bad.hash());
    let mut state = scene.state(options.clone(), TWO_WEEKS);
    // A branch of headers with more work, beside the bad block.
    for header in headers(*scene.before[100].header(), TWO_WEEKS + 3) {
        assert!(matches!(state.accept_header(&header, NOW), HeaderOutcome::Accepted { .. }));
    }
    let beside = state.accept_block(scene.bad.clone(), NOW).expect("memory");
    assert!(refused(&beside), "{beside:?}");

    // Each regtest block is worth two hashes; genesis is the first.
    let mut work = [0; 32];
    let all = 2 * (103 + TWO_WEEKS as u64);
    work[24..].copy_from_slice(&all.to_be_bytes());
    let options = options.with_minimum_chain_work(Work::from_be_bytes(work));
    assert_eq!(scene.outcome(options.clone(), TWO_WEEKS), BlockOutcome::Connected { height: 102 });
    work[24..].copy_from_slice(&(all + 1).to_be_bytes());
    let options = options.with_minimum_chain_work(Work::from_be_bytes(work));
    let little = scene.outcome(options, TWO_WEEKS);
    assert!(refused(&little), "{little:?}");
}

/// Only scripts are left out.
#[test]
fn every_other_rule_holds_under_an_assumed_valid_block() {
    let mut branch = Branch::from_genesis();
    branch.mine(101, 0, 0).mine_greedy(0, 10_000);
    let greedy = branch.blocks.pop().expect("the block just mined");
    let above = headers(*greedy.header(), TWO_WEEKS);
    let scene = Scene { before: branch.blocks, above, bad: greedy };
    match scene.outcome(assuming(scene.bad.hash()), TWO_WEEKS) {
        BlockOutcome::Invalid(invalid) => assert_eq!(invalid.error.reject_reason(), "bad-cb-amount"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chain_below_the_minimum_work_is_being_downloaded() {
    let mut work = [0; 32];
    work[31] = 2 * 6;
    let options = ChainStateOptions::default().with_minimum_chain_work(Work::from_be_bytes(work));
    let mut state = ChainState::in_memory(ChainParams::regtest(), None, options).expect("memory");
    let blocks = Branch::from_genesis().mine(5, 0, 0).blocks.clone();
    let now = u64::from(blocks[4].header().time);
    connect_all(&mut state, &blocks[..4]);
    assert!(!state.has_minimum_chain_work() && state.is_initial_block_download(now));
    connect_all(&mut state, &blocks[4..]);
    assert!(state.has_minimum_chain_work() && !state.is_initial_block_download(now + 86_400));
    assert!(state.is_initial_block_download(now + 86_401), "the tip is more than a day old");
}
