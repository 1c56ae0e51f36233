//! `adit validate` on real blocks, and on the same with something wrong.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adit_testchain::trials::{self, Missing, vector};
use adit_testchain::{ChainGenerator, ChainShape, assemble, blk};
use bitcoin::Network;
use bitcoin::constants::genesis_block;
use support::run;

/// The hash of mainnet's block 255, the last of `blocks-1-255.dat`.
const MAIN_255: &str = "00000000d0a75c861fabf9ff7b92022f60e4afeed9331fe5aa073d8e4706fe3c";

fn validate(args: &[&str], file: &Path) -> support::Run {
    let file = file.to_str().expect("a UTF-8 path");
    run(["validate"].iter().chain(args).chain([&file]))
}

fn the_first_255_blocks_of_mainnet_are_good() -> Result<(), Missing> {
    let file = vector("mainnet/blocks-1-255.dat")?;
    let json = validate(&["--chain", "main", "--json", "--blocks"], &file).json();
    assert_eq!((&json["valid"], &json["blocks"]), (&true.into(), &255.into()), "{json}");
    assert_eq!(json["tip"], serde_json::json!({ "height": 255, "hash": MAIN_255 }));

    let text = validate(&["--chain", "main", "--blocks"], &file);
    assert_eq!(text.code(), 0, "{}", text.stderr());
    assert!(text.stdout().contains(MAIN_255), "{}", text.stdout());
    Ok(())
}

/// The hashes are those of the files' last 80 bytes, computed with another program.
fn real_headers_are_good() -> Result<(), Missing> {
    for (name, chain, height, hash) in [
        (
            "mainnet/headers-0-10236.bin",
            "main",
            10_236,
            "000000004f74d42205b9d7ae1cb5c1591e723894a71358fce73b7e0919628161",
        ),
        (
            "signet/headers-0-2015.bin",
            "signet",
            2_015,
            "000000c0a3841a6ae64c45864ae25314b40fd522bfb299a4b6bd5ef288cae74d",
        ),
    ] {
        let file = vector(name)?;
        let run = validate(&["--chain", chain, "--json", "--headers"], &file);
        assert_eq!(run.code(), 0, "{}", run.stderr());
        let json = run.json();
        assert_eq!((&json["valid"], &json["headers"]), (&true.into(), &(height + 1).into()), "{json}");
        assert_eq!(json["tip"], serde_json::json!({ "height": height, "hash": hash }));
        // The same bytes are no headers of another chain.
        let (other, words) = match chain {
            "main" => ("signet", ["byte 0", "the genesis block of another chain"]),
            _ => ("main", ["byte 0", "high-hash"]),
        };
        validate(&["--chain", other, "--headers"], &file).refused(1, &words);
    }
    Ok(())
}

/// The tip is that of the chain with most work, not the last or the highest header of the file.
fn headers_in_any_number_have_the_tip_of_the_best_chain() -> Result<(), Missing> {
    let file = vector("mainnet/headers-0-10236.bin")?;
    let headers = fs::read(file).expect("readable");
    let folder = tempfile::tempdir().expect("a folder");
    let repeated = folder.path().join("headers");
    fs::write(&repeated, [&headers[..101 * 80], &headers[80..160]].concat()).expect("writable");
    let json = validate(&["--json", "--headers"], &repeated).json();
    assert_eq!(json["headers"], 102, "{json}");
    let hash = "000000007bc154e0fa7ea32218a72fe2c1bb9f86cf8c9ebf9a715ed27fdb229a";
    assert_eq!(json["tip"], serde_json::json!({ "height": 100, "hash": hash }));
    fs::write(&repeated, &headers[..80]).expect("writable");
    validate(&["--chain", "testnet3", "--headers"], &repeated)
        .refused(1, &["byte 0", "the genesis block of another chain"]);
    Ok(())
}

fn a_list_of_another_block_is_no_broken_rule() -> Result<(), Missing> {
    let block = vector("mainnet/block-866342.bin")?;
    let prevouts = vector("mainnet/block-367891.prevouts.json")?;
    let run = validate(&["--prevouts", prevouts.to_str().expect("a UTF-8 path"), "--block"], &block);
    run.refused(2, &["block-367891.prevouts.json", "20817 entries", "spends 7972"]);
    Ok(())
}

fn two_whole_blocks_are_good_with_their_prevouts() -> Result<(), Missing> {
    for (height, inputs) in [(367_891, 20_817), (866_342, 7_972)] {
        let block = vector(&format!("mainnet/block-{height}.bin"))?;
        let prevouts = vector(&format!("mainnet/block-{height}.prevouts.json"))?;
        let run = validate(&["--json", "--prevouts", prevouts.to_str().expect("a UTF-8 path"), "--block"], &block);
        assert_eq!(run.code(), 0, "{}", run.stderr());
        let json = run.json();
        assert_eq!(json["inputs"], inputs);
        assert_eq!(json["tip"]["height"], height);
    }
    Ok(())
}

/// Wherever the byte stands, the run ends with 1 or 2 and one line; the validator's own tests flip every byte.
fn a_flipped_byte_is_refused() -> Result<(), Missing> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, chain, flag, step) in [
        ("mainnet/blocks-1-255.dat", "main", "--blocks", 1_499),
        ("signet/headers-0-2015.bin", "signet", "--headers", 4_001),
    ] {
        let file = vector(name)?;
        let good = fs::read(file).expect("readable");
        let bad_file = folder.path().join("flipped");
        for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&bad_file, &bad).expect("writable");
            let run = validate(&["--chain", chain, flag], &bad_file);
            assert!(matches!(run.code(), 1 | 2), "byte {at} of {name}: {}{}", run.stdout(), run.stderr());
            assert_eq!(run.stderr().lines().count(), 1, "byte {at} of {name}: {}", run.stderr());
        }
    }
    Ok(())
}

fn a_broken_rule_is_named_with_height_hash_seen_and_wanted() -> Result<(), Missing> {
    let file = vector("signet/headers-0-2015.bin")?;
    let folder = tempfile::tempdir().expect("a folder");
    let bad_file = folder.path().join("headers");
    let mut headers = fs::read(file).expect("readable");
    headers[80 * 7 + 76] ^= 1;
    fs::write(&bad_file, &headers).expect("writable");
    validate(&["--chain", "signet", "--headers"], &bad_file).refused(1, &["height 7", "high-hash", "seen", "wanted"]);

    let run = validate(&["--chain", "signet", "--json", "--headers"], &bad_file);
    assert_eq!(run.code(), 1);
    let json = run.json();
    assert_eq!((&json["valid"], &json["height"], &json["rule"]), (&false.into(), &7.into(), &"high-hash".into()));
    Ok(())
}

fn truncated_and_foreign_files_are_named_by_byte() -> Result<(), Missing> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("input");
    let path = file.to_str().expect("a UTF-8 path");

    fs::write(&file, b"not a block file, but long enough to be one").expect("writable");
    validate(&["--chain", "main", "--blocks"], &file).refused(2, &[path, "byte 0"]);

    let genesis = bitcoin::consensus::serialize(&genesis_block(Network::Bitcoin).header);
    fs::write(&file, [&genesis[..], &[0]].concat()).expect("writable");
    validate(&["--chain", "main", "--headers"], &file).refused(2, &[path, "byte 80"]);

    let blocks = vector("mainnet/blocks-1-255.dat")?;
    let good = fs::read(blocks).expect("readable");
    fs::write(&file, &good[..good.len() - 5]).expect("writable");
    validate(&["--chain", "main", "--blocks"], &file).refused(2, &[path, "byte"]);
    Ok(())
}

fn an_empty_or_missing_file_is_unreadable_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("input");
    for flag in ["--blocks", "--headers"] {
        validate(&["--chain", "main", flag], &folder.path().join("nowhere")).refused(2, &["nowhere"]);
        fs::write(&file, b"").expect("writable");
        validate(&["--chain", "main", flag], &file).refused(2, &["input", "empty"]);
    }
}

fn a_file_of_another_chain_is_refused() -> Result<(), Missing> {
    let file = vector("mainnet/blocks-1-255.dat")?;
    validate(&["--chain", "signet", "--blocks"], &file).refused(2, &["byte 0", "f9beb4d9"]);
    Ok(())
}

fn an_unknown_chain_is_wrong_usage() {
    let run = run(["validate", "--chain", "dogecoin", "--headers", "x"]);
    run.refused(2, &["dogecoin", "regtest"]);
}

/// Writes `blocks` to a file in the regression-test chain's framing.
fn block_file(folder: &Path, name: &str, blocks: &[Vec<u8>]) -> PathBuf {
    let file = folder.join(name);
    blk::write(&file, assemble::TestNetwork::Regtest.magic(), blocks.iter().cloned()).expect("writable");
    file
}

/// A good block of `chain`, which then goes on from it, with a coinbase that takes a satoshi too much.
fn greedy_block(chain: &mut ChainGenerator) -> Vec<u8> {
    let mut draft = chain.empty_draft();
    draft.block.txdata[0].output[0].value += bitcoin::Amount::ONE_SAT;
    assemble::seal(&assemble::TestNetwork::Regtest, &mut draft.block);
    let bytes = bitcoin::consensus::serialize(&draft.block);
    chain.accept(draft);
    bytes
}

fn a_bad_block_is_refused_wherever_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = ChainGenerator::new(ChainShape::small(5)).expect("a shape");
    let mut blocks: Vec<Vec<u8>> = (0..9).map(|_| chain.next_block()).collect();
    let mut side = chain.fork(1);
    blocks.push(greedy_block(&mut chain));
    blocks.extend((0..3).map(|_| chain.next_block()));

    for order in [[9, 8, 10, 11, 12], [12, 11, 10, 9, 8], [8, 11, 10, 9, 12]] {
        let shuffled: Vec<_> = (0..8).chain(order).map(|i| blocks[i].clone()).collect();
        let file = block_file(folder.path(), "blocks", &shuffled);
        validate(&["--chain", "regtest", "--blocks"], &file).refused(1, &["height 10", "bad-cb-amount"]);
        let json = validate(&["--chain", "regtest", "--json", "--blocks"], &file).json();
        assert_eq!((&json["blocks"], &json["tip"]["height"]), (&9.into(), &9.into()), "{json}");
    }

    // A block on its branch is what makes the branch the best; the bad block's own position is named.
    let rival = side.clone().next_block();
    let overtaking = [&blocks[..9], &[rival], &blocks[9..11]].concat();
    let file = block_file(folder.path(), "overtaking", &overtaking);
    let byte: usize = overtaking[..10].iter().map(|block| 8 + block.len()).sum::<usize>() + 8;
    let run = validate(&["--chain", "regtest", "--json", "--blocks"], &file);
    let json = run.json();
    assert_eq!((&json["valid"], &json["byte"], &json["blocks"]), (&false.into(), &byte.into(), &10.into()), "{json}");

    // Below the chain with most work it is never connected, which is said.
    let rival: Vec<_> = (0..5).map(|_| side.next_block()).collect();
    let file = block_file(folder.path(), "rival", &[&blocks[..9], &rival[..], &blocks[9..10]].concat());
    let json = validate(&["--chain", "regtest", "--json", "--blocks"], &file).json();
    assert_eq!((&json["valid"], &json["blocks"], &json["blocks_not_connected"]), (&true.into(), &14.into(), &1.into()));
}

fn branches_of_any_length_end_on_the_heavier_in_any_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trunk = ChainGenerator::new(ChainShape::small(6)).expect("a shape");
    let below: Vec<_> = (0..3).map(|_| trunk.next_block()).collect();
    let (mut light, mut heavy) = (trunk.fork(1), trunk.fork(2));
    let light: Vec<_> = (0..310).map(|_| light.next_block()).collect();
    let heavy_blocks: Vec<_> = (0..311).map(|_| heavy.next_block()).collect();
    let tip = heavy.tip().hash.to_string();
    let reversed: Vec<_> = heavy_blocks.iter().rev().cloned().collect();
    for (name, parts) in [
        ("light first", [&below, &light, &heavy_blocks]),
        ("heavy first", [&below, &heavy_blocks, &light]),
        ("backwards", [&reversed, &light, &below]),
    ] {
        let files: Vec<_> = (0..3).map(|i| block_file(folder.path(), &format!("part{i}"), parts[i])).collect();
        let run =
            run(["validate", "--chain", "regtest", "--json", "--blocks"].map(PathBuf::from).into_iter().chain(files));
        assert_eq!(run.code(), 0, "{name}: {}", run.stderr());
        assert_eq!(run.json()["tip"], serde_json::json!({ "height": 314, "hash": tip }), "{name}");
    }
}

fn main() -> ExitCode {
    trials::run(adit_testchain::trials![
        the_first_255_blocks_of_mainnet_are_good,
        real_headers_are_good,
        headers_in_any_number_have_the_tip_of_the_best_chain,
        a_list_of_another_block_is_no_broken_rule,
        two_whole_blocks_are_good_with_their_prevouts,
        a_flipped_byte_is_refused,
        a_broken_rule_is_named_with_height_hash_seen_and_wanted,
        truncated_and_foreign_files_are_named_by_byte,
        an_empty_or_missing_file_is_unreadable_input,
        a_file_of_another_chain_is_refused,
        an_unknown_chain_is_wrong_usage,
        a_bad_block_is_refused_wherever_it_stands,
        branches_of_any_length_end_on_the_heavier_in_any_order,
    ])
}
