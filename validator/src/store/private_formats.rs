//! Tests that fjall writes the formats that `journal`, `manifest` and `journal_repair` read. They are private to fjall,
//! and another version may change them.

use std::fs;
use std::path::Path;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, TxOut, Txid};
use xxhash_rust::xxh3::xxh3_128;

use super::database::{StateDatabase, TABLE_CACHE_BYTES};
use super::disk::Folder;
use super::files::BlockFiles;
use super::journal::{journal_files, read_journal};
use super::manifest::{KEYSPACES, read_tree};
use super::{CoinCache, Commit, NoCoins};
use crate::coins::{Coin, CoinView};

/// Commits the coins `numbers`, through the journal or into tables.
fn commit(database: &StateDatabase, folder: &Path, number: u64, coins: std::ops::Range<u32>, into_tables: bool) {
    let mut cache = CoinCache::default();
    for vout in coins {
        let output = TxOut { value: Amount::from_sat(1_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51; 40]) };
        let coin = Coin { output, height: 1, is_coinbase: false };
        let outpoint = OutPoint { txid: Txid::from_byte_array([7; 32]), vout };
        cache.view(&NoCoins).create(outpoint, (&coin).into()).unwrap();
    }
    let files = BlockFiles::open_unchanged(Box::new(Folder::new(folder.to_owned())), [0; 4], Default::default());
    let mut commit = Commit { coins: &cache, index: Vec::new(), tip: BlockHash::all_zeros() };
    database.commit(number, &mut commit, &files, into_tables).unwrap();
}

#[test]
fn journals_manifests_and_tables_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = StateDatabase::open(&path, TABLE_CACHE_BYTES).unwrap();
    for number in 1..=5 {
        commit(&database, folder.path(), number, 0..20, false);
    }
    let journals = journal_files(&path).unwrap();
    let journal = read_journal(journals.last().unwrap(), None).unwrap();
    assert_eq!((journals.len(), journal.commit, journal.torn), (1, Some(5), None));
    assert!(journal.groups >= 5, "{} groups", journal.groups);
    assert_eq!(journal.stray, None);

    commit(&database, folder.path(), 6, 100..2_000, true);
    drop(database);
    assert_eq!(fs::read(path.join("version")).unwrap(), b"FJL\x03");
    let mut tables = 0;
    for tree in KEYSPACES.map(|id| path.join("keyspaces").join(id.to_string())) {
        for table in read_tree(&tree).unwrap() {
            let bytes = fs::read(tree.join("tables").join(table.id.to_string())).unwrap();
            assert_eq!(xxh3_128(&bytes), table.checksum, "table {} of {}", table.id, tree.display());
            tables += 1;
        }
    }
    assert!(tables >= 1, "the last commit went into tables");
}
