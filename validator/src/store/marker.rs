//! The marker file of a data folder, which names its chain and format, and the lock that keeps it to one process.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

use super::disk::sync_folder;
use super::error::{StoreError, io_error};
use super::location::{BLOCKS, DATABASE, LOCK, MARKER, NEW_DATABASE, NEW_MARKER};
use crate::chain::ChainParams;

/// The format that this version reads and writes. Format 1 had the same block files, and four keyspaces, across which
/// only a commit through fjall's journal was atomic.
pub(crate) const FORMAT: u32 = 2;

/// The chain that a store belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain's name, in one line.
    pub chain: String,
    /// The hash of its first block.
    pub genesis: BlockHash,
    /// The magic in the framing of its block files.
    pub magic: [u8; 4],
}

impl Identity {
    /// The identity of the chain with these parameters.
    #[must_use]
    pub fn of(params: &ChainParams) -> Self {
        Self { chain: params.name.clone(), genesis: params.consensus.genesis_hash, magic: params.magic }
    }
}

/// The folder of the store of `chain` in the data folder `datadir`: `datadir` itself if it is a store, else its
/// subfolder with the chain's name, which may be missing.
///
/// # Errors
/// `datadir` is a store without its marker.
pub fn store_folder(datadir: &Path, chain: &str) -> Result<PathBuf, StoreError> {
    let has = |name: &str| datadir.join(name).is_dir();
    if datadir.join(MARKER).exists() {
        Ok(datadir.to_owned())
    } else if has(BLOCKS) && has(DATABASE) {
        Err(StoreError::NoMarker { folder: datadir.to_owned() })
    } else {
        Ok(datadir.join(chain))
    }
}

/// Creates the folder if it is missing and takes its lock, which ends with the handle or the process.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    let path = folder.join(LOCK);
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
    }
}

/// The contents of a folder that may be a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FolderState {
    /// Nothing, or an interrupted creation.
    Nothing,
    /// A store of the wanted chain, in the present format.
    Store,
    /// A store of the wanted chain with this older format. Its block files can be read, its database cannot.
    Older(u32),
}

impl FolderState {
    /// Refuses a store of an older format.
    pub(crate) fn readable(self, folder: &Path) -> Result<Self, StoreError> {
        match self {
            Self::Older(found) => Err(StoreError::OlderFormat { folder: folder.to_owned(), found, known: FORMAT }),
            found => Ok(found),
        }
    }
}

/// Reads the marker and compares it with the wanted identity. Reads nothing else of a store.
pub(crate) fn examine(folder: &Path, wanted: &Identity) -> Result<FolderState, StoreError> {
    let path = folder.join(MARKER);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return examine_unmarked(folder),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(StoreError::Damaged { path, offset: 0, what: "it is no text".to_owned() });
        }
        Err(source) => return Err(StoreError::Io { path, source }),
    };
    let damaged = |what: &str| StoreError::Damaged { path: path.clone(), offset: 0, what: what.to_owned() };
    let mut lines = text.lines();
    if lines.next() != Some("adit store") {
        return Err(damaged("the first line is not `adit store`"));
    }
    let mut value = |name| lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let format =
        value("format").and_then(|format| format.parse().ok()).ok_or_else(|| damaged("no line `format NUMBER`"))?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat { folder: folder.to_owned(), found: format, known: FORMAT });
    }
    let chain = value("chain").ok_or_else(|| damaged("no line `chain NAME`"))?;
    let genesis = value("genesis").ok_or_else(|| damaged("no line `genesis HASH`"))?;
    let (found, wanted) = (describe(chain, genesis), describe(&wanted.chain, &wanted.genesis.to_string()));
    if found != wanted {
        return Err(StoreError::OtherChain { folder: folder.to_owned(), found, wanted });
    }
    Ok(if format < FORMAT { FolderState::Older(format) } else { FolderState::Store })
}

fn describe(chain: &str, genesis: &str) -> String {
    format!("{chain} (genesis {genesis})")
}

/// Examines a folder without a marker. It must contain only what an interrupted creation leaves; else it is not a
/// store.
fn examine_unmarked(folder: &Path) -> Result<FolderState, StoreError> {
    for found in fs::read_dir(folder).map_err(io_error(folder))? {
        let name = found.map_err(io_error(folder))?.file_name();
        let path = folder.join(&name);
        let is_ours = match name.to_str() {
            Some(LOCK | NEW_MARKER | NEW_DATABASE) => true,
            Some(BLOCKS) => fs::read_dir(&path).map_err(io_error(&path))?.next().is_none(),
            _ => false,
        };
        if !is_ours {
            return Err(StoreError::NotAStore {
                folder: folder.to_owned(),
                holds: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(FolderState::Nothing)
}

/// Writes the marker durably and atomically.
pub(crate) fn write(folder: &Path, identity: &Identity) -> Result<(), StoreError> {
    let text = format!("adit store\nformat {FORMAT}\nchain {}\ngenesis {}\n", identity.chain, identity.genesis);
    let new: PathBuf = folder.join(NEW_MARKER);
    let written =
        File::create(&new).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(io_error(&new))?;
    fs::rename(&new, folder.join(MARKER)).map_err(io_error(&new))?;
    sync_folder(folder).map_err(io_error(folder))
}
