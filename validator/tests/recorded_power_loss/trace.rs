//! What `strace` has written down, as the calls that matter to a disk.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

/// One call that returned well, paths relative to the recorded folder.
#[derive(Clone)]
pub enum Call {
    MakeFolder(PathBuf),
    /// Opened with the right to make or to empty it.
    Open {
        path: PathBuf,
        make: bool,
        empty: bool,
    },
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Cut {
        path: PathBuf,
        length: u64,
    },
    /// A sync has begun: what it covers is what was written until here.
    SyncBegins {
        path: PathBuf,
        by: u32,
    },
    SyncEnds {
        by: u32,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    /// The process has said that this tip is durable.
    Report(BlockHash),
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MakeFolder(path) => write!(f, "make folder {}", path.display()),
            Self::Open { path, make, empty } => write!(f, "open {} (make {make}, empty {empty})", path.display()),
            Self::Write { path, offset, bytes } => write!(f, "write {} at {offset}: {}", path.display(), bytes.len()),
            Self::Cut { path, length } => write!(f, "cut {} to {length}", path.display()),
            Self::SyncBegins { path, .. } => write!(f, "sync {}", path.display()),
            Self::SyncEnds { .. } => write!(f, "synced"),
            Self::Rename { from, to } => write!(f, "rename {} to {}", from.display(), to.display()),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
            Self::Report(tip) => write!(f, "report {tip}"),
        }
    }
}

impl Call {
    pub fn changes(&self) -> bool {
        !matches!(self, Self::Report(_) | Self::SyncBegins { .. })
    }
}

/// Reads a recording; calls on other folders are left out.
pub fn read(trace: &Path, folder: &Path) -> Vec<Call> {
    let mut reader = Reader { folder, calls: Vec::new(), offsets: HashMap::new() };
    let mut unfinished: HashMap<u32, String> = HashMap::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        let (process, call) = line.split_once(' ').unwrap();
        let (process, call) = (process.parse().unwrap(), call.trim_start());
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            reader.begins(process, begun);
            unfinished.insert(process, begun.to_owned());
        } else if call.starts_with("<... ") {
            let (_, rest) = call.split_once("resumed>").unwrap();
            let whole = unfinished.remove(&process).unwrap() + rest;
            reader.ends(process, &whole);
        } else if !call.starts_with("+++") && !call.starts_with("---") {
            reader.begins(process, call);
            reader.ends(process, call);
        }
    }
    reader.calls
}

struct Reader<'a> {
    folder: &'a Path,
    calls: Vec<Call>,
    /// By descriptor: where the next write goes; `None`: to the file's end.
    offsets: HashMap<u32, Option<u64>>,
}

impl Reader<'_> {
    fn inside(&self, path: &[u8]) -> Option<PathBuf> {
        let path = Path::new(std::str::from_utf8(path).ok()?);
        path.strip_prefix(self.folder).ok().map(Path::to_owned)
    }

    fn begins(&mut self, process: u32, call: &str) {
        if (call.starts_with("fsync(") || call.starts_with("fdatasync("))
            && let Some(path) = descriptor(call).and_then(|(_, path)| self.inside(&path))
        {
            self.calls.push(Call::SyncBegins { path, by: process });
        }
    }

    fn ends(&mut self, process: u32, call: &str) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        let Some((arguments, result)) = arguments.rsplit_once(" = ") else { return };
        let result: i64 = result.split(['<', ' ']).next().unwrap().parse().unwrap_or(-1);
        if result < 0 {
            return;
        }
        let paths: Vec<Option<PathBuf>> = strings(arguments).iter().map(|path| self.inside(path)).collect();
        let on = descriptor(call).and_then(|(number, path)| Some((number, self.inside(&path)?)));
        match (name, on) {
            ("openat", _) => {
                let Some(Some(path)) = paths.into_iter().next() else { return };
                let append = arguments.contains("O_APPEND");
                self.offsets.insert(result as u32, (!append).then_some(0));
                let (make, empty) = (arguments.contains("O_CREAT"), arguments.contains("O_TRUNC"));
                if make || empty {
                    self.calls.push(Call::Open { path, make, empty });
                }
            }
            ("lseek", Some((number, _))) => drop(self.offsets.insert(number, Some(result as u64))),
            ("write", Some((number, path))) => {
                let mut bytes = strings(arguments).remove(0);
                bytes.truncate(result as usize);
                let offset = self.offsets.get_mut(&number).expect("it was opened");
                let at = offset.unwrap_or(u64::MAX);
                *offset = offset.map(|offset| offset + result as u64);
                self.calls.push(Call::Write { path, offset: at, bytes });
            }
            ("write", None) => {
                let text = String::from_utf8(strings(arguments).remove(0)).unwrap_or_default();
                self.calls.extend(text.trim().parse().ok().filter(|_| call.starts_with("write(1<")).map(Call::Report));
            }
            ("ftruncate", Some((_, path))) => {
                let length = arguments.trim_end_matches(')').rsplit(", ").next().unwrap().parse().unwrap();
                self.calls.push(Call::Cut { path, length });
            }
            ("fsync" | "fdatasync", Some(_)) => self.calls.push(Call::SyncEnds { by: process }),
            ("mkdir", _) => self.calls.extend(paths.into_iter().flatten().map(Call::MakeFolder)),
            ("unlink" | "unlinkat" | "rmdir", on) => {
                // A name may be relative to a descriptor of its folder.
                let named = strings(arguments).pop().unwrap();
                let relative = on.map(|(_, folder)| folder.join(std::str::from_utf8(&named).unwrap()));
                self.calls.extend(self.inside(&named).or(relative).map(Call::Remove));
            }
            ("rename" | "renameat" | "renameat2", _) => {
                let mut paths = paths.into_iter().flatten();
                if let (Some(from), Some(to)) = (paths.next(), paths.next()) {
                    self.calls.push(Call::Rename { from, to });
                }
            }
            (other, Some((_, path))) => panic!("{other} on {} is not known to the model", path.display()),
            _ => {}
        }
    }
}

/// The first argument as a descriptor, with the path that it stands for.
fn descriptor(call: &str) -> Option<(u32, Vec<u8>)> {
    let (_, arguments) = call.split_once('(')?;
    let (number, rest) = arguments.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    Some((number.parse().ok()?, unescape(path)))
}

/// The quoted arguments.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unescape).collect()
}

/// `\x2f\x74…`
fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|byte| u8::from_str_radix(&byte[..2], 16).unwrap()).collect()
}
