//! The filter index of a chain that is kept: BIP158's basic filters, one step behind each block.

use std::io::ErrorKind;
use std::path::Path;

use adit_validator::chainstate::ChainState;
use adit_validator::filters::{self, FilterError, FilterHeader, FilterIndex};
use adit_validator::store::StoreError;
use anyhow::anyhow;

use crate::exit::{Exit, Failure, Result};

/// Opens the index in the data folder of `chain`, or makes one, and follows the chain to its tip. `goes_on` is asked between
/// steps; what is then left is caught up with the next block.
pub fn open(chain: &mut ChainState, folder: &Path, goes_on: impl Fn() -> bool) -> Result<FilterIndex> {
    let folder = folder.join(filters::FOLDER);
    let failed = |error| match error {
        FilterError::Store(error @ (StoreError::Pruned { .. } | StoreError::NotKept { .. })) => {
            let error = anyhow!("--filters: the index needs blocks that are no longer kept: {error}");
            Exit::new(Failure::Usage, error)
        }
        FilterError::Store(error @ StoreError::InUse { .. }) => {
            Exit::new(Failure::Usage, anyhow!(error).context("--filters"))
        }
        FilterError::Store(StoreError::Io { path, source }) if source.kind() != ErrorKind::NotFound => {
            let error = anyhow!(source).context(format!("--filters: {}", path.display()));
            Exit::new(Failure::Running, error)
        }
        // A block that the index wanted to read.
        FilterError::Store(StoreError::Damaged { path, offset, what }) if !path.starts_with(&folder) => {
            let error = StoreError::Damaged { path, offset, what };
            Exit::new(Failure::Running, anyhow!(error).context("--filters"))
        }
        FilterError::Store(error) => {
            let (folder, error) = (folder.display(), anyhow!(error));
            let error =
                anyhow!("--filters: cannot use {folder}: {error:#}; without that folder the index is made anew");
            Exit::new(Failure::Running, error)
        }
        other => Exit::new(Failure::Usage, anyhow!("--filters: {other}")),
    };
    let genesis = chain.params().consensus.genesis_hash;
    let mut index = FilterIndex::open(&folder, &genesis).map_err(failed)?;
    while follow(&mut index, chain).map_err(failed)? > 0 && goes_on() {}
    Ok(index)
}

/// Takes the index a step towards the tip, and has the chain keep the blocks that it still has to read. Says how many those
/// are.
pub fn follow(index: &mut FilterIndex, chain: &mut ChainState) -> std::result::Result<u32, FilterError> {
    let progress = index.step(chain)?;
    chain.keep_blocks_from(index.position().map(|position| position.height + 1));
    Ok(progress.behind)
}

/// The filter header of the tip, once the index is there.
pub fn header_of_tip(index: &FilterIndex, chain: &ChainState) -> std::result::Result<FilterHeader, FilterError> {
    index.header(chain.headers(), &chain.tip().hash)
}
