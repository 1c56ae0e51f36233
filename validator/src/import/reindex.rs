//! Rebuilds a store's database from its block files.

use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::block_folder::{BlockFolder, BlockRecord, SkippedBytes, read_record};
use super::headers::accept_headers_in_any_order;
use super::importer::{Imported, Importer};
use crate::chain::ChainParams;
use crate::chainstate::{BlockOutcome, ChainState, ChainStateOptions, ChainView, CommitPolicy};
use crate::progress::{STRIDE, Stop, Watcher};
use crate::rules::NO_CLOCK;
use crate::store::folder::FolderStore;
use crate::store::location::block_file;
use crate::store::rebuild::LockedFolder;
use crate::store::{Identity, LoadedStore, StoreError};

/// The result of a rebuild.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReindexReport {
    /// Height and hash of the new tip; `None`: the rebuild was interrupted.
    pub tip: Option<(u32, BlockHash)>,
    /// The number of blocks in the new index, side branches included.
    pub blocks: u64,
    /// The bytes and blocks that were left out, with file, offset and reason. They stay in their files.
    pub left: Vec<String>,
    /// The tip of the old database's last commit, by its note, if its block is missing or could not be connected.
    pub lost_tip: Option<BlockHash>,
    /// Whether the watcher ended it. The old database is then unchanged.
    pub interrupted: bool,
}

/// Rebuilds the database of the store in `folder` from its block files, and checks every rule. Block files are not
/// changed; the old database, if there is one, is replaced when the new one is durable. Headers without blocks, and
/// marks that an operator set, are lost, since only the database has them.
///
/// # Errors
/// The folder is in use, holds another chain or a newer format, is not a store, or cannot be read or written; or its
/// block files lack the genesis block.
pub fn reindex(
    folder: &Path,
    params: &ChainParams,
    options: ChainStateOptions,
    watcher: &mut dyn Watcher,
) -> Result<ReindexReport, StoreError> {
    let identity = Identity::of(params);
    let locked = LockedFolder::lock(folder, &identity)?;
    let last_tip = locked.last_tip();
    let block_files = locked.blocks();
    let (files, BlockFolder { blocks, skipped }) = BlockFolder::scan(&block_files, identity.magic)?;
    let genesis = blocks.iter().find(|record| record.header.block_hash() == identity.genesis);
    if genesis.is_none() && !blocks.is_empty() {
        return Err(StoreError::NotKept { hash: identity.genesis });
    }
    let store = FolderStore::rebuild(locked, files, options.table_cache_bytes())?;
    let loaded = LoadedStore { genesis: genesis.map(|record| record.position), ..LoadedStore::default() };
    let mut reindexer = Reindexer {
        chain: ChainState::with_store(
            Box::new(store),
            loaded,
            params.clone(),
            // Block files that were not read yet look old.
            options.with_commit(CommitPolicy::WhenFull).with_prune_bytes(None),
        )?,
        folder: block_files,
        watcher,
        outcome: ReindexReport {
            left: skipped.iter().map(SkippedBytes::to_string).collect(),
            ..ReindexReport::default()
        },
    };
    match reindexer.run(&blocks) {
        Ok(()) => {}
        Err(Stop::Interrupted) => return Ok(ReindexReport { interrupted: true, ..reindexer.outcome }),
        Err(Stop::Store(error)) => return Err(error),
    }
    let Reindexer { chain, mut outcome, .. } = reindexer;
    outcome.tip = Some((chain.tip().height, chain.tip().hash));
    outcome.lost_tip = last_tip.filter(|last| match chain.headers().lookup(last) {
        Some(id) => chain.headers().entry(id).chain_work > chain.tip().chain_work,
        None => true,
    });
    let entries = chain.headers().ids().map(|id| chain.headers().entry(id));
    outcome.blocks = entries.filter(|entry| entry.location.is_some()).count() as u64;
    // This replaces the old database by the new one.
    chain.close()?;
    Ok(outcome)
}

struct Reindexer<'a> {
    chain: ChainState,
    folder: PathBuf,
    watcher: &'a mut dyn Watcher,
    outcome: ReindexReport,
}

impl Reindexer<'_> {
    /// Accepts all headers, then the blocks in the order in which they were appended. So of branches with the same work
    /// the one that arrived first is active again.
    fn run(&mut self, records: &[BlockRecord]) -> Result<(), Stop> {
        accept_headers_in_any_order(&mut self.chain, records.iter().map(|record| record.header), NO_CLOCK);
        // All headers are known, so a missing parent will not come.
        let mut importer = Importer::new(self.chain.params(), 0);
        for (record, done) in records.iter().zip(0..) {
            if done % STRIDE == 0 {
                self.watcher.progress("connecting blocks", done, records.len() as u64);
                if !self.watcher.goes_on() {
                    return Err(Stop::Interrupted);
                }
            }
            importer.push_stored(record, read_record(&self.folder, record.position)?, record.position);
            self.accept(&mut importer)?;
        }
        importer.end();
        self.accept(&mut importer)
    }

    /// Accepts the prefetched blocks, and records those that are left out.
    fn accept(&mut self, importer: &mut Importer<&BlockRecord>) -> Result<(), Stop> {
        while let Some(Imported { source: record, result }) = importer.next(&mut self.chain, NO_CLOCK)? {
            let hash = record.header.block_hash();
            match result {
                Err(error) => self.leave_out(record, format!("block {hash}: {error}")),
                Ok((_, BlockOutcome::Invalid(invalid))) => {
                    self.leave_out(record, format!("block {}: {}", invalid.hash, invalid.error));
                }
                Ok((_, BlockOutcome::KnownInvalid { first })) => {
                    self.leave_out(record, format!("block {hash}: its ancestor {first} breaks a rule"));
                }
                Ok((_, BlockOutcome::UnknownParent)) => {
                    self.leave_out(record, format!("block {hash}: its parent is in no block file"));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, record: &BlockRecord, why: String) {
        let path = self.folder.join(block_file(record.position.file));
        self.outcome.left.push(format!("{}: byte {}: {why}", path.display(), record.position.span.offset));
    }
}
