//! What the chain state answers to a header, a block or an operator.

use bitcoin::BlockHash;
use bitcoin::block::Header;

use crate::rules::RuleError;

/// The result of accepting a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderOutcome {
    /// The header is new and obeys the rules.
    Accepted {
        /// Its height.
        height: u32,
    },
    /// The header was known.
    Known {
        /// Its height.
        height: u32,
    },
    /// The header's parent is unknown. The header was not kept.
    UnknownParent,
    /// The header breaks a rule, or its parent is known to be invalid.
    Invalid(RuleError),
    /// It is already known that the block or an ancestor breaks a rule.
    KnownInvalid {
        /// The lowest block that does.
        first: BlockHash,
    },
}

impl HeaderOutcome {
    /// Why a header whose parent is `previous` was refused; `None`: it was accepted, or known.
    #[must_use]
    pub fn refusal(self, previous: BlockHash) -> Option<RuleError> {
        match self {
            Self::Accepted { .. } | Self::Known { .. } => None,
            Self::UnknownParent => Some(RuleError::PreviousNotFound { previous }),
            Self::Invalid(error) => Some(error),
            Self::KnownInvalid { first } => Some(RuleError::PreviousInvalid { previous: first }),
        }
    }
}

/// A block that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBlock {
    /// The block.
    pub hash: BlockHash,
    /// Its height; `None`: its parent is unknown.
    pub height: Option<u32>,
    /// The broken rule.
    pub error: RuleError,
}

/// The result of accepting a block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockOutcome {
    /// The block is in the active chain. It is the tip, unless blocks that had waited for it were connected above it.
    Connected {
        /// Its height.
        height: u32,
    },
    /// The block is stored, on a branch with no more work than the active chain.
    SideBranch {
        /// Its height.
        height: u32,
    },
    /// The block is stored. The headers of its ancestors are known, and some of their blocks are missing.
    AncestorsMissing {
        /// Its height.
        height: u32,
    },
    /// The parent's header is unknown. The block was not kept: offer it again after its parent.
    UnknownParent,
    /// The block was stored already, or is in the active chain and pruned.
    Duplicate,
    /// The block breaks a rule, or an ancestor was just found to break one; the block named is the one that does.
    Invalid(InvalidBlock),
    /// It is already known that the block or an ancestor breaks a rule.
    KnownInvalid {
        /// The lowest block that does.
        first: BlockHash,
    },
}

impl BlockOutcome {
    /// Why the block with this hash and header was refused, and which block breaks the rule; `None`: it was accepted, or
    /// known.
    #[must_use]
    pub fn refusal(self, hash: BlockHash, header: &Header) -> Option<InvalidBlock> {
        let error = match self {
            Self::Connected { .. } | Self::SideBranch { .. } | Self::AncestorsMissing { .. } | Self::Duplicate => {
                return None;
            }
            Self::Invalid(invalid) => return Some(invalid),
            Self::UnknownParent => RuleError::PreviousNotFound { previous: header.prev_blockhash },
            Self::KnownInvalid { first } => RuleError::PreviousInvalid { previous: first },
        };
        Some(InvalidBlock { hash, height: None, error })
    }
}

/// The result of `invalidate`, `reconsider` or `precious`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorOutcome {
    /// It was done, and the valid chain with most work is active.
    Done,
    /// No header with this hash is known.
    UnknownBlock,
    /// The genesis block cannot be invalid.
    Genesis,
}
