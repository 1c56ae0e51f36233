//! Bytes as what follows the genesis block in a store's block file, of which the database is made anew: junk, zeros and torn
//! records between whole ones are left where they are.

#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;
use std::sync::LazyLock;

use adit_fuzz::fuzz_target;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::ChainState;
use adit_validator::import::reindex;
use adit_validator::progress::Watcher;
use bitcoin::consensus::serialize;
use tempfile::TempDir;

/// A store with nothing but genesis.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let state = ChainState::open(folder.path(), ChainParams::regtest(), Default::default()).expect("a new store");
    state.close().expect("it is durable");
    folder
});

/// Never interrupts.
struct Patient;

impl Watcher for Patient {
    fn progress(&mut self, _: &'static str, _: u64, _: u64) {}

    fn goes_on(&mut self) -> bool {
        true
    }
}

fuzz_target!(|bytes: &[u8]| {
    let params = ChainParams::regtest();
    let genesis = serialize(&params.genesis);
    let file = [&params.magic[..], &(genesis.len() as u32).to_le_bytes(), &genesis, bytes].concat();
    let path = FOLDER.path().join("blocks/blk00000.dat");
    fs::write(&path, &file).expect("writable");
    let made = reindex(FOLDER.path(), &params, Default::default(), &mut Patient).expect("junk is no error");
    assert!(made.blocks >= 1 && made.tip.is_some());
    assert!(fs::read(&path).expect("readable").starts_with(&file), "every byte is in its place");
});
