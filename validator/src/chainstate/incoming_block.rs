//! A block on its way into the chain state.

use std::sync::Arc;

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::rules::{self, RuleError};
use crate::store::FilePosition;

/// A block to be accepted, with what is known of it already.
#[derive(Clone, Debug)]
pub struct IncomingBlock {
    pub(super) block: Arc<DecodedBlock>,
    /// Whether it keeps the rules that it can break by itself, if that was checked.
    pub(super) isolation: Option<Result<(), RuleError>>,
    /// Where it lies in the store's files, if it was read from there.
    pub(super) position: Option<FilePosition>,
}

impl IncomingBlock {
    /// Checks `block` in isolation, on any thread, ahead of its acceptance. `params` are those of the chain state that it is
    /// meant for.
    #[must_use]
    pub fn checked(params: &ChainParams, block: Arc<DecodedBlock>) -> Self {
        let isolation = Some(rules::validate_block_in_isolation(&params.consensus, &block));
        Self { block, isolation, position: None }
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Arc<DecodedBlock> {
        &self.block
    }

    /// A block that lies in the store's files already.
    pub(crate) const fn at(mut self, position: Option<FilePosition>) -> Self {
        self.position = position;
        self
    }

    /// Whether it breaks no rule by itself, as far as that was checked.
    pub(crate) const fn is_good(&self) -> bool {
        !matches!(self.isolation, Some(Err(_)))
    }
}

impl<B: Into<Arc<DecodedBlock>>> From<B> for IncomingBlock {
    fn from(block: B) -> Self {
        Self { block: block.into(), isolation: None, position: None }
    }
}
