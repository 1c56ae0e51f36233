//! The context of a block: its height and, if known, its ancestors.
//!
//! A block that comes with a list of prevouts and without a chain is checked by the same drivers as every other block. They
//! skip the rules that need ancestors.

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

    /// A block at `height` whose ancestors are not known. The rules that need them are not checked.
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
