//! What the chain state answers to a header, a block or an operator.

use bitcoin::BlockHash;

use crate::rules::RuleError;

/// What became of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderOutcome {
    /// It is new and keeps the rules.
    Accepted {
        /// Its height.
        height: u32,
    },
    /// It was known.
    Known {
        /// Its height.
        height: u32,
    },
    /// Its parent is unknown. It was not kept.
    UnknownParent,
    /// It breaks a rule, or its parent is known to be invalid.
    Invalid(RuleError),
    /// It was known, and that it or an ancestor breaks a rule.
    KnownInvalid {
        /// The first block that does.
        first: BlockHash,
    },
}

impl HeaderOutcome {
    /// The rule for which a header on `previous` was not taken; `None`: it was, or was known.
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
    /// The rule.
    pub error: RuleError,
}

/// What became of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockOutcome {
    /// It is in the active chain, and usually the tip; above it may be blocks that had waited for it.
    Connected {
        /// Its height.
        height: u32,
    },
    /// It is kept, on a branch with no more work than the active chain.
    SideBranch {
        /// Its height.
        height: u32,
    },
    /// It is kept, and the blocks of some ancestors are missing while their headers are known.
    AncestorsMissing {
        /// Its height.
        height: u32,
    },
    /// Its parent's header is unknown. It was not kept: offer it again when the parent is there.
    UnknownParent,
    /// It was here already.
    Duplicate,
    /// It breaks a rule, or an ancestor was just found to: then that one is named, and the rule that it breaks.
    Invalid(InvalidBlock),
    /// It was known, and that it or an ancestor breaks a rule.
    KnownInvalid {
        /// The first block that does.
        first: BlockHash,
    },
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorOutcome {
    /// It was followed, and the chain with most work among what is left is active.
    Done,
    /// No header with this hash is known.
    UnknownBlock,
    /// The genesis block cannot be invalid.
    Genesis,
}
