//! Parses the hashes, targets and amounts of work of the built-in chains: 64 hexadecimal digits, most significant first.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Target, Work};

/// The 32 bytes of `hex`.
const fn bytes(hex: &str) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => panic!("a hexadecimal digit, in lower case"),
        }
    }
    let digits = hex.as_bytes();
    assert!(digits.len() == 64, "64 digits");
    let mut out = [0; 32];
    let mut i = 0;
    while i < 32 {
        out[i] = digit(digits[2 * i]) << 4 | digit(digits[2 * i + 1]);
        i += 1;
    }
    out
}

/// A block hash.
pub(super) fn hash(hex: &str) -> BlockHash {
    let mut bytes = bytes(hex);
    bytes.reverse();
    BlockHash::from_byte_array(bytes)
}

/// A target.
pub(super) fn target(hex: &str) -> Target {
    Target::from_be_bytes(bytes(hex))
}

/// An amount of work, in hashes.
pub(super) fn work(hex: &str) -> Work {
    Work::from_be_bytes(bytes(hex))
}
