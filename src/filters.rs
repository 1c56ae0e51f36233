//! Opens the filter index of `adit up --filters` and maps its errors to exit codes.

use std::io::ErrorKind;
use std::path::Path;

use adit_validator::chainstate::{ChainView, PruneLock};
use adit_validator::filters::{self, FilterError, FilterIndex};
use adit_validator::store::StoreError;
use anyhow::anyhow;

use crate::exit::{Exit, Failure, Result};

/// Opens or creates the index in the data folder of `chain`, and indexes the chain to its tip, or until `goes_on` returns
/// `false`; the next block then brings it to the tip. `lock` keeps the blocks that the index has to read.
pub fn open(chain: &dyn ChainView, folder: &Path, lock: PruneLock, goes_on: impl Fn() -> bool) -> Result<FilterIndex> {
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
    let mut index = FilterIndex::open(&folder, &genesis, lock).map_err(failed)?;
    index.catch_up_while(chain, goes_on).map_err(failed)?;
    Ok(index)
}
