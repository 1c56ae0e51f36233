//! The number of operations that each kernel spends on a hash, by what GPUs do in one instruction.
//!
//! The counts are constants, so that a bench can print them without parsing a shader. `tests/operations.rs` counts them in
//! the WGSL, as naga parses it, and fails where they differ.

use crate::GpuKernel;

/// The operations of one hash, with functions inlined. Additions of two constants and of zero are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Operations {
    /// Rotates by a constant: one funnel shift.
    pub rotates: u32,
    /// Shifts.
    pub shifts: u32,
    /// Exclusive ors of three words: one three-input operation.
    pub xors: u32,
    /// `choose` and `majority`: one three-input operation each.
    pub selections: u32,
    /// Additions of two words. Some GPUs add three in one instruction.
    pub additions: u32,
    /// The rest: swapping the bytes of the nonce and of the last word, the comparison, the loop.
    pub others: u32,
}

impl Operations {
    /// The sum of all operations.
    #[must_use]
    pub const fn sum(&self) -> u32 {
        self.rotates + self.shifts + self.xors + self.selections + self.additions + self.others
    }

    /// The fewest instructions on a GPU that has rotates, three-input logic and three-input additions, if every second
    /// addition is merged with another.
    #[must_use]
    pub const fn instructions(&self) -> u32 {
        self.sum() - self.additions / 2
    }
}

impl GpuKernel {
    /// The operations of one hash.
    #[must_use]
    pub const fn operations(self) -> Operations {
        match self {
            GpuKernel::Pruned => {
                Operations { rotates: 1_020, shifts: 156, xors: 392, selections: 236, additions: 1_044, others: 7 }
            }
            GpuKernel::Reference => {
                Operations { rotates: 1_098, shifts: 168, xors: 422, selections: 254, additions: 1_134, others: 5 }
            }
        }
    }
}
