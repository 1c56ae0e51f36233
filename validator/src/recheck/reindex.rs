//! A database made anew from the block files, beside the old one, and put into its place when it is whole.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::index::STRIDE;
use super::{Stop, Watcher};
use crate::chain::ChainParams;
use crate::chainstate::{BlockOutcome, ChainState, CommitPolicy, HeaderOutcome, Lookahead, Options, ReadyBlock};
use crate::store::files::block_file;
use crate::store::folder::{BLOCKS, Contents};
use crate::store::note::{self, Note};
use crate::store::rebuild::{BlockRecord, Feeding, Rebuild, Remains, put_in_place, read_record};
use crate::store::{Identity, StoreError};

/// Blocks that were ahead of the clock when they came have been judged then.
const NO_CLOCK: u64 = u32::MAX as u64;

/// What became of a rebuild.
#[derive(Clone, Debug, Default)]
pub struct Reindexed {
    /// Height and hash of the tip.
    pub tip: Option<(u32, BlockHash)>,
    /// Blocks that the index has now, side branches included.
    pub blocks: u64,
    /// What could not be taken up, with its file and byte and the reason. It stays in its file.
    pub left: Vec<String>,
    /// The tip of the last commit before, by its note, if its block is gone or cannot be connected any more.
    pub lost_tip: Option<BlockHash>,
    /// Whether the watcher ended it. Then the old database is still in its place.
    pub interrupted: bool,
}

/// Makes the database of the store in `folder` anew from its block files, every rule checked on the way. Blocks are read
/// and stay where they are; the old database, if there is one, is in its place until the new one is durable. What only a
/// database holds is lost: headers without blocks, and marks that a user set.
///
/// # Errors
/// The folder is in use, of another chain, of a newer format, no store, or cannot be read or written; or its block files
/// do not begin with the chain's, so that coins could not be made from them.
pub fn reindex(
    folder: &Path,
    params: &ChainParams,
    options: Options,
    watcher: &mut dyn Watcher,
) -> Result<Reindexed, StoreError> {
    let identity = Identity { chain: params.name.clone(), genesis: params.consensus.genesis_hash, magic: params.magic };
    let Rebuild { store, feeding, records, remains, lock } =
        Rebuild::begin(folder, &identity, options.table_cache_bytes())?;
    let genesis = records.iter().find(|record| record.header.block_hash() == params.consensus.genesis_hash);
    match genesis {
        Some(genesis) => feeding.set(genesis),
        None if records.is_empty() => {}
        None => return Err(StoreError::NotKept { hash: params.consensus.genesis_hash }),
    }
    let last = match note::read(folder)? {
        Note::Commit(commit) => Some(commit.tip),
        Note::Missing | Note::Damaged => None,
    };
    let contents = Contents { index: Vec::new(), tip: None };
    let options = Options { commit: CommitPolicy::WhenFull, ..options };
    let mut feeder = Feeder {
        chain: ChainState::with_store(Box::new(store), contents, params.clone(), options)?,
        blocks: folder.join(BLOCKS),
        feeding,
        watcher,
        outcome: Reindexed { left: remains.iter().map(Remains::to_string).collect(), ..Reindexed::default() },
    };
    match feeder.feed(&records) {
        Ok(()) => {}
        Err(Stop::Interrupted) => return Ok(Reindexed { interrupted: true, ..feeder.outcome }),
        Err(Stop::Store(error)) => return Err(error),
    }
    let Feeder { chain, mut outcome, .. } = feeder;
    outcome.tip = Some((chain.tip().height, chain.tip().hash));
    outcome.lost_tip = last.filter(|last| match chain.headers().lookup(last) {
        Some(id) => chain.headers().entry(id).chain_work > chain.tip().chain_work,
        None => true,
    });
    let entries = chain.headers().ids().map(|id| chain.headers().entry(id));
    outcome.blocks = entries.filter(|entry| entry.location.is_some()).count() as u64;
    chain.close()?;
    put_in_place(folder, &identity, lock)?;
    Ok(outcome)
}

struct Feeder<'a> {
    chain: ChainState,
    blocks: PathBuf,
    feeding: Feeding,
    watcher: &'a mut dyn Watcher,
    outcome: Reindexed,
}

impl Feeder<'_> {
    /// All headers first, then the blocks in the order in which they were appended. So branches of the same work come
    /// in the order in which they came the first time, and the same one is active afterwards.
    fn feed(&mut self, records: &[BlockRecord]) -> Result<(), Stop> {
        self.feed_headers(records);
        let (mut lookahead, mut waiting) = (Lookahead::new(self.chain.params()), VecDeque::new());
        for (record, done) in records.iter().zip(0..) {
            if done % STRIDE == 0 {
                self.watcher.progress("connecting blocks", done, records.len() as u64);
                if !self.watcher.goes_on() {
                    return Err(Stop::Interrupted);
                }
            }
            lookahead.push(read_record(&self.blocks, record)?);
            waiting.push_back(record);
            if lookahead.is_full() {
                self.feed_first(&mut lookahead, &mut waiting)?;
            }
        }
        while !waiting.is_empty() {
            self.feed_first(&mut lookahead, &mut waiting)?;
        }
        Ok(())
    }

    fn feed_headers(&mut self, records: &[BlockRecord]) {
        let mut waiting: HashMap<BlockHash, Vec<&BlockRecord>> = HashMap::new();
        for record in records {
            let mut known = vec![record];
            while let Some(record) = known.pop() {
                // A header that breaks a rule is told of when its block comes.
                match self.chain.accept_header(&record.header, NO_CLOCK) {
                    HeaderOutcome::UnknownParent => {
                        waiting.entry(record.header.prev_blockhash).or_default().push(record);
                    }
                    _ => known.extend(waiting.remove(&record.header.block_hash()).unwrap_or_default()),
                }
            }
        }
    }

    /// The first of the blocks that wait, each of which is a record in `waiting`.
    fn feed_first(&mut self, lookahead: &mut Lookahead, waiting: &mut VecDeque<&BlockRecord>) -> Result<(), Stop> {
        match (waiting.pop_front(), self.chain.next_ready(lookahead)?) {
            (Some(record), Some(Ok(block))) => self.feed_block(record, block),
            (Some(record), Some(Err(error))) => {
                self.leave(record, format!("block {}: {error}", record.header.block_hash()))
            }
            _ => Ok(()),
        }
    }

    fn feed_block(&mut self, record: &BlockRecord, block: ReadyBlock) -> Result<(), Stop> {
        let hash = record.header.block_hash();
        if self.chain.headers().lookup(&record.header.prev_blockhash).is_none()
            && hash != self.chain.params().consensus.genesis_hash
        {
            return self.leave(record, format!("block {hash}: its parent is in no block file"));
        }
        self.feeding.set(record);
        match self.chain.accept_ready_block(block, NO_CLOCK)? {
            BlockOutcome::Invalid(invalid) => self.leave(record, format!("block {}: {}", invalid.hash, invalid.error)),
            BlockOutcome::KnownInvalid { first } => {
                self.leave(record, format!("block {hash}: its ancestor {first} breaks a rule"))
            }
            _ => Ok(()),
        }
    }

    fn leave(&mut self, record: &BlockRecord, why: String) -> Result<(), Stop> {
        let path = self.blocks.join(block_file(record.file));
        self.outcome.left.push(format!("{}: byte {}: {why}", path.display(), record.span.offset));
        Ok(())
    }
}
