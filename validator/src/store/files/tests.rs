//! Block and undo files: framing, torn tails, damage, and the change from one file to the next.

use bitcoin::hashes::Hash;

use super::*;
use crate::store::disk::Folder;

const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

fn open(folder: &tempfile::TempDir, infos: &BTreeMap<u32, FileInfo>) -> Result<BlockFiles, StoreError> {
    BlockFiles::open(Box::new(Folder::new(folder.path().to_owned())), MAGIC, infos.clone())
}

#[test]
fn records_lie_in_the_framing_of_core() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(&folder, &BTreeMap::new()).unwrap();
    let first = files.append_block(7, b"first", 1).unwrap();
    let second = files.append_block(3, b"second block", 2).unwrap();
    let bytes = std::fs::read(folder.path().join("blk00000.dat")).unwrap();
    assert_eq!(bytes, b"\xfa\xbf\xb5\xda\x05\0\0\0first\xfa\xbf\xb5\xda\x0c\0\0\0second block");
    assert_eq!(files.read_block(&first).unwrap(), b"first");
    assert_eq!(files.read_block(&second).unwrap(), b"second block");
    let info = FileInfo { block_bytes: bytes.len() as u32, undo_bytes: 0, blocks: 2, lowest: 3, highest: 7 };
    assert_eq!(files.changed().collect::<Vec<_>>(), [(0, info)]);
}

#[test]
fn torn_tails_are_cut_and_unknown_files_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(&folder, &BTreeMap::new()).unwrap();
    let kept = files.append_block(1, b"kept", 1).unwrap();
    let undo = BlockUndo { spent: vec![vec![]] };
    let previous = BlockHash::all_zeros();
    let span = files.append_undo(0, &previous, &undo).unwrap();
    files.sync().unwrap();
    let committed = files.changed().collect::<BTreeMap<_, _>>();
    files.append_block(2, b"never committed", 1).unwrap();
    files.append_undo(0, &previous, &undo).unwrap();
    std::fs::write(folder.path().join("blk00001.dat"), b"begun").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"not ours").unwrap();
    drop(files);

    let files = open(&folder, &committed).unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("blk00000.dat")).unwrap().len(), 12);
    assert_eq!(
        std::fs::metadata(folder.path().join("rev00000.dat")).unwrap().len(),
        u64::from(committed[&0].undo_bytes)
    );
    assert!(!folder.path().join("blk00001.dat").exists());
    assert!(folder.path().join("notes.txt").exists());
    assert_eq!(files.read_block(&kept).unwrap(), b"kept");
    assert_eq!(files.read_undo(0, span, &previous).unwrap(), undo);
}

#[test]
fn a_file_shorter_than_committed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(&folder, &BTreeMap::new()).unwrap();
    files.append_block(1, b"a block", 1).unwrap();
    let committed = files.changed().collect();
    std::fs::write(folder.path().join("blk00000.dat"), b"\xfa\xbf").unwrap();
    let Err(error) = open(&folder, &committed) else { panic!("a short file was taken") };
    assert!(
        error.to_string().ends_with("blk00000.dat is damaged at byte 2: the file has 2 bytes, 15 were committed"),
        "{error}"
    );
}

#[test]
fn any_flipped_byte_of_an_undo_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(&folder, &BTreeMap::new()).unwrap();
    let undo = BlockUndo { spent: vec![vec![], vec![]] };
    let previous = BlockHash::from_byte_array([9; 32]);
    let span = files.append_undo(0, &previous, &undo).unwrap();
    let path = folder.path().join("rev00000.dat");
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(files.read_undo(0, span, &previous), Err(StoreError::Damaged { .. })), "byte {at}");
    }
    std::fs::write(&path, good).unwrap();
    assert_eq!(files.read_undo(0, span, &previous).unwrap(), undo);
    assert!(files.read_undo(0, span, &BlockHash::all_zeros()).is_err());
}

#[test]
fn a_full_file_is_followed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let nearly_full =
        FileInfo { block_bytes: MAX_BLOCK_FILE_BYTES - 12, undo_bytes: 0, blocks: 1, lowest: 1, highest: 1 };
    let file = std::fs::File::create(folder.path().join("blk00000.dat")).unwrap();
    file.set_len(nearly_full.block_bytes.into()).unwrap();
    let mut files = open(&folder, &BTreeMap::from([(0, nearly_full)])).unwrap();
    assert_eq!(files.append_block(2, b"four", 1).unwrap().file, 0);
    assert_eq!(files.append_block(3, b"next", 1).unwrap(), {
        BlockLocation { file: 1, block: Span { offset: 8, length: 4 }, undo: None, transactions: 1 }
    });
}
