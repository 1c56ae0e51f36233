//! Scans the block and undo files of a data folder by their framing.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;

use super::file_error::FileError;
use super::record_reader::{FramedRecord, RecordReader};
use crate::store::files::FileInfo;
use crate::store::location::{block_file, file_number, undo_file};
use crate::store::rebuild::ExistingFiles;
use crate::store::{FilePosition, Span, StoreError};

/// Bytes of the checksum after each undo record.
const CHECKSUM_BYTES: usize = 32;

/// The position and header of a block in a block file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRecord {
    /// The block's position.
    pub(crate) position: FilePosition,
    /// The header: the block's first 80 bytes.
    pub(crate) header: Header,
}

/// Bytes of a block or undo file that are not a whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkippedBytes {
    /// The file.
    pub(crate) path: PathBuf,
    /// Their offset in bytes.
    pub(crate) offset: u64,
    /// Their number.
    pub(crate) length: u64,
}

impl std::fmt::Display for SkippedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: byte {}: {} bytes that are no whole record", self.path.display(), self.offset, self.length)
    }
}

/// The result of a scan, besides what the store needs.
#[derive(Debug, Default)]
pub(crate) struct BlockFolder {
    /// The blocks of all block files, in file order.
    pub(crate) blocks: Vec<BlockRecord>,
    /// The bytes that are not records.
    pub(crate) skipped: Vec<SkippedBytes>,
}

impl BlockFolder {
    /// Reads the framing of every block and undo file in `folder`, and the header of every block.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn scan(folder: &Path, magic: [u8; 4]) -> Result<(ExistingFiles, Self), StoreError> {
        let (mut files, mut found) = (ExistingFiles::default(), Self::default());
        let io_error = |source| StoreError::Io { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(io_error)? {
            let name = entry.map_err(io_error)?.file_name();
            files.infos.extend(name.to_str().and_then(file_number).map(|number| (number, FileInfo::EMPTY)));
        }
        for (number, info) in &mut files.infos {
            let file = *number;
            info.block_bytes = scan_file(
                folder.join(block_file(file)),
                magic,
                &mut found.skipped,
                |records, _| records.read_block(),
                |span, bytes| {
                    let header = bytes.get(..80).and_then(|header| deserialize(header).ok());
                    let position = FilePosition { file, span };
                    found.blocks.extend(header.map(|header| BlockRecord { position, header }));
                },
            )?;
            let undo = &mut files.undo;
            info.undo_bytes = scan_file(
                folder.join(undo_file(file)),
                magic,
                &mut found.skipped,
                |records, length| records.skip_undo(CHECKSUM_BYTES, length),
                |span, checksum| {
                    if let Ok(checksum) = checksum.try_into() {
                        undo.insert(file, checksum, span);
                    }
                },
            )?;
        }
        Ok((files, found))
    }
}

/// Calls `keep` with every record that `next` reads, and returns the end of the last one. Bytes between records are
/// added to `skipped`.
fn scan_file(
    path: PathBuf,
    magic: [u8; 4],
    skipped: &mut Vec<SkippedBytes>,
    next: impl Fn(&mut RecordReader<File>, u64) -> Result<Option<(FramedRecord, Vec<u8>)>, FileError>,
    mut keep: impl FnMut(Span, Vec<u8>),
) -> Result<u32, StoreError> {
    let io_error = |source| StoreError::Io { path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(io_error(source)),
    };
    // Offsets in a file have 32 bits.
    let length = file.metadata().map_err(io_error)?.len().min(u32::MAX.into());
    let mut records = RecordReader::new(file, magic);
    let mut end = 0;
    loop {
        let start = records.offset();
        match next(&mut records, length) {
            Ok(Some((framed, bytes))) => {
                if records.offset() > length {
                    break;
                }
                if start > end {
                    skipped.push(SkippedBytes { path: path.clone(), offset: end, length: start - end });
                }
                keep(Span { offset: framed.offset as u32, length: framed.length }, bytes);
                end = records.offset();
            }
            Ok(None) => break,
            Err(FileError::Io { source, .. }) => return Err(io_error(source)),
            // The zeros were consumed; a record may follow.
            Err(FileError::Padding { .. }) => {}
            Err(_) => records.resync().map_err(|error| match error {
                FileError::Io { source, .. } => io_error(source),
                other => io_error(io::Error::other(other)),
            })?,
        }
    }
    if length > end {
        skipped.push(SkippedBytes { path, offset: end, length: length - end });
    }
    Ok(end as u32)
}

/// The bytes of a block in `folder`.
pub(crate) fn read_record(folder: &Path, position: FilePosition) -> Result<Vec<u8>, StoreError> {
    let path = folder.join(block_file(position.file));
    let mut bytes = vec![0; position.span.length as usize];
    let read = File::open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(position.span.offset.into()))?;
        file.read_exact(&mut bytes)
    });
    read.map_err(|source| StoreError::Io { path, source })?;
    Ok(bytes)
}
