//! A reader of fjall's manifests: for each keyspace a file that names its tables, and a pointer to that file.
//!
//! fjall 3 keeps a manifest's checksum in the pointer and does not check it: a flipped byte may fail an assertion, or
//! omit a table. And fjall removes a keyspace whose pointer is missing, as one whose creation was not finished. So each
//! start and each re-check reads them first. The formats are those of `lsm-tree` 3 (`version/mod.rs`,
//! `version/persist.rs`) and of the archive `sfa` 1.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{StoreError, io_error};
use crate::serialize::{Decoder, EncodingError};

/// The numbers of fjall's own keyspace, which has the names, and of the store's.
pub(crate) const KEYSPACES: Range<u32> = 0..2;

/// A table that a manifest names.
pub(crate) struct Table {
    /// Its number, which is its file's name.
    pub(crate) id: u64,
    /// XXH3 of the whole file, 128 bits.
    pub(crate) checksum: u128,
}

/// Reads the manifests of all keyspaces.
pub(super) fn check_manifests(database: &Path) -> Result<(), StoreError> {
    KEYSPACES.map(|id| database.join("keyspaces").join(id.to_string())).try_for_each(|tree| read_tree(&tree).map(drop))
}

/// The tables of one keyspace, by the manifest that its pointer names.
pub(crate) fn read_tree(tree: &Path) -> Result<Vec<Table>, StoreError> {
    let current = tree.join("current");
    let pointer = read(&current, "it is missing")?;
    let (version, wanted) = read_pointer(&pointer).map_err(|error| damaged(&current, &error))?;
    let manifest = tree.join(format!("v{version}"));
    if !manifest.exists() {
        let what = format!("it names v{version}, which is missing");
        return Err(StoreError::Damaged { path: current, offset: 0, what });
    }
    let bytes = read(&manifest, "it is missing")?;
    let seen = xxhash_rust::xxh3::xxh3_128(&bytes);
    if seen != wanted {
        // Either of the two may be damaged: there is no other copy of the checksum.
        let what = format!("its checksum is {seen:032x}, {} has {wanted:032x}", current.display());
        return Err(StoreError::Damaged { path: manifest, offset: 0, what });
    }
    read_manifest(&bytes).map_err(|error| damaged(&manifest, &error))
}

fn read(path: &Path, missing: &str) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::Damaged { path: path.to_owned(), offset: 0, what: missing.to_owned() },
        _ => io_error(path)(error),
    })
}

fn damaged(path: &Path, error: &EncodingError) -> StoreError {
    let path = PathBuf::from(path);
    StoreError::Damaged { path, offset: error.offset as u64, what: error.what.to_owned() }
}

/// `current`: number of the manifest (u64), its checksum (u128), the checksum's kind (0).
fn read_pointer(bytes: &[u8]) -> Result<(u64, u128), EncodingError> {
    let mut from = Decoder::new(bytes);
    let version = u64::from_le_bytes(from.take_array()?);
    let checksum = u128::from_le_bytes(from.take_array()?);
    let [kind] = from.take_array()?;
    from.finish()?;
    if kind == 0 { Ok((version, checksum)) } else { Err(from.error("a checksum of an unknown kind")) }
}

/// The tables that a manifest names (`lsm-tree`, `version/mod.rs`): a section of an `sfa` archive, whose table of
/// contents is found from a trailer of 38 bytes.
fn read_manifest(bytes: &[u8]) -> Result<Vec<Table>, EncodingError> {
    const TRAILER_BYTES: usize = 38;
    let end = Decoder::new(bytes);
    let Some(start) = bytes.len().checked_sub(TRAILER_BYTES) else { return Err(end.error("no trailer")) };
    let mut trailer = Decoder::new(&bytes[start..]);
    let (_magic_and_kinds, _checksum) = (trailer.take_array::<6>()?, trailer.take_array::<16>()?);
    let contents = u64::from_le_bytes(trailer.take_array()?) as usize;
    let mut toc = Decoder::new(bytes.get(contents..).ok_or_else(|| end.error("contents after the file's end"))?);
    let _magic: [u8; 4] = toc.take_array()?;
    for _ in 0..u32::from_le_bytes(toc.take_array()?) {
        let place = u64::from_le_bytes(toc.take_array()?) as usize;
        let length = u64::from_le_bytes(toc.take_array()?) as usize;
        let name_length = u16::from_le_bytes(toc.take_array()?);
        if toc.take(name_length.into())? == b"tables" {
            let section = bytes.get(place..).and_then(|bytes| bytes.get(..length));
            return read_tables(section.ok_or_else(|| end.error("a section after the file's end"))?);
        }
    }
    Err(end.error("no section of tables"))
}

fn read_tables(section: &[u8]) -> Result<Vec<Table>, EncodingError> {
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
