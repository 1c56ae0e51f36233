//! Writes lines to standard output. A closed pipe is not an error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

use crate::exit::{OrExit, Result};

/// The other end of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeEnd {
    /// It took the line.
    Open,
    /// The pipe is closed, as after `| head -1`.
    Closed,
}

/// Writes `text` and a line feed, and flushes.
pub fn line(text: impl Display) -> Result<PipeEnd> {
    write_line(&mut io::stdout().lock(), &text.to_string())
}

fn write_line(out: &mut impl Write, text: &str) -> Result<PipeEnd> {
    match out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(PipeEnd::Open),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(PipeEnd::Closed),
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
    fn only_a_closed_pipe_is_no_error() {
        let mut out = Vec::new();
        assert_eq!(write_line(&mut out, "a").unwrap(), PipeEnd::Open);
        assert_eq!(out, b"a\n");
        assert_eq!(write_line(&mut Failing(ErrorKind::BrokenPipe), "a").unwrap(), PipeEnd::Closed);
        assert!(write_line(&mut Failing(ErrorKind::StorageFull), "a").is_err());
    }
}
