//! Standard output, where a reader that has left is no failure and everything else that goes wrong is.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

use crate::exit::{OrExit, Result};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody who took the line.
    There,
    /// Nobody any more: the pipe is closed, as after `| head -1`.
    Gone,
}

/// Writes `text` and a line's end, at once.
pub fn line(text: impl Display) -> Result<Reader> {
    write_line(&mut io::stdout().lock(), &text.to_string())
}

fn write_line(out: &mut impl Write, text: &str) -> Result<Reader> {
    match out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write to standard output").or_running(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_reader_that_left_is_no_failure() {
        let mut out = Vec::new();
        assert_eq!(write_line(&mut out, "a").unwrap(), Reader::There);
        assert_eq!(out, b"a\n");
        assert_eq!(write_line(&mut Failing(ErrorKind::BrokenPipe), "a").unwrap(), Reader::Gone);
        assert!(write_line(&mut Failing(ErrorKind::StorageFull), "a").is_err());
    }
}
