//! The store on disk: refusals, restarts, and what a torn commit leaves.

use std::ops::Range;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, Network, ScriptBuf, TxOut, Txid};

use super::*;
use crate::coins::CoinView;
use crate::store::{BlockStatus, CoinCache, IndexRecord};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

fn identity() -> Identity {
    let genesis = bitcoin::constants::genesis_block(Network::Regtest).block_hash();
    Identity { chain: "regtest".into(), genesis, magic: Network::Regtest.magic().to_bytes() }
}

fn open(folder: &Path) -> Result<(FolderStore, LoadedStore), StoreError> {
    FolderStore::open(folder, &identity(), TABLE_CACHE_BYTES)
}

fn error(folder: &Path, identity: &Identity) -> String {
    FolderStore::open(folder, identity, TABLE_CACHE_BYTES).err().expect("the store must refuse").to_string()
}

fn outpoint(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: number.into() }
}

fn coin(script: usize) -> Coin {
    let output = TxOut { value: Amount::from_sat(1_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51; script]) };
    Coin { output, height: 1, is_coinbase: false }
}

/// The index record of genesis, before its block is there.
fn genesis() -> IndexRecord {
    let header = bitcoin::constants::genesis_block(Network::Regtest).header;
    IndexRecord { header, hash: header.block_hash(), height: 0, status: BlockStatus::Connected, location: None }
}

fn new_block(bytes: &[u8]) -> NewBlock<'_> {
    NewBlock { hash: identity().genesis, height: 0, bytes, transactions: 1, position: None }
}

/// Appends a block and commits it with the coin `number` as made by it.
fn commit(store: &mut FolderStore, record: &mut IndexRecord, number: u8, script: usize) {
    let mut cache = CoinCache::default();
    cache.view(store).create(outpoint(number), (&coin(script)).into()).unwrap();
    record.location = Some(store.append_block(&new_block(&[number; 100])).unwrap());
    let undo = store.append_undo(&record.stored().unwrap(), &BlockUndo::default()).unwrap();
    record.location.as_mut().unwrap().undo = Some(undo);
    store.commit(Commit { coins: &cache, index: vec![record.clone()], tip: record.hash }).unwrap();
}

#[test]
fn what_was_committed_is_there_again_wherever_the_folder_is_moved() {
    let base = tempfile::tempdir().unwrap();
    let (here, there) = (base.path().join("here"), base.path().join("there"));
    let mut record = genesis();
    let (mut store, loaded) = open(&here).unwrap();
    assert_eq!((loaded.index.len(), loaded.tip), (0, None));
    commit(&mut store, &mut record, 1, 25);
    // Appended, and never committed.
    store.append_block(&new_block(b"lost")).unwrap();
    drop(store);
    fs::rename(&here, &there).unwrap();

    let (store, loaded) = open(&there).unwrap();
    assert_eq!((loaded.tip, &loaded.index), (Some(record.hash), &vec![record.clone()]));
    assert_eq!(store.load_coin(&outpoint(1)).unwrap(), Some(coin(25)));
    assert_eq!(store.load_coin(&outpoint(2)).unwrap(), None);
    assert_eq!(store.read_block(&record.stored().unwrap()).unwrap(), [1; 100]);
    assert_eq!(store.read_undo(&record.stored().unwrap()).unwrap(), BlockUndo::default());
    assert_eq!(fs::metadata(there.join("blocks/blk00000.dat")).unwrap().len(), 108);
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path()).unwrap();
    let refused = error(folder.path(), &identity());
    assert_eq!(refused, format!("the folder {} is in use by another process", folder.path().display()));
    drop(store);
    open(folder.path()).unwrap();
}

#[test]
fn another_chain_and_other_formats_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let genesis = bitcoin::constants::genesis_block(Network::Signet).block_hash();
    let signet = Identity { chain: "signet".into(), genesis, magic: Network::Signet.magic().to_bytes() };
    let refused = error(folder.path(), &signet);
    assert!(refused.contains("holds the chain regtest (genesis 0f9188f1"), "{refused}");
    assert!(refused.contains("not signet (genesis 00000008"), "{refused}");
    // The same name over another genesis is another chain.
    let fork = Identity { genesis, ..identity() };
    assert!(error(folder.path(), &fork).contains("not regtest (genesis 00000008"));

    let marker = folder.path().join("STORE");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("format 2", "format 3")).unwrap();
    assert!(error(folder.path(), &identity()).ends_with("has store format 3; this version reads formats up to 2"));
    fs::write(&marker, text.replace("format 2", "format 1")).unwrap();
    assert!(error(folder.path(), &identity()).contains("has store format 1; this version reads format 2"));
    fs::write(&marker, "something else").unwrap();
    assert!(error(folder.path(), &identity()).contains("STORE is damaged at byte 0"));
}

#[test]
fn a_folder_that_is_not_a_store_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = folder.path().join("blocks");
    fs::create_dir(&blocks).unwrap();
    fs::write(blocks.join("blk00000.dat"), b"of another program").unwrap();
    assert!(error(folder.path(), &identity()).ends_with("is not a store, and is not empty: it holds blocks"));
    assert_eq!(fs::read(blocks.join("blk00000.dat")).unwrap(), b"of another program");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_creation_is_taken_up_wherever_it_was_cut_off() {
    for cut_off in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("blocks")).unwrap();
        fs::create_dir(path.join("db.new")).unwrap();
        fs::write(path.join("db.new/0.jnl"), b"half").unwrap();
        if cut_off == 1 {
            fs::write(path.join("STORE.new"), b"adit st").unwrap();
        } else if cut_off == 2 {
            marker::write(path, &identity()).unwrap();
        }
        assert_eq!(open(path).unwrap().1.tip, None);
        assert!(!path.join("db.new").exists());
    }
}

#[test]
fn a_store_without_its_database_is_not_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path()).unwrap();
    commit(&mut store, &mut genesis(), 1, 1);
    drop(store);
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    assert!(error(folder.path(), &identity()).contains("db is damaged at byte 0: it is missing, and there is"));
}

const JOURNAL: &str = "db/0.jnl";

/// Makes a store with two commits, the second with a coin of `script` bytes. Returns fjall's journal, and where
/// in it the second commit lies.
fn two_commits(folder: &Path, script: usize) -> (Vec<u8>, Range<usize>) {
    // Zeros after the last record are fjall's preallocation.
    let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut record = genesis();
    let (mut store, _) = open(folder).unwrap();
    commit(&mut store, &mut record, 1, 100);
    let start = used(&fs::read(folder.join(JOURNAL)).unwrap());
    commit(&mut store, &mut record, 2, script);
    drop(store);
    let bytes = fs::read(folder.join(JOURNAL)).unwrap();
    let end = used(&bytes);
    (bytes[..end].to_vec(), start..end)
}

/// Opens a copy of `whole` whose journal lacks the bytes `lost`, as the power loss in the middle of the second commit
/// leaves it: the note is still that of the first, or with `noted` that of the second.
fn open_torn(
    whole: &Path,
    journal: &[u8],
    lost: Range<usize>,
    noted: bool,
) -> Result<(FolderStore, LoadedStore), StoreError> {
    let torn = whole.with_extension("torn");
    if torn.exists() {
        fs::remove_dir_all(&torn).unwrap();
    }
    copy(whole, &torn);
    let mut journal = journal.to_vec();
    journal[lost].fill(0);
    fs::write(torn.join(JOURNAL), journal).unwrap();
    if !noted {
        let tip = identity().genesis;
        CommitNoteFile::open(&torn).unwrap().write(&LastCommit { number: 1, journaled: 1, tip }).unwrap();
    }
    open(&torn)
}

/// Power loss in the middle of the last commit, as fjall sees it: its journal ends anywhere, or lacks a sector. With
/// long scripts whole sectors lie inside one value, which fjall itself would refuse.
#[test]
fn a_torn_last_commit_leaves_the_one_before() {
    let base = tempfile::tempdir().unwrap();
    for script in [450, 4_000] {
        let whole = base.path().join(format!("whole{script}"));
        let (journal, Range { start, end }) = two_commits(&whole, script);
        let cuts = (start..end).step_by(37 * script / 450).map(|cut| cut..end);
        let sectors = (start.saturating_sub(SECTOR - 1)..end).step_by(67 * script / 450);
        let sectors = sectors.map(|sector| sector.max(start)..(sector + SECTOR).min(end));
        for lost in cuts.chain(sectors).chain(std::iter::once(end..end)) {
            let is_second = lost.is_empty();
            let (store, loaded) = open_torn(&whole, &journal, lost.clone(), false).unwrap();
            assert!(loaded.tip.is_some());
            assert_eq!(store.load_coin(&outpoint(1)).unwrap(), Some(coin(100)), "{lost:?}");
            assert_eq!(store.load_coin(&outpoint(2)).unwrap(), is_second.then(|| coin(script)), "{lost:?}");
            // Coins, index and file lengths are of the same commit.
            assert_eq!(loaded.index[0].location.unwrap().block.offset, if is_second { 116 } else { 8 });
            let blocks = fs::metadata(whole.with_extension("torn").join("blocks/blk00000.dat")).unwrap();
            assert_eq!(blocks.len(), if is_second { 216 } else { 108 });
        }
    }
}

/// fjall would truncate the journal without an error; the note shows that the commit was durable.
#[test]
fn a_damaged_durable_commit_is_refused_and_nothing_is_cut() {
    let base = tempfile::tempdir().unwrap();
    let whole = base.path().join("whole");
    let (journal, Range { start, end }) = two_commits(&whole, 450);
    for lost in (start..end).step_by(41) {
        let error = open_torn(&whole, &journal, lost..lost + 1, true).err();
        // Some bytes are zero as they are.
        assert_eq!(error.is_some(), journal[lost] != 0 && !(start + 5..start + 13).contains(&lost), "byte {lost}");
        if let Some(error) = error {
            assert!(error.to_string().contains("0.jnl is damaged at byte"), "{error}");
            let torn = whole.with_extension("torn");
            assert_eq!(fs::metadata(torn.join("blocks/blk00000.dat")).unwrap().len(), 216);
            assert_eq!(fs::metadata(torn.join(JOURNAL)).unwrap().len(), journal.len() as u64);
        }
    }
}

/// The same in the first commit, with no whole group before the flipped byte: the journal is restored, so that the next
/// start gives the same error.
#[test]
fn a_damaged_durable_commit_at_the_start_of_the_journal_is_left_unchanged() {
    let base = tempfile::tempdir().unwrap();
    let whole = base.path().join("whole");
    let (journal, Range { start, .. }) = two_commits(&whole, 450);
    let torn = whole.with_extension("torn");
    let mut refused = 0;
    for lost in (0..start).step_by(23).filter(|lost| journal[*lost] != 0 && !(5..13).contains(lost)) {
        let first = open_torn(&whole, &journal, lost..lost + 1, true).err().unwrap().to_string();
        assert!(first.contains("is damaged at byte"), "{first}");
        let mut bad = journal.clone();
        bad[lost] = 0;
        assert_eq!(fs::read(torn.join(JOURNAL)).unwrap(), bad, "byte {lost}");
        assert_eq!(open(&torn).err().unwrap().to_string(), first, "byte {lost}");
        assert_eq!(fs::read_dir(&torn).unwrap().count(), 5, "lock, STORE, COMMIT, blocks and db");
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
}

/// A crash between the cut and the comparison with the note.
#[test]
fn an_unfinished_cut_is_undone_first() {
    let base = tempfile::tempdir().unwrap();
    let whole = base.path().join("whole");
    let (journal, Range { start, .. }) = two_commits(&whole, 450);
    fs::write(whole.join("journal.cut.0.jnl"), &journal).unwrap();
    fs::write(whole.join(JOURNAL), &journal[..start]).unwrap();
    let (store, _) = open(&whole).unwrap();
    assert_eq!(store.load_coin(&outpoint(2)).unwrap(), Some(coin(450)));
    assert!(!whole.join("journal.cut.0.jnl").exists());
}

#[test]
fn a_database_without_a_journal_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let whole = base.path().join("whole");
    two_commits(&whole, 450);
    fs::remove_file(whole.join(JOURNAL)).unwrap();
    assert!(open(&whole).err().unwrap().to_string().ends_with("there is no journal in it"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let target = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy(&found.path(), &target);
        } else {
            fs::copy(found.path(), target).unwrap();
        }
    }
}
