//! Tests of all rules together, on blocks that the public chains accepted and on damaged copies of them.

use super::replay::Replay;
use super::testing::{Alike, Vectors, vectors};
use super::{BlockContext, validate_block_in_context, validate_block_in_isolation};
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::import::BlockFile;

const NOW: u64 = 1_795_392_000;

fn main_from_genesis() -> Replay {
    Replay::new(ChainParams::main(), NOW)
}

/// Replays a file, up to the first error.
fn replay_file(replay: &mut Replay, file: &[u8]) -> Result<(), String> {
    for block in BlockFile::new(file, replay.params.magic) {
        let block = block.map_err(|error| error.to_string())?;
        let block = DecodedBlock::decode(block.bytes).map_err(|error| error.to_string())?;
        replay.add(&block).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn the_first_blocks_of_main_connect() {
    let Some(vectors) = vectors() else { return };
    let file = vectors.read("mainnet/blocks-1-255.dat");
    let mut replay = main_from_genesis();
    assert_eq!(replay_file(&mut replay, &file), Ok(()));
    let tip = replay.chain.tip().block_hash().to_string();
    assert!(tip.starts_with("00000000d0a75c86") && tip.ends_with("fe3c"), "{tip}");
    let blocks = BlockFile::new(&file[..], replay.params.magic).map(|block| DecodedBlock::decode(block.unwrap().bytes));
    let outputs: usize =
        blocks.flat_map(|block| block.unwrap().transactions().to_vec()).map(|tx| tx.output.len()).sum();
    assert_eq!(replay.inputs, 7);
    assert_eq!(replay.coins.len(), outputs - replay.inputs, "no output of these blocks is unspendable");
}

/// One flipped bit in each byte of a file of three blocks: magic, lengths and blocks.
#[test]
fn every_flipped_byte_of_a_file_is_found() {
    let Some(vectors) = vectors() else { return };
    let file = vectors.read("mainnet/blocks-1-255.dat");
    let three: usize =
        BlockFile::new(&file[..], ChainParams::main().magic).take(3).map(|block| block.unwrap().bytes.len() + 8).sum();
    assert_eq!(replay_file(&mut main_from_genesis(), &file[..three]), Ok(()));
    for at in 0..three {
        let mut damaged = file[..three].to_vec();
        damaged[at] ^= 1 << (at % 8);
        let verdict = replay_file(&mut main_from_genesis(), &damaged);
        assert!(verdict.is_err(), "byte {at}");
    }
}

/// Every bit of block 170, the first that spends.
#[test]
fn every_flipped_bit_of_block_170_is_found() {
    let Some(vectors) = vectors() else { return };
    let file = vectors.read("mainnet/blocks-1-255.dat");
    let block = BlockFile::new(&file[..], ChainParams::main().magic).nth(169).unwrap().unwrap();
    let main = ChainParams::main().consensus;
    let mut reasons = std::collections::BTreeSet::new();
    for at in 0..block.bytes.len() * 8 {
        let mut damaged = block.bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        let Ok(damaged) = DecodedBlock::decode(damaged) else { continue };
        let error = validate_block_in_isolation(&main, &damaged).expect_err("a flipped bit");
        reasons.insert(error.reject_reason().into_owned());
    }
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["bad-txnmrklroot", "high-hash"]);
}

fn recorded(vectors: &Vectors, height: u32) -> DecodedBlock {
    DecodedBlock::decode(vectors.read(&format!("mainnet/block-{height}.bin"))).unwrap()
}

/// Blocks around the activations of segwit and taproot: all rules that need neither coins nor the ancestors' targets.
#[test]
fn blocks_around_activations_obey_the_rules_before_connecting() {
    let Some(vectors) = vectors() else { return };
    let main = ChainParams::main().consensus;
    for height in [91_722, 91_812, 91_842, 91_880, 367_891, 481_823, 481_824, 709_632, 866_342] {
        let block = recorded(&vectors, height);
        assert_eq!(validate_block_in_isolation(&main, &block), Ok(()), "{height}");
        let ancestry = Alike::new(height - 1, block.header().time - 600);
        assert_eq!(validate_block_in_context(&main, BlockContext::after(&ancestry), &block), Ok(()), "{height}");
    }
}

/// The first block that commits to witnesses, without its witnesses: what a node without segwit would see.
#[test]
fn segwit_starts_at_its_height() {
    let Some(vectors) = vectors() else { return };
    let main = ChainParams::main().consensus;
    let block = recorded(&vectors, 481_824);
    let mut stripped = block.block().clone();
    for input in stripped.txdata.iter_mut().flat_map(|transaction| &mut transaction.input) {
        input.witness.clear();
    }
    let stripped = DecodedBlock::decode(bitcoin::consensus::serialize(&stripped)).unwrap();
    assert_eq!(stripped.hash(), block.hash());
    assert_eq!(validate_block_in_isolation(&main, &stripped), Ok(()));
    let ancestry = Alike::new(481_823, block.header().time - 600);
    let error = validate_block_in_context(&main, BlockContext::after(&ancestry), &stripped);
    assert_eq!(error.unwrap_err().reject_reason(), "bad-witness-nonce-size");
}
