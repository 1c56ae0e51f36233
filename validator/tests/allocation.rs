//! What decoding costs in memory: at its peak no more than a multiple of the bytes that came and a constant, whatever
//! lengths and counts they claim.
//!
//! One test, because the allocator counts for the whole process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use adit_testchain::mutate::mutate;
use adit_testchain::{ChainGenerator, ChainShape, Rng, assemble::TestNetwork};
use adit_validator::block::DecodedBlock;
use adit_validator::coins::BlockUndo;
use adit_validator::coins::encoding::{decode_coin, decode_outpoint};
use adit_validator::import::{BlockFile, HeaderFile};
use adit_validator::prevouts::Prevouts;
use adit_validator::txoutproof::TxOutProof;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many bytes a byte of input may cost.
const EACH: usize = 32;

/// A decoder, and what it may take before it has seen any input.
struct Decoder {
    name: &'static str,
    constant: usize,
    decode: fn(&[u8]),
}

const DECODERS: [Decoder; 6] = [
    // `bitcoin` makes room for a claimed number of witness elements, four bytes for each of at most four million, before
    // it has seen them, and ends at the first claim that fails.
    Decoder { name: "block", constant: 20 << 20, decode: |bytes| drop(DecodedBlock::decode(bytes)) },
    // One record at a time, of at most four million bytes.
    Decoder { name: "block file", constant: 5 << 20, decode: |bytes| drop(BlockFile::new(bytes, MAGIC).last()) },
    Decoder { name: "header file", constant: 64 << 10, decode: |bytes| drop(HeaderFile::new(bytes).last()) },
    Decoder { name: "prevouts", constant: 64 << 10, decode: |bytes| drop(Prevouts::read(bytes)) },
    Decoder {
        name: "coin, outpoint, undo record",
        constant: 4 << 10,
        decode: |bytes| drop((decode_coin(bytes), decode_outpoint(bytes), BlockUndo::decode(bytes))),
    },
    Decoder {
        name: "txoutproof",
        constant: 4 << 10,
        decode: |bytes| drop(TxOutProof::decode(bytes).and_then(|proof| proof.check())),
    },
];

const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

/// Claims of enormous counts, as CompactSize, VARINT and in JSON.
const CLAIMS: [&[u8]; 5] = [
    &[0xfe, 0xff, 0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xfe, 0x00, 0x09, 0x3d, 0x00],
    &[0x80, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x7f],
    b"[[[[[[[[[[[[[[[[",
];

/// Good bytes of each kind, which are then damaged.
fn good() -> Vec<Vec<u8>> {
    let mut chain = ChainGenerator::new(ChainShape::small(5)).unwrap();
    let blocks: Vec<Vec<u8>> = (0..115).map(|_| chain.next_block()).collect();
    let last = DecodedBlock::decode(blocks[114].clone()).unwrap();
    let proof = TxOutProof::make(&last, &last.txids()[..1]).unwrap();
    let file: Vec<u8> = blocks[100..].iter().flat_map(|block| framed(block)).collect();
    let undo = {
        let output = bitcoin::TxOut {
            value: bitcoin::Amount::from_sat(1_000),
            script_pubkey: bitcoin::ScriptBuf::from_bytes(vec![0x51; 40]),
        };
        let coin = adit_validator::coins::Coin { output, height: 7, is_coinbase: false };
        BlockUndo { spent: vec![vec![coin; 50]; 4] }.encode()
    };
    let row = format!(r#"["{}:0",5,"51",1,false,0]"#, "01".repeat(32));
    let columns = r#"["outpoint","value_sat","script_pubkey","creation_height","is_coinbase","creation_mtp_or_time"]"#;
    let list = format!(r#"{{"height":1,"fields":{columns},"prevouts":[{}]}}"#, vec![row; 200].join(","));
    vec![blocks[114].clone(), file, undo, list.into_bytes(), proof.encode()]
}

fn framed(block: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &(block.len() as u32).to_le_bytes(), block].concat()
}

/// The worst that is known of each decoder.
fn worst() -> Vec<Vec<u8>> {
    let header = [0; 80];
    let many = 100_000_u32.to_le_bytes();
    // Transactions of ten bytes, the shortest that can be read; and a claim of four million witness elements.
    let empty = [&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]; 100_000].concat();
    let input =
        [&[2, 0, 0, 0, 0, 1, 1][..], &[0; 37], &[0xff; 4], &[1], &[0; 9], &[0xfe, 0x00, 0x09, 0x3d, 0x00]].concat();
    vec![
        [&header[..], &[0xfe], &many, &empty].concat(),
        [&header[..], &[1], &input].concat(),
        // A record of four million bytes that are not there; transactions that spent nothing; hashes that are not there.
        [&MAGIC[..], &4_000_000_u32.to_le_bytes()].concat(),
        [&[0xfe][..], &many, &[0; 100_000]].concat(),
        [&header[..], &many, &[0xfe], &many].concat(),
    ]
}

#[test]
fn memory_is_bounded_by_the_input() {
    let (good, mut rng) = (good(), Rng::new(9));
    let mut hostile: Vec<Vec<u8>> = [good.clone(), worst()].concat();
    for bytes in &good {
        for _ in 0..150 {
            // A claim in the place of what stands there, in every region of the bytes.
            let (at, claim) = (rng.below(bytes.len().min(4_000)), CLAIMS[rng.below(CLAIMS.len())]);
            let after = (at + claim.len()).min(bytes.len());
            hostile.push([&bytes[..at], claim, &bytes[after..]].concat());
            hostile.push(mutate(&TestNetwork::Regtest, &mut rng, bytes, &good[0]).0);
        }
    }
    for length in [0, 1, 80, 81, 200, 5_000, 300_000] {
        let mut random = vec![0; length];
        rng.fill(&mut random);
        hostile.push(random);
        hostile.push(vec![0xff; length]);
        hostile.push(vec![0; length]);
    }
    // The thread pool and what is made once are not the input's.
    DECODERS.iter().for_each(|decoder| (decoder.decode)(&good[0]));

    for Decoder { name, constant, decode } in &DECODERS {
        let mut most = (0, 0);
        for bytes in &hostile {
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            decode(bytes);
            let used = MEMORY.peak_usage().saturating_sub(before);
            let bound = EACH * bytes.len() + constant;
            assert!(used <= bound, "{name}: {} bytes took {used}, wanted at most {bound}", bytes.len());
            most = most.max((used, bytes.len()));
        }
        println!("{name}: {} bytes at most, for an input of {}", most.0, most.1);
    }
}
