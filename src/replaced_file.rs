//! A file that is written as a whole at the end of a run, and opened at its beginning so that a bad path is refused at once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use atomic_write_file::AtomicWriteFile;

/// A file to be replaced. Until then whatever is there stays as it is.
#[derive(Debug)]
pub struct ReplacedFile {
    /// Written beside the file, and renamed to it.
    draft: AtomicWriteFile,
    /// As it was given, for messages.
    path: PathBuf,
}

impl ReplacedFile {
    /// Opens a draft for the file at `path`. A link is kept, and the file that it points to is replaced.
    ///
    /// # Errors
    /// `path` is not a file and cannot become one, or its folder takes no new files.
    pub fn open(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let file = match fs::canonicalize(path) {
            Ok(file) if file.is_file() => file,
            Ok(_) => return Err(anyhow!("{}: not a file that could be replaced", name())),
            Err(error) if fs::symlink_metadata(path).is_ok() => return Err(error).with_context(name),
            Err(_) => path.to_owned(),
        };
        // "plots/" names a folder that is not there.
        if file.file_name().is_none() || file.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(anyhow!("{}: not a file that could be replaced", name()));
        }
        match AtomicWriteFile::open(&file) {
            Ok(draft) => Ok(Self { draft, path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = file.parent().unwrap_or(Path::new("")).display().to_string();
                Err(anyhow!("{}: there is no folder {folder}", name()))
            }
            Err(error) => Err(error).with_context(name),
        }
    }

    /// Puts `bytes` in place of what the file holds.
    ///
    /// # Errors
    /// The file system's; the file is then as it was.
    pub fn replace(mut self, bytes: &[u8]) -> Result<()> {
        self.draft.write_all(bytes).and_then(|()| self.draft.commit()).with_context(|| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_else_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        for content in ["first", "second"] {
            ReplacedFile::open(&file).unwrap().replace(content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        drop(ReplacedFile::open(&file).unwrap());
        assert_eq!(names(folder.path()), ["plot.svg"], "a draft that is given up is removed");
        assert_eq!(fs::read_to_string(&file).unwrap(), "second");
    }

    #[test]
    fn folders_and_what_is_in_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing.join(""), Path::new(""), Path::new("/"), Path::new("..")] {
            let error = ReplacedFile::open(path).unwrap_err().to_string();
            assert!(error.ends_with("not a file that could be replaced"), "{path:?}: {error}");
        }
        let error = ReplacedFile::open(&missing.join("plot.svg")).unwrap_err().to_string();
        assert!(error.contains("there is no folder") && error.ends_with("missing"), "{error}");
    }

    #[test]
    fn a_folder_that_goes_away_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/plot.svg");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let file = ReplacedFile::open(&path).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let error = format!("{:#}", file.replace(b"bars").unwrap_err());
        assert!(error.contains("gone/plot.svg"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_kept_and_its_file_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("plot.svg"), folder.path().join("latest.svg"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        ReplacedFile::open(&link).unwrap().replace(b"new").unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), fs::read_link(&link).unwrap()), ("new", file));
        let dangling = folder.path().join("dangling.svg");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(ReplacedFile::open(&dangling).is_err());
    }
}
