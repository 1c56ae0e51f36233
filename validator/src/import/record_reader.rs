//! Reads the records of a block or undo file by their framing.
//!
//! After a record that cannot be read the reader is still at its start. The caller then stops, or continues at the next
//! magic ([`RecordReader::resync`]).

use std::io::{self, Read};

use super::file_error::{FileError, MIN_BLOCK_SERIALIZED_SIZE};
use crate::block::MAX_BLOCK_SERIALIZED_SIZE;
use crate::store::framing::{FRAMING_BYTES, framed_length};

/// The number of bytes that are read from the input at once.
const READ_BYTES: usize = 1 << 16;

/// The position of a record's content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramedRecord {
    /// The offset of the content in the input, in bytes.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u32,
}

/// A buffered input with an offset, whose next bytes can be read without being consumed.
#[derive(Debug)]
pub(crate) struct RecordReader<R> {
    input: R,
    /// The bytes that were read; those from `start` on are not consumed.
    buffer: Vec<u8>,
    start: usize,
    /// The number of bytes that were consumed.
    offset: u64,
    magic: [u8; 4],
}

impl<R: Read> RecordReader<R> {
    pub(crate) fn new(input: R, magic: [u8; 4]) -> Self {
        Self { input, buffer: Vec::with_capacity(READ_BYTES), start: 0, offset: 0, magic }
    }

    /// The number of bytes that were consumed.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `wanted` bytes, or fewer at the end of the input. They are not consumed.
    fn peek(&mut self, wanted: usize) -> Result<&[u8], FileError> {
        while self.buffer.len() - self.start < wanted {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            // Piece by piece, so that a claimed length is not allocated before its bytes were read.
            let filled = self.buffer.len();
            let spare = self.buffer.capacity() - filled;
            self.buffer.resize(filled + if spare > 0 { spare.min(READ_BYTES) } else { READ_BYTES }, 0);
            let read = self.input.read(&mut self.buffer[filled..]);
            self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FileError::Io { offset: self.offset + filled as u64, source }),
            }
        }
        let end = self.buffer.len().min(self.start + wanted);
        Ok(&self.buffer[self.start..end])
    }

    /// Consumes bytes that were peeked at.
    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Consumes `bytes`, which the input must have.
    fn skip(&mut self, mut bytes: u64, start: u64) -> Result<(), FileError> {
        while bytes > 0 {
            let piece = usize::try_from(bytes).unwrap_or(usize::MAX).min(READ_BYTES);
            let found = self.peek(piece)?.len();
            if found < piece {
                return Err(self.truncated(found, bytes, "record", start));
            }
            self.consume(piece);
            bytes -= piece as u64;
        }
        Ok(())
    }

    fn truncated(&self, found: usize, wanted: u64, record: &'static str, start: u64) -> FileError {
        FileError::Truncated { offset: self.offset + found as u64, missing: wanted - found as u64, record, start }
    }

    /// Exactly `length` bytes of `record`, which begins at `start`; `None` at the end of the input.
    pub(super) fn take(
        &mut self,
        length: usize,
        record: &'static str,
        start: u64,
    ) -> Result<Option<Vec<u8>>, FileError> {
        let bytes = self.peek(length)?;
        match bytes.len() {
            0 if length > 0 => Ok(None),
            found if found < length => Err(self.truncated(found, length as u64, record, start)),
            _ => {
                let bytes = bytes.to_vec();
                self.consume(length);
                Ok(Some(bytes))
            }
        }
    }

    /// The length in the framing of the next record, which is not consumed. `None`: only zeros are left, which Core
    /// preallocates.
    fn peek_framing(&mut self) -> Result<Option<u32>, FileError> {
        let (magic, start) = (self.magic, self.offset);
        let bytes = self.peek(FRAMING_BYTES as usize)?;
        let found = bytes.len();
        if found == 0 {
            return Ok(None);
        }
        let mut framing = [0; FRAMING_BYTES as usize];
        framing[..found].copy_from_slice(bytes);
        let [seen @ .., _, _, _, _] = framing;
        if seen[..found.min(4)] != magic[..found.min(4)] {
            return match seen {
                [0, 0, 0, 0] => self.only_zeros().map(|()| None),
                _ => Err(FileError::Foreign { offset: start, seen, wanted: magic }),
            };
        }
        if found < FRAMING_BYTES as usize {
            let missing = if found < 4 { 4 - found } else { FRAMING_BYTES as usize - found };
            return Err(self.truncated(found, (found + missing) as u64, "block", start));
        }
        Ok(framed_length(framing, magic))
    }

    /// The next block record. `None`: the input ends, or only zeros are left.
    pub(super) fn read_block(&mut self) -> Result<Option<(FramedRecord, Vec<u8>)>, FileError> {
        let start = self.offset;
        let Some(length) = self.peek_framing()? else { return Ok(None) };
        let size = length as usize;
        if !(MIN_BLOCK_SERIALIZED_SIZE..=MAX_BLOCK_SERIALIZED_SIZE).contains(&size) {
            return Err(FileError::Length { offset: start + 4, length });
        }
        let whole = FRAMING_BYTES as usize + size;
        let record = self.peek(whole)?;
        if record.len() < whole {
            let found = record.len();
            return Err(self.truncated(found, whole as u64, "block", start));
        }
        let bytes = record[FRAMING_BYTES as usize..].to_vec();
        self.consume(whole);
        Ok(Some((FramedRecord { offset: start + u64::from(FRAMING_BYTES), length }, bytes)))
    }

    /// Skips the next undo record and returns its position and the `trailer` bytes after it. `input_bytes` is the
    /// length of the input: a record that would end after it is not consumed.
    pub(super) fn skip_undo(
        &mut self,
        trailer: usize,
        input_bytes: u64,
    ) -> Result<Option<(FramedRecord, Vec<u8>)>, FileError> {
        let start = self.offset;
        let Some(length) = self.peek_framing()? else { return Ok(None) };
        let (framing, content) = (u64::from(FRAMING_BYTES), u64::from(length));
        let missing = (start + framing + content + trailer as u64).saturating_sub(input_bytes);
        if missing > 0 {
            return Err(FileError::Truncated { offset: input_bytes, missing, record: "undo record", start });
        }
        self.skip(framing + content, start)?;
        let behind = self.take(trailer, "undo record", start)?.unwrap_or_default();
        Ok(Some((FramedRecord { offset: start + framing, length }, behind)))
    }

    /// Skips at least one byte, up to the next magic or the end of the input.
    pub(super) fn resync(&mut self) -> Result<(), FileError> {
        let (magic, overlap) = (self.magic, self.magic.len() - 1);
        if !self.peek(1)?.is_empty() {
            self.consume(1);
        }
        loop {
            let window = self.peek(READ_BYTES)?;
            let found = window.windows(magic.len()).position(|bytes| bytes == magic);
            let (length, is_last) = (window.len(), window.len() < READ_BYTES);
            match found {
                Some(at) => {
                    self.consume(at);
                    return Ok(());
                }
                None if is_last => {
                    self.consume(length);
                    return Ok(());
                }
                None => self.consume(length - overlap),
            }
        }
    }

    /// Consumes zeros to the end of the input. Another byte is an error; the zeros before it are consumed.
    fn only_zeros(&mut self) -> Result<(), FileError> {
        loop {
            let offset = self.offset;
            let window = self.peek(READ_BYTES)?;
            let length = window.len();
            match window.iter().position(|byte| *byte != 0) {
                Some(at) => {
                    let byte = window[at];
                    self.consume(at);
                    return Err(FileError::Padding { offset: offset + at as u64, byte });
                }
                None if length == 0 => return Ok(()),
                None => self.consume(length),
            }
        }
    }
}
