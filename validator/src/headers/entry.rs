//! An entry of the header tree: one header, and the validity and location of its block.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use crate::store::{BlockLocation, BlockStatus, IndexRecord, StoredBlock};

/// The number of an entry of one [`HeaderTree`](super::HeaderTree). Numbers are given in order of insertion, so a
/// parent's is below its children's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub(super) u32);

impl EntryId {
    /// The genesis block's entry.
    pub const GENESIS: Self = Self(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// The entry with an index.
    pub(crate) const fn at(index: usize) -> Self {
        Self(index as u32)
    }
}

/// Whether a block is known to break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// No broken rule is known.
    Unvalidated,
    /// The block was connected: it obeys every rule. The scripts of an assumed-valid block were not run.
    Connected,
    /// The block itself breaks a rule.
    Failed,
    /// An ancestor breaks a rule.
    AncestorFailed,
}

/// One header of the tree.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The header.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// Its height: the number of its ancestors.
    pub height: u32,
    /// The total work of the chain that ends here.
    pub chain_work: Work,
    /// The median of the times of this header and its ten ancestors (BIP113), in seconds since 1970.
    pub median_time_past: u32,
    /// Its parent; `None` for genesis.
    pub parent: Option<EntryId>,
    /// Whether it or an ancestor is known to be invalid.
    pub validity: Validity,
    /// The block's location in the store; `None`: it is not stored.
    pub location: Option<BlockLocation>,
    pub(super) skip: EntryId,
    /// The number of nearest ancestors with consecutive numbers before its own: on a chain inserted in order, all of
    /// them. They are found by subtraction.
    pub(super) run: u32,
}

impl Entry {
    /// Whether this block or an ancestor breaks a rule.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self.validity, Validity::Failed | Validity::AncestorFailed)
    }

    /// Whether the block was connected and has been pruned since.
    #[must_use]
    pub const fn is_pruned(&self) -> bool {
        matches!(self.validity, Validity::Connected) && self.location.is_none()
    }

    /// The block's hashes, height and location; `None`: it is not stored.
    #[must_use]
    pub fn stored(&self) -> Option<StoredBlock> {
        self.index_record().stored()
    }

    /// Sets location and validity from the store's index record. The parent's are set before.
    pub(crate) fn load(&mut self, record: &IndexRecord) {
        self.location = record.location;
        match record.status {
            BlockStatus::Failed => self.validity = Validity::Failed,
            BlockStatus::Connected if !self.is_failed() => self.validity = Validity::Connected,
            _ => {}
        }
    }

    /// Its record in the store's index.
    pub(crate) fn index_record(&self) -> IndexRecord {
        let Self { header, hash, height, location, .. } = *self;
        let status = match self.validity {
            Validity::Unvalidated | Validity::AncestorFailed => BlockStatus::Unvalidated,
            Validity::Connected => BlockStatus::Connected,
            Validity::Failed => BlockStatus::Failed,
        };
        IndexRecord { header, hash, height, status, location }
    }
}
