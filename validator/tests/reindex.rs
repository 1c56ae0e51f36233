//! A database made anew from block files that hold more than records: junk, zeros, and records that are torn.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainView, CommitPolicy};
use adit_validator::import::{ReindexReport, reindex};
use support::{Branch, check_coins, connect_all, on_disk, options};

/// A store of `chain`, and the records of its one block file: genesis first.
fn store(folder: &Path, chain: &Branch) -> (PathBuf, Vec<Vec<u8>>) {
    let mut state = on_disk(folder, options(CommitPolicy::WhenFull, 1 << 20));
    connect_all(&mut state, &chain.blocks);
    state.close().unwrap();
    let path = folder.join("blocks/blk00000.dat");
    let file = fs::read(&path).unwrap();
    let (mut records, mut rest) = (Vec::new(), &file[..]);
    while rest.starts_with(&ChainParams::regtest().magic) {
        let length = 8 + u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        records.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    assert_eq!(records.len() as u32, 1 + chain.height);
    (path, records)
}

/// Writes the file, makes the database anew, and checks that the store has the whole chain, goes on from there, and left
/// every byte of the file in its place.
fn check_rebuilt(folder: &Path, path: &Path, file: &[u8], chain: &Branch) -> ReindexReport {
    fs::write(path, file).unwrap();
    let made = reindex(folder, &ChainParams::regtest(), options(CommitPolicy::EveryBlock, 1 << 20), &mut ()).unwrap();
    assert_eq!(made.tip, Some((chain.height, chain.tip_hash())), "{:?}", made.left);
    assert_eq!((made.blocks, made.lost_tip, made.interrupted), (u64::from(chain.height) + 1, None, false));
    let mut state = on_disk(folder, options(CommitPolicy::EveryBlock, 1 << 20));
    let next = chain.clone().mine(1, 9, 0).blocks[chain.height as usize].clone();
    connect_all(&mut state, [&next]);
    check_coins(&state, "rebuilt");
    state.close().unwrap();
    assert!(fs::read(path).unwrap().starts_with(&file[..last_record_end(file)]));
    made
}

/// Where the last record of a file ends: behind it the store may write.
fn last_record_end(file: &[u8]) -> usize {
    let magic = ChainParams::regtest().magic;
    let starts = (0..file.len().saturating_sub(8)).filter(|at| file[*at..].starts_with(&magic));
    let end = |at: usize| at + 8 + u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
    starts.map(end).filter(|end| *end <= file.len()).max().unwrap()
}

/// What is reported of bytes that are no whole record.
fn skipped(path: &Path, offset: usize, length: usize) -> String {
    format!("{}: byte {offset}: {length} bytes that are no whole record", path.display())
}

#[test]
fn junk_between_records_is_skipped_and_named() {
    let mut chain = Branch::from_genesis();
    chain.mine(20, 0, 0);
    let magic = ChainParams::regtest().magic;
    let absurd = |length: u32| [&magic[..], &length.to_le_bytes(), &[0x11; 50]].concat();
    let junk = [
        vec![0x55; 1],
        b"no record, and long enough to be looked into".to_vec(),
        // The beginning of the magic, over and over, as far as into the record that follows.
        magic[..3].repeat(9),
        // Lengths that no block has.
        absurd(0),
        absurd(80),
        absurd(4_000_001),
        absurd(u32::MAX),
        vec![0x55; 200_000],
    ];
    // Behind genesis, in the middle, and before the last record.
    for (junk, at) in junk.into_iter().zip([1, 10, 20].into_iter().cycle()) {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = store(folder.path(), &chain);
        let before = records[..at].concat();
        let file = [&before[..], &junk, &records[at..].concat()].concat();
        let made = check_rebuilt(folder.path(), &path, &file, &chain);
        assert_eq!(made.left, [skipped(&path, before.len(), junk.len())]);
    }
}

/// Zeros end a file that Core has allocated ahead. A record may stand behind them all the same.
#[test]
fn records_behind_zeros_are_found() {
    let mut chain = Branch::from_genesis();
    chain.mine(20, 0, 0);
    for zeros in [1, 4, 5, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = store(folder.path(), &chain);
        let before = records[..12].concat();
        let file = [&before[..], &vec![0; zeros], &records[12..].concat(), &vec![0; zeros]].concat();
        let made = check_rebuilt(folder.path(), &path, &file, &chain);
        let behind = file.len() - zeros;
        assert_eq!(made.left, [skipped(&path, before.len(), zeros), skipped(&path, behind, zeros)], "{zeros} zeros");
    }
}

/// Wherever the last record of a file was cut off, those before it and those of the next file are taken.
#[test]
fn a_record_that_is_torn_at_the_end_of_its_file_is_left_there() {
    let mut chain = Branch::from_genesis();
    chain.mine(20, 0, 0);
    let folder = tempfile::tempdir().unwrap();
    let (path, records) = store(folder.path(), &chain);
    let second = folder.path().join("blocks/blk00001.dat");
    let torn = &records[15];
    for length in [1, 7, 8, 8 + 80, torn.len() - 1] {
        fs::write(&path, [&records[..15].concat(), &torn[..length]].concat()).unwrap();
        fs::write(&second, records[15..].concat()).unwrap();
        let made = reindex(folder.path(), &ChainParams::regtest(), options(CommitPolicy::EveryBlock, 1 << 20), &mut ());
        let made = made.unwrap();
        assert_eq!(made.tip, Some((20, chain.tip_hash())), "{length} bytes: {:?}", made.left);
        let end = records[..15].concat().len();
        assert_eq!(made.left, [skipped(&path, end, length)], "{length} bytes");
        let state = on_disk(folder.path(), options(CommitPolicy::EveryBlock, 1 << 20));
        check_coins(&state, &format!("{length} bytes"));
    }
}

/// A torn record in the middle of a file claims the beginning of the next one as its own, so both are lost, which is said;
/// the chain ends below them until they come again.
#[test]
fn a_record_that_is_torn_in_the_middle_takes_the_next_one_with_it() {
    let mut chain = Branch::from_genesis();
    chain.mine(20, 0, 0);
    for length in [8, 8 + 80] {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = store(folder.path(), &chain);
        let file = [&records[..10].concat(), &records[10][..length], &records[10..].concat()].concat();
        fs::write(&path, &file).unwrap();
        let made = reindex(folder.path(), &ChainParams::regtest(), options(CommitPolicy::EveryBlock, 1 << 20), &mut ());
        let made = made.unwrap();
        assert_eq!(made.tip, Some((9, chain.blocks[8].hash())), "{length} bytes");
        assert_eq!(made.lost_tip, Some(chain.tip_hash()));
        let torn = format!("{}: byte {}: ", path.display(), records[..10].concat().len() + 8);
        assert!(made.left.iter().any(|left| left.starts_with(&torn)), "{length} bytes: {:?}", made.left);
        let orphans = made.left.iter().filter(|left| left.ends_with("its parent is in no block file")).count();
        // Where the torn record has its whole header, the blocks behind it are in the index and wait for it.
        let has_header = length >= 8 + 80;
        assert_eq!(orphans, if has_header { 0 } else { 10 }, "{length} bytes: {:?}", made.left);
        assert_eq!(made.blocks, if has_header { 20 } else { 10 }, "{length} bytes");

        let mut state = on_disk(folder.path(), options(CommitPolicy::EveryBlock, 1 << 20));
        connect_all(&mut state, &chain.blocks[9..]);
        assert_eq!(state.tip().hash, chain.tip_hash());
        check_coins(&state, &format!("{length} bytes"));
        state.close().unwrap();
        assert!(fs::read(&path).unwrap().starts_with(&file));
    }
}
