//! Reads the operations of a script as Bitcoin Core does.
//!
//! The iterator of `bitcoin` is not used, because it hides two things that rules need: the opcode of every push, and a push
//! that extends beyond the end of the script.
//!
//! Source: Bitcoin Core, `script/script.cpp`, `GetScriptOp`.

use bitcoin::opcodes::all::{OP_PUSHDATA1, OP_PUSHDATA2, OP_PUSHDATA4, OP_PUSHNUM_16};

/// An opcode, and the data that it pushes, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op<'a> {
    pub(super) opcode: u8,
    pub(super) data: &'a [u8],
}

impl Op<'_> {
    /// Whether Core's `IsPushOnly` accepts it: it pushes, or it is OP_RESERVED.
    pub(super) fn is_push(&self) -> bool {
        self.opcode <= OP_PUSHNUM_16.to_u8()
    }
}

/// A push that extends beyond the end of its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TruncatedPush;

/// The operations of `script`, up to its end or its first truncated push.
pub(super) fn ops(script: &[u8]) -> Ops<'_> {
    Ops { rest: script }
}

/// The iterator of [`ops`].
pub(super) struct Ops<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, TruncatedPush>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&opcode, rest) = self.rest.split_first()?;
        let op = read_data(opcode, rest);
        self.rest = op.map_or(&[], |(_, rest)| rest);
        Some(op.map(|(data, _)| Op { opcode, data }).ok_or(TruncatedPush))
    }
}

/// The data that `opcode` pushes, and the rest of the script. `None`: the script ends within the data.
fn read_data(opcode: u8, rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match opcode {
        direct if direct < OP_PUSHDATA1.to_u8() => (usize::from(direct), rest),
        op if op == OP_PUSHDATA1.to_u8() => rest.split_first_chunk().map(|(&[n], rest)| (n.into(), rest))?,
        op if op == OP_PUSHDATA2.to_u8() => {
            rest.split_first_chunk().map(|(n, rest)| (u16::from_le_bytes(*n).into(), rest))?
        }
        op if op == OP_PUSHDATA4.to_u8() => {
            rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest))?
        }
        _ => (0, rest),
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &[u8]) -> Vec<Result<(u8, Vec<u8>), TruncatedPush>> {
        ops(script).map(|op| op.map(|op| (op.opcode, op.data.to_vec()))).collect()
    }

    #[test]
    fn pushes_of_every_form_are_read() {
        assert_eq!(read(&[]), []);
        assert_eq!(
            read(&[0x00, 0x01, 0xac, 0x4c, 1, 7, 0x4d, 1, 0, 8, 0x4e, 1, 0, 0, 0, 9, 0x60, 0xac, 0xff]),
            [
                Ok((0x00, vec![])),
                Ok((0x01, vec![0xac])),
                Ok((0x4c, vec![7])),
                Ok((0x4d, vec![8])),
                Ok((0x4e, vec![9])),
                Ok((0x60, vec![])),
                Ok((0xac, vec![])),
                Ok((0xff, vec![])),
            ]
        );
    }

    #[test]
    fn a_truncated_push_ends_the_script() {
        for tail in [
            &[0x02, 0xac][..],
            &[0x4b],
            &[0x4c],
            &[0x4c, 2, 0xac],
            &[0x4d, 1],
            &[0x4e, 1, 0, 0],
            &[0x4e, 255, 255, 255, 255],
        ] {
            assert_eq!(read(&[&[0xac], tail].concat()), [Ok((0xac, vec![])), Err(TruncatedPush)], "{tail:02x?}");
        }
    }
}
