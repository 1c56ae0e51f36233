//! What a decoded block occupies in memory, for bounds that count bytes.

use bitcoin::{Transaction, TxIn, TxOut};

use super::DecodedBlock;

impl DecodedBlock {
    /// About what it occupies in memory, in bytes. A block of many small inputs is several times as long decoded as it was
    /// when it was sent, and one of a hundred bytes is not free.
    #[must_use]
    pub fn memory(&self) -> usize {
        /// Ids and offsets of a transaction, which are kept beside it.
        const IDS: usize = 120;
        /// Allocations of a script or a witness, beside their bytes.
        const HEAP: usize = 16;
        let transactions = self.transactions().iter().map(|transaction| {
            let inputs = transaction.input.len() * (size_of::<TxIn>() + 2 * HEAP);
            let outputs = transaction.output.len() * (size_of::<TxOut>() + HEAP);
            size_of::<Transaction>() + IDS + inputs + outputs
        });
        // The bytes as they were sent are kept, and scripts and witnesses a second time.
        size_of::<Self>() + 2 * self.raw().len() + transactions.sum::<usize>()
    }
}
