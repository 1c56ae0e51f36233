//! `adit chain`, and `--chain FILE` of the other subcommands.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bitcoin::hashes::{Hash, sha256};
use serde_json::Value;
use support::{adit, run};
use tempfile::TempDir;

/// Work that takes no time, for chains whose work is not what a test is about.
const EASY: &str = "207fffff";

/// Six compressed public keys: the multiples 1 to 6 of the curve's generator.
const KEYS: [&str; 6] = [
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
    "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
    "03fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556",
];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Writes the chain `name` with `flags` into `folder` and gives the file and what was printed.
fn new_chain(folder: &TempDir, name: &str, flags: &[&str]) -> (PathBuf, Value) {
    let file = folder.path().join(format!("{name}.toml"));
    let args = ["chain", "new", "--json", "--name", name, "--pow-limit", EASY, "--output", text(&file)];
    let made = run(args.iter().chain(flags));
    assert_eq!(made.code(), 0, "{}", made.stderr());
    (file, made.json())
}

fn up(datadir: &Path, chain: &Path, blocks: u32) -> support::Run {
    let blocks = blocks.to_string();
    let args =
        ["up", "--datadir", text(datadir), "--chain", text(chain), "--blocks", &blocks, "--device", "cpu", "--json"];
    run(args)
}

#[test]
fn a_chain_is_described_mined_shown_and_validated() {
    let folder = folder();
    let (file, made) = new_chain(&folder, "grid", &["--spacing", "2m", "--subsidy", "12.5", "--halving", "1000"]);
    assert_eq!(made["rules"]["spacing"], 120);
    assert_eq!(made["rules"]["subsidy"], 1_250_000_000);
    assert_eq!(made["rules"]["difficulty"], "asert, half-life 7200 s, anchored at height 1");
    let shown = run(["chain", "show", "--json", text(&file)]);
    assert_eq!(shown.json(), made);
    let lines = run(["chain", "show", text(&file)]).stdout();
    for value in ["genesis.hash", "genesis.merkle_root", "rules_hash", "magic"] {
        let value = value.split('.').fold(&made, |object, name| &object[name]).as_str().expect("text");
        assert!(lines.contains(value), "{value} is not in {lines}");
    }

    let mined = up(folder.path(), &file, 3);
    assert_eq!(mined.code(), 0, "{}", mined.stderr());
    let blocks = mined.json_lines();
    assert_eq!(blocks[0]["previous"], made["genesis"]["hash"]);
    let stored = folder.path().join("grid/blocks/blk00000.dat");
    let checked = run(["validate", "--json", "--chain", text(&file), "--blocks", text(&stored)]);
    assert_eq!(checked.code(), 0, "{}", checked.stderr());
    assert_eq!((&checked.json()["chain"], &checked.json()["tip"]["hash"]), (&"grid".into(), &blocks[2]["hash"]));
}

/// The default work takes the CPU a second; the file is found by its default name.
#[test]
fn the_defaults_are_a_chain_like_dev() {
    let folder = folder();
    let made = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["chain", "new", "--name", "energy-1"])
        .current_dir(folder.path())
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.path().join("energy-1.toml");
    let shown = run(["chain", "show", "--json", text(&file)]).json();
    let dev = run(["chain", "show", "--json", "dev"]).json();
    for rule in ["pow_limit", "spacing", "difficulty", "subsidy", "halving_interval", "segwit"] {
        assert_eq!(shown["rules"][rule], dev["rules"][rule], "{rule}");
    }
    for other in ["magic", "p2p_port", "rpc_port", "rules_hash"] {
        assert_ne!(shown[other], dev[other], "{other}");
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("one").file_name()).collect();
    assert_eq!(names, ["energy-1.toml"], "nothing else is left behind");
}

#[test]
fn five_of_six_signers_are_a_challenge() {
    let folder = folder();
    let keys = KEYS.iter().flat_map(|key| ["--key", key]);
    let flags: Vec<&str> = ["--signers", "5"].into_iter().chain(keys).collect();
    let (file, made) = new_chain(&folder, "board", &flags);
    let script = KEYS.iter().map(|key| format!("21{key}")).collect::<String>();
    assert_eq!(made["challenge"]["script"], format!("55{script}56ae"));
    assert_eq!(made["challenge"]["signers"], "5 of 6");
    let (hash, magic) = (&made["challenge"]["hash"], &made["challenge"]["signet_magic"]);
    assert_eq!(&hash.as_str().expect("text")[..8], magic.as_str().expect("text"));
    assert!(run(["chain", "show", text(&file)]).stdout().contains("5 of 6"));
    up(folder.path(), &file, 1).refused(2, &["--chain", "board", "signed by 5 of 6 signers"]);
    assert!(!folder.path().join("board").exists(), "a refused start leaves nothing");
}

#[test]
fn signers_that_make_no_challenge_are_refused() {
    let chain = ["chain", "new", "--name", "board", "--output", "/nonexistent/never.toml", "--signers"];
    let refused = |flags: &[&str], words: &[&str]| run(chain.iter().chain(flags)).refused(2, words);
    refused(&["3", "--key", KEYS[0], "--key", KEYS[1]], &["--signers", "3 signatures of 2 keys", "1 to 2"]);
    refused(&["0", "--key", KEYS[0]], &["--signers", "0 signatures"]);
    refused(&["1", "--key", KEYS[0], "--key", KEYS[0]], &["--key", KEYS[0], "twice"]);
    for flags in [&["1"][..], &["1", "--key", "02ff"], &["1", "--key", KEYS[0], "--challenge", "51"]] {
        let run = run(chain.iter().chain(flags));
        assert_eq!(run.code(), 2, "{}", run.stderr());
    }
}

#[test]
fn what_is_no_chain_is_refused_before_it_is_mined() {
    let folder = folder();
    let file = folder.path().join("new.toml");
    let refused = |flags: &[&str], words: &[&str]| {
        run(["chain", "new", "--output", text(&file)].iter().chain(flags)).refused(2, words);
        assert!(!file.exists(), "{flags:?}");
    };
    refused(&["--name", "main"], &["--name", "\"main\"", "none of main, testnet3"]);
    refused(&["--name", "A B"], &["--name", "\"A B\"", "a-z"]);
    refused(&["--name", "a", "--magic", "f9beb4d9"], &["--magic", "f9beb4d9", "built-in"]);
    refused(&["--name", "a", "--message", &"m".repeat(60)], &["--message", "59"]);
    refused(&["--name", "a", "--spacing", "31d"], &["--spacing", "2678400"]);
    refused(&["--name", "a", "--half-life", "1s"], &["--half-life: 1", "at least one spacing, 10"]);
    refused(&["--name", "a", "--interval", "5"], &["--interval", "retarget"]);
    refused(&["--name", "a", "--difficulty", "none", "--half-life", "1h"], &["--half-life", "asert"]);
    refused(&["--name", "a", "--difficulty", "retarget", "--interval", "1"], &["--interval", "`1`", "2 to 1000000"]);
    refused(&["--name", "a", "--pow-limit", "2100ffff"], &["--pow-limit", "7fff"]);
    refused(&["--name", "a", "--subsidy", "21000001"], &["--subsidy", "2100000100000000"]);
    refused(&["--name", "a", "--challenge", "6a"], &["--challenge", "OP_RETURN"]);
    refused(&["--name", "a", "--hrp", "B"], &["--hrp", "\"B\""]);
    refused(&["--name", "a", "--p2p-port", "8", "--rpc-port", "8"], &["--rpc-port: 8", "another port than --p2p-port"]);
    for flags in [
        &[][..],
        &["--name", "a", "--spacing", "soon"],
        &["--name", "a", "--seed", "nowhere"],
        &["--name", "a", "--magic", "12"],
        &["--name", "a", "--pow-limit", "ffffffff"],
        &["--name", "a", "--challenge", "xy"],
    ] {
        let run = run(["chain", "new", "--output", text(&file)].iter().chain(flags));
        assert_eq!(run.code(), 2, "{flags:?}: {}", run.stderr());
    }
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let folder = folder();
    let (file, _) = new_chain(&folder, "grid", &[]);
    let before = fs::read(&file).expect("the file");
    let again = ["chain", "new", "--name", "grid", "--pow-limit", EASY, "--output", text(&file)];
    run(again).refused(2, &["--output", text(&file), "never overwritten"]);
    assert_eq!(fs::read(&file).expect("the file"), before);
    let nowhere = folder.path().join("nowhere/grid.toml");
    run(["chain", "new", "--name", "grid", "--output", text(&nowhere)]).refused(2, &["--output", "nowhere"]);
    run(["chain", "new", "--name", "grid", "--output", text(&file.join("x.toml"))]).refused(2, &["--output"]);
}

/// Work that would take years: the run waits for the signal.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing() {
    let folder = folder();
    let file = folder.path().join("slow.toml");
    let mut child = adit()
        .args(["chain", "new", "--name", "slow", "--pow-limit", "1700ffff", "--output", text(&file)])
        .env("ADIT_LOG", "adit=info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    // By then it listens: before, a signal would end it at once and without a code.
    let mining = lines.next().expect("a line").expect("text");
    assert!(mining.contains("mining the genesis block of slow"), "{mining}");
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
    let line = lines.next().expect("a line").expect("text");
    assert_eq!(child.wait().expect("it ended").code(), Some(3), "{line}");
    assert!(line.contains("interrupted: nothing was written"), "{line}");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn damaged_files_are_refused_with_their_place() {
    let folder = folder();
    let (file, made) = new_chain(&folder, "grid", &[]);
    let good = fs::read_to_string(&file).expect("the file");
    let damaged = folder.path().join("damaged.toml");
    let path = text(&damaged);
    let line = |what: &str| format!("line {}", 1 + good[..good.find(what).expect(what)].matches('\n').count());
    let hash = made["genesis"]["hash"].as_str().expect("text");
    for (content, words) in [
        (Vec::new(), &["empty"][..]),
        (b"\xff\xfe".to_vec(), &["byte 0", "UTF-8"]),
        (good.replace("spacing = 10", "spacing = 20").into_bytes(), &[&line("hash = "), "genesis.hash", hash]),
        (good.replace("wif = 239", "wif = 999").into_bytes(), &[&line("wif = "), "addresses.wif", "999", "255"]),
        (good.replace("csv = 1", "csv = 1\nheight = 2").into_bytes(), &["unknown field `height`"]),
        (good.as_bytes()[..good.len() / 2].to_vec(), &["line "]),
        (vec![b'#'; 65_537], &["more than 65536 bytes"]),
    ] {
        fs::write(&damaged, content).expect("a file");
        for args in [
            &["chain", "show", path][..],
            &["validate", "--chain", path, "--headers", path],
            &["up", "--chain", path, "--datadir", text(folder.path())],
        ] {
            run(args).refused(2, &[&[path][..], words].concat());
        }
    }
    run(["chain", "show", "missing.toml"]).refused(2, &["missing.toml"]);
    run(["chain", "show", text(folder.path())]).refused(2, &[text(folder.path())]);
    run(["chain", "show", "grid"]).refused(2, &["\"grid\"", "testnet4", ".toml"]);
}

#[test]
fn built_in_chains_are_shown_with_their_hashes() {
    let main = run(["chain", "show", "--json", "main"]).json();
    assert_eq!(main["genesis"]["hash"], "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
    assert_eq!(main["genesis"]["merkle_root"], "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b");
    assert_eq!((&main["magic"], &main["magic_little_endian"]), (&"f9beb4d9".into(), &0xd9b4_bef9_u32.into()));
    assert_eq!((&main["challenge"], &main["file"]), (&Value::Null, &Value::Null));
    let signet = run(["chain", "show", "--json", "signet"]).json();
    assert_eq!((&signet["magic"], &signet["challenge"]["signet_magic"]), (&"0a03cf40".into(), &"0a03cf40".into()));
    assert_eq!(signet["challenge"]["signers"], "1 of 2");
    for name in ["main", "testnet3", "testnet4", "signet", "regtest", "dev"] {
        let rules = run(["chain", "show", "--rules", name]).stdout();
        let hash = sha256::Hash::hash(rules.as_bytes()).to_string();
        assert_eq!(run(["chain", "show", "--json", name]).json()["rules_hash"], hash, "{name}");
        assert!(run(["chain", "show", name]).stdout().contains(&hash), "{name}");
    }
    assert!(run(["chain", "show"]).stdout().starts_with("chain           dev"));
}

#[test]
fn two_files_are_two_chains_even_with_one_name_and_magic() {
    let [here, there] = [folder(), folder()];
    let flags = ["--magic", "c0ffee01", "--time", "1700000000"];
    let (ours, made) = new_chain(&here, "grid", &flags);
    let (theirs, other) = new_chain(&there, "grid", &[&flags[..], &["--halving", "1"]].concat());
    assert_ne!(made["genesis"]["hash"], other["genesis"]["hash"]);
    assert_eq!(up(there.path(), &theirs, 2).code(), 0);

    let blocks = there.path().join("grid/blocks/blk00000.dat");
    let checked = run(["validate", "--json", "--chain", text(&ours), "--blocks", text(&blocks)]);
    assert_eq!(checked.code(), 1, "{}", checked.stderr());
    assert_eq!(checked.json()["rule"], "prev-blk-not-found");

    let hash = |chain: &Value| chain["genesis"]["hash"].as_str().expect("text").to_owned();
    up(there.path(), &ours, 1).refused(2, &["grid (genesis", &hash(&made), &hash(&other)]);
}

#[test]
fn public_chains_are_not_mined_here() {
    let folder = folder();
    for chain in ["main", "testnet3", "testnet4", "signet"] {
        let refused = run(["up", "--chain", chain, "--datadir", text(folder.path()), "--blocks", "1"]);
        refused.refused(2, &["--chain", chain, "public chain"]);
    }
    run(["up", "--chain", "grid", "--datadir", text(folder.path())]).refused(2, &["--chain", "\"grid\""]);
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn an_assumed_valid_block_is_a_hash_or_none() {
    let folder = folder();
    let (file, _) = new_chain(&folder, "grid", &[]);
    let blocks = up(folder.path(), &file, 3).json_lines();
    let stored = folder.path().join("grid/blocks/blk00000.dat");
    let validate = |assumed: &str| {
        run(["validate", "--json", "--chain", text(&file), "--assume-valid", assumed, "--blocks", text(&stored)])
    };
    let tip = blocks[2]["hash"].as_str().expect("text");
    for assumed in ["none", tip] {
        let checked = validate(assumed);
        assert_eq!((checked.code(), checked.stderr()), (0, String::new()));
        assert_eq!(checked.json()["tip"]["hash"], tip);
        assert_eq!(checked.json()["minimum_chain_work_reached"], true);
    }
    // A warning, and everything is checked.
    let unknown = validate(&"11".repeat(32));
    assert_eq!(unknown.code(), 0);
    assert!(unknown.stderr().contains("in none of the files"), "{}", unknown.stderr());
    assert_eq!(validate("yes").code(), 2);
}
