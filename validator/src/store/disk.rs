//! The file system operations that block files need, as a trait, so that tests can replace them with failing ones.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One folder of files. Written bytes are durable only after [`Disk::sync`], new names only after
/// [`Disk::sync_folder`].
pub trait Disk: Send {
    /// The path of a file, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// The names of all files.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A file's length in bytes; `None`: there is no such file.
    ///
    /// # Errors
    /// Those of the file system.
    fn length(&self, name: &str) -> io::Result<Option<u64>>;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// Those of the file system; `UnexpectedEof`: the file is too short.
    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes at `offset`, and creates the file if it is new.
    ///
    /// # Errors
    /// Those of the file system. Any part of the bytes may have been written.
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

    /// Syncs a file's bytes and length to stable storage.
    ///
    /// # Errors
    /// Those of the file system. It is then unknown what is stable, and a second call may succeed without having
    /// synced.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Syncs creations and removals of files to stable storage.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_folder(&mut self) -> io::Result<()>;
}

/// A folder of the operating system's file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Files open for writing: the current pair, and undo files that a reorganisation wrote.
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

    /// A sync through any handle syncs the whole file.
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
