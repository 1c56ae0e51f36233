//! A strict reader of fjall's journals: which record groups are whole, the last commit in them, and the first wrong
//! byte.
//!
//! fjall ends its recovery at the first byte that cannot begin an entry and truncates the journal there without an
//! error. That is right for the torn end of a commit that was never reported, and wrong for a byte that was flipped in
//! the middle: every later commit is lost, although it was synced. And fjall refuses to open a journal in which a torn
//! commit has lost only its middle. So the store reads the journals first, in the format of fjall 3
//! (`journal/entry.rs`), and decides what to do.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::database::COMMIT_KEY;
use super::error::{StoreError, io_error};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// The trailer after each group's checksum.
const TRAILER: [u8; 4] = *b"FJL\x03";

/// The contents of a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    /// The length in bytes of the whole groups.
    pub(crate) whole: u64,
    /// The number of whole groups.
    pub(crate) groups: u64,
    /// The number of the last commit in them.
    pub(crate) commit: Option<u64>,
    /// The first error after them; `None`: the file ends, or what follows is preallocated and not written.
    pub(crate) torn: Option<JournalDamage>,
    /// The first byte that is not zero in the preallocated part. fjall does not read that part.
    pub(crate) stray: Option<u64>,
    first_sequence: Option<u64>,
    last_sequence: u64,
}

/// The first error in a journal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JournalDamage {
    /// The offset in the file, in bytes.
    pub(crate) offset: u64,
    /// What was seen and what was wanted.
    pub(crate) what: String,
}

/// The journals of a database in the order of their numbers. The last is the one being written.
pub(crate) fn journal_files(database: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut journals = Vec::new();
    for found in fs::read_dir(database).map_err(io_error(database))? {
        let path = found.map_err(io_error(database))?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Reads a journal. `after` is the sequence number of the last group in the journals before it.
pub(crate) fn read_journal(path: &Path, after: Option<u64>) -> Result<Journal, StoreError> {
    let file = File::open(path).map_err(io_error(path))?;
    let mut reader = JournalReader { file: BufReader::with_capacity(1 << 18, file), offset: 0, hash: Xxh3::new() };
    let mut journal = Journal { last_sequence: after.unwrap_or(0), ..Journal::default() };
    let mut is_first = after.is_none();
    loop {
        match read_group(&mut reader) {
            Ok(Some(group)) => {
                if !is_first && group.sequence <= journal.last_sequence {
                    let what = format!("sequence number {} after {}", group.sequence, journal.last_sequence);
                    journal.torn = Some(JournalDamage { offset: journal.whole + 5, what });
                    return Ok(journal);
                }
                is_first = false;
                journal.first_sequence.get_or_insert(group.sequence);
                journal.last_sequence = group.sequence;
                journal.commit = group.commit.or(journal.commit);
                journal.whole = reader.offset;
                journal.groups += 1;
            }
            Ok(None) => return Ok(journal),
            Err(Fault::Unwritten) => {
                journal.stray = first_set_byte(path, journal.whole).map_err(io_error(path))?;
                return Ok(journal);
            }
            Err(Fault::Torn(torn)) => {
                journal.torn = Some(torn);
                return Ok(journal);
            }
            Err(Fault::Io(source)) => return Err(StoreError::Io { path: path.to_owned(), source }),
        }
    }
}

impl Journal {
    /// The sequence number of its last group; `None`: it has no groups.
    pub(crate) fn last_sequence(&self) -> Option<u64> {
        self.first_sequence.map(|_| self.last_sequence)
    }
}

/// The offset of the first byte that is not zero, from `from` on.
fn first_set_byte(path: &Path, from: u64) -> io::Result<Option<u64>> {
    let (mut file, mut at, mut chunk) = (File::open(path)?, from, vec![0; 1 << 18]);
    file.seek(SeekFrom::Start(from))?;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(set) = chunk[..read].iter().position(|byte| *byte != 0) {
            return Ok(Some(at + set as u64));
        }
        at += read as u64;
    }
}

struct Group {
    sequence: u64,
    commit: Option<u64>,
}

enum Fault {
    /// A zero where a group would start: the preallocated part begins.
    Unwritten,
    Torn(JournalDamage),
    Io(io::Error),
}

struct JournalReader {
    file: BufReader<File>,
    offset: u64,
    /// The hash of the entries since the group's start.
    hash: Xxh3,
}

impl JournalReader {
    fn torn<T>(&self, what: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::Torn(JournalDamage { offset: self.offset, what: what.into() }))
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), Fault> {
        match self.file.read_exact(into) {
            Ok(()) => {
                self.offset += into.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.torn("the journal ends within a commit"),
            Err(error) => Err(Fault::Io(error)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        self.fill(&mut array)?;
        Ok(array)
    }

    /// As [`Self::array`], for bytes that the group's checksum covers.
    fn hashed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let array = self.array()?;
        self.hash.update(&array);
        Ok(array)
    }

    /// Reads `length` bytes that the checksum covers, and returns the first 16. A wrong length allocates nothing:
    /// reading ends with the file.
    fn skip_hashed(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        let (mut kept, mut left, mut chunk) = (Vec::new(), length, [0; 4096]);
        while left > 0 {
            let part = &mut chunk[..left.min(4096) as usize];
            self.fill(part)?;
            self.hash.update(part);
            kept.extend_from_slice(&part[..part.len().min(16 - kept.len())]);
            left -= part.len() as u64;
        }
        Ok(kept)
    }

    fn at_end(&mut self) -> Result<bool, Fault> {
        io::BufRead::fill_buf(&mut self.file).map(<[u8]>::is_empty).map_err(Fault::Io)
    }
}

/// Reads the next group; `None`: the file ends.
fn read_group(from: &mut JournalReader) -> Result<Option<Group>, Fault> {
    if from.at_end()? {
        return Ok(None);
    }
    let begin = from.offset;
    let [tag] = from.array()?;
    if tag == 0 {
        return Err(Fault::Unwritten);
    }
    if tag != START {
        from.offset = begin;
        return from.torn(format!("a byte {tag:#04x}, wanted the start of a commit"));
    }
    let count = u32::from_le_bytes(from.array()?);
    let sequence = u64::from_le_bytes(from.array()?);
    from.hash.reset();
    let mut commit = None;
    for _ in 0..count {
        commit = read_entry(from)?.or(commit);
    }
    let [tag] = from.array()?;
    if tag != END {
        from.offset -= 1;
        return from.torn(format!("a byte {tag:#04x}, wanted the end of a commit of {count} entries"));
    }
    let (seen, wanted) = (from.hash.digest(), u64::from_le_bytes(from.array()?));
    if seen != wanted {
        from.offset = begin;
        return from.torn(format!("a commit with the checksum {seen:016x}, wanted {wanted:016x}"));
    }
    let trailer: [u8; 4] = from.array()?;
    if trailer != TRAILER {
        from.offset -= 4;
        return from.torn(format!("{trailer:02x?}, wanted the trailer of a commit"));
    }
    Ok(Some(Group { sequence, commit }))
}

/// Reads one entry of a group. Returns the commit's number if it is the entry that has it.
fn read_entry(from: &mut JournalReader) -> Result<Option<u64>, Fault> {
    match from.hashed()? {
        [ITEM] => {
            let [_value_type, _compression] = from.hashed()?;
            let _keyspace: [u8; 8] = from.hashed()?;
            let key_length = u16::from_le_bytes(from.hashed()?);
            let _value_length: [u8; 4] = from.hashed()?;
            let stored_length = u32::from_le_bytes(from.hashed()?);
            let key = from.skip_hashed(key_length.into())?;
            let value = from.skip_hashed(stored_length.into())?;
            Ok((key == COMMIT_KEY).then(|| value.try_into().ok().map(u64::from_le_bytes)).flatten())
        }
        [CLEAR] => {
            let _keyspace: [u8; 8] = from.hashed()?;
            Ok(None)
        }
        [tag] => {
            from.offset -= 1;
            from.torn(format!("a byte {tag:#04x}, wanted an entry of a commit"))
        }
    }
}
