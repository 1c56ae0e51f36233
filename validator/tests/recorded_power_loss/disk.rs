//! A model of a disk: what is synced lasts, and of the rest any part may be lost.
//!
//! As strict as POSIX allows. A file's bytes last after a sync of the file, by sectors before; a name lasts after a sync of
//! its folder, even where the file itself was synced. Names of one folder change in order, those of different folders
//! independently; a rename is whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::trace::Call;
use adit_testchain::Rng;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: u64 = 512;

type Image = Box<[u8; SECTOR as usize]>;

/// Which part of what was not synced is lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// All of it.
    Everything,
    /// Nothing, as after SIGKILL.
    Nothing,
    /// Everything after some change of each file and folder.
    Tails,
    /// Sectors at random, and files as long as they were.
    Sectors,
    /// Sectors at random, names kept, lengths at random.
    Bytes,
}

impl Loss {
    pub const ALL: [Self; 5] = [Self::Sectors, Self::Tails, Self::Everything, Self::Bytes, Self::Nothing];
}

#[derive(Clone, Debug, Default)]
struct Content {
    length: u64,
    /// Those that were written; others are zeros.
    sectors: BTreeMap<u64, Image>,
}

#[derive(Clone, Debug)]
enum Change {
    Sector(u64, Image),
    Length(u64),
}

#[derive(Clone, Debug)]
enum Naming {
    Set(String, usize),
    Drop(String),
    Move(String, String),
}

#[derive(Debug, Default)]
struct Node {
    /// A folder's names; `None`: a file.
    names: Option<BTreeMap<String, usize>>,
    durable_names: BTreeMap<String, usize>,
    namings: Vec<Naming>,
    content: Content,
    durable: Content,
    changes: Vec<Change>,
}

/// Files and folders by number; the root is the first.
#[derive(Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    /// By thread: what a sync that has begun will have made durable, and how many changes it covers.
    syncing: HashMap<u32, (usize, Content, BTreeMap<String, usize>, usize)>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![Node { names: Some(BTreeMap::new()), ..Node::default() }], syncing: HashMap::new() }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Set(name, node) => drop(names.insert(name.clone(), *node)),
        Naming::Drop(name) => drop(names.remove(name)),
        Naming::Move(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

fn change(content: &mut Content, change: &Change) {
    match change {
        Change::Sector(sector, image) => drop(content.sectors.insert(*sector, image.clone())),
        Change::Length(length) => {
            content.length = *length;
            content.sectors.retain(|sector, _| sector * SECTOR < *length);
            // What a cut takes is zero when the file grows again.
            if let Some(image) = content.sectors.get_mut(&(*length / SECTOR)) {
                image[(*length % SECTOR) as usize..].fill(0);
            }
        }
    }
}

impl Disk {
    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(0, |node: usize, name| self.nodes[node].names.as_ref()?.get(name.to_str()?).copied())
    }

    fn parent(&self, path: &Path) -> (usize, String) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (self.find(path.parent().unwrap()).unwrap_or_else(|| panic!("no folder for {}", path.display())), name)
    }

    fn rename(&mut self, folder: usize, naming: Naming) {
        let folder = &mut self.nodes[folder];
        apply(folder.names.as_mut().unwrap(), &naming);
        folder.namings.push(naming);
    }

    fn make(&mut self, path: &Path, names: Option<BTreeMap<String, usize>>) -> usize {
        let (folder, name) = self.parent(path);
        self.nodes.push(Node { names, ..Node::default() });
        let node = self.nodes.len() - 1;
        self.rename(folder, Naming::Set(name, node));
        node
    }

    fn change(&mut self, node: usize, what: Change) {
        let node = &mut self.nodes[node];
        change(&mut node.content, &what);
        node.changes.push(what);
    }

    /// Does what a call did.
    pub fn play(&mut self, call: &Call) {
        match call {
            Call::MakeFolder(path) if path.as_os_str().is_empty() => {}
            Call::MakeFolder(path) => drop(self.make(path, Some(BTreeMap::new()))),
            Call::Open { path, make, empty } => {
                let Some(node) = self.find(path).or_else(|| make.then(|| self.make(path, None))) else { return };
                if *empty && self.nodes[node].content.length > 0 {
                    self.change(node, Change::Length(0));
                }
            }
            Call::Write { path, offset, bytes } => self.write(path, *offset, bytes),
            Call::Cut { path, length } => {
                let node = self.find(path).unwrap();
                self.change(node, Change::Length(*length));
            }
            Call::SyncBegins { path, by } => {
                let node = self.find(path).unwrap();
                let Node { content, names, changes, namings, .. } = &self.nodes[node];
                let covered = if names.is_some() { namings.len() } else { changes.len() };
                let began = (node, content.clone(), names.clone().unwrap_or_default(), covered);
                self.syncing.insert(*by, began);
            }
            Call::SyncEnds { by } => {
                let Some((node, content, names, covered)) = self.syncing.remove(by) else { return };
                let node = &mut self.nodes[node];
                if node.names.is_some() {
                    node.durable_names = names;
                    node.namings.drain(..covered.min(node.namings.len()));
                } else {
                    node.durable = content;
                    node.changes.drain(..covered.min(node.changes.len()));
                }
            }
            Call::Rename { from, to } => {
                let ((folder, from), (other, to)) = (self.parent(from), self.parent(to));
                assert_eq!(folder, other, "a rename stays in its folder");
                self.rename(folder, Naming::Move(from, to));
            }
            Call::Remove(path) => {
                let (folder, name) = self.parent(path);
                self.rename(folder, Naming::Drop(name));
            }
            Call::Report(_) => {}
        }
    }

    fn write(&mut self, path: &Path, offset: u64, bytes: &[u8]) {
        let node = self.find(path).unwrap_or_else(|| panic!("{} is not there", path.display()));
        let length = self.nodes[node].content.length;
        let mut at = if offset == u64::MAX { length } else { offset };
        let end = at + bytes.len() as u64;
        let mut left = bytes;
        while !left.is_empty() {
            let (sector, skip) = (at / SECTOR, (at % SECTOR) as usize);
            let part = left.len().min(SECTOR as usize - skip);
            // The whole sector as it then is: a disk never brings back what a later write of it replaced.
            let mut image =
                self.nodes[node].content.sectors.get(&sector).cloned().unwrap_or(Box::new([0; SECTOR as usize]));
            image[skip..skip + part].copy_from_slice(&left[..part]);
            self.change(node, Change::Sector(sector, image));
            (at, left) = (at + part as u64, &left[part..]);
        }
        if end > length {
            self.change(node, Change::Length(end));
        }
    }

    /// Writes to `folder` what is left after a loss of power now.
    pub fn lay_out(&self, folder: &Path, loss: Loss, rng: &mut Rng) {
        let mut left: Vec<(usize, PathBuf)> = vec![(0, folder.to_owned())];
        while let Some((node, path)) = left.pop() {
            let node = &self.nodes[node];
            if node.names.is_some() {
                fs::create_dir(&path).unwrap();
                let names = surviving_names(node, loss, rng);
                left.extend(names.into_iter().map(|(name, node)| (node, path.join(name))));
            } else {
                let content = surviving_content(node, loss, rng);
                let file = File::create(&path).unwrap();
                file.set_len(content.length).unwrap();
                for (sector, image) in content.sectors {
                    let start = sector * SECTOR;
                    let length = content.length.saturating_sub(start).min(SECTOR) as usize;
                    file.write_all_at(&image[..length], start).unwrap();
                }
            }
        }
    }
}

fn surviving_names(node: &Node, loss: Loss, rng: &mut Rng) -> BTreeMap<String, usize> {
    let count = match loss {
        Loss::Everything => 0,
        Loss::Nothing | Loss::Bytes => node.namings.len(),
        Loss::Tails | Loss::Sectors => rng.below(node.namings.len() + 1),
    };
    let mut names = node.durable_names.clone();
    node.namings[..count].iter().for_each(|naming| apply(&mut names, naming));
    names
}

fn surviving_content(node: &Node, loss: Loss, rng: &mut Rng) -> Content {
    let mut content = node.durable.clone();
    match loss {
        Loss::Everything => {}
        Loss::Nothing => node.changes.iter().for_each(|what| change(&mut content, what)),
        Loss::Tails => {
            let count = rng.below(node.changes.len() + 1);
            node.changes[..count].iter().for_each(|what| change(&mut content, what));
        }
        Loss::Sectors | Loss::Bytes => {
            for what in &node.changes {
                let kept = match what {
                    Change::Length(_) => matches!(loss, Loss::Sectors) || rng.below(2) == 0,
                    Change::Sector(..) => rng.below(3) > 0,
                };
                if kept {
                    change(&mut content, what);
                }
            }
            content.sectors.retain(|sector, _| sector * SECTOR < content.length);
        }
    }
    content
}
