//! `adit proof` as a user runs it: made from a block or a folder, verified by somebody who has the headers only.

mod support;

use std::fs;
use std::io::Write;
use std::process::{ExitCode, Stdio};

use adit_testchain::trials::{self, Missing, read_vector, vector};
use adit_testchain::{ChainGenerator, ChainShape};
use support::{adit, run};

/// Block 170 of mainnet, the first that spends, and its second transaction.
const FIRST_SPEND: &str = "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16";

fn block_170(folder: &std::path::Path) -> Result<String, Missing> {
    let blocks = read_vector("mainnet/blocks-1-255.dat")?;
    let mut rest = &blocks[..];
    for _ in 1..170 {
        let length = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize;
        rest = &rest[8 + length..];
    }
    let length = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize;
    let path = folder.join("block-170.bin");
    fs::write(&path, &rest[8..8 + length]).expect("the folder can be written");
    Ok(path.to_str().expect("a UTF-8 path").to_owned())
}

fn a_proof_convinces_who_has_the_headers_only() -> Result<(), Missing> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (block, headers) = (block_170(folder.path())?, vector("mainnet/headers-0-10236.bin")?);
    let headers = headers.to_str().expect("a UTF-8 path");
    let made = run(["proof", "make", "--block", &block, FIRST_SPEND]);
    assert_eq!(made.code(), 0, "{}", made.stderr());
    let file = folder.path().join("proof.hex");
    fs::write(&file, made.stdout()).expect("the folder can be written");
    let file = file.to_str().expect("a UTF-8 path");

    let verified = run(["proof", "verify", file, "--headers", headers, "--txid", FIRST_SPEND]);
    assert_eq!(verified.code(), 0, "{}", verified.stderr());
    let text = verified.stdout();
    assert!(text.starts_with(&format!("{FIRST_SPEND} is transaction 1 of 2 in block 00000000d1145790")), "{text}");
    assert!(text.contains("at height 170\nnot checked: the number of transactions"), "{text}");
    // Ten thousand headers of main are no proof that there is no heavier chain.
    assert!(text.trim_end().ends_with("it is known to have more work"), "{text}");
    let json = run(["proof", "verify", file, "--json", "--headers", headers]).json();
    assert_eq!((&json["height"], &json["minimum_chain_work_reached"]), (&170.into(), &false.into()), "{json}");

    let json = run(["proof", "verify", file, "--json", "--block", &block]).json();
    assert_eq!(json["valid"], true);
    assert_eq!(json["transactions_checked"], true);
    assert_eq!(json["proven"][0]["txid"], FIRST_SPEND);

    // From a pipe, and what is wrong is named.
    let mut piped = adit()
        .args(["proof", "verify", "--headers", headers])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    piped.stdin.take().expect("a pipe").write_all(made.stdout().as_bytes()).expect("the program reads");
    assert!(piped.wait().expect("it ends").success());
    let other = "0437cd7f8525ceed2324359c2d0ba26006d92d856a9c20fa0241106ee5a597c9";
    let wrong = run(["proof", "verify", file, "--headers", headers, "--txid", other]);
    wrong.refused(1, &["proof.hex", FIRST_SPEND, "wanted", other]);
    run(["proof", "make", "--block", &block, other]).refused(2, &["does not have transaction", other]);
    let cut = made.stdout().trim().len() - 2;
    fs::write(file, &made.stdout()[..cut]).expect("the folder can be written");
    run(["proof", "verify", file, "--headers", headers]).refused(1, &["proof.hex", "the bytes end too early"]);
    fs::write(file, "not a proof").expect("the folder can be written");
    run(["proof", "verify", file, "--headers", headers]).refused(2, &["proof.hex", "hexadecimal"]);
    run(["proof", "verify", "nowhere.hex", "--headers", headers]).refused(2, &["nowhere.hex"]);
    let empty = folder.path().join("empty");
    fs::write(&empty, "").expect("the folder can be written");
    let empty = empty.to_str().expect("a UTF-8 path");
    run(["proof", "verify", empty, "--headers", headers]).refused(2, &["empty: it holds no proof"]);
    fs::write(file, made.stdout()).expect("the folder can be written");
    run(["proof", "verify", file, "--headers", empty]).refused(2, &["empty: it holds no header"]);
    Ok(())
}

fn a_proof_is_made_and_verified_over_a_data_folder() {
    use adit_validator::block::DecodedBlock;
    use adit_validator::chain::ChainParams;
    use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView};

    let datadir = tempfile::tempdir().expect("a temporary folder");
    let options = ChainStateOptions::default();
    let mut chain =
        ChainState::open(&datadir.path().join("regtest"), ChainParams::regtest(), options).expect("it opens");
    let mut generator = ChainGenerator::new(ChainShape::small(3)).expect("a possible shape");
    for _ in 0..12 {
        let block = DecodedBlock::decode(generator.next_block()).expect("a block");
        chain.accept_block(block, u64::from(u32::MAX)).expect("memory and disk suffice");
    }
    let block =
        chain.block(&chain.active_at(7).expect("twelve blocks").hash).expect("it is kept").expect("it is known");
    let txid = block.txids()[0].to_string();
    chain.close().expect("it closes");

    let datadir = datadir.path().to_str().expect("a UTF-8 path");
    let source = ["--chain", "regtest", "--datadir", datadir];
    let made = run(["proof", "make", &txid].iter().chain(&source));
    assert_eq!(made.code(), 0, "{}", made.stderr());
    assert_eq!(run(["proof", "make", &txid, "--at", "7"].iter().chain(&source)).stdout(), made.stdout());
    run(["proof", "make", &txid, "--at", "6"].iter().chain(&source)).refused(2, &["does not have transaction"]);
    run(["proof", "make", &txid, "--at", "13"].iter().chain(&source)).refused(2, &["--at 13", "height 12"]);
    let file = format!("{datadir}/proof.hex");
    fs::write(&file, made.stdout()).expect("the folder can be written");
    let verified = run(["proof", "verify", "--json", &file].iter().chain(&source));
    assert_eq!(verified.code(), 0, "{}", verified.stderr());
    assert_eq!(verified.json()["height"], 7);
    run(["proof", "verify", &file, "--chain", "dev", "--datadir", datadir]).refused(2, &["no chain dev"]);
    assert!(!std::path::Path::new(datadir).join("dev").exists(), "nothing is made");
}

fn main() -> ExitCode {
    trials::run(adit_testchain::trials![
        a_proof_convinces_who_has_the_headers_only,
        a_proof_is_made_and_verified_over_a_data_folder,
    ])
}
