//! `adit validate --datadir` and `adit reindex` on stores that `adit up` has made.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView};
use support::{Run, adit, run};

fn mine(datadir: &Path, blocks: u32) -> Run {
    let blocks = blocks.to_string();
    run(["up", "--chain", "regtest", "--device", "cpu", "--threads", "1", "--json", "--blocks", &blocks, "--datadir"]
        .map(PathBuf::from)
        .into_iter()
        .chain([datadir.to_owned()]))
}

fn on(command: &[&str], datadir: &Path) -> Run {
    run(command.iter().map(PathBuf::from).chain([datadir.to_owned()]))
}

const VALIDATE: [&str; 5] = ["validate", "--chain", "regtest", "--json", "--datadir"];
const REINDEX: [&str; 5] = ["reindex", "--chain", "regtest", "--json", "--datadir"];

#[test]
fn a_store_is_checked_damaged_named_and_mended() {
    let datadir = tempfile::tempdir().expect("a folder");
    let datadir = datadir.path();
    on(&VALIDATE, datadir).refused(2, &["no store"]);
    assert!(fs::read_dir(datadir).expect("readable").next().is_none(), "a check makes nothing");
    assert_eq!(mine(datadir, 30).code(), 0);

    let json = on(&VALIDATE, datadir).json();
    assert_eq!((&json["valid"], &json["complete"]), (&true.into(), &true.into()), "{json}");
    assert_eq!((&json["tip"]["height"], &json["coins"]), (&30.into(), &30.into()), "{json}");
    let tip = json["tip"].clone();
    let store = datadir.join("regtest");
    let chain = ChainState::open(&store, ChainParams::regtest(), ChainStateOptions::default()).expect("a store");
    let mut muhash = chain.coin_statistics().expect("it can be read").muhash;
    muhash.reverse();
    drop(chain);
    let coins = &json["coin_statistics"];
    assert_eq!((&coins["count"], &coins["total_sat"]), (&30.into(), &150_000_000_000_u64.into()), "{coins}");
    assert_eq!(coins["muhash"], muhash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let text = on(&["validate", "--chain", "regtest", "--datadir"], &store);
    assert!(text.code() == 0 && text.stdout().contains("30 coins good"), "{}", text.stdout());
    on(&["validate", "--chain", "signet", "--datadir"], &store).refused(2, &["holds the chain regtest", "signet"]);

    // A block, which no database can mend.
    let blocks = store.join("blocks/blk00000.dat");
    let good = fs::read(&blocks).expect("readable");
    let mut bad = good.clone();
    *bad.last_mut().expect("not empty") ^= 1;
    fs::write(&blocks, bad).expect("writable");
    let checked = on(&VALIDATE, datadir);
    checked.refused(1, &["blk00000.dat", "height 30", "bad-txnmrklroot"]);
    let json = checked.json();
    assert_eq!((&json["valid"], &json["findings"][0]["height"]), (&false.into(), &30.into()), "{json}");
    let copy = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(copy.path().join("blocks")).expect("writable");
    for name in ["STORE", "blocks/blk00000.dat", "blocks/rev00000.dat"] {
        fs::copy(store.join(name), copy.path().join(name)).expect("it can be copied");
    }
    assert!(checked.stderr().contains("another copy of the chain"), "{}", checked.stderr());
    let made = on(&REINDEX, copy.path());
    assert_eq!((made.code(), &made.json()["tip"]["height"]), (0, &29.into()), "{}", made.stderr());
    assert!(made.stderr().contains("the chain ends at height 29"), "{}", made.stderr());
    assert_eq!(made.json()["lost_tip"], serde_json::Value::Null, "the copy has no note of a tip");
    fs::copy(store.join("COMMIT"), copy.path().join("COMMIT")).expect("it can be copied");
    let made = on(&REINDEX, copy.path());
    assert_eq!(made.json()["lost_tip"], tip["hash"], "{}", made.stderr());
    assert!(made.stderr().contains("lacks its former tip"), "{}", made.stderr());
    fs::write(&blocks, good).expect("writable");

    // An undo record, which is made anew, in place of the one that rotted.
    let undo = store.join("blocks/rev00000.dat");
    let mut bad = fs::read(&undo).expect("readable");
    bad[10] ^= 1;
    fs::write(&undo, bad).expect("writable");
    on(&VALIDATE, datadir).refused(1, &["rev00000.dat", "adit reindex --chain regtest --datadir"]);
    assert_eq!(on(&REINDEX, datadir).code(), 0);
    assert_eq!((on(&VALIDATE, datadir).code(), &on(&VALIDATE, datadir).json()["tip"]), (0, &tip));

    // The database.
    let current = store.join("db/keyspaces/1/current");
    fs::write(&current, b"not a pointer").expect("writable");
    on(&VALIDATE, datadir).refused(1, &["keyspaces/1/current", "adit reindex --chain regtest --datadir"]);
    mine(datadir, 1).refused(3, &["keyspaces/1/current", "adit reindex --chain regtest --datadir"]);
    let made = on(&REINDEX, datadir);
    assert_eq!(made.code(), 0, "{}", made.stderr());
    assert_eq!((&made.json()["tip"], &made.json()["blocks"]), (&tip, &31.into()));
    assert_eq!(on(&VALIDATE, datadir).json()["tip"], tip);
    assert_eq!(mine(datadir, 1).json_lines()[0]["height"], 31);
    assert_eq!(mine(&store, 1).json_lines()[0]["height"], 32, "the store itself, as everywhere");
}

/// Advice that is followed has to work: a chain file is named by its path, and an index of filters is not the store's database.
#[test]
fn what_is_advised_can_be_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, datadir) = (folder.path().join("grid.toml"), folder.path().join("our data"));
    let (chain, data) = (chain.to_str().expect("UTF-8"), datadir.to_str().expect("UTF-8"));
    let new = run(["chain", "new", "--name", "grid", "--pow-limit", "207fffff", "--output", chain]);
    assert_eq!(new.code(), 0, "{}", new.stderr());
    let up = ["up", "--chain", chain, "--device", "cpu", "--filters", "--blocks", "1", "--json", "--datadir", data];
    assert_eq!(run(up).code(), 0);
    let store = datadir.join("grid");

    fs::remove_dir_all(store.join("filters/keyspaces")).expect("it was there");
    run(up).refused(3, &["--filters", "grid/filters", "without that folder the index is made anew"]);
    fs::remove_dir_all(store.join("filters")).expect("it was there");
    assert_eq!(run(up).json_lines()[0]["height"], 2);
    fs::remove_dir_all(store.join("filters/keyspaces/0")).expect("it was there");
    run(up).refused(3, &["--filters", "grid/filters", "without that folder the index is made anew"]);
    fs::remove_dir_all(store.join("filters")).expect("it was there");
    assert_eq!(run(up).json_lines()[0]["height"], 3);

    let marker = fs::read(store.join("STORE")).expect("readable");
    fs::write(store.join("STORE"), "adit shop").expect("writable");
    for command in ["validate", "reindex"] {
        let failed = run([command, "--chain", chain, "--datadir", data]);
        assert!(failed.code() != 0 && !failed.stderr().contains("adit reindex"), "{}", failed.stderr());
    }
    fs::remove_file(store.join("STORE")).expect("it was there");
    let here = store.to_str().expect("UTF-8");
    run(["up", "--chain", chain, "--blocks", "1", "--datadir", here]).refused(2, &["--datadir", "lost its file STORE"]);
    fs::write(store.join("STORE"), marker).expect("writable");

    fs::remove_dir_all(store.join("db")).expect("it was there");
    let advice = format!("adit reindex --chain {chain} --datadir '{here}'");
    run(["validate", "--chain", chain, "--datadir", data]).refused(1, &[&advice]);
    assert_eq!(run(["reindex", "--chain", chain, "--datadir", here]).code(), 0);
    assert_eq!(run(up).json_lines()[0]["height"], 4);
}

/// Every other kill comes while the new database stands beside the old one; the rest come at other moments, the first of
/// them at once.
#[cfg(unix)]
#[test]
fn a_rebuild_that_is_killed_leaves_a_store() {
    const HEIGHT: u32 = 200;
    let datadir = tempfile::tempdir().expect("a folder");
    assert_eq!(mine(datadir.path(), HEIGHT).code(), 0);
    let rebuilding = datadir.path().join("regtest/db.rebuilding");
    let stale = rebuilding.join("stale");
    let (mut during, mut elsewhere) = (0, 0);
    for kill in 0..12 {
        // The folder that an earlier kill left is marked, so that it does not pass for that of this rebuild.
        if rebuilding.exists() {
            fs::write(&stale, "").expect("writable");
        }
        let is_rebuilding = || rebuilding.exists() && !stale.exists();
        let mut child = adit();
        child.args(REINDEX).arg(datadir.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().expect("the program starts");
        if kill % 2 == 0 {
            while !is_rebuilding() && child.try_wait().expect("it can be asked").is_none() {
                std::thread::sleep(Duration::from_micros(100));
            }
            std::thread::sleep(Duration::from_millis(kill));
        } else {
            std::thread::sleep(Duration::from_millis(15 * (kill - 1)));
        }
        child.kill().expect("it can be killed");
        let was_running = child.wait().expect("it ends").code().is_none();
        *if was_running && is_rebuilding() { &mut during } else { &mut elsewhere } += 1;
        let checked = on(&VALIDATE, datadir.path());
        assert_eq!(checked.code(), 0, "kill {kill}: {}", checked.stderr());
        assert_eq!(checked.json()["tip"]["height"], HEIGHT, "kill {kill}");
    }
    assert!(during >= 3 && elsewhere >= 1, "{during} kills hit a rebuild, {elsewhere} hit other moments");
    assert_eq!(on(&REINDEX, datadir.path()).code(), 0);
    assert!(!rebuilding.exists(), "a rebuild that ends leaves no folder of an earlier one");
    assert_eq!(mine(datadir.path(), 1).json_lines()[0]["height"], HEIGHT + 1);
}

/// A limit on the size of files stands for a full disk: the write fails, the run ends with one line, and goes on later.
#[cfg(unix)]
#[test]
fn a_write_that_fails_ends_the_run_with_one_line_and_no_damage() {
    let datadir = tempfile::tempdir().expect("a folder");
    assert_eq!(mine(datadir.path(), 3).code(), 0);
    // The second start has cut the journal to what is in it.
    assert_eq!(mine(datadir.path(), 1).code(), 0);
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\"";
    let limited = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_adit"), "up", "--chain", "regtest", "--device", "cpu", "--json"])
        .args(["--threads", "1", "--blocks", "2000", "--datadir"])
        .arg(datadir.path())
        .output()
        .expect("a shell");
    let line = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(3), "{line}");
    assert!(line.lines().count() == 1 && line.contains("File too large"), "{line}");
    let mined = String::from_utf8_lossy(&limited.stdout).lines().count();
    let json = on(&VALIDATE, datadir.path()).json();
    assert_eq!(json["valid"], true, "{json}");
    let height = json["tip"]["height"].as_u64().expect("a height");
    assert!(mined > 0 && height >= 4 + mined as u64, "{mined} were reported, the tip is at {height}");
    assert_eq!(mine(datadir.path(), 1).json_lines()[0]["height"], height + 1);
}
