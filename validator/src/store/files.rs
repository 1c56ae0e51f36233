//! The block and undo files: append-only, in Bitcoin Core's framing, cut back at start to what was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bitcoin::BlockHash;

use super::StoreError;
use super::disk::Disk;
use super::framing::{FRAMING_BYTES, framing};
use super::location::{BlockLocation, FilePosition, Span, StoredBlock, block_file, file_number, undo_file};
use crate::coins::undo::{BlockUndo, checksum};

/// A block file ends before the record that would pass this many bytes, as Core's do.
pub const MAX_BLOCK_FILE_BYTES: u32 = 128 << 20;

/// What is in one pair of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes in the block file.
    pub block_bytes: u32,
    /// Bytes in the undo file.
    pub undo_bytes: u32,
    /// Blocks in it.
    pub blocks: u32,
    /// The lowest height of them.
    pub lowest: u32,
    /// The highest height of them.
    pub highest: u32,
}

impl FileInfo {
    pub(crate) const EMPTY: Self = Self { block_bytes: 0, undo_bytes: 0, blocks: 0, lowest: u32::MAX, highest: 0 };
}

/// The block and undo files of one folder.
pub struct BlockFiles {
    disk: Box<dyn Disk>,
    magic: [u8; 4],
    infos: BTreeMap<u32, FileInfo>,
    /// Whose lengths changed since the last commit.
    changed: BTreeSet<u32>,
    unsynced: BTreeSet<String>,
    created: bool,
    /// Taken out with the next commit, and deleted after it.
    pruned: BTreeSet<u32>,
    max_file_bytes: u32,
}

impl BlockFiles {
    /// Takes up the files with the lengths that were committed: longer ones are cut back, files that were never
    /// committed are removed.
    ///
    /// # Errors
    /// A file is shorter than committed; or the file system's.
    pub fn open(mut disk: Box<dyn Disk>, magic: [u8; 4], infos: BTreeMap<u32, FileInfo>) -> Result<Self, StoreError> {
        let io_error = |disk: &dyn Disk, name: &str, source| StoreError::Io { path: disk.path(name), source };
        let names = disk.list().map_err(|source| io_error(&*disk, "", source))?;
        for name in names.iter().filter(|name| file_number(name).is_some_and(|number| !infos.contains_key(&number))) {
            tracing::info!(file = %disk.path(name).display(), "removing a file that no commit refers to");
            disk.remove(name).map_err(|source| io_error(&*disk, name, source))?;
        }
        for (number, info) in &infos {
            for (name, committed) in [(block_file(*number), info.block_bytes), (undo_file(*number), info.undo_bytes)] {
                let committed = u64::from(committed);
                let length = disk.length(&name).map_err(|source| io_error(&*disk, &name, source))?.unwrap_or(0);
                if length < committed {
                    let what = format!("the file has {length} bytes, {committed} were committed");
                    return Err(StoreError::Damaged { path: disk.path(&name), offset: length, what });
                }
                if length > committed {
                    let file = disk.path(&name);
                    tracing::info!(file = %file.display(), length, committed, "cutting back what no commit refers to");
                    disk.cut(&name, committed).map_err(|source| io_error(&*disk, &name, source))?;
                }
            }
        }
        Ok(Self {
            disk,
            magic,
            infos,
            changed: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            created: false,
            pruned: BTreeSet::new(),
            max_file_bytes: MAX_BLOCK_FILE_BYTES,
        })
    }

    /// Ends block files before they would pass this many bytes, instead of [`MAX_BLOCK_FILE_BYTES`].
    pub fn limit(&mut self, max_file_bytes: u32) {
        self.max_file_bytes = max_file_bytes.min(MAX_BLOCK_FILE_BYTES);
    }

    /// What begins every record.
    pub(super) const fn magic(&self) -> [u8; 4] {
        self.magic
    }

    /// Takes up the files as they are, with these lengths: nothing is cut or removed.
    pub(crate) const fn as_they_are(disk: Box<dyn Disk>, magic: [u8; 4], infos: BTreeMap<u32, FileInfo>) -> Self {
        Self {
            disk,
            magic,
            infos,
            changed: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            created: false,
            pruned: BTreeSet::new(),
            max_file_bytes: MAX_BLOCK_FILE_BYTES,
        }
    }

    /// Has the next commit hold the lengths of all files, those without a block among them: a start removes a file that no
    /// commit refers to.
    pub(crate) fn adopt_all(&mut self) {
        self.changed.extend(self.infos.keys());
    }

    /// Takes up a block of `height` that lies in a file already.
    pub(crate) fn adopt(&mut self, position: FilePosition, height: u32, transactions: u32) -> BlockLocation {
        let info = self.infos.entry(position.file).or_insert(FileInfo::EMPTY);
        info.blocks += 1;
        (info.lowest, info.highest) = (info.lowest.min(height), info.highest.max(height));
        self.changed.insert(position.file);
        BlockLocation { file: position.file, block: position.span, undo: None, transactions }
    }

    fn io_error(&self, name: &str, source: io::Error) -> StoreError {
        StoreError::Io { path: self.disk.path(name), source }
    }

    fn reader(&self) -> FileReader<'_> {
        FileReader { disk: &*self.disk, magic: self.magic }
    }

    /// An error that names the block at `location`.
    #[must_use]
    pub fn damaged_block(&self, location: &BlockLocation, what: String) -> StoreError {
        self.reader().damaged_block(location, what)
    }

    /// Appends a framed record and `trailer` at `offset`; returns where the record itself lies.
    fn append(&mut self, name: String, offset: u32, record: &[u8], trailer: &[u8]) -> Result<Span, StoreError> {
        let length =
            u32::try_from(record.len()).map_err(|_| self.io_error(&name, io::ErrorKind::FileTooLarge.into()))?;
        let mut framed = Vec::with_capacity(FRAMING_BYTES as usize + record.len() + trailer.len());
        framed.extend_from_slice(&framing(self.magic, length));
        framed.extend_from_slice(record);
        framed.extend_from_slice(trailer);
        if offset.checked_add(framed.len() as u32).is_none() {
            return Err(self.io_error(&name, io::ErrorKind::FileTooLarge.into()));
        }
        self.disk.write(&name, offset.into(), &framed).map_err(|source| self.io_error(&name, source))?;
        self.created |= offset == 0;
        self.unsynced.insert(name);
        Ok(Span { offset: offset + FRAMING_BYTES, length })
    }

    /// Appends a block of `height` in network encoding.
    ///
    /// # Errors
    /// The write failed, and may have left any part of the record behind the last one.
    pub fn append_block(&mut self, height: u32, block: &[u8], transactions: u32) -> Result<BlockLocation, StoreError> {
        let (last, info) = self.infos.last_key_value().map_or((0, FileInfo::EMPTY), |(number, info)| (*number, *info));
        let end = u64::from(info.block_bytes) + u64::from(FRAMING_BYTES) + block.len() as u64;
        let is_full = info.block_bytes > 0 && end > u64::from(self.max_file_bytes);
        let (file, info) = if is_full { (last + 1, FileInfo::EMPTY) } else { (last, info) };
        let span = self.append(block_file(file), info.block_bytes, block, &[])?;
        let after = FileInfo {
            block_bytes: span.offset + span.length,
            blocks: info.blocks + 1,
            lowest: info.lowest.min(height),
            highest: info.highest.max(height),
            ..info
        };
        self.infos.insert(file, after);
        self.changed.insert(file);
        Ok(BlockLocation { file, block: span, undo: None, transactions })
    }

    /// Appends an undo record to the undo file of `file`; `previous` is the block's parent.
    ///
    /// # Errors
    /// As for [`Self::append_block`].
    pub fn append_undo(&mut self, file: u32, previous: &BlockHash, undo: &BlockUndo) -> Result<Span, StoreError> {
        let record = undo.encode();
        let offset = self.infos.get(&file).map_or(0, |info| info.undo_bytes);
        let sum = checksum(previous, &record);
        let span = self.append(undo_file(file), offset, &record, &sum)?;
        self.infos.entry(file).or_insert(FileInfo::EMPTY).undo_bytes = span.offset + span.length + sum.len() as u32;
        self.changed.insert(file);
        Ok(span)
    }

    /// The bytes of a block.
    ///
    /// # Errors
    /// They cannot be read, or their framing is damaged. The block itself is its own checksum: see `decode_stored`.
    pub fn read_block(&self, location: &BlockLocation) -> Result<Vec<u8>, StoreError> {
        self.reader().read_block(location)
    }

    /// What a block with the parent `previous` spent.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read_undo(&self, file: u32, span: Span, previous: &BlockHash) -> Result<BlockUndo, StoreError> {
        self.reader().read_undo(file, span, previous)
    }

    /// Returns when everything appended is on stable storage.
    ///
    /// # Errors
    /// The file system's; what is stable is then unknown.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        for name in &self.unsynced {
            self.disk.sync(name).map_err(|source| StoreError::Io { path: self.disk.path(name), source })?;
        }
        self.unsynced.clear();
        if self.created {
            self.disk.sync_folder().map_err(|source| self.io_error("", source))?;
            self.created = false;
        }
        Ok(())
    }

    /// The files whose lengths the next commit must hold.
    pub fn changed(&self) -> impl Iterator<Item = (u32, FileInfo)> {
        self.changed.iter().map(|number| (*number, self.infos[number]))
    }

    /// After a commit of [`Self::changed`] and [`Self::pruned`]. A file that cannot be deleted now goes at the next start.
    pub fn committed(&mut self) {
        self.changed.clear();
        for name in
            std::mem::take(&mut self.pruned).into_iter().flat_map(|number| [block_file(number), undo_file(number)])
        {
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %self.disk.path(&name).display(), %error, "cannot delete a pruned file");
                }
                _ => {}
            }
        }
    }

    /// The lowest numbers without which all files together would keep to `bytes`, leaving out the file that is being
    /// written and those with a block above the height `highest`.
    #[must_use]
    pub fn to_prune(&self, bytes: u64, highest: u32) -> Vec<u32> {
        let size = |info: &FileInfo| u64::from(info.block_bytes) + u64::from(info.undo_bytes);
        let mut all: u64 = self.infos.values().map(size).sum();
        let last = self.infos.last_key_value().map(|(number, _)| *number);
        let mut files = Vec::new();
        for (number, info) in
            self.infos.iter().filter(|(number, info)| Some(**number) != last && info.highest <= highest)
        {
            if all <= bytes {
                break;
            }
            all -= size(info);
            files.push(*number);
        }
        files
    }

    /// Takes files out with the next commit.
    pub fn prune(&mut self, files: &[u32]) {
        for number in files {
            self.infos.remove(number);
            self.changed.remove(number);
            self.unsynced.remove(&block_file(*number));
            self.unsynced.remove(&undo_file(*number));
            self.pruned.insert(*number);
        }
    }

    /// The files that the next commit must take out.
    pub fn pruned(&self) -> impl Iterator<Item = u32> {
        self.pruned.iter().copied()
    }
}

/// Where the undo record of a block lies.
pub(super) fn undo_span(block: &StoredBlock) -> Result<Span, StoreError> {
    block.location.undo.ok_or(StoreError::NotKept { hash: block.hash })
}

/// Reads the records of one folder: all that a reader needs of the files.
#[derive(Clone, Copy)]
pub(super) struct FileReader<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) magic: [u8; 4],
}

impl FileReader<'_> {
    pub(super) fn damaged(&self, name: &str, offset: u32, what: String) -> StoreError {
        StoreError::Damaged { path: self.disk.path(name), offset: offset.into(), what }
    }

    /// See [`BlockFiles::damaged_block`].
    pub(super) fn damaged_block(&self, location: &BlockLocation, what: String) -> StoreError {
        self.damaged(&block_file(location.file), location.block.offset, what)
    }

    /// The record at `span` with `trailer` bytes behind it, its framing checked.
    fn read(&self, name: &str, span: Span, trailer: u32) -> Result<Vec<u8>, StoreError> {
        let start = span
            .offset
            .checked_sub(FRAMING_BYTES)
            .ok_or_else(|| self.damaged(name, span.offset, "no place for framing".into()))?;
        let mut bytes = vec![0; (FRAMING_BYTES + trailer) as usize + span.length as usize];
        self.disk.read(name, start.into(), &mut bytes).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => {
                self.damaged(name, start, format!("the record: {source}"))
            }
            _ => StoreError::Io { path: self.disk.path(name), source },
        })?;
        let wanted = framing(self.magic, span.length);
        if bytes[..FRAMING_BYTES as usize] != wanted {
            let what =
                format!("the record's framing is {:02x?}, wanted {wanted:02x?}", &bytes[..FRAMING_BYTES as usize]);
            return Err(self.damaged(name, start, what));
        }
        bytes.drain(..FRAMING_BYTES as usize);
        Ok(bytes)
    }

    /// See [`BlockFiles::read_block`].
    pub(super) fn read_block(&self, location: &BlockLocation) -> Result<Vec<u8>, StoreError> {
        self.read(&block_file(location.file), location.block, 0)
    }

    /// See [`BlockFiles::read_undo`].
    pub(super) fn read_undo(&self, file: u32, span: Span, previous: &BlockHash) -> Result<BlockUndo, StoreError> {
        let name = undo_file(file);
        let bytes = self.read(&name, span, 32)?;
        let (record, sum) = bytes.split_at(span.length as usize);
        if sum != checksum(previous, record) {
            return Err(self.damaged(&name, span.offset, "the undo record's checksum does not match".into()));
        }
        BlockUndo::decode(record)
            .map_err(|error| self.damaged(&name, span.offset + error.offset as u32, error.what.into()))
    }
}

#[cfg(test)]
mod tests {
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
}
