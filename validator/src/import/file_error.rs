//! Why a file of blocks or headers cannot be read on.

use std::io;

use crate::block::MAX_BLOCK_SERIALIZED_SIZE;

/// The length of the shortest block in bytes: a header and a count.
pub(super) const MIN_BLOCK_SERIALIZED_SIZE: usize = 81;

/// Why a file cannot be read on. Offsets count bytes from the start of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A record does not begin with the chain's magic.
    #[error("byte {offset}: found {}, wanted the chain's magic {}", hex(seen), hex(wanted))]
    Foreign {
        /// Where the record begins.
        offset: u64,
        /// How it begins.
        seen: [u8; 4],
        /// The chain's magic.
        wanted: [u8; 4],
    },
    /// A record claims a length that no block has.
    #[error(
        "byte {offset}: a block of {length} bytes; wanted {MIN_BLOCK_SERIALIZED_SIZE} to {MAX_BLOCK_SERIALIZED_SIZE}"
    )]
    Length {
        /// Where the length stands.
        offset: u64,
        /// The length.
        length: u32,
    },
    /// The file ends inside a record.
    #[error("byte {offset}: the file ends {missing} bytes before the end of the {record} that begins at byte {start}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// How many bytes are missing, as far as is known.
        missing: u64,
        /// What kind of record it is.
        record: &'static str,
        /// Where the record begins.
        start: u64,
    },
    /// Something follows the zeros at the end.
    #[error("byte {offset}: found {byte:#04x} after the zeros that end the file")]
    Padding {
        /// Where it stands.
        offset: u64,
        /// What stands there.
        byte: u8,
    },
    /// The file cannot be read.
    #[error("byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

fn hex(bytes: &[u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(*bytes))
}
