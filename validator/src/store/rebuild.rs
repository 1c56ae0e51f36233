//! A database made anew from the block files: what stands in them, and a store that does not append it again.
//!
//! The block files are the only thing that a rebuild needs. They are read and never shortened, and an undo record that is
//! there already is found again by its checksum, so that the database in use stays good until the new one is finished.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::deserialize;

use super::database::StateDatabase;
use super::disk::Folder;
use super::files::{BlockFiles, FRAMING_BYTES, FileInfo, block_file, file_number, undo_file};
use super::folder::{BLOCKS, FolderStore};
use super::marker::{self, Found, io_error};
use super::mend::{self, REBUILDING, REBUILT};
use super::note::NoteFile;
use super::{Identity, StoreError};
use crate::block::MAX_BLOCK_SERIALIZED_SIZE;
use crate::coins::undo::{BlockUndo, checksum};
use crate::headers::tree::Span;

const CHECKSUM_BYTES: u32 = 32;

/// A block's record in a block file, of which only the header was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRecord {
    /// The number of the file.
    pub(crate) file: u32,
    /// Where the block lies in it.
    pub(crate) span: Span,
    /// What its first 80 bytes say.
    pub(crate) header: Header,
}

/// Bytes of a block or undo file that are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where they begin.
    pub(crate) offset: u64,
    /// How many they are.
    pub(crate) length: u64,
}

impl std::fmt::Display for Remains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: byte {}: {} bytes that are no whole record", self.path.display(), self.offset, self.length)
    }
}

/// What is in the block files already, for the store that is built from them.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Where the block lies that is being fed.
    feeding: Feeding,
    /// Undo records by file and checksum.
    undo: HashMap<(u32, [u8; 32]), VecDeque<Span>>,
}

/// Says which record a block comes from just before it is fed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feeding(Arc<Mutex<Option<(BlockHash, u32, Span)>>>);

impl Feeding {
    pub(crate) fn set(&self, record: &BlockRecord) {
        let place = (record.header.block_hash(), record.file, record.span);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    fn take(&self, hash: &BlockHash) -> Option<(u32, Span)> {
        let mut feeding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeding.take_if(|(fed, ..)| fed == hash).map(|(_, file, span)| (file, span))
    }
}

impl Standing {
    /// Where the block is, if it is the one that is being fed.
    pub(super) fn take_block(&self, hash: &BlockHash) -> Option<(u32, Span)> {
        self.feeding.take(hash)
    }

    /// Where the same record is in `file`, if it is there.
    pub(super) fn take_undo(&mut self, file: u32, previous: &BlockHash, undo: &BlockUndo) -> Option<Span> {
        if self.undo.is_empty() {
            return None;
        }
        self.undo.get_mut(&(file, checksum(previous, &undo.encode())))?.pop_front()
    }
}

/// A rebuild that has begun.
pub(crate) struct Rebuild {
    /// The store to feed.
    pub(crate) store: FolderStore,
    /// To be told of each record before it is fed.
    pub(crate) feeding: Feeding,
    /// The records of all block files, in their order.
    pub(crate) records: Vec<BlockRecord>,
    /// What is no record.
    pub(crate) remains: Vec<Remains>,
    /// Holds the folder until the rebuilt database is in its place.
    pub(crate) lock: File,
}

impl Rebuild {
    /// Takes the folder's lock, reads the framing of all block and undo files, and makes an empty database beside the
    /// old one, `cache_bytes` of whose tables may stay in memory.
    ///
    /// # Errors
    /// The folder is in use, of another chain, of a newer format, no store, or cannot be read or written.
    pub(crate) fn begin(folder: &Path, identity: &Identity, cache_bytes: u64) -> Result<Self, StoreError> {
        let found = if folder.exists() { marker::examine(folder, identity)? } else { Found::Nothing };
        if found == Found::Nothing {
            return Err(StoreError::NoStore { folder: folder.to_owned() });
        }
        let lock = marker::lock(folder)?;
        marker::examine(folder, identity)?;
        mend::finish_rebuild(folder)?;
        let blocks = folder.join(BLOCKS);
        let mut scan = FileScan { folder: &blocks, magic: identity.magic, remains: Vec::new() };
        let Scanned { blocks: records, undo, infos } = scan.all()?;
        let remains = scan.remains;

        let path = folder.join(REBUILDING);
        let database = StateDatabase::open(&path, cache_bytes)?;
        let files = BlockFiles::as_they_are(Box::new(Folder::new(blocks)), identity.magic, infos);
        // Its note is not that of the folder, which belongs to the old database.
        let mut store = FolderStore::assemble(folder, lock, database, files, NoteFile::open(&path)?);
        let feeding = Feeding::default();
        store.adopt(Standing { feeding: feeding.clone(), undo });
        let lock = store.share_lock(folder)?;
        Ok(Self { store, feeding, records, remains, lock })
    }
}

/// Puts the finished database, closed, into the place of the old one.
pub(crate) fn put_in_place(folder: &Path, identity: &Identity, lock: File) -> Result<(), StoreError> {
    let (rebuilding, rebuilt) = (folder.join(REBUILDING), folder.join(REBUILT));
    super::note::remove(&rebuilding).map_err(io_error(&rebuilding))?;
    super::disk::sync_folder(&rebuilding).map_err(io_error(&rebuilding))?;
    super::disk::sync_folder(folder).map_err(io_error(folder))?;
    fs::rename(&rebuilding, &rebuilt).map_err(io_error(&rebuilding))?;
    super::disk::sync_folder(folder).map_err(io_error(folder))?;
    // The marker may be of an older format, which this version reads no database of.
    marker::write(folder, identity)?;
    mend::finish_rebuild(folder)?;
    drop(lock);
    Ok(())
}

type UndoRecords = HashMap<(u32, [u8; 32]), VecDeque<Span>>;

/// What the files hold.
#[derive(Default)]
struct Scanned {
    blocks: Vec<BlockRecord>,
    undo: UndoRecords,
    /// Each file with the length of its whole records; blocks are counted as they are fed.
    infos: BTreeMap<u32, FileInfo>,
}

/// A record by its framing.
struct Framed {
    span: Span,
    /// Its first 80 bytes.
    head: Vec<u8>,
    trailer: Vec<u8>,
}

/// Reads block and undo files by their framing alone.
struct FileScan<'a> {
    folder: &'a Path,
    magic: [u8; 4],
    remains: Vec<Remains>,
}

impl FileScan<'_> {
    fn all(&mut self) -> Result<Scanned, StoreError> {
        let Scanned { mut blocks, mut undo, mut infos } = Scanned::default();
        for found in fs::read_dir(self.folder).map_err(io_error(self.folder))? {
            let name = found.map_err(io_error(self.folder))?.file_name();
            infos.extend(name.to_str().and_then(file_number).map(|number| (number, FileInfo::EMPTY)));
        }
        for (number, info) in &mut infos {
            let mut keep = |framed: Framed| {
                let header = framed.head.get(..80).and_then(|header| deserialize(header).ok());
                blocks.extend(header.map(|header| BlockRecord { file: *number, span: framed.span, header }));
            };
            info.block_bytes = self.file(&block_file(*number), 0, &mut keep)?;
            let mut keep = |framed: Framed| {
                if let Ok(sum) = framed.trailer.try_into() {
                    undo.entry((*number, sum)).or_insert_with(VecDeque::new).push_back(framed.span);
                }
            };
            info.undo_bytes = self.file(&undo_file(*number), CHECKSUM_BYTES, &mut keep)?;
        }
        Ok(Scanned { blocks, undo, infos })
    }

    /// Calls `keep` with every record of a file, and returns where the last one ends. What lies between two records is
    /// left where it is.
    fn file(&mut self, name: &str, trailer: u32, keep: &mut dyn FnMut(Framed)) -> Result<u32, StoreError> {
        let path = self.folder.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        let length = file.metadata().map_err(io_error(&path))?.len().min(u32::MAX.into());
        let mut file = BufReader::with_capacity(1 << 18, file);
        let (mut end, mut at) = (0, 0);
        while at < length {
            let record = read_framing(&mut file, at, length, self.magic, trailer).map_err(io_error(&path))?;
            let Some(framed) = record else {
                at = find_magic(&mut file, at + 1, length, self.magic).map_err(io_error(&path))?;
                continue;
            };
            if at > end {
                self.remains.push(Remains { path: path.clone(), offset: end, length: at - end });
            }
            at = u64::from(framed.span.offset) + u64::from(framed.span.length) + u64::from(trailer);
            keep(framed);
            end = at;
        }
        if length > end {
            self.remains.push(Remains { path, offset: end, length: length - end });
        }
        Ok(end as u32)
    }
}

/// The record at `at`. `None`: there is no whole one.
fn read_framing(
    file: &mut BufReader<File>,
    at: u64,
    length: u64,
    magic: [u8; 4],
    trailer: u32,
) -> io::Result<Option<Framed>> {
    let framing = u64::from(FRAMING_BYTES);
    if length - at < framing {
        return Ok(None);
    }
    seek(file, at)?;
    let mut framed = [0; FRAMING_BYTES as usize];
    file.read_exact(&mut framed)?;
    let [m0, m1, m2, m3, l0, l1, l2, l3] = framed;
    let bytes = u32::from_le_bytes([l0, l1, l2, l3]);
    let too_long = trailer == 0 && bytes as usize > MAX_BLOCK_SERIALIZED_SIZE;
    if [m0, m1, m2, m3] != magic || too_long || length - at - framing < u64::from(bytes) + u64::from(trailer) {
        return Ok(None);
    }
    let mut head = vec![0; bytes.min(80) as usize];
    file.read_exact(&mut head)?;
    let mut behind = vec![0; trailer as usize];
    seek(file, at + framing + u64::from(bytes))?;
    file.read_exact(&mut behind)?;
    let span = Span { offset: (at + framing) as u32, length: bytes };
    Ok(Some(Framed { span, head, trailer: behind }))
}

/// Moves within the buffer where that is enough.
fn seek(file: &mut BufReader<File>, to: u64) -> io::Result<()> {
    let from = file.stream_position()?;
    match i64::try_from(i128::from(to) - i128::from(from)) {
        Ok(by) => file.seek_relative(by),
        Err(_) => file.seek(SeekFrom::Start(to)).map(drop),
    }
}

/// The next place at `from` or behind it where the magic stands, or the file's end.
fn find_magic(file: &mut BufReader<File>, from: u64, length: u64, magic: [u8; 4]) -> io::Result<u64> {
    let (mut at, mut window) = (from, Vec::new());
    loop {
        seek(file, at)?;
        window.clear();
        file.by_ref().take(1 << 20).read_to_end(&mut window)?;
        if let Some(found) = window.windows(magic.len()).position(|bytes| bytes == magic) {
            return Ok(at + found as u64);
        }
        if window.len() < 1 << 20 {
            return Ok(length);
        }
        at += window.len() as u64 - magic.len() as u64 + 1;
    }
}

/// The bytes of a record that was found.
pub(crate) fn read_record(blocks: &Path, record: &BlockRecord) -> Result<Vec<u8>, StoreError> {
    let path = blocks.join(block_file(record.file));
    let mut bytes = vec![0; record.span.length as usize];
    let read = File::open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(record.span.offset.into()))?;
        file.read_exact(&mut bytes)
    });
    read.map_err(io_error(&path))?;
    Ok(bytes)
}
