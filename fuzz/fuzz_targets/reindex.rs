//! Bytes that follow the genesis block in a store's block file, from which the database is rebuilt: other bytes, zeros and
//! incomplete records between complete ones stay in the file.

#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;
use std::sync::LazyLock;

use adit_fuzz::fuzz_target;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::ChainState;
use adit_validator::import::reindex;
use bitcoin::consensus::serialize;
use tempfile::TempDir;

/// A store with only the genesis block.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let state = ChainState::open(folder.path(), ChainParams::regtest(), Default::default()).expect("a new store");
    state.close().expect("it is durable");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let params = ChainParams::regtest();
    let genesis = serialize(&params.genesis);
    let file = [&params.magic[..], &(genesis.len() as u32).to_le_bytes(), &genesis, bytes].concat();
    let path = FOLDER.path().join("blocks/blk00000.dat");
    fs::write(&path, &file).expect("writable");
    let made = reindex(FOLDER.path(), &params, Default::default(), &mut ()).expect("foreign bytes are no error");
    assert!(made.blocks >= 1 && made.tip.is_some());
    assert!(fs::read(&path).expect("readable").starts_with(&file), "the bytes are as before");
});
