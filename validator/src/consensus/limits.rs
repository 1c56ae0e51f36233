//! The limits of consensus that are the same on every chain.
//!
//! Source: Bitcoin Core, `consensus/consensus.h`, `consensus/amount.h` and `script/script.h`.

/// The largest weight of a block (BIP141), and the largest number of bytes that can encode one.
pub const MAX_BLOCK_WEIGHT: usize = 4_000_000;

/// The largest cost of a block's signature operations (BIP141).
pub const MAX_BLOCK_SIGOPS_COST: u64 = 80_000;

/// How many times more a byte, or a signature operation, outside the witnesses weighs than one inside (BIP141).
pub const WITNESS_SCALE_FACTOR: usize = 4;

/// After how many blocks the outputs of a coinbase can be spent.
pub const COINBASE_MATURITY: u32 = 100;

/// The largest value of an output and the largest sum of values, in satoshi.
pub const MAX_MONEY: i64 = 21_000_000 * 100_000_000;

/// Lock times below this are heights; this and above are seconds since 1970.
pub const LOCKTIME_THRESHOLD: u32 = 500_000_000;
