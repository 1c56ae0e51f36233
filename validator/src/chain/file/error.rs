//! The errors of a chain file, with line and field.

use std::io;

use toml::de::DeTable;

use super::limits::{FORMAT, MAX_CHAIN_FILE_SIZE};

/// The longest message that is taken from the TOML reader, in characters. The message may quote the file.
const MAX_MESSAGE: usize = 400;

/// A text is not a valid chain file. The error names the line and the field, the value seen, and the value wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFileError {
    /// It is too long.
    #[error("{}", self.what())]
    TooLarge {
        /// Its length in bytes.
        seen: usize,
    },
    /// It has the format of another version of Adit.
    #[error("line {line}: {}", self.what())]
    Format {
        /// Counted from 1.
        line: usize,
        /// Its format.
        seen: i64,
    },
    /// It is not TOML, a field is missing or unknown, or a value is invalid by itself.
    #[error("line {line}: {}", self.what())]
    Toml {
        /// Counted from 1.
        line: usize,
        /// The message, with the field, the value seen and the value wanted.
        message: String,
    },
    /// A value does not fit other values.
    #[error("line {line}: {}", self.what())]
    Field {
        /// Counted from 1.
        line: usize,
        /// The field with its tables, such as `genesis.bits`.
        field: &'static str,
        /// The value, or a result of it.
        seen: String,
        /// The values that would fit.
        wanted: String,
    },
}

/// A chain file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFileReadError {
    /// The input cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The input is longer than any chain file.
    #[error("more than {MAX_CHAIN_FILE_SIZE} bytes; wanted a chain file, which has at most as many")]
    TooLarge,
    /// The input is not UTF-8.
    #[error("byte {byte} is not UTF-8 text; wanted a chain file")]
    NotText {
        /// The offset of the first byte that is not UTF-8.
        byte: usize,
    },
    /// The input is empty.
    #[error("is empty; wanted a chain file")]
    Empty,
    /// The text is not a valid chain file.
    #[error(transparent)]
    Invalid(#[from] ChainFileError),
}

/// A [`ChainFileError::Field`] before its line is known.
#[derive(Debug)]
pub(super) struct FieldMismatch {
    pub(super) field: &'static str,
    pub(super) seen: String,
    pub(super) wanted: String,
}

impl FieldMismatch {
    pub(super) fn new(field: &'static str, seen: impl ToString, wanted: impl ToString) -> Self {
        Self { field, seen: seen.to_string(), wanted: wanted.to_string() }
    }

    /// The error for this value of `text`.
    pub(super) fn in_text(self, text: &str) -> ChainFileError {
        let Self { field, seen, wanted } = self;
        ChainFileError::Field { line: line_of_field(text, field), field, seen, wanted }
    }
}

impl ChainFileError {
    /// The message without the line, for a user who has not seen the text.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::TooLarge { seen } => {
                format!("{seen} bytes; wanted a chain file, which has at most {MAX_CHAIN_FILE_SIZE}")
            }
            Self::Format { seen, .. } => format!("format: {seen}; wanted {FORMAT}, which this version reads"),
            Self::Toml { message, .. } => message.clone(),
            Self::Field { field, seen, wanted, .. } => format!("{field}: {seen}; wanted {wanted}"),
        }
    }

    /// The error for a `text` with another format.
    pub(super) fn format(format: &toml::Spanned<i64>, text: &str) -> Self {
        Self::Format { line: line_at(text, format.span().start), seen: *format.get_ref() }
    }

    /// The error of the TOML reader for `text`.
    pub(super) fn toml(mut error: toml::de::Error, text: &str) -> Self {
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        // Without its input the error is the message and the field; with it, it has several lines.
        error.set_input(None);
        let message = error.to_string().trim_end().replace('\n', ", ");
        Self::Toml { line, message: message.chars().take(MAX_MESSAGE).collect() }
    }
}

/// The line of byte `offset`, counted from 1.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The line of `field`, which is named with its tables; if it is missing, the line of the innermost table that exists.
fn line_of_field(text: &str, field: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut table = Some(document.get_ref());
    let mut offset = 0;
    for name in field.split('.') {
        let Some((key, value)) = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name)) else {
            break;
        };
        offset = key.span().start;
        table = value.get_ref().as_table();
    }
    line_at(text, offset)
}
