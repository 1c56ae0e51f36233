//! The header tree: what it inserts, how it marks what failed, and ancestors beside a plain walk.

use bitcoin::hashes::Hash;
use bitcoin::{Network, TxMerkleNode, block};
use proptest::prelude::*;

use super::*;

fn genesis() -> Header {
    bitcoin::constants::genesis_block(Network::Regtest).header
}

fn child(of: &Header, time: u32, bits: u32) -> Header {
    Header {
        version: block::Version::ONE,
        prev_blockhash: of.block_hash(),
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: CompactTarget::from_consensus(bits),
        nonce: 0,
    }
}

const EASY: u32 = 0x207f_ffff;
const HARD: u32 = 0x201f_ffff;

/// Appends `count` headers to `from`; `salt` keeps branches apart.
fn grow(tree: &mut HeaderTree, from: EntryId, count: u32, salt: u32, bits: u32) -> EntryId {
    (0..count).fold(from, |tip, step| {
        let parent = tree.entry(tip).header;
        tree.insert(child(&parent, parent.time + 1 + (salt * 7 + step) % 5, bits)).unwrap()
    })
}

#[test]
fn most_work_wins_and_first_seen_wins_ties() {
    let mut tree = HeaderTree::new(genesis());
    let long = grow(&mut tree, EntryId::GENESIS, 3, 0, EASY);
    let tie = grow(&mut tree, EntryId::GENESIS, 3, 1, EASY);
    assert_eq!(tree.entry(long).chain_work, tree.entry(tie).chain_work);
    assert_eq!(tree.best_header(), long);
    // One block of four times the work beats three.
    let hard = grow(&mut tree, EntryId::GENESIS, 1, 2, HARD);
    assert_eq!(tree.best_header(), hard);
    assert_eq!(tree.fork_point(long, tie), EntryId::GENESIS);
}

#[test]
fn a_failed_branch_is_remembered_and_inherited() {
    let mut tree = HeaderTree::new(genesis());
    let good = grow(&mut tree, EntryId::GENESIS, 2, 0, EASY);
    let bad = grow(&mut tree, EntryId::GENESIS, 1, 1, EASY);
    let above = grow(&mut tree, bad, 5, 1, EASY);
    assert_eq!(tree.best_header(), above);
    tree.mark_failed(bad);
    assert_eq!(tree.best_header(), good);
    assert_eq!(tree.entry(above).validity, Validity::AncestorFailed);
    let later = grow(&mut tree, above, 1, 1, EASY);
    assert_eq!(tree.entry(later).validity, Validity::AncestorFailed);
    assert_eq!(tree.first_failed(later), Some(bad));
    assert_eq!(tree.first_failed(good), None);
    assert_eq!(tree.best_header(), good);
}

#[test]
fn marks_are_taken_back_along_one_line_and_stay_elsewhere() {
    let mut tree = HeaderTree::new(genesis());
    let base = grow(&mut tree, EntryId::GENESIS, 2, 0, EASY);
    let fork = grow(&mut tree, base, 2, 0, EASY);
    let left = grow(&mut tree, fork, 3, 1, EASY);
    let right = grow(&mut tree, fork, 4, 2, EASY);
    let left_start = tree.ancestor(left, 5);
    let right_start = tree.ancestor(right, 5);
    let kept = tree.clone();
    for id in [left_start, right_start, base, left] {
        tree.mark_failed(id);
    }
    assert_eq!(tree.best_header(), tree.entry(base).parent.unwrap());
    assert_eq!((tree.first_failed(left), tree.first_failed(fork)), (Some(base), Some(base)));

    // Along the left branch, up and down. The right one keeps its own mark.
    assert_eq!(tree.clear_failed(left_start), [base, left_start, left]);
    assert_eq!((tree.best_header(), tree.first_failed(left)), (left, None));
    assert_eq!((tree.entry(right).validity, tree.first_failed(right)), (Validity::AncestorFailed, Some(right_start)));
    assert_eq!(tree.clear_failed(right), [right_start]);
    assert_eq!(tree.best_header(), right);
    assert!(tree.ids().all(|id| tree.entry(id).validity == kept.entry(id).validity));
    assert_eq!(tree.clear_failed(fork), []);
}

#[test]
fn headers_without_a_parent_are_not_taken() {
    let mut tree = HeaderTree::new(genesis());
    let first = child(&genesis(), 1, EASY);
    assert_eq!(tree.insert(child(&first, 2, EASY)), None);
    let id = tree.insert(first);
    assert!(id.is_some());
    assert_eq!(tree.insert(first), id);
    assert_eq!(tree.count(), 2);
}

/// The cached median and the skips against the trait's own definition and a plain walk.
struct Slow(Vec<Header>);

impl Ancestry for Slow {
    fn tip_height(&self) -> u32 {
        self.0.len() as u32 - 1
    }
    fn header_at(&self, height: u32) -> Header {
        self.0[height as usize]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn ancestors_and_medians_are_those_of_a_plain_walk(
        times in proptest::collection::vec(0..1_000_000_u32, 1..600),
        fork in 0..600_usize,
        asked in proptest::collection::vec(0..600_usize, 30),
    ) {
        let mut tree = HeaderTree::new(genesis());
        let mut headers = vec![genesis()];
        for time in times {
            headers.push(child(headers.last().unwrap(), time, EASY));
            tree.insert(*headers.last().unwrap()).unwrap();
        }
        let tip = tree.lookup(&headers.last().unwrap().block_hash()).unwrap();
        let (slow, chain) = (Slow(headers), tree.chain(tip));
        prop_assert_eq!(chain.tip_height(), slow.tip_height());
        for height in asked.into_iter().map(|at| (at % slow.0.len()) as u32) {
            prop_assert_eq!(chain.header_at(height), slow.header_at(height));
            prop_assert_eq!(chain.median_time_past_at(height), slow.median_time_past_at(height));
        }
        let fork = tree.lookup(&slow.0[fork % slow.0.len()].block_hash()).unwrap();
        let side = grow(&mut tree, fork, 40, 3, HARD);
        prop_assert_eq!(tree.fork_point(side, tip), fork);
        prop_assert_eq!(tree.fork_point(tip, side), fork);
        prop_assert_eq!(tree.path(fork, side).len(), 40);
    }
}
