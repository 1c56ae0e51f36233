//! `adit validate`: checks blocks and headers from files. `--datadir` is handled in [`recheck`].

use std::collections::HashMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adit_validator::block::{DecodeError, DecodedBlock};
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{
    BlockOutcome, ChainEvent, ChainState, ChainStateOptions, ChainView, CommitPolicy, InvalidBlock,
};
use adit_validator::headers::Validity;
use adit_validator::import::{BlockFile, HeaderFileError, Importer, accept_header_file, accept_headers_in_any_order};
use adit_validator::prevouts::{CheckError, Prevouts, check_block_with_prevouts};
use adit_validator::rules::{ConnectOptions, RuleError};
use anyhow::{Context, anyhow};
use bitcoin::BlockHash;
use serde_json::{Value, json};

use crate::cli::{AssumeValid, ValidateArgs};
use crate::clock::unix_time;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::rate::counted;
use crate::{chain, output, progress, recheck};

const HEADER_BYTES: u64 = 80;

pub fn run(args: &ValidateArgs) -> Result {
    let params = chain::named(&args.chain)?;
    if let Some(threads) = args.threads {
        // Only the first pool of a process can be set, and this is before any.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global();
        pool.context("--threads").or_running()?;
    }
    if let Some(datadir) = &args.datadir {
        return recheck::validate_store(&params, &args.chain, datadir, args.json);
    }
    let mut report = Report::new(&params);
    let result = if let Some(headers) = &args.headers {
        validate_headers(&params, headers, &mut report)
    } else if let (Some(block), Some(prevouts)) = (&args.block, &args.prevouts) {
        validate_block(&params, block, prevouts, &mut report)
    } else {
        validate_block_files(params, &args.blocks, args.assume_valid, &mut report)
    };
    report.finish(args.json, result)
}

/// Checks blocks from genesis on, in the order of the files.
fn validate_block_files(
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
    invalid: Arc<Mutex<Vec<InvalidBlock>>>,
    /// Blocks that were stored and not connected at once.
    stored: HashMap<BlockHash, StoredBlock<'a>>,
    report: &'a mut Report,
}

struct StoredBlock<'a> {
    place: Place<'a>,
    counts: Counts,
}

impl<'a> Import<'a> {
    fn new(mut chain: ChainState, report: &'a mut Report) -> Self {
        // Nothing is forgotten: blocks may stand in any order, and branches may be of any length. So memory grows with the
        // files.
        let importer = Importer::new(chain.params(), usize::MAX);
        let invalid = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&invalid);
        chain.subscribe(move |_: u64, event: &ChainEvent| {
            if let ChainEvent::Invalid(invalid) = event {
                found.lock().unwrap_or_else(PoisonError::into_inner).push(invalid.clone());
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
            let (hash, height) = (block.hash(), self.chain.tip().height + 1);
            match outcome {
                BlockOutcome::Connected { .. } => self.report.add_block(Counts::of(&block)),
                BlockOutcome::SideBranch { .. } | BlockOutcome::AncestorsMissing { .. } => {
                    self.stored.insert(hash, StoredBlock { place, counts: Counts::of(&block) });
                }
                // The importer offers it again after its parent.
                BlockOutcome::UnknownParent => {}
                refused => {
                    if let Some(invalid) = refused.refusal(hash, block.header()) {
                        return Err(self.refuse(place, invalid, height));
                    }
                }
            }
            let invalid = self.invalid.lock().unwrap_or_else(PoisonError::into_inner).drain(..).next();
            if let Some(invalid) = invalid {
                return Err(self.refuse(place, invalid, height));
            }
            self.report.tip = Some((self.chain.tip().height, self.chain.tip().hash));
            self.report.has_minimum_work = Some(self.chain.has_minimum_chain_work());
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

fn validate_headers(params: &ChainParams, path: &Path, report: &mut Report) -> ValidateResult {
    let (file, length) = open(path)?;
    let progress = progress::bytes(length);
    let options = ChainStateOptions::for_chain(params);
    let mut chain = ChainState::in_memory(params.clone(), None, options).or_running()?;
    let accepted =
        accept_header_file(&mut chain, file, unix_time(), |headers| progress.set_position(headers * HEADER_BYTES));
    progress.finish_and_clear();
    // Each header is below the next, so the best header is the last.
    report.headers = match &accepted {
        Ok(count) => *count,
        Err(HeaderFileError::Refused { byte, .. }) => *byte / HEADER_BYTES,
        Err(_) => chain.headers().ids().count() as u64 - 1,
    };
    if report.headers > 0 {
        let best = chain.headers().entry(chain.headers().best_header());
        report.tip = Some((best.height, best.hash));
    }
    match accepted {
        Ok(_) => {
            report.has_minimum_work = Some(chain.headers_have_minimum_chain_work());
            Ok(())
        }
        Err(HeaderFileError::Refused { byte, height, hash, error }) => {
            Err(Refusal::rule(Place { path, byte }, height, hash, *error))
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()).or_usage()?,
    }
}

/// Checks one block with the outputs that it spends.
fn validate_block(params: &ChainParams, block: &Path, prevouts: &Path, report: &mut Report) -> ValidateResult {
    let (file, _) = open(prevouts)?;
    let spent = Prevouts::read(file).with_context(|| prevouts.display().to_string()).or_usage()?;
    let (file, _) = open(block)?;
    let decoded = DecodedBlock::read(file).with_context(|| block.display().to_string()).or_usage()?;
    let counts = Counts::of(&decoded);
    let waiting = progress::spinner(format!("checking {} inputs", counts.inputs));
    report.started = Instant::now();
    let checked =
        check_block_with_prevouts(&params.consensus, &decoded, &spent, unix_time(), ConnectOptions::default());
    waiting.finish_and_clear();
    match checked {
        Ok(checked) => {
            report.add_block(counts);
            report.tip = Some((checked.height, decoded.hash()));
            report.unchecked = checked.unchecked.iter().map(|rule| (rule.rule, rule.lacking)).collect();
            Ok(())
        }
        Err(CheckError::Rule(error)) => {
            Err(Refusal::rule(Place { path: block, byte: 0 }, spent.height(), decoded.hash(), error))
        }
        Err(error) => Err(error).with_context(|| prevouts.display().to_string()).or_usage()?,
    }
}

/// Opens a file that has something in it; its length in bytes.
fn open(path: &Path) -> Result<(File, u64)> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name).or_usage()?;
    let metadata = file.metadata().with_context(name).or_usage()?;
    if metadata.is_dir() {
        return Err(Exit::new(Failure::Usage, anyhow!("{} is a folder, not a file", path.display())));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(Exit::new(Failure::Usage, anyhow!("{} is empty", path.display())));
    }
    Ok((file, metadata.len()))
}

/// The failure for bytes that are not a block.
fn undecodable(place: Place<'_>, error: &DecodeError) -> Exit {
    let block = match place.byte {
        0 => String::new(),
        byte => format!("the block at byte {byte}, its "),
    };
    Exit::new(Failure::Usage, anyhow!("{}: {block}{error}", place.path.display()))
}

/// What a block has.
#[derive(Clone, Copy)]
struct Counts {
    transactions: u64,
    /// Without the coinbase's.
    inputs: u64,
}

impl Counts {
    fn of(block: &DecodedBlock) -> Self {
        let transactions = block.transactions();
        let inputs = transactions.iter().skip(1).map(|transaction| transaction.input.len() as u64).sum();
        Self { transactions: transactions.len() as u64, inputs }
    }
}

type ValidateResult = std::result::Result<(), Refusal>;

/// The position of a record.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    /// Bytes before it in its file.
    byte: u64,
}

/// Why validation failed.
enum Refusal {
    /// A rule is broken.
    Rule { file: String, byte: u64, height: u32, hash: BlockHash, error: Box<RuleError> },
    /// It could not be read, or something failed.
    Other(Exit),
}

impl Refusal {
    fn rule(place: Place<'_>, height: u32, hash: BlockHash, error: RuleError) -> Self {
        let file = place.path.display().to_string();
        Refusal::Rule { file, byte: place.byte, height, hash, error: Box::new(error) }
    }

    /// If the height is unknown, it is taken to be `next`, as in a file that is in order.
    fn block(place: Place<'_>, invalid: InvalidBlock, next: u32) -> Self {
        Self::rule(place, invalid.height.unwrap_or(next), invalid.hash, invalid.error)
    }
}

impl From<Exit> for Refusal {
    fn from(exit: Exit) -> Self {
        Refusal::Other(exit)
    }
}

/// What was checked, and how fast.
struct Report {
    chain: String,
    started: Instant,
    headers: u64,
    blocks: u64,
    transactions: u64,
    inputs: u64,
    tip: Option<(u32, BlockHash)>,
    /// Blocks that were not connected.
    unconnected: usize,
    /// Rules that could not be checked, and what they need.
    unchecked: Vec<(&'static str, &'static str)>,
    /// Whether the best chain has the work that the chain is known to have; `None`: no chain was checked.
    has_minimum_work: Option<bool>,
}

impl Report {
    fn new(params: &ChainParams) -> Self {
        Self {
            chain: params.name.clone(),
            started: Instant::now(),
            headers: 0,
            blocks: 0,
            transactions: 0,
            inputs: 0,
            tip: None,
            unconnected: 0,
            unchecked: Vec::new(),
            has_minimum_work: None,
        }
    }

    fn add_block(&mut self, counts: Counts) {
        self.blocks += 1;
        self.transactions += counts.transactions;
        self.inputs += counts.inputs;
    }

    fn finish(self, as_json: bool, result: ValidateResult) -> Result {
        let took = self.started.elapsed();
        match result {
            Ok(()) => {
                if as_json {
                    output::line(self.good(took))?;
                } else {
                    output::line(self.text(took))?;
                }
                Ok(())
            }
            Err(Refusal::Rule { file, byte, height, hash, error }) => {
                if as_json {
                    let mut object = self.bad(took, height, hash, &error);
                    object["file"] = file.clone().into();
                    object["byte"] = byte.into();
                    output::line(object)?;
                }
                let error = anyhow!("{file}: byte {byte}: height {height}, block {hash}: {error}");
                Err(Exit::new(Failure::Invalid, error))
            }
            Err(Refusal::Other(exit)) => Err(exit),
        }
    }

    fn good(&self, took: Duration) -> Value {
        let mut object = self.counts(took);
        object["valid"] = true.into();
        if !self.unchecked.is_empty() {
            object["unchecked"] = self.unchecked.iter().map(|(rule, _)| *rule).collect();
        }
        if let Some(reached) = self.has_minimum_work {
            object["minimum_chain_work_reached"] = reached.into();
        }
        object
    }

    fn bad(&self, took: Duration, height: u32, hash: BlockHash, error: &RuleError) -> Value {
        let mut object = self.counts(took);
        object["valid"] = false.into();
        object["height"] = height.into();
        object["hash"] = hash.to_string().into();
        object["rule"] = error.reject_reason().into();
        object["seen"] = error.seen().into();
        object["wanted"] = error.wanted().into();
        object
    }

    fn counts(&self, took: Duration) -> Value {
        json!({
            "chain": self.chain,
            "headers": self.headers,
            "blocks": self.blocks,
            "blocks_not_connected": self.unconnected,
            "transactions": self.transactions,
            "inputs": self.inputs,
            "tip": self.tip.map(|(height, hash)| json!({ "height": height, "hash": hash.to_string() })),
            "seconds": took.as_secs_f64(),
            "headers_per_second": a_second(self.headers, took),
            "blocks_per_second": a_second(self.blocks, took),
            "inputs_per_second": a_second(self.inputs, took),
        })
    }

    fn text(&self, took: Duration) -> String {
        let (count, what) = if self.headers > 0 { (self.headers, "header") } else { (self.blocks, "block") };
        let mut rates = format!("{:.1} {what}s/s", a_second(count, took));
        if self.blocks > 0 {
            rates += &format!("; {}, {:.0} inputs/s", counted(self.inputs, "input"), a_second(self.inputs, took));
        }
        let took = took.as_secs_f64();
        let mut lines = vec![format!("chain {}: {} good in {took:.2} s ({rates})", self.chain, counted(count, what))];
        lines.extend(self.tip.map(|(height, hash)| format!("tip {hash} at height {height}")));
        if self.unconnected > 0 {
            let count = counted(self.unconnected as u64, "block");
            lines.push(format!(
                "not connected: {count} on branches with less work, whose coins and scripts were not checked"
            ));
        }
        if self.has_minimum_work == Some(false) {
            lines.push(format!("this is not all of {}: the chain is known to have more work", self.chain));
        }
        lines.extend(self.unchecked.iter().map(|(rule, needs)| format!("not checked: {rule}, which needs {needs}")));
        lines.join("\n")
    }
}

fn a_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
