//! The limits of consensus that are the same on every chain.
//!
//! Source: Bitcoin Core, `consensus/consensus.h`, `consensus/amount.h`, `script/script.h` and `chain.h`.

/// The largest weight of a block (BIP141), and the largest number of bytes that can encode one.
pub const MAX_BLOCK_WEIGHT: usize = 4_000_000;

/// The largest cost of a block's signature operations (BIP141).
pub const MAX_BLOCK_SIGOPS_COST: u64 = 80_000;

/// The weight of a byte outside the witnesses, and the cost of a signature operation outside them; inside both are 1
/// (BIP141).
pub const WITNESS_SCALE_FACTOR: usize = 4;

/// The number of blocks after which the outputs of a coinbase can be spent.
pub const COINBASE_MATURITY: u32 = 100;

/// The largest value of an output and the largest sum of values, in satoshi.
pub const MAX_MONEY: i64 = 21_000_000 * 100_000_000;

/// Lock times below this are heights; lock times from this on are seconds since 1970.
pub const LOCKTIME_THRESHOLD: u32 = 500_000_000;

/// The longest script that runs, in bytes.
pub const MAX_SCRIPT_SIZE: usize = 10_000;

/// The most seconds that a block's time may be ahead of the network's.
pub const MAX_FUTURE_BLOCK_TIME: u64 = 2 * 60 * 60;

/// The most seconds that the first block of a period may be earlier than its parent under BIP94.
pub const MAX_TIMEWARP: u32 = 600;
