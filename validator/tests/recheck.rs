//! Tests of the re-check: a sound store passes, a flipped byte is reported with its file, and damage with a valid checksum is
//! found by the replay. Also tests a database that is rebuilt from the block files.
//!
//! `ADIT_FLIPS` sets the number of bytes that are flipped in each file; in smaller files every byte is flipped. `all` flips
//! every byte before the zeros at the end of a file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use adit_testchain::Rng;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::coins::statistics::CoinStatistics;
use adit_validator::import::reindex;
use adit_validator::progress::Watcher;
use adit_validator::recheck::{RecheckReport, recheck};
use adit_validator::store::StoreError;
use bitcoin::BlockHash;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use support::{Branch, NOW, eventful, options};

/// A watcher that ends the work after a number of calls.
struct Patience(u64);

impl Watcher for Patience {
    fn progress(&mut self, _: &'static str, _: u64, _: u64) {}

    fn goes_on(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

fn check(folder: &Path) -> RecheckReport {
    recheck(folder, &ChainParams::regtest(), &mut Patience(u64::MAX)).unwrap()
}

fn open(folder: &Path) -> ChainState {
    ChainState::open(folder, ChainParams::regtest(), options(CommitPolicy::EveryBlock, 1 << 20)).unwrap()
}

/// Tip and coins of a store that opens.
fn contents(folder: &Path) -> (BlockHash, CoinStatistics) {
    let state = open(folder);
    (state.tip().hash, state.coin_statistics().unwrap())
}

fn database(folder: &Path) -> Database {
    Database::builder(folder.join("db")).manual_journal_persist(true).open().unwrap()
}

fn records(database: &Database) -> Keyspace {
    database.keyspace("records", KeyspaceCreateOptions::default).unwrap()
}

/// The records whose keys begin with `kind`, in their order.
fn of_kind(records: &Keyspace, kind: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
    let record = |record: fjall::Guard| record.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap();
    records.prefix([kind]).map(record).collect()
}

/// A store with branches, whose coins lie in tables and in a journal.
fn store(folder: &Path) {
    let blocks = eventful(1);
    let mut state = open(folder);
    for block in &blocks {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    drop(state);
    {
        let database = database(folder);
        records(&database).rotate_memtable_and_wait().unwrap();
    }
    let mut more = Branch::from_genesis();
    more.mine(118, 50, 0);
    let mut state = open(folder);
    for block in &more.blocks {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    assert_eq!(state.tip().height, 118);
    state.close().unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for found in fs::read_dir(folder).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
    fs::create_dir_all(to).unwrap();
}

#[test]
fn a_whole_store_is_good_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let before: Vec<_> = files_below(folder.path()).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    let verdict = check(folder.path());
    assert!(verdict.is_good(), "{:?}", verdict.findings);
    assert_eq!((verdict.notes.len(), verdict.unchecked.len()), (0, 0), "{:?}", verdict.notes);
    let after: Vec<_> = files_below(folder.path()).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    assert!(before == after, "the re-check has changed the store");

    let state = open(folder.path());
    assert_eq!(verdict.tip, Some((118, state.tip().hash)));
    assert_eq!(verdict.connected, 118);
    assert_eq!(verdict.headers, state.headers().count() as u64);
    assert_eq!(verdict.blocks, verdict.headers);
    assert_eq!(verdict.coins, state.coin_statistics().unwrap().count);
    let refused = recheck(folder.path(), &ChainParams::regtest(), &mut Patience(u64::MAX));
    assert!(matches!(refused, Err(StoreError::InUse { .. })));
    let refused = recheck(folder.path(), &ChainParams::signet(), &mut Patience(u64::MAX));
    assert!(matches!(refused, Err(StoreError::OtherChain { .. })));
    let nowhere = folder.path().join("nowhere");
    let refused = recheck(&nowhere, &ChainParams::regtest(), &mut Patience(u64::MAX));
    assert!(matches!(refused, Err(StoreError::NoStore { .. })));
    assert!(!nowhere.exists());
}

/// Bytes without a meaning, by name; docs/store-format.md lists them.
fn is_meaningless(file: &Path, at: usize, bytes: &[u8]) -> bool {
    // Behind the last commit of a journal, and the last commit's sequence number, which the checksum leaves out.
    is_journal(file) && (at >= used(bytes) || last_sequence(bytes).contains(&at))
}

fn is_journal(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "jnl")
}

/// Bytes before the zeros that a file ends with.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The offset of the sequence number of a journal's last group: after its start marker, which follows a trailer.
fn last_sequence(journal: &[u8]) -> std::ops::Range<usize> {
    let end = used(journal).saturating_sub(4);
    let start = journal[..end].windows(5).rposition(|bytes| bytes == b"FJL\x03\x01").map_or(0, |trailer| trailer + 4);
    start + 5..start + 13
}

/// The bytes of a file that are flipped.
fn places(bytes: &[u8], rng: &mut Rng) -> Vec<usize> {
    let wanted = std::env::var("ADIT_FLIPS").unwrap_or_else(|_| "6".to_owned());
    // All of it, and a little of what follows.
    let length = bytes.len().min(used(bytes) + 64);
    let wanted: usize = if wanted == "all" { length } else { wanted.parse().unwrap() };
    // Pointers and the like are small enough for every byte.
    if length <= wanted.max(32) {
        return (0..length).collect();
    }
    let ends = [0, length.saturating_sub(1)];
    let mut places: Vec<usize> = ends.into_iter().chain((0..wanted).map(|_| rng.below(length.max(1)))).collect();
    places.retain(|place| *place < length);
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn a_flipped_byte_is_named_or_means_nothing() {
    let base = tempfile::tempdir().unwrap();
    let (folder, other) = (base.path().join("store"), base.path().join("other"));
    store(&folder);
    let wanted = contents(&folder);
    // What fjall allots to a new journal, in small.
    for journal in files_below(&folder).into_iter().filter(|file| is_journal(file)) {
        let length = fs::metadata(&journal).unwrap().len();
        fs::File::options().write(true).open(journal).unwrap().set_len(length + 500).unwrap();
    }
    let (mut flips, mut named, mut rng) = (0, 0, Rng::new(11));
    for file in files_below(&folder) {
        let good = fs::read(&file).unwrap();
        let name = file.strip_prefix(&folder).unwrap().to_owned();
        let mut places = places(&good, &mut rng);
        if is_journal(&file) {
            places.extend(last_sequence(&good).chain([used(&good), used(&good) + 1, good.len() - 1]));
        }
        for at in places {
            let context = format!("byte {at} of {}", name.display());
            let mut bad = good.clone();
            bad[at] ^= 1 << rng.below(8);
            fs::write(&file, &bad).unwrap();
            flips += 1;
            match recheck(&folder, &ChainParams::regtest(), &mut Patience(u64::MAX)) {
                Ok(verdict) if verdict.found > 0 => {
                    named += 1;
                    let finding = &verdict.findings[0];
                    // A manifest and the pointer with its checksum are each other's only witness.
                    let is_pointer = name.ends_with("current") && finding.file.parent() == file.parent();
                    assert!(finding.file == file || is_pointer, "{context}: {finding:?}");
                    let is_block_file = name.starts_with("blocks");
                    assert!(!is_block_file || finding.height.is_some(), "{context}: {finding:?}");
                }
                Err(
                    StoreError::OtherChain { .. } | StoreError::NewerFormat { .. } | StoreError::OlderFormat { .. },
                ) => {
                    assert_eq!(name, Path::new("STORE"), "{context}");
                    named += 1;
                }
                Ok(verdict) => {
                    assert!(is_meaningless(&file, at, &good), "{context} is not named: {verdict:?}");
                    copy(&folder, &other);
                    assert_eq!(contents(&other), wanted, "{context}");
                }
                Err(error) => panic!("{context}: {error}"),
            }
        }
        fs::write(&file, &good).unwrap();
    }
    assert!(check(&folder).is_good());
    assert!(flips > named, "the places without meaning were not met");
    println!("{flips} flips, {named} named, {} without meaning", flips - named);
}

/// Changes a database and makes all its checksums valid again.
fn falsify(folder: &Path, change: impl FnOnce(&Keyspace)) {
    let database = database(folder);
    change(&records(&database));
    database.persist(PersistMode::SyncAll).unwrap();
}

#[test]
fn what_lies_below_a_good_checksum_is_found_by_the_replay() {
    let base = tempfile::tempdir().unwrap();
    let (whole, folder) = (base.path().join("whole"), base.path().join("store"));
    store(&whole);
    type Change = fn(&Keyspace);
    let cases: [(&str, &str, Change); 6] = [
        ("coins", "wanted none", |records| {
            let (mut key, value) = of_kind(records, b'C').swap_remove(0);
            key[1] ^= 1;
            records.insert(key, value).unwrap();
        }),
        ("coins", "none, wanted", |records| records.remove(of_kind(records, b'C').swap_remove(0).0).unwrap()),
        ("coins", "satoshi", |records| {
            let (key, mut value) = of_kind(records, b'C').pop().unwrap();
            *value.last_mut().unwrap() ^= 1;
            records.insert(key, value).unwrap();
        }),
        ("files", "the index has", |records| {
            let (key, mut value) = of_kind(records, b'F').swap_remove(0);
            value[8] ^= 1;
            records.insert(key, value).unwrap();
        }),
        ("index", "not marked as connected", |records| {
            let (key, mut value) = of_kind(records, b'B').swap_remove(0);
            value[80] &= !4;
            records.insert(key, value).unwrap();
        }),
        ("commit", "was durable", |records| {
            let (key, _) = of_kind(records, b'B').swap_remove(0);
            records.insert("Mtip", &key[5..]).unwrap();
        }),
    ];
    for (rule, words, change) in cases {
        copy(&whole, &folder);
        falsify(&folder, change);
        let verdict = check(&folder);
        let finding = verdict.findings.first().unwrap_or_else(|| panic!("{rule}, {words}: not found"));
        assert!(finding.rule == rule && finding.what.contains(words), "{rule}, {words}: {finding:?}");
    }
}

/// Pruned blocks are reported as unchecked; the coins of the other blocks are compared.
#[test]
fn a_store_without_its_first_blocks_is_checked_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    falsify(folder.path(), |records| {
        let mut forgotten = 0;
        for (key, mut value) in of_kind(records, b'B') {
            if (1..=40).contains(&u32::from_be_bytes(key[1..5].try_into().unwrap())) {
                value[80] &= !3;
                value[81..].fill(0);
                records.insert(key, value).unwrap();
                forgotten += 1;
            }
        }
        let (key, mut value) = of_kind(records, b'F').swap_remove(0);
        let count = u32::from_le_bytes(value[8..12].try_into().unwrap()) - forgotten;
        value[8..12].copy_from_slice(&count.to_le_bytes());
        records.insert(key, value).unwrap();
    });
    let verdict = check(folder.path());
    assert!(verdict.is_good(), "{:?}", verdict.findings);
    assert_eq!(verdict.unchecked.len(), 2, "{:?}", verdict.unchecked);
    assert!(verdict.coins > 0 && verdict.connected == 0);

    falsify(folder.path(), |records| {
        of_kind(records, b'C').into_iter().for_each(|(key, _)| records.remove(key).unwrap());
    });
    let verdict = check(folder.path());
    assert_eq!(verdict.found, 118 - 40);
    assert!(verdict.findings.iter().all(|finding| finding.rule == "coins" && finding.height > Some(40)));
}

#[test]
fn a_re_check_that_is_interrupted_says_so() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let verdict = recheck(folder.path(), &ChainParams::regtest(), &mut Patience(4)).unwrap();
    assert!(verdict.interrupted && !verdict.is_good());
    assert!(!folder.path().join("db.check").exists());
}

#[test]
fn a_torn_commit_is_a_note_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let mut journals = files_below(folder.path()).into_iter().filter(|file| is_journal(file));
    let journal = journals.next_back().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes.truncate(used(&bytes));
    bytes.extend(b"\x01\x05\0\0\0\xff\xff\0\0\0\0\0\0\x02\0");
    fs::write(&journal, bytes).unwrap();
    let blocks = folder.path().join("blocks/blk00000.dat");
    let mut torn = fs::read(&blocks).unwrap();
    torn.extend(b"\xfa\xbf\xb5\xda\xff");
    fs::write(&blocks, torn).unwrap();
    let verdict = check(folder.path());
    assert!(verdict.is_good(), "{:?}", verdict.findings);
    assert_eq!(verdict.notes.len(), 2, "{:?}", verdict.notes);
    open(folder.path()).close().unwrap();
    assert!(check(folder.path()).notes.is_empty());
}

/// A file that cannot be read is not damage: the error names it, and there is no report.
#[cfg(unix)]
#[test]
fn an_unreadable_file_is_named() {
    let base = tempfile::tempdir().unwrap();
    let (whole, folder) = (base.path().join("whole"), base.path().join("store"));
    store(&whole);
    let names = ["blocks/blk00000.dat", "blocks/rev00000.dat", "db/keyspaces/1/current", "STORE", "COMMIT"];
    for name in names {
        copy(&whole, &folder);
        let file = folder.join(name);
        fs::remove_file(&file).unwrap();
        // Nobody can open it, root included.
        std::os::unix::fs::symlink(&file, &file).unwrap();
        let refused = recheck(&folder, &ChainParams::regtest(), &mut Patience(u64::MAX));
        let Err(StoreError::Io { path, .. }) = refused else { panic!("{name}: {refused:?}") };
        assert_eq!(path, file);
        let refused = ChainState::open(&folder, ChainParams::regtest(), ChainStateOptions::default()).err();
        let Some(StoreError::Io { path, .. }) = refused else { panic!("{name}: {refused:?}") };
        assert_eq!(path, file);
    }
}

fn rebuild(folder: &Path) -> adit_validator::import::ReindexReport {
    reindex(folder, &ChainParams::regtest(), ChainStateOptions::default(), &mut Patience(u64::MAX)).unwrap()
}

#[test]
fn a_database_is_made_anew_from_the_block_files() {
    let base = tempfile::tempdir().unwrap();
    let (whole, folder) = (base.path().join("whole"), base.path().join("store"));
    store(&whole);
    let wanted = contents(&whole);
    let headers = open(&whole).headers().count();
    let damages: [fn(&Path); 5] = [
        |_| {},
        |folder| fs::remove_dir_all(folder.join("db")).unwrap(),
        |folder| fs::write(folder.join("db/keyspaces/1/current"), b"not a pointer").unwrap(),
        // A tail that was never committed, and a file that a commit had not come to.
        |folder| {
            let mut bytes = fs::read(folder.join("blocks/blk00000.dat")).unwrap();
            bytes.extend(b"\xfa\xbf\xb5\xda\xff\0\0\0torn");
            fs::write(folder.join("blocks/blk00000.dat"), bytes).unwrap();
        },
        |folder| fs::remove_file(folder.join("blocks/rev00000.dat")).unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        copy(&whole, &folder);
        damage(&folder);
        let made = rebuild(&folder);
        assert_eq!(made.tip, Some((118, wanted.0)), "{number}");
        assert_eq!(made.blocks, headers as u64, "{number}: side branches are kept");
        let verdict = check(&folder);
        assert!(verdict.is_good(), "{number}: {:?}", verdict.findings);
        assert_eq!(contents(&folder), wanted, "{number}");
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|found| found.unwrap().file_name()).collect();
        assert_eq!(names.len(), 5, "{number}: {names:?}");
        // The undo records are those of the blocks: everything can be taken back.
        let mut other = Branch::from_genesis();
        other.mine(130, 99, 0);
        let mut state = open(&folder);
        for block in &other.blocks {
            state.accept_block(block.clone(), NOW).unwrap();
        }
        assert_eq!(state.tip().hash, other.tip_hash(), "{number}");
        support::check_coins(&state, "taken back");
    }
}

/// A block that rotted stops the chain below it; its bytes and all other blocks stay where they are.
#[test]
fn a_damaged_block_is_left_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let state = open(folder.path());
    let block = state.active_at(60).unwrap().clone();
    let raw = state.block(&block.hash).unwrap().unwrap();
    drop(state);
    let blocks = folder.path().join("blocks/blk00000.dat");
    let mut bytes = fs::read(&blocks).unwrap();
    let at = block.location.unwrap().block;
    bytes[(at.offset + at.length) as usize - 3] ^= 1;
    fs::write(&blocks, &bytes).unwrap();
    let finding = &check(folder.path()).findings[0];
    assert_eq!((finding.height, finding.hash), (Some(60), Some(block.hash)));
    assert_eq!((&finding.file, finding.rule.as_str()), (&blocks, "bad-txnmrklroot"));

    // A file of nothing but blocks whose parents are gone stays as well.
    let stranger = Branch::from_genesis().mine(5, 77, 0).blocks[4].clone();
    let length = (stranger.raw().len() as u32).to_le_bytes();
    let second = folder.path().join("blocks/blk00001.dat");
    let record = [&ChainParams::regtest().magic[..], &length, stranger.raw()].concat();
    fs::write(&second, &record).unwrap();

    let made = rebuild(folder.path());
    assert!(made.left.iter().any(|left| left.contains(&stranger.hash().to_string())), "{:?}", made.left);
    assert!(made.left.iter().any(|left| left.contains(&block.hash.to_string())), "{:?}", made.left);
    assert_eq!(fs::read(&blocks).unwrap(), bytes);
    // The other branch is the best that is whole; with the block back, the old one is.
    let mut state = open(folder.path());
    assert_eq!(state.tip().height, 115);
    assert_eq!(fs::read(&second).unwrap(), record);
    state.accept_block(raw, NOW).unwrap();
    assert_eq!(state.tip().height, 118);
    assert!(fs::read(&second).unwrap().starts_with(&record));
    support::check_coins(&state, "whole again");
}

/// Wherever the swap is cut off, one of the two databases is in its place at the next start.
#[test]
fn a_swap_that_was_cut_off_is_finished() {
    let base = tempfile::tempdir().unwrap();
    let (whole, folder) = (base.path().join("whole"), base.path().join("store"));
    store(&whole);
    let wanted = contents(&whole);
    for (renames, leftovers) in [
        (vec![], vec!["db.rebuilding"]),
        (vec![("db", "db.rebuilt")], vec!["db"]),
        (vec![("db", "db.rebuilt")], vec!["db", "db.old"]),
        (vec![("db", "db.rebuilt")], vec!["db.old"]),
        (vec![], vec!["db.old", "db.check"]),
    ] {
        copy(&whole, &folder);
        for (from, to) in &renames {
            fs::rename(folder.join(from), folder.join(to)).unwrap();
        }
        for name in &leftovers {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("0.jnl"), b"of an old database").unwrap();
        }
        assert!(check(&folder).is_good(), "{renames:?} {leftovers:?}");
        assert_eq!(contents(&folder), wanted, "{renames:?} {leftovers:?}");
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|found| found.unwrap().file_name()).collect();
        assert_eq!(names.len(), 5, "{renames:?} {leftovers:?}: {names:?}");
    }
}
