//! The database's files, byte by byte: tables and manifests against the checksums that fjall keeps of them, journals
//! against their groups'.
//!
//! fjall 3 leaves some of its checksums unread: a manifest's own, which stands in `current`, and a whole table's, which
//! stands in the manifest. All of them are read here, so that a flipped byte is named by its file before the database
//! is opened, and whether or not fjall would have come across it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{Checker, Finding, Interrupted, Stop};
use crate::coins::encoding::{DecodeError, Decoder};
use crate::store::StoreError;

/// A table as its manifest has it.
struct Table {
    id: u64,
    checksum: u128,
}

impl Checker<'_> {
    /// Checks every file below `database` but the journals.
    pub(super) fn check_database_files(&mut self, database: &Path) -> Result<(), Stop> {
        let version = database.join("version");
        match fs::read(&version) {
            Ok(bytes) if bytes == *b"FJL\x03" => {}
            Ok(bytes) => self.found(Finding::file(version, "database", format!("{bytes:02x?}, wanted FJL 3")).at(0)),
            Err(source) => self.unreadable(version, source)?,
        }
        let keyspaces = database.join("keyspaces");
        let trees = match list(&keyspaces) {
            Ok(trees) => trees,
            Err(source) => return self.unreadable(keyspaces, source),
        };
        // fjall's own keyspace of names, and the four of the store.
        for id in (0..5).map(|id: u32| id.to_string()).filter(|id| !trees.contains(id)) {
            self.found(Finding::file(keyspaces.join(id), "database", "the folder is missing".to_owned()));
        }
        for tree in trees {
            self.check_tree(&keyspaces.join(tree))?;
        }
        Ok(())
    }

    /// Checks the tables of one keyspace and the manifest that names them.
    fn check_tree(&mut self, tree: &Path) -> Result<(), Stop> {
        let current = tree.join("current");
        let pointer = match fs::read(&current) {
            Ok(pointer) => pointer,
            Err(source) => return self.unreadable(current, source),
        };
        let Ok((version, wanted)) = read_pointer(&pointer) else {
            let what = format!("{} bytes, wanted a manifest's number, checksum and its kind, 25 bytes", pointer.len());
            self.found(Finding::file(current, "database", what).at(0));
            return Ok(());
        };
        let manifest = tree.join(format!("v{version}"));
        let bytes = match fs::read(&manifest) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.found(Finding::file(current, "database", format!("it names v{version}, which is missing")).at(0));
                return Ok(());
            }
            Err(source) => return self.unreadable(manifest, source),
        };
        let seen = xxhash_rust::xxh3::xxh3_128(&bytes);
        if seen != wanted {
            // Either of the two: nothing else knows the checksum.
            let what = format!("checksum {seen:032x}, {} has {wanted:032x}", current.display());
            self.found(Finding::file(manifest, "database", what));
            return Ok(());
        }
        let tables = match read_manifest(&bytes) {
            Ok(tables) => tables,
            Err(error) => {
                self.found(Finding::file(manifest, "database", error.what.to_owned()).at(error.offset as u64));
                return Ok(());
            }
        };
        let folder = tree.join("tables");
        let mut stray: BTreeSet<String> = list(&folder).unwrap_or_default().into_iter().collect();
        for table in tables {
            self.go_on()?;
            stray.remove(&table.id.to_string());
            let path = folder.join(table.id.to_string());
            match checksum_of_file(&path) {
                Ok(seen) if seen == table.checksum => {}
                Ok(seen) => {
                    let what = format!("checksum {seen:032x}, wanted {:032x}", table.checksum);
                    self.found(Finding::file(path, "database", what));
                }
                Err(source) => self.unreadable(path, source)?,
            }
        }
        for name in stray {
            self.note(format!("{}: no manifest refers to it; fjall removes it", folder.join(name).display()));
        }
        Ok(())
    }

    /// A file that is missing is damage; one that cannot be read ends the check.
    pub(super) fn unreadable(&mut self, path: PathBuf, source: io::Error) -> Result<(), Stop> {
        if source.kind() == io::ErrorKind::NotFound {
            self.found(Finding::file(path, "database", "the file is missing".to_owned()));
            return Ok(());
        }
        Err(StoreError::Io { path, source }.into())
    }

    pub(super) fn go_on(&mut self) -> Result<(), Interrupted> {
        if self.watcher.goes_on() { Ok(()) } else { Err(Interrupted) }
    }
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|found| found.map(|found| found.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn checksum_of_file(path: &Path) -> io::Result<u128> {
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Xxh3::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash.digest128()),
            read => hash.update(&chunk[..read]),
        }
    }
}

/// `current`: number of the manifest (u64), its checksum (u128), the checksum's kind (0).
fn read_pointer(bytes: &[u8]) -> Result<(u64, u128), DecodeError> {
    let mut from = Decoder::new(bytes);
    let version = u64::from_le_bytes(from.take_array()?);
    let checksum = u128::from_le_bytes(from.take_array()?);
    let [kind] = from.take_array()?;
    from.finish()?;
    if kind == 0 { Ok((version, checksum)) } else { Err(from.error("a checksum of an unknown kind")) }
}

/// The tables that a manifest names (`lsm-tree`, `version/mod.rs`): a section of an `sfa` archive, whose table of
/// contents is found from a trailer of 38 bytes.
fn read_manifest(bytes: &[u8]) -> Result<Vec<Table>, DecodeError> {
    const TRAILER_BYTES: usize = 38;
    let end = Decoder::new(bytes);
    let Some(start) = bytes.len().checked_sub(TRAILER_BYTES) else { return Err(end.error("no trailer")) };
    let mut trailer = Decoder::new(&bytes[start..]);
    let (_magic_and_kinds, _checksum) = (trailer.take_array::<6>()?, trailer.take_array::<16>()?);
    let contents = u64::from_le_bytes(trailer.take_array()?) as usize;
    let mut toc = Decoder::new(bytes.get(contents..).ok_or_else(|| end.error("contents behind the file's end"))?);
    let _magic: [u8; 4] = toc.take_array()?;
    for _ in 0..u32::from_le_bytes(toc.take_array()?) {
        let place = u64::from_le_bytes(toc.take_array()?) as usize;
        let length = u64::from_le_bytes(toc.take_array()?) as usize;
        let name_length = u16::from_le_bytes(toc.take_array()?);
        if toc.take(name_length.into())? == b"tables" {
            let section = bytes.get(place..).and_then(|bytes| bytes.get(..length));
            return read_tables(section.ok_or_else(|| end.error("a section behind the file's end"))?);
        }
    }
    Err(end.error("no section of tables"))
}

fn read_tables(section: &[u8]) -> Result<Vec<Table>, DecodeError> {
    let mut from = Decoder::new(section);
    let mut tables = Vec::new();
    let [levels] = from.take_array()?;
    for _ in 0..levels {
        let [runs] = from.take_array()?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(from.take_array()?) {
                let id = u64::from_le_bytes(from.take_array()?);
                let [_kind] = from.take_array()?;
                let checksum = u128::from_le_bytes(from.take_array()?);
                let _sequence: [u8; 8] = from.take_array()?;
                tables.push(Table { id, checksum });
            }
        }
    }
    from.finish()?;
    Ok(tables)
}
