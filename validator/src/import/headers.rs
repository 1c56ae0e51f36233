//! Accepts many headers: those of a header file in order, or any in any order, so that the work on top of a block is known
//! before it is connected.

use std::collections::HashMap;
use std::io::Read;

use bitcoin::BlockHash;
use bitcoin::block::Header;

use super::file_error::FileError;
use super::header_file::HeaderFile;
use crate::chainstate::{ChainState, ChainView, HeaderOutcome};
use crate::rules::RuleError;

/// Headers that are accepted in one call, so that they are hashed together.
const BATCH: usize = 2_000;

/// A file of headers cannot be read, or a header in it is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFileError {
    /// The file cannot be read further.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file has no header.
    #[error("the file is empty: it holds no header")]
    Empty,
    /// A header breaks a rule, or its parent is not before it.
    #[error("byte {byte}: header {hash}: {error}")]
    Refused {
        /// The offset of the header in the file.
        byte: u64,
        /// Its height; if its parent is unknown, that of its place in a file that is in order.
        height: u32,
        /// Its hash.
        hash: BlockHash,
        /// The broken rule.
        error: Box<RuleError>,
    },
}

/// Accepts the headers of `file`, each after its parent and on any branch, and returns their number. `now` is the
/// network's time in seconds since 1970. `progress` is called with the number of headers that were accepted, from time to
/// time.
///
/// # Errors
/// The file cannot be read, is empty, or a header is refused. Those before it are accepted.
pub fn accept_header_file(
    chain: &mut ChainState,
    file: impl Read,
    now: u64,
    mut progress: impl FnMut(u64),
) -> Result<u64, HeaderFileError> {
    let mut headers = HeaderFile::new(file);
    let mut count = 0;
    loop {
        let (mut batch, mut failure) = (Vec::with_capacity(BATCH), None);
        for header in headers.by_ref().take(BATCH) {
            match header {
                Ok(header) => batch.push(header),
                Err(error) => failure = Some(error),
            }
        }
        for (header, outcome) in batch.iter().zip(chain.accept_headers(&batch, now)) {
            if let Some(error) = outcome.refusal(header.prev_blockhash) {
                let tree = chain.headers();
                let parent = tree.lookup(&header.prev_blockhash).unwrap_or(tree.best_header());
                let height = tree.entry(parent).height + 1;
                return Err(HeaderFileError::Refused {
                    byte: count * 80,
                    height,
                    hash: header.block_hash(),
                    error: error.into(),
                });
            }
            count += 1;
        }
        progress(count);
        match failure {
            Some(error) => return Err(error.into()),
            None if count == 0 => return Err(HeaderFileError::Empty),
            None if batch.len() < BATCH => return Ok(count),
            None => {}
        }
    }
}

/// Accepts headers that may come before their parents. Headers that break a rule, or whose parent is missing, are
/// ignored: their blocks are reported when they are accepted. `now` is the network's time in seconds since 1970.
pub fn accept_headers_in_any_order(chain: &mut ChainState, headers: impl IntoIterator<Item = Header>, now: u64) {
    let mut waiting: HashMap<BlockHash, Vec<Header>> = HashMap::new();
    for header in headers {
        let mut next = vec![header];
        while let Some(header) = next.pop() {
            match chain.accept_header(&header, now) {
                HeaderOutcome::UnknownParent => waiting.entry(header.prev_blockhash).or_default().push(header),
                HeaderOutcome::Accepted { .. } | HeaderOutcome::Known { .. } => {
                    next.extend(waiting.remove(&header.block_hash()).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}
