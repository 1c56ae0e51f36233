//! Errors in a file of blocks or headers.

use std::io;

use crate::block::MAX_BLOCK_SERIALIZED_SIZE;

/// The length of the shortest block in bytes: a header and a count.
pub(super) const MIN_BLOCK_SERIALIZED_SIZE: usize = 81;

/// A file of blocks or headers cannot be read further. Offsets are in bytes from the start of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A record does not begin with the chain's magic.
    #[error("byte {offset}: found {}, wanted the chain's magic {}", hex(seen), hex(wanted))]
    Foreign {
        /// The offset of the record.
        offset: u64,
        /// Its first four bytes.
        seen: [u8; 4],
        /// The chain's magic.
        wanted: [u8; 4],
    },
    /// A record has a length that no block can have.
    #[error(
        "byte {offset}: a block of {length} bytes; wanted {MIN_BLOCK_SERIALIZED_SIZE} to {MAX_BLOCK_SERIALIZED_SIZE}"
    )]
    Length {
        /// The offset of the length.
        offset: u64,
        /// The length.
        length: u32,
    },
    /// The file ends inside a record.
    #[error("byte {offset}: the file ends {missing} bytes before the end of the {record} that begins at byte {start}")]
    Truncated {
        /// The length of the file.
        offset: u64,
        /// The number of missing bytes, as far as it is known.
        missing: u64,
        /// What kind of record it is.
        record: &'static str,
        /// The offset of the record.
        start: u64,
    },
    /// The zeros at the end are followed by another byte.
    #[error("byte {offset}: found {byte:#04x} after the zeros that end the file")]
    Padding {
        /// The offset of the byte.
        offset: u64,
        /// The byte.
        byte: u8,
    },
    /// The file cannot be read.
    #[error("byte {offset}: {source}")]
    Io {
        /// The offset.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
}

fn hex(bytes: &[u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(*bytes))
}
