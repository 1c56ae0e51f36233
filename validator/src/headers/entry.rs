//! An entry of the header tree: one header, and what is known of its block.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use crate::store::{BlockLocation, BlockStatus, IndexRecord, StoredBlock};

/// Names an entry of one [`HeaderTree`](super::HeaderTree). Numbers grow as headers come, so a parent's is below its children's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub(super) u32);

impl EntryId {
    /// The genesis block's entry.
    pub const GENESIS: Self = Self(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// The entry of an index.
    pub(crate) const fn at(index: usize) -> Self {
        Self(index as u32)
    }
}

/// Whether a block is known to break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// No broken rule is known.
    Unvalidated,
    /// Every rule was checked and kept; of an assumed-valid block every rule but its scripts.
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
    /// Blocks below it.
    pub height: u32,
    /// The work of the whole chain that ends here.
    pub chain_work: Work,
    /// The median of the times of this header and its ten ancestors (BIP113), in seconds.
    pub median_time_past: u32,
    /// Its parent; `None` for genesis.
    pub parent: Option<EntryId>,
    /// Whether it or an ancestor is known to be invalid.
    pub validity: Validity,
    /// Where the block is; `None` while only the header is known.
    pub location: Option<BlockLocation>,
    pub(super) skip: EntryId,
    /// How many of its next ancestors have the numbers right before its own: on a chain that came in order, all of them. They
    /// are found without walking.
    pub(super) run: u32,
}

impl Entry {
    /// Whether this block or an ancestor breaks a rule.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self.validity, Validity::Failed | Validity::AncestorFailed)
    }

    /// Whether the block was here, kept every rule, and was deleted since to save space.
    #[must_use]
    pub const fn is_pruned(&self) -> bool {
        matches!(self.validity, Validity::Connected) && self.location.is_none()
    }

    /// The block in the store; `None`: only its header is there.
    #[must_use]
    pub fn stored(&self) -> Option<StoredBlock> {
        self.index_record().stored()
    }

    /// Takes over what the store's index holds of it, after its parent did so.
    pub(crate) fn take_up(&mut self, record: &IndexRecord) {
        self.location = record.location;
        match record.status {
            BlockStatus::Failed => self.validity = Validity::Failed,
            BlockStatus::Connected if !self.is_failed() => self.validity = Validity::Connected,
            _ => {}
        }
    }

    /// What the store's index holds of it.
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
