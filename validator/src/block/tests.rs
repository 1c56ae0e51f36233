//! Decoding of blocks: accepted bytes, refused bytes, and the offsets of errors.

use bitcoin::consensus::serialize;

use super::*;
use crate::chain::ChainParams;

fn genesis() -> Vec<u8> {
    serialize(&ChainParams::main().genesis)
}

/// A block of these transactions under the genesis block's header.
fn block_of(transactions: &[&[u8]]) -> Vec<u8> {
    let mut raw = genesis()[..80].to_vec();
    raw.extend(serialize(&VarInt::from(transactions.len())));
    raw.extend(transactions.concat());
    raw
}

#[test]
fn every_prefix_is_refused_at_its_end() {
    let raw = genesis();
    assert!(DecodedBlock::decode(raw.clone()).is_ok());
    for length in 0..raw.len() {
        let error = DecodedBlock::decode(&raw[..length]).unwrap_err();
        let DecodeError::Truncated { offset, .. } = error else { panic!("{length}: {error}") };
        assert_eq!(offset, length);
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut raw = genesis();
    let length = raw.len();
    raw.push(0);
    let error = DecodedBlock::decode(raw).unwrap_err();
    assert_eq!(error.to_string(), format!("byte {length}: 1 bytes after the last transaction"));
}

#[test]
fn oversize_is_refused_before_anything_is_read() {
    let error = DecodedBlock::decode(vec![0; MAX_BLOCK_SERIALIZED_SIZE + 1]).unwrap_err();
    assert!(matches!(error, DecodeError::Oversize { length: 4_000_001 }));
}

#[test]
fn lengths_that_are_not_minimal_are_refused() {
    let raw = genesis();
    let mut long = raw[..80].to_vec();
    long.extend([0xfd, 1, 0]);
    long.extend(&raw[81..]);
    let error = DecodedBlock::decode(long).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { part: Part::TransactionCount, .. }), "{error}");
}

#[test]
fn claimed_counts_allocate_nothing_before_the_bytes_are_there() {
    let mut raw = genesis()[..80].to_vec();
    raw.extend([0xff; 9]);
    raw.extend([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let error = DecodedBlock::decode(raw).unwrap_err();
    assert!(matches!(error, DecodeError::Truncated { part: Part::Transaction(0), .. }), "{error}");
}

#[test]
fn an_empty_transaction_is_read_as_core_reads_it() {
    let empty = [2, 0, 0, 0, 0, 0, 7, 0, 0, 0];
    let block = DecodedBlock::decode(block_of(&[&empty])).unwrap();
    let transaction = &block.transactions()[0];
    assert!(transaction.input.is_empty() && transaction.output.is_empty());
    assert_eq!(transaction.lock_time.to_consensus_u32(), 7);
    assert_eq!(block.txids()[0].to_raw_hash(), sha256d::Hash::hash(&empty));
    assert_eq!(block.stripped_transaction_size(0), 10);
    assert!(bitcoinkernel::Transaction::new(&empty).is_ok(), "Core reads it");
}

#[test]
fn transactions_that_core_does_not_read_are_refused() {
    let input = [&[0; 36][..], &[0], &[0xff; 4]].concat();
    let output = [0_u8; 9];
    let transaction = |flag: &[u8], inputs: u8, witness: &[u8]| {
        let inputs_bytes = input.repeat(inputs.into());
        [&[1, 0, 0, 0][..], flag, &[inputs], &inputs_bytes, &[1], &output, witness, &[0; 4]].concat()
    };
    for (bytes, good) in [
        (transaction(&[], 1, &[]), true),
        (transaction(&[0, 1], 1, &[1, 1, 7]), true),
        // Witnesses announced, none there: with inputs and without.
        (transaction(&[0, 1], 1, &[0]), false),
        (transaction(&[0, 1], 0, &[]), false),
        // Unknown flags.
        (transaction(&[0, 2], 1, &[]), false),
        (transaction(&[0, 3], 1, &[1, 1, 7]), false),
    ] {
        assert_eq!(DecodedBlock::decode(block_of(&[&bytes])).is_ok(), good, "{bytes:02x?}");
        assert_eq!(bitcoinkernel::Transaction::new(&bytes).is_ok(), good, "Core: {bytes:02x?}");
    }
}

/// Parallel decoding has the result of decoding in order, and succeeds for the same bytes.
#[test]
fn both_ways_of_decoding_agree_on_damaged_blocks() {
    let both = |raw: &[u8]| {
        let (mut cursor, count) = (Cursor { raw, rest: &raw[81..] }, u64::from(raw[80]));
        let layouts = TransactionLayout::of_transactions(raw, 81, count);
        let parallel = layouts.and_then(|layout| decode_in_parallel(raw, layout));
        assert_eq!(parallel, cursor.read_transactions(count).ok(), "{raw:02x?}");
        parallel.is_some()
    };
    let input = [&[7; 36][..], &[2, 1, 1], &[0xff; 4]].concat();
    let output = [&[1; 8][..], &[1, 0x51]].concat();
    let plain = [&[1, 0, 0, 0, 1][..], &input, &[1], &output, &[0; 4]].concat();
    let witness = [&[2, 0, 0, 0, 0, 1, 2][..], &input, &input, &[1], &output, &[2, 1, 7, 0], &[0], &[9; 4]].concat();
    let empty = [2, 0, 0, 0, 0, 0, 7, 0, 0, 0];
    let raw = block_of(&[&plain, &witness, &empty, &plain]);
    assert!(both(&raw));
    let mut good = 0;
    for at in 80..raw.len() {
        for byte in 0..=255 {
            let mut damaged = raw.clone();
            damaged[at] = byte;
            good += usize::from(damaged[80] < 0xfd && both(&damaged));
        }
        assert!(!both(&raw[..at.max(81)]));
    }
    assert!(good > 10_000, "most bytes mean nothing to it: {good}");
}

#[test]
fn transactions_are_found_by_their_ids() {
    use crate::rules::testing::{block_of, coinbase, outpoint, spend};

    let parent = spend(&[outpoint(1)], &[1]);
    let made = OutPoint { txid: parent.compute_txid(), vout: 0 };
    let block = block_of(vec![coinbase(1, 50), parent, spend(&[made, outpoint(2)], &[1])]);
    for (tx, txid) in block.txids().iter().enumerate() {
        assert_eq!(block.position(txid), Some(tx));
    }
    assert_eq!(block.position(&outpoint(1).txid), None);
    assert_eq!(block.spent_from_before().collect::<Vec<_>>(), [outpoint(1), outpoint(2)]);
}
