//! The few things that the block files ask of a file system, so that tests can put a failing one in its place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One flat folder of files. What was written is durable only after [`Disk::sync`], a new file's name after
/// [`Disk::sync_folder`].
pub trait Disk: Send {
    /// The path of a file, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// The names of all files.
    ///
    /// # Errors
    /// Those of the file system, as in all that follows.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A file's length in bytes; `None`: there is no such file.
    ///
    /// # Errors
    /// Those of the file system.
    fn length(&self, name: &str) -> io::Result<Option<u64>>;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// Those of the file system; `UnexpectedEof`: the file ends before.
    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes at `offset`, and creates the file if it is new.
    ///
    /// # Errors
    /// Those of the file system. Any part of the bytes may then be written.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to `length` bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn cut(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Returns when a file's bytes and length are on stable storage.
    ///
    /// # Errors
    /// Those of the file system. What is stable is then unknown, and asking again would not tell.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Returns when creations and removals are on stable storage.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_folder(&mut self) -> io::Result<()>;
}

/// A folder of the operating system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Files open for writing. At most the current pair and the undo files that a reorganisation touched.
    writing: BTreeMap<String, File>,
}

impl Folder {
    /// The folder at `path`, which must exist.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, writing: BTreeMap::new() }
    }

    fn writing(&mut self, name: &str) -> io::Result<&mut File> {
        if !self.writing.contains_key(name) {
            if self.writing.len() >= 8 {
                self.writing.clear();
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path.join(name))?;
            self.writing.insert(name.to_owned(), file);
        }
        Ok(self.writing.get_mut(name).expect("it was inserted above"))
    }
}

impl Disk for Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(&self.path)?.map(|found| found.map(|found| found.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.path.join(name)) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut file = File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(into)
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.writing(name)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.writing(name)?.set_len(length)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.writing.remove(name);
        fs::remove_file(self.path.join(name))
    }

    /// On any handle: what counts is the file, not who wrote it.
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.writing(name)?.sync_data()
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

/// Makes creations, renames and removals in a folder durable. Windows has no such call and orders them itself.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
}
