//! The format of chain files and the limits of their values.

/// The format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// The longest chain file, in bytes. The longest challenge takes a third of it.
pub const MAX_CHAIN_FILE_SIZE: usize = 64 << 10;

/// The longest name, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 32;

/// The longest text of a genesis block, in bytes. With two numbers before it and the rules' hash after it, it fills a
/// coinbase script.
pub(crate) const MAX_MESSAGE_LEN: usize = 59;

/// The largest number of seed peers.
pub(crate) const MAX_SEEDS: usize = 64;
