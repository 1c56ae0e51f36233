//! A database that fails while the store is open: no space in the middle of a table that a large commit writes, and tables
//! that do not hold what was written to them.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_testchain::Rng;
use adit_validator::chainstate::{ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::store::StoreError;
use support::{Branch, check_coins, connect_all, feed, on_disk, options};

/// Set in the process whose files may not grow: the data folder.
const FOLDER: &str = "ADIT_LIMITED_FOLDER";

/// Blocks of at most 50 KB, after which there are some thousand coins of as many transactions: a table of 150 KB.
fn many_coins() -> Branch {
    let mut branch = Branch::from_genesis();
    branch.mine(102, 0, 0).mine_split(1, 600).mine(8, 2, 300);
    branch
}

/// Everything in one commit, and block files that stay shorter than its table.
fn large() -> ChainStateOptions {
    options(CommitPolicy::WhenFull, 0).with_cache_bytes(8 << 20).with_block_file_bytes(10_000)
}

/// What runs under the limit: all blocks are connected, then committed into tables. Prints what the commit says.
fn commit_under_a_limit(folder: &Path) {
    let mut state = on_disk(folder, large());
    connect_all(&mut state, &many_coins().blocks);
    let before = state.durable_tip().hash;
    match state.flush() {
        Ok(()) => println!("outcome committed"),
        Err(StoreError::Io { path, source }) => {
            assert!(path.starts_with(folder), "{}", path.display());
            assert_eq!(state.durable_tip().hash, before, "what failed is not durable");
            assert!(matches!(state.flush(), Err(StoreError::Stopped)), "a store that stopped commits nothing");
            println!("outcome {} {:?}", path.strip_prefix(folder).unwrap().display(), source.kind());
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs this test in a process that gets an error where a file would grow beyond `kib`; what its commit said.
fn run_under_a_limit(folder: &Path, kib: u32) -> String {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --exact --nocapture {THIS}", kib * 2);
    let exe = std::env::current_exe().unwrap();
    let ended = Command::new("sh").args(["-c", &script]).arg(exe).env(FOLDER, folder).output().unwrap();
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{kib} KiB: {printed}{}", String::from_utf8_lossy(&ended.stderr));
    let outcome = printed.lines().find_map(|line| line.split_once("outcome ")).unwrap_or_else(|| panic!("{printed}"));
    outcome.1.to_owned()
}

const THIS: &str = "no_space_in_the_middle_of_a_table_loses_nothing";

#[test]
fn no_space_in_the_middle_of_a_table_loses_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return commit_under_a_limit(Path::new(&folder));
    }
    let branch = many_coins();
    let (mut failed, mut committed) = (0, 0);
    for kib in [36, 48, 64, 96, 128, 160, 400] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut state = on_disk(&data, large());
        connect_all(&mut state, &branch.blocks[..50]);
        state.close().unwrap();
        match run_under_a_limit(&data, kib).as_str() {
            "committed" => committed += 1,
            outcome => {
                assert_eq!(outcome, "db FileTooLarge", "{kib} KiB");
                failed += 1;
                let state = on_disk(&data, large());
                assert_eq!(state.durable_tip().hash, branch.blocks[49].hash(), "{kib} KiB");
                check_coins(&state, &format!("{kib} KiB"));
            }
        }
        let mut state = on_disk(&data, large());
        connect_all(&mut state, &branch.blocks);
        check_coins(&state, &format!("with space again, after {kib} KiB"));
        state.close().unwrap();
        assert_eq!(on_disk(&data, large()).tip().hash, branch.tip_hash());
    }
    assert!(failed >= 5 && committed >= 1, "{failed} failed, {committed} did not");
}

/// The tables of the database in a data folder.
fn tables(data: &Path) -> Vec<PathBuf> {
    let mut folders = vec![data.join("db")];
    let mut tables = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let in_tables = path.parent().unwrap().ends_with("tables");
            if path.is_dir() {
                folders.push(path);
            } else if in_tables {
                tables.push(path);
            }
        }
    }
    tables
}

#[test]
fn tables_that_rot_while_they_are_open_stop_the_store_and_lose_nothing() {
    let mut branch = many_coins();
    branch.mine(10, 3, 20);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut state = on_disk(&data, large());
    connect_all(&mut state, &branch.blocks[..111]);
    state.close().unwrap();
    let durable = branch.blocks[110].hash();
    let written: Vec<(PathBuf, Vec<u8>)> =
        tables(&data).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(written.iter().any(|(_, bytes)| bytes.len() > 80_000), "the coins are in a table");

    let mut rng = Rng::new(3);
    for round in 0..5 {
        let mut state = on_disk(&data, options(CommitPolicy::EveryBlock, 0));
        assert_eq!(state.tip().hash, durable);
        for (path, bytes) in &written {
            let mut rotten = bytes.clone();
            // A bit of each 4 KiB, of which none is whole then.
            rotten.iter_mut().step_by(1_000 + rng.below(3_000)).for_each(|byte| *byte ^= 0x10);
            fs::write(path, rotten).unwrap();
        }
        let error = feed(&mut state, &branch.blocks[111..]).expect("one fails");
        let StoreError::Database { path, what } = &error else { panic!("round {round}: {error}") };
        assert!(path.starts_with(&data) && what.contains("checksum"), "round {round}: {error}");
        let tip = state.tip().hash;
        let again = feed(&mut state, &branch.blocks[112..]).expect("one fails");
        assert!(matches!(again, StoreError::Database { .. } | StoreError::Stopped), "round {round}: {again}");
        assert_eq!(state.tip().hash, tip, "round {round}: it went on without the coins");
        drop(state);
        for (path, bytes) in &written {
            fs::write(path, bytes).unwrap();
        }
        let state = on_disk(&data, large());
        assert_eq!(state.tip().hash, durable, "round {round}");
        check_coins(&state, &format!("round {round}"));
    }
    let mut state = on_disk(&data, large());
    connect_all(&mut state, &branch.blocks);
    assert_eq!(state.tip().hash, branch.tip_hash());
}
