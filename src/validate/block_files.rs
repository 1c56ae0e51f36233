//! `adit validate --blocks`: checks block files from genesis on, in memory.

use std::collections::HashMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{
    BlockOutcome, ChainEvent, ChainState, ChainStateOptions, ChainView, CommitPolicy, InvalidBlock,
};
use adit_validator::headers::Validity;
use adit_validator::import::{BlockFile, Importer, accept_headers_in_any_order};
use adit_validator::rules::RuleError;
use anyhow::{Context, anyhow};
use bitcoin::BlockHash;

use super::report::{Counts, Place, Refusal, Report, ValidateResult};
use super::{open, undecodable};
use crate::cli::AssumeValid;
use crate::clock::unix_time;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::progress;

/// Checks blocks from genesis on, in the order of the files.
pub(super) fn validate_block_files(
    params: ChainParams,
    files: &[PathBuf],
    assume_valid: AssumeValid,
    report: &mut Report,
) -> ValidateResult {
    let magic = params.magic;
    let options = ChainStateOptions::for_chain(&params)
        .with_commit(CommitPolicy::WhenFull)
        .with_assume_valid(assume_valid.block());
    let mut chain = ChainState::in_memory(params, None, options).or_running()?;
    if let AssumeValid::Block(hash) = assume_valid {
        take_headers(&mut chain, files, magic)?;
        if chain.headers().lookup(&hash).is_none() {
            tracing::warn!("--assume-valid: {hash} is in none of the files; all scripts are run");
        }
    }
    let mut import = Import::new(chain, report);
    for path in files {
        let (file, length) = open(path)?;
        let progress = progress::bytes(length);
        let mut empty = true;
        for record in BlockFile::new(file, magic) {
            let record = match record.with_context(|| path.display().to_string()).or_usage() {
                Ok(record) => record,
                // What stands before it is checked first.
                Err(error) => return import.end().and(Err(error.into())),
            };
            empty = false;
            progress.set_position(record.offset + record.bytes.len() as u64);
            import.push(Place { path, byte: record.offset }, record.bytes)?;
        }
        progress.finish_and_clear();
        if empty {
            let error = Exit::new(Failure::Usage, anyhow!("{} is empty: it holds no block", path.display()));
            return import.end().and(Err(error.into()));
        }
    }
    import.finish()
}

/// An import of block files into a chain, and what became of the blocks.
struct Import<'a> {
    chain: ChainState,
    importer: Importer<Place<'a>>,
    /// The blocks of branches that broke a rule when their branch became the best, lowest first.
    invalid: Receiver<InvalidBlock>,
    /// Blocks that were stored and not connected at once.
    stored: HashMap<BlockHash, UnconnectedBlock<'a>>,
    report: &'a mut Report,
}

struct UnconnectedBlock<'a> {
    place: Place<'a>,
    counts: Counts,
}

impl<'a> Import<'a> {
    fn new(mut chain: ChainState, report: &'a mut Report) -> Self {
        // Nothing is forgotten: blocks may stand in any order, and branches may be of any length. So memory grows with the
        // files.
        let importer = Importer::new(chain.params(), usize::MAX);
        let (found, invalid) = channel();
        chain.subscribe(move |_: u64, event: &ChainEvent| {
            if let ChainEvent::Invalid(invalid) = event {
                // The receiver is dropped with the chain.
                let _ = found.send(invalid.clone());
            }
            ControlFlow::Continue(())
        });
        Self { chain, importer, invalid, stored: HashMap::new(), report }
    }

    fn push(&mut self, place: Place<'a>, bytes: Vec<u8>) -> ValidateResult {
        self.importer.push(place, bytes);
        self.take()
    }

    /// Checks all that was pushed.
    fn end(&mut self) -> ValidateResult {
        self.importer.end();
        let result = self.take();
        self.count_connected();
        result
    }

    /// Checks what the importer has ready.
    fn take(&mut self) -> ValidateResult {
        while let Some(imported) = self.importer.next(&mut self.chain, unix_time()).or_running()? {
            let place = imported.source;
            let (block, outcome) = imported.result.map_err(|error| undecodable(place, &error))?;
            let tip = self.chain.tip();
            let (hash, height) = (block.hash(), tip.height + 1);
            self.report.tip = Some((tip.height, tip.hash));
            self.report.has_minimum_work = Some(self.chain.has_minimum_chain_work());
            match outcome {
                BlockOutcome::Connected { .. } => self.report.add_block(Counts::of(&block)),
                BlockOutcome::SideBranch { .. } | BlockOutcome::AncestorsMissing { .. } => {
                    self.stored.insert(hash, UnconnectedBlock { place, counts: Counts::of(&block) });
                }
                // The importer offers it again after its parent.
                BlockOutcome::UnknownParent => {}
                refused => {
                    if let Some(invalid) = refused.refusal(hash, block.header()) {
                        return Err(self.refuse(place, invalid, height));
                    }
                }
            }
            if let Ok(invalid) = self.invalid.try_recv() {
                return Err(self.refuse(place, invalid, height));
            }
        }
        Ok(())
    }

    /// The refusal of a block. The block at `place` led to it, and may be another: an invalid block of a branch is found when
    /// the branch becomes the best.
    fn refuse(&mut self, place: Place<'a>, invalid: InvalidBlock, next: u32) -> Refusal {
        self.count_connected();
        let place = self.stored.get(&invalid.hash).map_or(place, |stored| stored.place);
        Refusal::block(place, invalid, next)
    }

    /// Counts the stored blocks that were connected later.
    fn count_connected(&mut self) {
        let (tree, report) = (self.chain.headers(), &mut *self.report);
        self.stored.retain(|hash, stored| {
            let connected = tree.lookup(hash).is_some_and(|id| tree.entry(id).validity == Validity::Connected);
            if connected {
                report.add_block(stored.counts);
            }
            !connected
        });
        report.unconnected = self.stored.len();
    }

    /// The result, once all blocks were pushed.
    fn finish(mut self) -> ValidateResult {
        self.end()?;
        match self.importer.unconnected().next() {
            None => Ok(()),
            Some((block, place)) => {
                let error = RuleError::PreviousNotFound { previous: block.header().prev_blockhash };
                Err(Refusal::rule(*place, self.chain.tip().height + 1, block.hash(), error))
            }
        }
    }
}

/// Accepts the headers of block files, so that what lies on top of a block is known before it is connected. What cannot be
/// read or breaks a rule is met again, and reported, with the blocks.
fn take_headers(chain: &mut ChainState, files: &[PathBuf], magic: [u8; 4]) -> Result {
    // All are looked at first, and then one is open at a time: a chain has thousands.
    files.iter().try_for_each(|path| open(path).map(drop))?;
    let files = files.iter().filter_map(|path| File::open(path).ok());
    accept_headers_in_any_order(chain, files.flat_map(|file| BlockFile::new(file, magic).headers()), unix_time());
    Ok(())
}
