//! Checks the database's tables and manifests against fjall's checksums.
//!
//! fjall 3 does not check the checksum of a manifest, which is in `current`, nor that of a whole table, which is in the
//! manifest. Both are checked here, so that a flipped byte is reported with its file before the database is opened, even if
//! fjall would not read it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::checker::Checker;
use super::report::Finding;
use crate::progress::Stop;
use crate::store::io_error;
use crate::store::manifest::{KEYSPACES, read_tree};

impl Checker<'_> {
    /// Checks every file below `database` except the journals.
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
        for id in KEYSPACES.map(|id| id.to_string()).filter(|id| !trees.contains(id)) {
            self.found(Finding::file(keyspaces.join(id), "database", "the folder is missing".to_owned()));
        }
        for tree in trees {
            self.check_tree(&keyspaces.join(tree))?;
        }
        Ok(())
    }

    /// Checks the tables of one keyspace and the manifest that names them.
    fn check_tree(&mut self, tree: &Path) -> Result<(), Stop> {
        let tables = match read_tree(tree) {
            Ok(tables) => tables,
            Err(error) => return self.found_in(error, "database", None),
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

    /// Reports a missing file as damage. Another error ends the check.
    pub(super) fn unreadable(&mut self, path: PathBuf, source: io::Error) -> Result<(), Stop> {
        if source.kind() == io::ErrorKind::NotFound {
            self.found(Finding::file(path, "database", "the file is missing".to_owned()));
            return Ok(());
        }
        Err(io_error(&path)(source).into())
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
