//! Where a block stands: its height, and its ancestors where they are known.
//!
//! A block that comes with a list of what it spends and no chain is checked by the same drivers as every other block.
//! They leave out what only ancestors decide.

use super::ancestry::Ancestry;

/// The height of a block and the chain before it.
#[derive(Clone, Copy)]
pub struct BlockContext<'a> {
    height: u32,
    ancestry: Option<&'a dyn Ancestry>,
}

impl<'a> BlockContext<'a> {
    /// A block on top of the last block of `ancestry`.
    #[must_use]
    pub fn after(ancestry: &'a dyn Ancestry) -> Self {
        Self { height: ancestry.tip_height() + 1, ancestry: Some(ancestry) }
    }

    /// A block at `height` whose ancestors are not known. The rules that ask about them are not checked.
    #[must_use]
    pub const fn at_height(height: u32) -> Self {
        Self { height, ancestry: None }
    }

    /// The block's height.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The chain that ends in the block's parent, if it is known.
    #[must_use]
    pub const fn ancestry(&self) -> Option<&'a dyn Ancestry> {
        self.ancestry
    }
}
