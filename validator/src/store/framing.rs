//! The framing of a record in a block or undo file: the chain's magic, then the record's length.
//!
//! Source: Bitcoin Core, `node/blockstorage.cpp`, `WriteBlock` and `STORAGE_HEADER_BYTES`.

/// Bytes of framing before each record: four of magic, four of length.
pub(crate) const FRAMING_BYTES: u32 = 8;

/// The framing of a record of `length` bytes: magic and length, little-endian.
pub(crate) fn framing(magic: [u8; 4], length: u32) -> [u8; FRAMING_BYTES as usize] {
    let mut bytes = [0; FRAMING_BYTES as usize];
    bytes[..4].copy_from_slice(&magic);
    bytes[4..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// The length in `framing`, in bytes; `None`: it does not begin with `magic`.
pub(crate) fn framed_length(framing: [u8; FRAMING_BYTES as usize], magic: [u8; 4]) -> Option<u32> {
    let [m0, m1, m2, m3, l0, l1, l2, l3] = framing;
    ([m0, m1, m2, m3] == magic).then_some(u32::from_le_bytes([l0, l1, l2, l3]))
}
