//! A `blk` file as Bitcoin Core writes it, read one block at a time.
//!
//! Records of magic, little-endian length and block, followed by zeros, because Core preallocates a file. Core skips
//! bytes that are no record. Here they are an error that names the byte, because the purpose is to check the file.

use std::io::Read;

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;

use super::file_error::FileError;
use super::record_reader::RecordReader;

/// A block in a file, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// The offset of its first byte in the file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The blocks of a `blk` file, in file order. Holds one block in memory; ends after the first error.
#[derive(Debug)]
pub struct BlockFile<R> {
    records: RecordReader<R>,
    ended: bool,
}

impl<R: Read> BlockFile<R> {
    /// A reader at the start of `file`, which need not be buffered. `magic` is the chain's.
    pub fn new(file: R, magic: [u8; 4]) -> Self {
        Self { records: RecordReader::new(file, magic), ended: false }
    }

    /// The headers of the blocks, up to the first error.
    pub fn headers(self) -> impl Iterator<Item = Header> {
        self.map_while(Result::ok).filter_map(|block| deserialize(block.bytes.get(..80)?).ok())
    }
}

impl<R: Read> Iterator for BlockFile<R> {
    type Item = Result<RawBlock, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let block = self.records.read_block().transpose();
        self.ended = !matches!(block, Some(Ok(_)));
        block.map(|block| block.map(|(framed, bytes)| RawBlock { offset: framed.offset, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

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
