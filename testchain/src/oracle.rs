//! Bitcoin Core's verdict on blocks: a thin wrapper over `bitcoinkernel`'s chain state in a folder of its own.
//!
//! The kernel's interface says whether a block is valid and of which class a failure is, but not the reason's name. The
//! name is in the kernel's log, which it writes on the thread that submits the block; so the log is captured for each
//! thread while that thread processes a block, and is dropped otherwise.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    Block, BlockHeader, BlockValidationResult, BlockValidationStateRef, ChainType, ChainstateManager, Context,
    KernelError, Log, Logger, ProcessBlockHeaderResult, ProcessBlockResult, ValidationMode,
};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use tempfile::TempDir;
use thiserror::Error;

/// The reason why Bitcoin Core rejects a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The class of the failure. It decides whether the header is invalid permanently.
    pub result: BlockValidationResult,
    /// Core's reject reason, such as `bad-txnmrklroot`. Empty if the log did not have it.
    pub reason: String,
}

/// Bitcoin Core's verdict on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stored; connected if it has the most work, and then wholly valid.
    Accepted,
    /// Known already, and not known to be invalid.
    Duplicate,
    /// The bytes do not begin with a block.
    Undecodable,
    /// It breaks a rule.
    Rejected(Rejection),
}

impl Verdict {
    /// Whether the block was accepted, now or before.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted | Self::Duplicate)
    }

    /// Core's reject reason, empty unless rejected.
    pub fn reason(&self) -> &str {
        match self {
            Self::Rejected(rejection) => &rejection.reason,
            _ => "",
        }
    }
}

/// A verdict on a block, and the changes that the block made to the active chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OracleSubmission {
    /// The verdict on the block itself.
    pub verdict: Verdict,
    /// Blocks that became part of the active chain, in order.
    pub connected: Vec<BlockHash>,
    /// Blocks that left the active chain, in order.
    pub disconnected: Vec<BlockHash>,
    /// Other blocks that were connected because of this one, and were found invalid.
    pub also_rejected: Vec<(BlockHash, Rejection)>,
}

/// The kernel could not be set up or failed outside of validation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OracleError {
    /// The oracle's folder cannot be made.
    #[error("no folder for the oracle: {0}")]
    Folder(#[from] std::io::Error),
    /// The folder's name is not UTF-8, which the kernel requires.
    #[error("{}: not a UTF-8 path, which the kernel requires", .0.display())]
    Path(PathBuf),
    /// The kernel reported an error.
    #[error("kernel: {0}")]
    Kernel(KernelError),
}

impl From<KernelError> for OracleError {
    fn from(error: KernelError) -> Self {
        Self::Kernel(error)
    }
}

/// The chain that the oracle follows.
#[derive(Debug, Clone, Copy)]
enum Chain<'a> {
    Main,
    Regtest,
    Signet(&'a [u8]),
}

/// The kernel's callbacks while it processed one block.
#[derive(Debug, Default)]
struct Events {
    failed: Vec<(BlockHash, BlockValidationResult)>,
    connected: Vec<BlockHash>,
    disconnected: Vec<BlockHash>,
}

/// Bitcoin Core's chain state on a fresh chain.
pub struct Oracle {
    // Declared before the context and the folder, so dropped before them: the kernel writes its state as it closes.
    chainman: ChainstateManager,
    _context: Context,
    events: Arc<Mutex<Events>>,
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Oracle {
    /// A regtest chain with `worker_threads` extra threads for scripts, in a temporary folder, its databases in memory.
    ///
    /// # Errors
    /// The folder cannot be made, or the kernel reports an error.
    pub fn regtest(worker_threads: i32) -> Result<Self, OracleError> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path().to_owned();
        Self::open(Chain::Regtest, worker_threads, folder, Some(temporary), true)
    }

    /// Mainnet from its genesis block, as [`regtest`](Self::regtest) otherwise: for recorded headers.
    ///
    /// # Errors
    /// As [`regtest`](Self::regtest).
    pub fn main(worker_threads: i32) -> Result<Self, OracleError> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path().to_owned();
        Self::open(Chain::Main, worker_threads, folder, Some(temporary), true)
    }

    /// A signet chain whose blocks must satisfy `challenge`, as [`regtest`](Self::regtest) otherwise.
    ///
    /// # Errors
    /// As [`regtest`](Self::regtest), or `challenge` is no challenge.
    pub fn signet(challenge: &[u8], worker_threads: i32) -> Result<Self, OracleError> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path().to_owned();
        Self::open(Chain::Signet(challenge), worker_threads, folder, Some(temporary), true)
    }

    /// A regtest chain kept in `folder`, its databases on disk, for benches that compare durable storage.
    ///
    /// The kernel's caches have 450 MiB in all, and it writes them to disk when the oracle is dropped.
    ///
    /// # Errors
    /// The folder's name is not UTF-8, or the kernel reports an error.
    pub fn regtest_in(folder: &Path, worker_threads: i32) -> Result<Self, OracleError> {
        Self::open(Chain::Regtest, worker_threads, folder.to_owned(), None, false)
    }

    fn open(
        chain: Chain<'_>,
        worker_threads: i32,
        folder: PathBuf,
        temporary: Option<TempDir>,
        in_memory: bool,
    ) -> Result<Self, OracleError> {
        catch_log();
        let events = Arc::new(Mutex::new(Events::default()));
        let context = context(chain, &events)?;
        let blocks = folder.join("blocks");
        let utf8 = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| OracleError::Path(path.to_owned()));
        let chainman = ChainstateManager::builder(&context, &utf8(&folder)?, &utf8(&blocks)?)?
            .worker_threads(worker_threads)
            .block_tree_db_in_memory(in_memory)
            .chainstate_db_in_memory(in_memory)
            .build()?;
        chainman.import_blocks()?;
        Ok(Self { chainman, _context: context, events, folder, _temporary: temporary })
    }

    /// The folder of the oracle's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Submits the serialization of a block. Bytes after the block are ignored, as Bitcoin Core does.
    pub fn submit(&self, bytes: &[u8]) -> OracleSubmission {
        let Ok(block) = Block::new(bytes) else { return OracleSubmission::undecodable() };
        let hash = to_hash(&block.hash());
        LOG.with_borrow_mut(|log| *log = Some(Vec::new()));
        let result = self.chainman.process_block(&block);
        let log = LOG.with_borrow_mut(Option::take).unwrap_or_default();
        let events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        let mut also_rejected = Vec::new();
        let mut rejection = None;
        for (failed, result) in events.failed {
            let reason = reason_of(&log, &failed, failed == hash).unwrap_or_default();
            match failed == hash {
                true => rejection = Some(Rejection { result, reason }),
                false => also_rejected.push((failed, Rejection { result, reason })),
            }
        }
        let verdict = match (rejection, result) {
            (Some(rejection), _) => Verdict::Rejected(rejection),
            (None, ProcessBlockResult::NewBlock) => Verdict::Accepted,
            (None, ProcessBlockResult::Duplicate) => Verdict::Duplicate,
            (None, ProcessBlockResult::Rejected) => {
                Verdict::Rejected(Rejection { result: BlockValidationResult::Unset, reason: String::new() })
            }
        };
        OracleSubmission { verdict, connected: events.connected, disconnected: events.disconnected, also_rejected }
    }

    /// Submits a header alone. Returns `None` if it is valid, else the class of the failure.
    ///
    /// # Errors
    /// The kernel reports an error.
    pub fn submit_header(&self, header: &[u8; 80]) -> Result<Option<BlockValidationResult>, OracleError> {
        match self.chainman.process_block_header(&BlockHeader::new(header)?)? {
            ProcessBlockHeaderResult::Valid => Ok(None),
            ProcessBlockHeaderResult::Invalid(state) => Ok(Some(state.result())),
        }
    }

    /// The height of the active chain's tip.
    pub fn height(&self) -> u32 {
        u32::try_from(self.chainman.active_chain().height()).unwrap_or(0)
    }

    /// The hash of the active chain's tip.
    pub fn tip(&self) -> BlockHash {
        BlockHash::from_byte_array(self.chainman.active_chain().tip().block_hash().to_bytes())
    }
}

impl OracleSubmission {
    fn undecodable() -> Self {
        let verdict = Verdict::Undecodable;
        Self { verdict, connected: Vec::new(), disconnected: Vec::new(), also_rejected: Vec::new() }
    }
}

fn context(chain: Chain<'_>, events: &Arc<Mutex<Events>>) -> Result<Context, KernelError> {
    let note = |apply: fn(&mut Events, BlockHash)| {
        let events = Arc::clone(events);
        move |hash| apply(&mut events.lock().unwrap_or_else(PoisonError::into_inner), hash)
    };
    let connected = note(|events, hash| events.connected.push(hash));
    let disconnected = note(|events, hash| events.disconnected.push(hash));
    let checked = Arc::clone(events);
    let builder = Context::builder()
        .with_block_checked_validation(move |block: Block, state: BlockValidationStateRef<'_>| {
            if state.mode() != ValidationMode::Valid {
                let failed = (to_hash(&block.hash()), state.result());
                checked.lock().unwrap_or_else(PoisonError::into_inner).failed.push(failed);
            }
        })
        .with_block_connected_validation(move |block: Block, _: bitcoinkernel::BlockTreeEntry<'_>| {
            connected(to_hash(&block.hash()));
        })
        .with_block_disconnected_validation(move |block: Block, _: bitcoinkernel::BlockTreeEntry<'_>| {
            disconnected(to_hash(&block.hash()));
        });
    match chain {
        Chain::Main => builder.chain_type(ChainType::Mainnet).build(),
        Chain::Regtest => builder.chain_type(ChainType::Regtest).build(),
        Chain::Signet(challenge) => builder.signet(challenge).build(),
    }
}

fn to_hash(hash: &bitcoinkernel::BlockHash) -> BlockHash {
    BlockHash::from_byte_array(hash.to_bytes())
}

thread_local! {
    /// The kernel's log lines while this thread processes a block.
    static LOG: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct CatchLog;

impl Log for CatchLog {
    fn log(&self, message: &str) {
        // The kernel may log from a thread that is ending, whose storage is gone.
        let _ = LOG.try_with(|log| {
            if let Ok(mut log) = log.try_borrow_mut()
                && let Some(lines) = log.as_mut()
            {
                lines.push(message.to_owned());
            }
        });
    }
}

/// Connects the kernel's log, which is one for the process, to [`LOG`].
fn catch_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Ok(logger) = Logger::new(CatchLog) {
            // Kept for the life of the process: dropping it would make the kernel buffer its log again.
            std::mem::forget(logger);
        }
    });
}

/// The reject reason in the kernel's log: `ConnectTip: ConnectBlock HASH failed, REASON, …` for a failure in connecting,
/// `ProcessNewBlock: AcceptBlock FAILED (REASON, …)` for one before that, of the submitted block only.
fn reason_of(log: &[String], hash: &BlockHash, submitted: bool) -> Option<String> {
    let connecting = format!("ConnectBlock {hash} failed, ");
    let after =
        |marker: &str| log.iter().find_map(|line| line.split_once(marker).map(|(_, rest)| rest.trim_end().to_owned()));
    let text = after(&connecting).or_else(|| {
        let text = after("AcceptBlock FAILED (").filter(|_| submitted)?;
        Some(text.strip_suffix(')').unwrap_or(&text).to_owned())
    })?;
    Some(text.split_once(", ").map_or(text.as_str(), |(reason, _)| reason).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_from_the_log() {
        let hash = BlockHash::from_byte_array([7; 32]);
        let other = BlockHash::from_byte_array([8; 32]);
        let log = [
            format!("ConnectTip: ConnectBlock {hash} failed, block-script-verify-flag-failed (No error), input 0\n"),
            "[error] ProcessNewBlock: AcceptBlock FAILED (high-hash, proof of work failed)\n".to_owned(),
        ];
        assert_eq!(reason_of(&log, &hash, true).as_deref(), Some("block-script-verify-flag-failed (No error)"));
        assert_eq!(reason_of(&log, &other, true).as_deref(), Some("high-hash"));
        assert_eq!(reason_of(&log, &other, false), None);
        let bare = ["x AcceptBlock FAILED (bad-prevblk)\n".to_owned()];
        assert_eq!(reason_of(&bare, &hash, true).as_deref(), Some("bad-prevblk"));
    }
}
