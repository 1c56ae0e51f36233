//! Bitcoin Core's encodings of numbers (VARINT, CompactSize), and a bounded cursor over bytes being decoded.
//!
//! Source: Bitcoin Core, `serialize.h`.

use thiserror::Error;

/// Bytes that are not the encoding of the expected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at byte {offset}")]
pub struct EncodingError {
    /// The offset in the decoded bytes.
    pub offset: usize,
    /// The error at the offset.
    pub what: &'static str,
}

/// A cursor over bytes being decoded.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// A cursor at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// An error at the current offset.
    #[must_use]
    pub const fn error(&self, what: &'static str) -> EncodingError {
        EncodingError { offset: self.offset, what }
    }

    /// The number of bytes that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], EncodingError> {
        let end = self.offset.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.error("the bytes end too early"))?;
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], EncodingError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads Core's VARINT.
    ///
    /// # Errors
    /// The bytes end, or the number needs more than 64 bits.
    pub fn varint(&mut self) -> Result<u64, EncodingError> {
        let mut number = 0_u64;
        loop {
            let [byte] = self.take_array()?;
            number =
                number.checked_mul(128).ok_or_else(|| self.error("a number above 64 bits"))? | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            number = number.checked_add(1).ok_or_else(|| self.error("a number above 64 bits"))?;
        }
    }

    /// Reads a CompactSize; only the shortest encoding is accepted.
    ///
    /// # Errors
    /// The bytes end, or the number would fit a shorter encoding.
    pub fn compact_size(&mut self) -> Result<u64, EncodingError> {
        let [first] = self.take_array()?;
        let (number, least) = match first {
            0xfd => (u64::from(u16::from_le_bytes(self.take_array()?)), 0xfd),
            0xfe => (u64::from(u32::from_le_bytes(self.take_array()?)), 0x1_0000),
            0xff => (u64::from_le_bytes(self.take_array()?), 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if number < least { Err(self.error("a count in more bytes than it needs")) } else { Ok(number) }
    }

    /// Ends the decoding.
    ///
    /// # Errors
    /// Bytes are left over.
    pub const fn finish(&self) -> Result<(), EncodingError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.error("bytes left over")) }
    }
}

/// Appends Core's VARINT of `number`.
pub(crate) fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    let mut groups = [0_u8; 10];
    let mut first = groups.len() - 1;
    groups[first] = (number & 0x7f) as u8;
    while number > 0x7f {
        number = (number >> 7) - 1;
        first -= 1;
        groups[first] = (number & 0x7f) as u8 | 0x80;
    }
    to.extend_from_slice(&groups[first..]);
}

/// Appends the CompactSize of `number`.
pub(crate) fn put_compact_size(to: &mut Vec<u8>, number: u64) {
    match number {
        0..=0xfc => to.push(number as u8),
        0xfd..=0xffff => {
            to.push(0xfd);
            to.extend_from_slice(&(number as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            to.push(0xfe);
            to.extend_from_slice(&(number as u32).to_le_bytes());
        }
        _ => {
            to.push(0xff);
            to.extend_from_slice(&number.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint(number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        bytes
    }

    /// The table in the comment above Core's `WriteVarInt`.
    #[test]
    fn varints_are_those_of_core() {
        for (number, bytes) in [
            (0, "00"),
            (1, "01"),
            (127, "7f"),
            (128, "8000"),
            (255, "807f"),
            (256, "8100"),
            (16_383, "fe7f"),
            (16_384, "ff00"),
            (16_511, "ff7f"),
            (65_535, "82fe7f"),
            (1 << 32, "8efefeff00"),
        ] {
            assert_eq!(hex::encode(varint(number)), bytes);
        }
        assert_eq!(Decoder::new(&[0xff; 12]).varint().map_err(|error| error.what), Err("a number above 64 bits"));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number: u64) {
            prop_assert_eq!(Decoder::new(&varint(number)).varint(), Ok(number));
            let mut bytes = Vec::new();
            put_compact_size(&mut bytes, number);
            prop_assert_eq!(Decoder::new(&bytes).compact_size(), Ok(number));
        }
    }
}
