//! Files of blocks and of headers as other programs write them, read one record at a time.
//!
//! Bitcoin Core's `blk` files hold records of magic, little-endian length and block, and end in zeros, because Core
//! allocates them ahead. Core skips whatever it does not understand in such a file; here it is an error that names the
//! byte, because a file that somebody hands in to be checked either is good or is not.

use std::io::{self, BufReader, Read};

use bitcoin::block::Header;
use bitcoin::consensus;

use crate::block::MAX_BLOCK_SERIALIZED_SIZE;

/// The length of the shortest block: a header and a count.
const MIN_BLOCK_SERIALIZED_SIZE: usize = 81;

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

/// A block in a file, not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// Where its first byte stands in the file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The blocks of a `blk` file, in its order. Holds one block at a time; ends after the first error.
#[derive(Debug)]
pub struct BlockFile<R> {
    records: Records<R>,
    magic: [u8; 4],
}

impl<R: Read> BlockFile<R> {
    /// Reads from the start of `file`, which need not be buffered.
    pub fn new(file: R, magic: [u8; 4]) -> Self {
        Self { records: Records::new(file), magic }
    }

    fn read_block(&mut self) -> Result<Option<RawBlock>, FileError> {
        let start = self.records.offset;
        let mut seen = [0; 4];
        let length = self.records.fill(&mut seen)?;
        if seen[..length] == self.magic[..length] && length > 0 {
            self.records.want(length, 4, "block", start)?;
        } else if seen == [0; 4] {
            return self.records.only_zeros().map(|()| None);
        } else {
            return Err(FileError::Foreign { offset: start, seen, wanted: self.magic });
        }
        let offset = self.records.offset;
        let mut length = [0; 4];
        let filled = self.records.fill(&mut length)?;
        self.records.want(filled, 4, "block", start)?;
        let length = u32::from_le_bytes(length);
        let size = length as usize;
        if !(MIN_BLOCK_SERIALIZED_SIZE..=MAX_BLOCK_SERIALIZED_SIZE).contains(&size) {
            return Err(FileError::Length { offset, length });
        }
        let offset = self.records.offset;
        let mut bytes = vec![0; size];
        let filled = self.records.fill(&mut bytes)?;
        self.records.want(filled, size, "block", start)?;
        Ok(Some(RawBlock { offset, bytes }))
    }
}

impl<R: Read> Iterator for BlockFile<R> {
    type Item = Result<RawBlock, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.records.ended {
            return None;
        }
        let block = self.read_block().transpose();
        self.records.ended = !matches!(block, Some(Ok(_)));
        block
    }
}

/// The headers of a file that holds nothing but 80-byte headers, in its order. Ends after the first error.
#[derive(Debug)]
pub struct HeaderFile<R> {
    records: Records<R>,
}

impl<R: Read> HeaderFile<R> {
    /// Reads from the start of `file`, which need not be buffered.
    pub fn new(file: R) -> Self {
        Self { records: Records::new(file) }
    }

    fn read_header(&mut self) -> Result<Option<Header>, FileError> {
        let start = self.records.offset;
        let mut bytes = [0; 80];
        let filled = self.records.fill(&mut bytes)?;
        if filled == 0 {
            return Ok(None);
        }
        self.records.want(filled, 80, "header", start)?;
        Ok(Some(consensus::deserialize(&bytes).expect("any 80 bytes are a header")))
    }
}

impl<R: Read> Iterator for HeaderFile<R> {
    type Item = Result<Header, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.records.ended {
            return None;
        }
        let header = self.read_header().transpose();
        self.records.ended = !matches!(header, Some(Ok(_)));
        header
    }
}

/// A buffered file that knows how far it has been read.
#[derive(Debug)]
struct Records<R> {
    file: BufReader<R>,
    offset: u64,
    ended: bool,
}

impl<R: Read> Records<R> {
    fn new(file: R) -> Self {
        Self { file: BufReader::with_capacity(1 << 16, file), offset: 0, ended: false }
    }

    /// Reads into `buffer` until it is full or the file ends; how much.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FileError::Io { offset: self.offset, source }),
            }
        }
        Ok(filled)
    }

    fn want(&self, filled: usize, wanted: usize, record: &'static str, start: u64) -> Result<(), FileError> {
        if filled == wanted {
            return Ok(());
        }
        Err(FileError::Truncated { offset: self.offset, missing: (wanted - filled) as u64, record, start })
    }

    /// Reads to the end, which nothing but zeros may precede.
    fn only_zeros(&mut self) -> Result<(), FileError> {
        let mut buffer = [0; 4096];
        loop {
            let start = self.offset;
            let filled = self.fill(&mut buffer)?;
            if let Some(at) = buffer[..filled].iter().position(|&byte| byte != 0) {
                return Err(FileError::Padding { offset: start + at as u64, byte: buffer[at] });
            }
            if filled < buffer.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::vectors;

    const MAGIC: [u8; 4] = [0xf9, 0xbe, 0xb4, 0xd9];

    fn framed(block: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &u32::try_from(block.len()).unwrap().to_le_bytes(), block].concat()
    }

    /// The blocks' lengths, then what ended the file.
    fn read(file: &[u8]) -> (Vec<usize>, Option<String>) {
        let mut lengths = Vec::new();
        let mut blocks = BlockFile::new(file, MAGIC);
        let end = loop {
            match blocks.next() {
                Some(Ok(block)) => {
                    assert_eq!(file[block.offset as usize..][..block.bytes.len()], block.bytes);
                    lengths.push(block.bytes.len());
                }
                Some(Err(error)) => break Some(error.to_string()),
                None => break None,
            }
        };
        assert!(blocks.next().is_none(), "it ends once");
        (lengths, end)
    }

    #[test]
    fn recorded_blocks_are_read_in_order() {
        let Some(vectors) = vectors() else { return };
        let file = vectors.read("mainnet/blocks-1-255.dat");
        assert_eq!(ChainParams::main().magic, MAGIC);
        let (lengths, end) = read(&file);
        assert_eq!((lengths.len(), end), (255, None));
        assert_eq!(lengths.iter().sum::<usize>() + 255 * 8, file.len());
    }

    #[test]
    fn zeros_may_end_a_file_and_nothing_may_follow_them() {
        let block = framed(&[1; 90]);
        assert_eq!(read(&[]), (vec![], None));
        for zeros in [1, 3, 4, 100, 4096, 10_000] {
            let mut file = [&block[..], &vec![0; zeros]].concat();
            assert_eq!(read(&file), (vec![90], None), "{zeros} zeros");
            file.push(7);
            let (_, end) = read(&file);
            if zeros >= 4 {
                let wanted = format!("byte {}: found 0x07 after the zeros that end the file", 98 + zeros);
                assert_eq!(end, Some(wanted));
            } else {
                assert!(end.unwrap().starts_with("byte 98: found 00"), "{zeros} zeros");
            }
        }
    }

    #[test]
    fn every_truncation_is_named() {
        let file = framed(&[1; 90]);
        for length in 1..file.len() {
            let (lengths, end) = read(&file[..length]);
            assert!(lengths.is_empty());
            assert!(
                end.as_deref().unwrap().starts_with(&format!("byte {length}: the file ends ")),
                "{length}: {end:?}"
            );
        }
    }

    #[test]
    fn foreign_magic_and_impossible_lengths_are_named() {
        let mut file = framed(&[1; 90]);
        file.extend(framed(&[1; 90]));
        file[98] = 0x0b;
        let wanted = "byte 98: found 0bbeb4d9, wanted the chain's magic f9beb4d9";
        assert_eq!(read(&file), (vec![90], Some(wanted.to_owned())));
        for length in [0, 80, 4_000_001, u32::MAX] {
            file[4..8].copy_from_slice(&length.to_le_bytes());
            let wanted = format!("byte 4: a block of {length} bytes; wanted 81 to 4000000");
            assert_eq!(read(&file), (vec![], Some(wanted)));
        }
    }

    #[test]
    fn header_files_hold_whole_headers() {
        let file = [0x5a; 240];
        assert_eq!(HeaderFile::new(&file[..]).map(Result::unwrap).count(), 3);
        let mut headers = HeaderFile::new(&file[..200]);
        assert_eq!(headers.next().unwrap().unwrap().nonce, 0x5a5a_5a5a);
        assert!(headers.next().unwrap().is_ok());
        let error = headers.next().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "byte 200: the file ends 40 bytes before the end of the header that begins at byte 160"
        );
        assert!(headers.next().is_none());
    }

    #[test]
    fn a_file_that_fails_says_where() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let file = io::Cursor::new(framed(&[1; 90])).chain(Broken);
        let results: Vec<_> = BlockFile::new(file, MAGIC).collect();
        assert_eq!(results.len(), 2);
        assert_eq!(results[1].as_ref().unwrap_err().to_string(), "byte 98: the disk is gone");
    }
}
