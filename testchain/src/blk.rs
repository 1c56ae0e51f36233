//! Chains in files, in the framing of Bitcoin Core's `blk` files: magic, length (32 bits, little-endian), block.
//!
//! Making a bench's chain takes much longer than reading it, so a bench makes it once: [`cached`] keeps it under the target
//! folder, named by its shape. The genesis block, which every node has, is left out.

use crate::generate::ChainGenerator;
use crate::shape::{ChainShape, ShapeError};
use bitcoin::hashes::{Hash, sha256};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Changes whenever the generator makes other bytes from the same shape, so that no stale file is read.
const GENERATION: u32 = 1;

/// The longest block in bytes: a block of four million weight units has at most as many bytes.
const MAX_BLOCK_LEN: u32 = 4_000_000;

/// A block file could not be made or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlkError {
    /// An error of the operating system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A record does not start with the network's magic.
    #[error("{}: at byte {offset}: magic {seen:02x?}, wanted {wanted:02x?}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The offset of the record in bytes.
        offset: u64,
        /// The bytes there.
        seen: [u8; 4],
        /// The network's magic.
        wanted: [u8; 4],
    },
    /// A record is longer than any block.
    #[error("{}: at byte {offset}: block of {seen} bytes, wanted at most {MAX_BLOCK_LEN}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The offset of the record in bytes.
        offset: u64,
        /// The length found.
        seen: u32,
    },
    /// The shape to generate is impossible.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Writes `blocks` to a new file at `path` in `blk` framing and returns their count.
///
/// The file appears under its name only when it is complete.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, magic: [u8; 4], blocks: impl IntoIterator<Item = Vec<u8>>) -> Result<usize, BlkError> {
    let io = |source| BlkError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io)?;
    let mut partial = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    let mut count = 0;
    {
        let mut out = BufWriter::new(partial.as_file_mut());
        for block in blocks {
            let len = u32::try_from(block.len()).unwrap_or(u32::MAX);
            out.write_all(&magic).and_then(|()| out.write_all(&len.to_le_bytes())).map_err(io)?;
            out.write_all(&block).map_err(io)?;
            count += 1;
        }
        out.flush().map_err(io)?;
    }
    partial.persist(path).map_err(|error| io(error.error))?;
    Ok(count)
}

/// The blocks of a file in `blk` framing, in the order of the file.
#[derive(Debug)]
pub struct BlkReader {
    path: PathBuf,
    input: BufReader<File>,
    magic: [u8; 4],
    offset: u64,
    left: u64,
}

impl BlkReader {
    /// Opens the file at `path`, whose records must start with `magic`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, magic: [u8; 4]) -> Result<Self, BlkError> {
        let io = |source| BlkError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let left = file.metadata().map_err(io)?.len();
        Ok(Self { path: path.to_owned(), input: BufReader::with_capacity(1 << 20, file), magic, offset: 0, left })
    }

    fn next_block(&mut self) -> Result<Vec<u8>, BlkError> {
        let path = &self.path;
        let io = |source| BlkError::Io { path: path.clone(), source };
        let mut frame = [0; 8];
        self.input.read_exact(&mut frame).map_err(io)?;
        let [a, b, c, d, length @ ..] = frame;
        if [a, b, c, d] != self.magic {
            let (path, offset) = (self.path.clone(), self.offset);
            return Err(BlkError::Magic { path, offset, seen: [a, b, c, d], wanted: self.magic });
        }
        let seen = u32::from_le_bytes(length);
        if seen > MAX_BLOCK_LEN {
            return Err(BlkError::Length { path: self.path.clone(), offset: self.offset, seen });
        }
        let mut block = vec![0; seen as usize];
        self.input.read_exact(&mut block).map_err(io)?;
        self.offset += 8 + u64::from(seen);
        self.left = self.left.saturating_sub(8 + u64::from(seen));
        Ok(block)
    }
}

impl Iterator for BlkReader {
    type Item = Result<Vec<u8>, BlkError>;

    /// The next block; after an error, nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let block = self.next_block();
        if block.is_err() {
            self.left = 0;
        }
        Some(block)
    }
}

/// The file in which [`cached`] keeps the chain of `shape`: in `testchain/` of the target folder (`CARGO_TARGET_DIR`, or
/// `target/` of the workspace). Its name has the main fields of the shape and a hash of all of them.
pub fn cache_path(shape: &ChainShape) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"), PathBuf::from);
    let digest = sha256::Hash::hash(format!("{GENERATION} {shape:?}").as_bytes()).to_byte_array();
    let [a, b, c, d, ..] = digest;
    let ChainShape { blocks, inputs_per_block, outputs_per_block, coins, seed, .. } = shape;
    target.join("testchain").join(format!(
        "regtest-{blocks}x{inputs_per_block}x{outputs_per_block}-coins{coins}-seed{seed}-{a:02x}{b:02x}{c:02x}{d:02x}.blk"
    ))
}

/// The file of the regtest chain of `shape`; makes it if it does not exist.
///
/// Its last [`ChainShape::blocks`] blocks are the measured part; those before are the warm-up.
///
/// # Errors
/// No chain can have the shape, or the file cannot be written.
pub fn cached(shape: &ChainShape) -> Result<PathBuf, BlkError> {
    let path = cache_path(shape);
    if !path.exists() {
        let generator = ChainGenerator::new(shape.clone())?;
        write(&path, generator.network().magic(), generator)?;
    }
    Ok(path)
}
