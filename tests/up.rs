//! `adit up`: one chain over any number of starts, kills and interruptions.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView};
use adit_validator::filters::{FilterHash, basic_filter, header_before_genesis};
use bitcoin::hashes::Hash;
use serde_json::Value;
use support::{adit, run};

/// The arguments of a small chain on one CPU thread.
fn up(datadir: &Path, chain: &str, blocks: u32) -> Vec<String> {
    let datadir = datadir.to_str().expect("a UTF-8 path");
    let blocks = blocks.to_string();
    ["up", "--datadir", datadir, "--chain", chain, "--blocks", &blocks, "--device", "cpu", "--json"]
        .map(str::to_owned)
        .to_vec()
}

/// Fails unless `blocks` follow one another from `first_height` on.
fn follow(blocks: &[Value], first_height: u64) {
    for (block, height) in blocks.iter().zip(first_height..) {
        assert_eq!(block["height"], height);
    }
    for pair in blocks.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["previous"], "one chain");
    }
}

/// The stored chain, checked from its block file by the validator as a stranger's: count and tip.
fn replay(datadir: &Path, chain: &str) -> Value {
    let file = datadir.join(chain).join("blocks/blk00000.dat");
    let run = run(["validate", "--json", "--chain", chain, "--blocks", file.to_str().expect("a UTF-8 path")]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    run.json()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn a_fresh_chain_grows_and_goes_on_from_its_tip() {
    let datadir = tempfile::tempdir().expect("a folder");
    for start in [1, 6] {
        let run = run(up(datadir.path(), "regtest", 5));
        assert_eq!(run.code(), 0, "{}", run.stderr());
        let blocks = run.json_lines();
        assert_eq!(blocks.len(), 5, "exactly as many blocks as asked for");
        follow(&blocks, start);
        let checked = replay(datadir.path(), "regtest");
        assert_eq!(checked["tip"]["hash"], blocks[4]["hash"]);
        assert_eq!(checked["tip"]["height"], start + 4);
    }
}

/// The index is made late, is left out of a run, and catches up; what it says is what BIP157 says of the stored blocks.
#[test]
fn block_filters_are_kept_and_caught_up() {
    let datadir = tempfile::tempdir().expect("a folder");
    let with_filters = |blocks| [up(datadir.path(), "regtest", blocks), vec!["--filters".to_owned()]].concat();
    let plain = run(up(datadir.path(), "regtest", 3)).json_lines();
    assert!(plain.iter().all(|block| block.get("filter_header").is_none()));
    let first = run(with_filters(2)).json_lines();
    run(up(datadir.path(), "regtest", 2));
    let second = run(with_filters(1)).json_lines();
    let told: Vec<&str> =
        first.iter().chain(&second).map(|block| block["filter_header"].as_str().expect("a header")).collect();

    let params = ChainParams::regtest();
    let chain =
        ChainState::open(&datadir.path().join("regtest"), params, ChainStateOptions::default()).expect("a store");
    let mut header = header_before_genesis();
    let mut wanted = Vec::new();
    for height in 0..=8 {
        let hash = chain.active_at(height).expect("eight blocks").hash;
        let (block, undo) = (chain.block(&hash).expect("a block"), chain.undo(&hash).expect("an undo record"));
        let filter = basic_filter(&block.expect("a block"), &undo.expect("an undo record"));
        header = FilterHash::hash(&filter.content).filter_header(&header);
        if [4, 5, 8].contains(&height) {
            wanted.push(header.to_string());
        }
    }
    assert_eq!(told, wanted);
}

/// Killed with SIGKILL in the middle and started again, 20 more blocks, one chain, no block lost that
/// had been reported.
#[test]
fn a_kill_in_the_middle_loses_no_reported_block() {
    let datadir = tempfile::tempdir().expect("a folder");
    let mut child = adit()
        .args(up(datadir.path(), "dev", 20))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut reported = Vec::new();
    for line in stdout.lines() {
        reported.push(serde_json::from_str::<Value>(&line.expect("text")).expect("one object a line"));
        if reported.len() == 7 {
            child.kill().expect("SIGKILL");
        }
    }
    child.wait().expect("it ended");
    assert!((7..20).contains(&reported.len()), "killed in the middle, not after {} blocks", reported.len());

    let run = run(up(datadir.path(), "dev", 20));
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let more = run.json_lines();
    assert_eq!(more.len(), 20);
    let first_height = more[0]["height"].as_u64().expect("a height");
    // A block may have been committed without the kill leaving time to report it, never the other way round.
    assert!(first_height > reported.len() as u64, "a reported block is gone: going on at {first_height}");
    follow(&reported, 1);
    follow(&more, first_height);
    if first_height == reported.len() as u64 + 1 {
        assert_eq!(more[0]["previous"], reported[reported.len() - 1]["hash"]);
    }
    let checked = replay(datadir.path(), "dev");
    assert_eq!(checked["tip"]["height"], first_height + 19);
    assert_eq!(checked["tip"]["hash"], more[19]["hash"]);
}

#[test]
fn an_interrupt_ends_well_and_keeps_the_chain() {
    let datadir = tempfile::tempdir().expect("a folder");
    let mut child =
        adit().args(up(datadir.path(), "dev", 1000)).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut last: Value = Value::Null;
    for line in lines.by_ref().take(2) {
        last = serde_json::from_str(&line.expect("text")).expect("one object a line");
    }
    signal(&child, "INT");
    for line in lines {
        last = serde_json::from_str(&line.expect("text")).expect("one object a line");
    }
    assert_eq!(child.wait().expect("it ended").code(), Some(0), "Ctrl-C is a good end");
    assert!(last["height"].as_u64() < Some(1_000), "it was interrupted: {last}");
    assert_eq!(replay(datadir.path(), "dev")["tip"]["hash"], last["hash"]);
}

/// As with `| head -1`: when nobody reads the blocks any more, the run is over, and no failure.
#[test]
fn a_reader_that_leaves_ends_the_run() {
    let datadir = tempfile::tempdir().expect("a folder");
    let mut child =
        adit().args(up(datadir.path(), "dev", 100_000)).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first: Value = serde_json::from_str(&lines.next().expect("a block").expect("text")).expect("an object");
    drop(lines);
    let code = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        child.try_wait().expect("a child")
    });
    let Some(code) = code else {
        child.kill().expect("SIGKILL");
        panic!("still mining for nobody after a minute");
    };
    assert_eq!(code.code(), Some(0));
    assert_eq!(first["height"], 1);
    assert!(replay(datadir.path(), "dev")["tip"]["height"].as_u64() >= Some(1));
}

#[test]
fn a_folder_in_use_is_refused() {
    let datadir = tempfile::tempdir().expect("a folder");
    let mut first =
        adit().args(up(datadir.path(), "dev", 1000)).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(first.stdout.take().expect("piped")).lines();
    lines.next().expect("a first block").expect("text");
    let second = run(up(datadir.path(), "dev", 1));
    signal(&first, "INT");
    first.wait().expect("it ended");
    second.refused(2, &["in use", datadir.path().to_str().expect("a UTF-8 path")]);
}

#[test]
fn devices_that_are_not_there_are_named() {
    let datadir = tempfile::tempdir().expect("a folder");
    let folder = datadir.path().to_str().expect("a UTF-8 path");
    run(["up", "--datadir", folder, "--device", "cpu,gpu77"]).refused(2, &["gpu77", "cpu"]);
    run(["up", "--datadir", folder, "--device", "cpu", "--backend", "abacus"]).refused(2, &["abacus", "portable"]);
    let none = run(["up", "--datadir", folder, "--blocks", "0"]);
    assert!(none.code() == 2 && none.stderr().contains("--blocks"), "{}", none.stderr());
    for flag in [["--max-temp", "29"], ["--max-temp", "111"], ["--max-temp", "hot"], ["--stall", "4"]] {
        let refused = run(["up", "--datadir", folder].iter().chain(&flag));
        assert_eq!(refused.code(), 2, "{flag:?}");
        assert!(refused.stderr().contains(flag[0]) && refused.stderr().contains(flag[1]), "{}", refused.stderr());
    }
    assert_eq!(std::fs::read_dir(datadir.path()).expect("readable").count(), 0, "a refused start leaves nothing");
}

/// Where no temperature is known the run goes on, after one line that says so.
#[test]
fn a_limit_for_a_device_without_a_sensor_is_one_warning() {
    let datadir = tempfile::tempdir().expect("a folder");
    let args = up(datadir.path(), "regtest", 2).into_iter().chain(["--max-temp", "85"].map(str::to_owned));
    let run = run(args);
    assert_eq!((run.code(), run.json_lines().len()), (0, 2), "{}", run.stderr());
    let devices = support::run(["devices", "--json"]).json();
    let known = !devices["devices"][0]["sensors"]["temperature_celsius"].is_null();
    let told = run.stderr().lines().filter(|line| line.contains("--max-temp") && line.contains("cpu")).count();
    assert_eq!(told, usize::from(!known), "{}", run.stderr());
}

#[test]
fn a_folder_that_cannot_be_one_is_unusable() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a UTF-8 path");
    run(["up", "--datadir", path, "--blocks", "1", "--device", "cpu"]).refused(2, &[path]);
}

#[test]
fn cache_and_prune_are_taken_and_bounded() {
    let datadir = tempfile::tempdir().expect("a folder");
    let with = |more: &[&str]| {
        run([up(datadir.path(), "regtest", 2), more.iter().map(|arg| (*arg).to_owned()).collect()].concat())
    };
    let kept = with(&["--cache", "4", "--prune", "550"]);
    assert_eq!(kept.code(), 0, "{}", kept.stderr());
    assert_eq!(replay(datadir.path(), "regtest")["tip"]["height"], 2, "no file is old enough to go");
    for (flag, value) in [("--cache", "3"), ("--prune", "549"), ("--prune", "all")] {
        let refused = with(&[flag, value]);
        assert_eq!(refused.code(), 2);
        assert!(refused.stderr().contains(flag), "{}", refused.stderr());
    }
}
