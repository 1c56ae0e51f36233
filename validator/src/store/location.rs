//! Locations in a store: the names of files and folders, and the byte ranges of blocks and undo records.

use std::path::Path;

use bitcoin::BlockHash;

/// A byte range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its offset in bytes.
    pub offset: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// A byte range of a block file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// The number of the block file.
    pub file: u32,
    /// The range, without the framing.
    pub span: Span,
}

/// The location of a block and its undo record in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLocation {
    /// The number of the pair of block file and undo file.
    pub file: u32,
    /// The block in the block file.
    pub block: Span,
    /// Its undo record in the undo file, once it was connected.
    pub undo: Option<Span>,
    /// The number of transactions of the block.
    pub transactions: u32,
}

/// A block in the store: its hashes, height and location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its hash.
    pub hash: BlockHash,
    /// Its parent's hash, which the checksum of its undo record covers.
    pub prev_hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its location.
    pub location: BlockLocation,
}

/// A kind of file in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// The file that says which chain the store holds.
    Marker,
    /// A block file. Its blocks exist nowhere else in the store.
    Blocks,
    /// Any other file, which can be rebuilt from the block files.
    Derived,
}

impl FileKind {
    /// The kind of the file at `path`, by its name.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if name == MARKER {
            Self::Marker
        } else if name.starts_with("blk") {
            Self::Blocks
        } else {
            Self::Derived
        }
    }
}

/// The folder of block and undo files in a store.
pub(crate) const BLOCKS: &str = "blocks";

/// The folder of the database in a store.
pub(crate) const DATABASE: &str = "db";

/// The file whose lock keeps a store to one process.
pub(crate) const LOCK: &str = "lock";

/// The file that says which chain a store holds, and in which format.
pub(crate) const MARKER: &str = "STORE";

/// The marker while it is written.
pub(crate) const NEW_MARKER: &str = "STORE.new";

/// The commit note.
pub(crate) const COMMIT_NOTE: &str = "COMMIT";

/// The database while a store is created.
pub(crate) const NEW_DATABASE: &str = "db.new";

/// A database that is being rebuilt.
pub(crate) const REBUILDING: &str = "db.rebuilding";

/// A rebuilt, durable database that is still to replace the old one.
pub(crate) const REBUILT: &str = "db.rebuilt";

/// The database that a rebuilt one has replaced, until it is removed.
pub(crate) const OLD: &str = "db.old";

/// The folder of links to the database that a re-check opens.
pub(crate) const SCRATCH: &str = "db.check";

/// The copy of a journal whose torn end is cut, until the database is known to lack nothing. The journal's name
/// follows.
pub(crate) const CUT_JOURNAL: &str = "journal.cut.";

/// That copy while it is written.
pub(crate) const NEW_CUT_JOURNAL: &str = "journal.new";

/// The name of the block file `number`.
pub(crate) fn block_file(number: u32) -> String {
    format!("blk{number:05}.dat")
}

/// The name of the undo file `number`.
pub(crate) fn undo_file(number: u32) -> String {
    format!("rev{number:05}.dat")
}

/// The number in the name of a block or undo file.
pub(crate) fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("blk").or_else(|| name.strip_prefix("rev"))?.strip_suffix(".dat")?;
    let number = digits.parse().ok()?;
    (name == block_file(number) || name == undo_file(number)).then_some(number)
}
