//! A block on its way into the chain state.

use std::sync::Arc;

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::rules::{self, RuleError};
use crate::store::FilePosition;

/// A block to be accepted, with the checks that were done already.
#[derive(Clone, Debug)]
pub struct IncomingBlock {
    pub(super) block: Arc<DecodedBlock>,
    /// The result of the check in isolation, if it was done.
    pub(super) isolation: Option<Result<(), RuleError>>,
    /// Its position in the store's files, if it was read from there.
    pub(super) position: Option<FilePosition>,
}

impl IncomingBlock {
    /// Checks `block` in isolation, on any thread, before it is accepted. `params` are the parameters of the chain
    /// state that will accept it.
    #[must_use]
    pub fn checked(params: &ChainParams, block: Arc<DecodedBlock>) -> Self {
        block.build_index();
        let isolation = Some(rules::validate_block_in_isolation(&params.consensus, &block));
        Self { block, isolation, position: None }
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Arc<DecodedBlock> {
        &self.block
    }

    /// Sets the position of a block that is in the store's files already.
    pub(crate) const fn at(mut self, position: Option<FilePosition>) -> Self {
        self.position = position;
        self
    }

    /// Whether the check in isolation passed, or was not done.
    pub(crate) const fn is_good(&self) -> bool {
        !matches!(self.isolation, Some(Err(_)))
    }
}

impl<B: Into<Arc<DecodedBlock>>> From<B> for IncomingBlock {
    fn from(block: B) -> Self {
        Self { block: block.into(), isolation: None, position: None }
    }
}
