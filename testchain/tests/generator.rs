//! Compares generated chains with Bitcoin Core: every block is accepted, the same seed gives the same bytes, branches reorganise.

use adit_testchain::assemble::{self, TestNetwork};
use adit_testchain::spend::SpendKind;
use adit_testchain::{Branches, ChainGenerator, ChainShape, Mix, Oracle, Verdict, blk, header_chain};
use bitcoin::Block;
use bitcoin::consensus::{deserialize, serialize};
use bitcoinkernel::BlockValidationResult;

/// Submits `blocks`, each of which must be accepted as the new tip.
fn accept_all(oracle: &Oracle, blocks: &[Vec<u8>]) {
    for bytes in blocks {
        let submission = oracle.submit(bytes);
        let block: Block = deserialize(bytes).expect("a generated block decodes");
        assert_eq!(submission.verdict, Verdict::Accepted, "height {}", oracle.height() + 1);
        assert_eq!(oracle.tip(), block.block_hash());
    }
}

#[test]
fn chains_of_every_shape_are_valid() {
    let small = ChainShape::small(1);
    let mut shapes: Vec<_> = (1..4).map(|seed| ChainShape { seed, ..small.clone() }).collect();
    shapes.push(ChainShape {
        mix: Mix::signed(),
        inputs_per_block: 200,
        outputs_per_block: 150,
        coins: 1_000,
        ..small
    });
    shapes.push(ChainShape { mix: Mix::free(), inputs_per_block: 30, outputs_per_block: 40, ..small });
    for shape in shapes {
        let oracle = Oracle::regtest(1).unwrap();
        let blocks: Vec<_> = ChainGenerator::new(shape.clone()).unwrap().collect();
        accept_all(&oracle, &blocks);
        assert_eq!(oracle.height() as usize, blocks.len());
        let last: Block = deserialize(&blocks[blocks.len() - 1]).unwrap();
        let inputs: usize = last.txdata[1..].iter().map(|tx| tx.input.len()).sum();
        assert_eq!(inputs, shape.inputs_per_block as usize, "{shape:?}");
    }
}

#[test]
fn a_full_block_stops_short_of_the_limits() {
    // 3,000 bare multisig outputs would be three times the signature operations that a block may have.
    let mix = Mix::new(&[(SpendKind::BareMultisig, 1)]);
    for inputs_per_block in [1, 1_000] {
        let shape = ChainShape { blocks: 1, inputs_per_block, outputs_per_block: 3_000, coins: 1_000, mix, seed: 5 };
        let blocks: Vec<_> = ChainGenerator::new(shape).unwrap().collect();
        accept_all(&Oracle::regtest(1).unwrap(), &blocks);
    }
}

#[test]
fn header_chains_are_valid() {
    let oracle = Oracle::regtest(0).unwrap();
    let headers = header_chain(&TestNetwork::Regtest, 300, 9);
    for header in &headers {
        let bytes = serialize(header).try_into().unwrap();
        assert_eq!(oracle.submit_header(&bytes).unwrap(), None);
    }
    let mut orphan = headers[299];
    orphan.prev_blockhash = headers[299].block_hash();
    orphan.time = headers[290].time;
    assemble::mine(&mut orphan, TestNetwork::Regtest.target());
    let bytes = serialize(&orphan).try_into().unwrap();
    assert_eq!(oracle.submit_header(&bytes).unwrap(), Some(BlockValidationResult::InvalidHeader));
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_threads() {
    let make = |seed, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| ChainGenerator::new(ChainShape::small(seed)).unwrap().collect::<Vec<_>>())
    };
    let one = make(7, 1);
    assert_eq!(one, make(7, 3));
    assert_ne!(one, make(8, 1));
}

#[test]
fn the_longer_branch_wins_and_both_are_valid() {
    let Branches { trunk, left, right } = ChainGenerator::branches(ChainShape::small(2), 106, 3, 5).unwrap();
    assert_ne!(left[0], right[0]);
    let oracle = Oracle::regtest(1).unwrap();
    accept_all(&oracle, &trunk);
    accept_all(&oracle, &left);
    let left_tip = oracle.tip();
    for bytes in &right[..3] {
        assert_eq!(oracle.submit(bytes).verdict, Verdict::Accepted);
        assert_eq!(oracle.tip(), left_tip, "equal work, seen later");
    }
    let submission = oracle.submit(&right[3]);
    assert_eq!(submission.verdict, Verdict::Accepted);
    assert_eq!((submission.disconnected.len(), submission.connected.len()), (3, 4));
    accept_all(&oracle, &right[4..]);
    assert_eq!(oracle.submit(&left[0]).verdict, Verdict::Duplicate);
}

#[test]
fn a_chain_file_reads_back_and_damage_to_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.blk");
    let generator = ChainGenerator::new(ChainShape::small(3)).unwrap();
    let magic = generator.network().magic();
    assert_eq!(magic, [0xfa, 0xbf, 0xb5, 0xda]);
    let blocks: Vec<_> = generator.collect();
    assert_eq!(blk::write(&path, magic, blocks.clone()).unwrap(), blocks.len());
    let read: Vec<_> = blk::BlkReader::open(&path, magic).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, blocks);

    let mut bytes = std::fs::read(&path).unwrap();
    let second = 8 + blocks[0].len();
    bytes[second] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = blk::BlkReader::open(&path, magic).unwrap().nth(1).unwrap().unwrap_err();
    assert!(error.to_string().contains(&format!("at byte {second}: magic")), "{error}");
    bytes.truncate(second - 1);
    std::fs::write(&path, &bytes).unwrap();
    let mut reader = blk::BlkReader::open(&path, magic).unwrap();
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}
