//! Reads blocks and undo records from their files, and checks framing and checksums.

use std::io;

use bitcoin::BlockHash;

use super::disk::Disk;
use super::error::StoreError;
use super::framing::{FRAMING_BYTES, framing};
use super::location::{BlockLocation, Span, StoredBlock, block_file, undo_file};
use crate::coins::undo::{BlockUndo, checksum};

/// The span of a block's undo record.
pub(super) fn undo_span(block: &StoredBlock) -> Result<Span, StoreError> {
    block.location.undo.ok_or(StoreError::NotKept { hash: block.hash })
}

/// Reads the records in one folder.
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

    /// The record at `span` with the `trailer` bytes after it. Its framing is checked.
    fn read(&self, name: &str, span: Span, trailer: u32) -> Result<Vec<u8>, StoreError> {
        let start = span
            .offset
            .checked_sub(FRAMING_BYTES)
            .ok_or_else(|| self.damaged(name, span.offset, "no room for the framing".into()))?;
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
