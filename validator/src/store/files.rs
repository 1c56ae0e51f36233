//! The block and undo files: append-only, in Bitcoin Core's framing, truncated at start to the committed length.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bitcoin::BlockHash;

use super::disk::Disk;
use super::error::StoreError;
use super::file_reader::FileReader;
use super::framing::{FRAMING_BYTES, framing};
use super::location::{BlockLocation, FilePosition, Span, block_file, file_number, undo_file};
use crate::coins::undo::{BlockUndo, checksum};

/// The greatest length of a block file in bytes, as Core's `MAX_BLOCKFILE_SIZE`.
pub const MAX_BLOCK_FILE_BYTES: u32 = 128 << 20;

/// The lengths and contents of one pair of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes in the block file.
    pub block_bytes: u32,
    /// Bytes in the undo file.
    pub undo_bytes: u32,
    /// The number of blocks.
    pub blocks: u32,
    /// The lowest height of a block.
    pub lowest: u32,
    /// The highest height of a block.
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
    /// Files whose lengths changed since the last commit.
    changed: BTreeSet<u32>,
    unsynced: BTreeSet<String>,
    created: bool,
    /// Files that the next commit removes, and that are deleted after it.
    pruned: BTreeSet<u32>,
    max_file_bytes: u32,
}

impl BlockFiles {
    /// Opens the files with the committed lengths: longer files are truncated, files that were never committed are
    /// removed.
    ///
    /// # Errors
    /// A file is shorter than committed, or the file system failed.
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

    /// Limits block files to this many bytes, at most [`MAX_BLOCK_FILE_BYTES`].
    pub fn limit(&mut self, max_file_bytes: u32) {
        self.max_file_bytes = max_file_bytes.min(MAX_BLOCK_FILE_BYTES);
    }

    /// The chain's magic, with which every record begins.
    pub(super) const fn magic(&self) -> [u8; 4] {
        self.magic
    }

    /// Opens the files with these lengths. Nothing is truncated or removed.
    pub(crate) const fn open_unchanged(disk: Box<dyn Disk>, magic: [u8; 4], infos: BTreeMap<u32, FileInfo>) -> Self {
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

    /// Marks all files as changed, so that the next commit contains their lengths: a start removes files that no commit
    /// refers to.
    pub(crate) fn adopt_all(&mut self) {
        self.changed.extend(self.infos.keys());
    }

    /// Adds a block of `height` that is in a file already.
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

    /// The error for damaged bytes of the block at `location`.
    #[must_use]
    pub fn damaged_block(&self, location: &BlockLocation, what: String) -> StoreError {
        self.reader().damaged_block(location, what)
    }

    /// Appends a framed record and `trailer` at `offset`; returns the span of the record without its framing.
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
    /// The write failed. Any part of the record may have been written.
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
    /// They cannot be read, or their framing is damaged. The caller checks the block itself.
    pub fn read_block(&self, location: &BlockLocation) -> Result<Vec<u8>, StoreError> {
        self.reader().read_block(location)
    }

    /// The undo record of a block whose parent is `previous`.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read_undo(&self, file: u32, span: Span, previous: &BlockHash) -> Result<BlockUndo, StoreError> {
        self.reader().read_undo(file, span, previous)
    }

    /// Syncs all appended records to stable storage.
    ///
    /// # Errors
    /// The file system failed; it is then unknown what is stable.
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

    /// The files whose lengths the next commit must contain.
    pub fn changed(&self) -> impl Iterator<Item = (u32, FileInfo)> {
        self.changed.iter().map(|number| (*number, self.infos[number]))
    }

    /// Deletes pruned files, after a commit of [`Self::changed`] and [`Self::pruned`]. A file that cannot be deleted is
    /// removed at the next start.
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

    /// The lowest numbers of files to delete, so that all files together have at most `bytes` bytes. The last file
    /// stays, and so do those with a block above the height `highest`.
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

    /// Removes files with the next commit.
    pub fn prune(&mut self, files: &[u32]) {
        for number in files {
            self.infos.remove(number);
            self.changed.remove(number);
            self.unsynced.remove(&block_file(*number));
            self.unsynced.remove(&undo_file(*number));
            self.pruned.insert(*number);
        }
    }

    /// The files that the next commit must remove.
    pub fn pruned(&self) -> impl Iterator<Item = u32> {
        self.pruned.iter().copied()
    }
}

#[cfg(test)]
mod tests;
