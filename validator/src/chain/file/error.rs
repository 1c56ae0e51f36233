//! The errors of a chain file, with line and field.

use toml::de::DeTable;

use super::limits::{FORMAT, MAX_CHAIN_FILE_SIZE};

/// The longest explanation that is taken from the TOML reader, in characters: it may quote what stands in the file.
const MAX_MESSAGE: usize = 400;

/// Why a text is no chain file: the line and the field, the value seen, and the value wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFileError {
    /// It is longer than any chain file.
    #[error("{}", self.what())]
    TooLarge {
        /// Its length in bytes.
        seen: usize,
    },
    /// It is of another format, which another version of Adit wrote.
    #[error("line {line}: {}", self.what())]
    Format {
        /// Counted from 1.
        line: usize,
        /// The format that it gives.
        seen: i64,
    },
    /// It is not TOML, lacks a field, has one that is not known, or a value alone is not what its field takes.
    #[error("line {line}: {}", self.what())]
    Toml {
        /// Counted from 1.
        line: usize,
        /// What is wrong, with the field, the value seen and the value wanted.
        message: String,
    },
    /// A value does not go with others.
    #[error("line {line}: {}", self.what())]
    Field {
        /// Counted from 1.
        line: usize,
        /// The field with its tables, such as `genesis.bits`.
        field: &'static str,
        /// The value, or what follows from it.
        seen: String,
        /// What would do.
        wanted: String,
    },
}

/// A [`ChainFileError::Field`] before its line is known.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) field: &'static str,
    pub(super) seen: String,
    pub(super) wanted: String,
}

impl Misfit {
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
    /// What is wrong, without the line, for a user who has not seen the text.
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

    /// `text` gives a format that is not ours.
    pub(super) fn format(format: &toml::Spanned<i64>, text: &str) -> Self {
        Self::Format { line: line_at(text, format.span().start), seen: *format.get_ref() }
    }

    /// What the TOML reader found wrong with `text`.
    pub(super) fn toml(mut error: toml::de::Error, text: &str) -> Self {
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        // Without its input the error is the message and the field, and not a drawing of several lines.
        error.set_input(None);
        let message = error.to_string().trim_end().replace('\n', ", ");
        Self::Toml { line, message: message.chars().take(MAX_MESSAGE).collect() }
    }
}

/// The line, from 1, that byte `offset` stands in.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The line of a field that is named with its tables, or of the innermost of these that is there.
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
