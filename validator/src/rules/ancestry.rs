//! The interface through which rules in context read a block's ancestors.

use bitcoin::block::Header;

/// The chain that ends in a block's parent.
pub trait Ancestry {
    /// The height of the last block of this chain, the parent of the block being checked.
    fn tip_height(&self) -> u32;

    /// The header at `height`, at most `tip_height`.
    ///
    /// # Panics
    /// May panic above `tip_height`.
    fn header_at(&self, height: u32) -> Header;

    /// The median time past of the block at `height`: the median of its own time and its ten ancestors' (BIP113).
    fn median_time_past_at(&self, height: u32) -> u32 {
        let mut times: Vec<u32> = (height.saturating_sub(10)..=height).map(|at| self.header_at(at).time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }
}
