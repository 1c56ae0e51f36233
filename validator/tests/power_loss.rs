//! The store on disks that fail: full ones, and ones that lose, tear and reorder what was not yet synced when the power
//! went.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use adit_testchain::Rng;
use adit_testchain::trials::{self, Missing};
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{ChainState, ChainView, CommitPolicy};
use adit_validator::store::disk::{Disk, Folder};
use adit_validator::store::folder::FolderStore;
use adit_validator::store::{Identity, StoreError};
use support::{Branch, check_coins, eventful, feed, options};

/// What a disk has been told and not yet made to last, and when it breaks.
#[derive(Debug, Default)]
struct Fate {
    unsynced: Vec<(String, u64, usize)>,
    created: Vec<String>,
    /// Writes and syncs until the disk is full.
    left: Option<usize>,
}

impl Fate {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A real folder that remembers in its [`Fate`] what a power loss may take.
struct FaultyDisk {
    folder: Folder,
    fate: Arc<Mutex<Fate>>,
}

impl Disk for FaultyDisk {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        self.folder.length(name)
    }
    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.folder.read(name, offset, into)
    }
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut fate = self.fate.lock().unwrap();
        if self.folder.length(name)?.is_none() {
            fate.created.push(name.to_owned());
        }
        fate.unsynced.push((name.to_owned(), offset, bytes.len()));
        if let Err(error) = fate.step() {
            self.folder.write(name, offset, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.folder.write(name, offset, bytes)
    }
    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.folder.cut(name, length)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut fate = self.fate.lock().unwrap();
        fate.step()?;
        fate.unsynced.retain(|(unsynced, ..)| unsynced != name);
        Ok(())
    }
    fn sync_folder(&mut self) -> io::Result<()> {
        let mut fate = self.fate.lock().unwrap();
        fate.step()?;
        fate.created.clear();
        Ok(())
    }
}

/// Takes away what the disk had not promised: whole writes, halves of writes, tails of files, files.
fn lose_power(blocks: &Path, fate: &Fate, rng: &mut Rng) {
    for (name, offset, length) in &fate.unsynced {
        let path = blocks.join(name);
        let mut bytes = fs::read(&path).unwrap_or_default();
        let (start, end) = (*offset as usize, (*offset as usize + length).min(bytes.len()));
        match rng.below(4) {
            0 if start < end => bytes[start..end].fill(0),
            1 if start < end => bytes[usize::midpoint(start, end)..end].fill(0xff),
            2 => bytes.truncate(start),
            _ => {}
        }
        fs::write(&path, bytes).unwrap();
    }
    for name in &fate.created {
        if rng.below(2) == 0 {
            fs::remove_file(blocks.join(name)).unwrap();
        }
    }
}

fn open(folder: &Path, commit: CommitPolicy, fate: &Arc<Mutex<Fate>>) -> Result<ChainState, StoreError> {
    let params = ChainParams::regtest();
    let identity = Identity { chain: params.name.clone(), genesis: params.consensus.genesis_hash, magic: params.magic };
    let blocks = folder.join("blocks");
    let disk = || -> Box<dyn Disk> { Box::new(FaultyDisk { folder: Folder::new(blocks), fate: Arc::clone(fate) }) };
    let (store, contents) = FolderStore::open_on(folder, &identity, 4 << 20, disk)?;
    ChainState::with_store(Box::new(store), contents, params, options(commit, 40_000))
}

fn power_loss_takes_nothing_that_was_durable() {
    let blocks = eventful(3);
    let mut rng = Rng::new(7);
    for run in 0..6 {
        let commit = if run % 3 == 0 { CommitPolicy::EveryBlock } else { CommitPolicy::WhenFull };
        let folder = tempfile::tempdir().unwrap();
        let mut fed = 0;
        while fed < blocks.len() {
            let fate = Arc::new(Mutex::new(Fate::default()));
            let mut state = open(folder.path(), commit, &fate).unwrap();
            let next = (fed + 1 + rng.below(blocks.len())).min(blocks.len());
            assert!(feed(&mut state, &blocks[..next]).is_none());
            let durable = state.durable_tip().hash;
            drop(state);
            lose_power(&folder.path().join("blocks"), &fate.lock().unwrap(), &mut rng);

            let state = open(folder.path(), commit, &Arc::default()).unwrap();
            assert_eq!(state.tip().hash, durable);
            check_coins(&state, &format!("run {run}, after {next} blocks"));
            fed = next;
        }
        // The undo records are whole too: everything can be taken back.
        let mut other = Branch::from_genesis();
        other.mine(160, 99, 0);
        let mut state = open(folder.path(), commit, &Arc::default()).unwrap();
        assert!(feed(&mut state, &other.blocks).is_none());
        assert_eq!(state.tip().hash, other.tip_hash());
        check_coins(&state, "all taken back");
    }
}

fn a_full_disk_stops_with_its_file_and_without_damage() {
    let blocks = eventful(1);
    let mut stops = 0;
    // Six steps a block: two writes, two syncs, and at first the folder's. Then some of the later ones.
    for left in (0..24).chain((400..700).step_by(97)) {
        let folder = tempfile::tempdir().unwrap();
        let fate = Arc::new(Mutex::new(Fate { left: Some(left), ..Fate::default() }));
        let Ok(mut state) = open(folder.path(), CommitPolicy::EveryBlock, &fate) else {
            // Full while genesis was written.
            let state = open(folder.path(), CommitPolicy::EveryBlock, &Arc::default()).unwrap();
            assert_eq!(state.tip().height, 0);
            continue;
        };
        let Some(error) = feed(&mut state, &blocks) else { continue };
        stops += 1;
        let StoreError::Io { path, source } = &error else { panic!("{left}: {error}") };
        assert!(source.kind() == io::ErrorKind::StorageFull && path.starts_with(folder.path()), "{error}");
        let durable = state.durable_tip().hash;
        fate.lock().unwrap().left = None;
        let again = state.flush();
        assert!(matches!(again, Err(StoreError::Stopped) | Ok(())), "{again:?}");
        assert_eq!(state.durable_tip().hash, durable, "a store that stopped has committed");
        drop(state);

        let mut state = open(folder.path(), CommitPolicy::WhenFull, &Arc::default()).unwrap();
        assert_eq!(state.tip().hash, durable);
        check_coins(&state, &format!("full after {left}"));
        assert!(feed(&mut state, &blocks).is_none());
        assert_eq!(state.tip().height, 115);
    }
    assert!(stops > 20, "{stops}");
}

/// Fills what is left of a disk but for `left` bytes.
fn ballast(path: &Path, left: usize) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left as u64)).unwrap();
}

/// A real small disk, which `ADIT_SMALL_DISK` names: block files and database run out of space as they come. tests/README.md
/// has the command.
fn a_small_disk_that_fills_up_stops_without_damage_and_goes_on_with_space() -> Result<(), Missing> {
    let disk = std::env::var_os("ADIT_SMALL_DISK").map(PathBuf::from);
    let disk = disk.ok_or_else(|| Missing::Optional("ADIT_SMALL_DISK names no small disk".to_owned()))?;
    let blocks = eventful(3);
    let (mut rng, mut in_files, mut in_database) = (Rng::new(5), 0, 0);
    for round in 0..40 {
        let (folder, filler) = (disk.join("store"), disk.join("ballast"));
        let commit = if round % 2 == 0 { CommitPolicy::EveryBlock } else { CommitPolicy::WhenFull };
        let fate = Arc::default();
        let mut state = open(&folder, commit, &fate).unwrap();
        let before = rng.below(60);
        assert!(feed(&mut state, &blocks[..before]).is_none());
        ballast(&filler, rng.below(100_000));
        let error = feed(&mut state, &blocks[before..]).or_else(|| state.flush().err());
        let durable = state.durable_tip().hash;
        if let Some(error) = error {
            let StoreError::Io { path, source } = &error else { panic!("{round}: {error}") };
            assert!(source.kind() == io::ErrorKind::StorageFull && path.starts_with(&folder), "{error}: {source}");
            *(if path.starts_with(folder.join("blocks")) { &mut in_files } else { &mut in_database }) += 1;
            assert!(matches!(state.flush(), Err(StoreError::Stopped) | Ok(())));
        }
        drop(state);
        // Full as it is, a start may fail, and damages nothing either.
        if let Err(error) = open(&folder, commit, &fate) {
            assert!(matches!(error, StoreError::Io { .. }), "{round}: {error}");
        }
        fs::remove_file(&filler).unwrap();
        let mut state = open(&folder, commit, &fate).unwrap();
        let id = state.headers().lookup(&durable).unwrap();
        assert!(state.tip().chain_work >= state.headers().entry(id).chain_work, "{round}");
        check_coins(&state, &format!("round {round}"));
        assert!(feed(&mut state, &blocks).is_none());
        assert_eq!(state.tip().height, 145);
        state.close().unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
    println!("{in_files} stops in block and undo files, {in_database} in the database");
    assert!(in_files > 0 && in_database > 0);
    Ok(())
}

fn main() -> ExitCode {
    trials::run(adit_testchain::trials![
        power_loss_takes_nothing_that_was_durable,
        a_full_disk_stops_with_its_file_and_without_damage,
        a_small_disk_that_fills_up_stops_without_damage_and_goes_on_with_space,
    ])
}
