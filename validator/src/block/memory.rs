//! The memory of a decoded block, for limits in bytes.

use bitcoin::{Transaction, TxIn, TxOut, Txid};

use super::DecodedBlock;

impl DecodedBlock {
    /// The approximate size of the block in memory, in bytes. A decoded block takes several times its encoded size, plus a
    /// fixed overhead. The index of its transactions' ids is counted whether or not it exists yet, so that the size of a
    /// block never changes.
    #[must_use]
    pub fn memory(&self) -> usize {
        /// Ids and byte ranges of a transaction.
        const IDS: usize = 120;
        /// Overhead of the allocation of a script or a witness.
        const HEAP: usize = 16;
        let transactions = self.transactions().iter().map(|transaction| {
            let inputs = transaction.input.len() * (size_of::<TxIn>() + 2 * HEAP);
            let outputs = transaction.output.len() * (size_of::<TxOut>() + HEAP);
            size_of::<Transaction>() + IDS + inputs + outputs
        });
        // The index is a hash table that is at most 7/8 full, with a power of two of buckets and a byte for each.
        let buckets = (self.transactions().len() * 8).div_ceil(7).next_power_of_two().max(4);
        let index = buckets * (size_of::<(Txid, usize)>() + 1);
        // The encoded bytes are kept; scripts and witnesses are copies of most of them.
        size_of::<Self>() + 2 * self.raw().len() + transactions.sum::<usize>() + index
    }
}
