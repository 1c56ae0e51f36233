//! A file that is written as a whole at the end of a run, and tried at its beginning so that a bad path is refused at once.
//!
//! The draft that is tried is removed at once: a run that is interrupted leaves nothing beside the file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use atomic_write_file::AtomicWriteFile;

/// A file to be replaced. Until then whatever is there stays as it is.
#[derive(Debug)]
pub struct ReplacedFile {
    /// Where it is, links followed.
    file: PathBuf,
    /// As it was given, for messages.
    path: PathBuf,
}

impl ReplacedFile {
    /// Checks that the file at `path` can be replaced. A link is kept, and the file that it points to is replaced.
    ///
    /// # Errors
    /// `path` is not a file and cannot become one, or its folder takes no new files.
    pub fn check(path: &Path) -> Result<Self> {
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
        match AtomicWriteFile::open(&file).and_then(AtomicWriteFile::discard) {
            Ok(()) => Ok(Self { file, path: path.to_owned() }),
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
    pub fn replace(self, bytes: &[u8]) -> Result<()> {
        let write = || {
            let mut draft = AtomicWriteFile::open(&self.file)?;
            draft.write_all(bytes)?;
            draft.commit()
        };
        write().with_context(|| self.path.display().to_string())
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
            ReplacedFile::check(&file).unwrap().replace(content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["plot.svg"]);
    }

    /// A run that is killed drops nothing, so nothing may lie in the folder before the file is replaced.
    #[test]
    fn a_run_that_never_ends_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        std::mem::forget(ReplacedFile::check(&file).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
        fs::write(&file, "old").unwrap();
        std::mem::forget(ReplacedFile::check(&file).unwrap());
        assert_eq!((names(folder.path()), fs::read_to_string(&file).unwrap()), (vec!["plot.svg".into()], "old".into()));
    }

    #[test]
    fn a_folder_that_takes_no_file_is_refused_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        // Permissions do not stop root. A draft's name is longer than its file's, and no file system takes 258 bytes.
        let file = folder.path().join(format!("{}.svg", "p".repeat(246)));
        let error = format!("{:#}", ReplacedFile::check(&file).unwrap_err());
        assert!(error.contains("pp.svg: "), "{error}");
        // Linux' sysfs takes nobody's files.
        #[cfg(target_os = "linux")]
        {
            let error = format!("{:#}", ReplacedFile::check(Path::new("/sys/plot.svg")).unwrap_err());
            assert!(error.starts_with("/sys/plot.svg: "), "{error}");
        }
    }

    #[test]
    fn folders_and_what_is_in_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing.join(""), Path::new(""), Path::new("/"), Path::new("..")] {
            let error = ReplacedFile::check(path).unwrap_err().to_string();
            assert!(error.ends_with("not a file that could be replaced"), "{path:?}: {error}");
        }
        let error = ReplacedFile::check(&missing.join("plot.svg")).unwrap_err().to_string();
        assert!(error.contains("there is no folder") && error.ends_with("missing"), "{error}");
    }

    #[test]
    fn a_folder_that_goes_away_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/plot.svg");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let file = ReplacedFile::check(&path).unwrap();
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
        ReplacedFile::check(&link).unwrap().replace(b"new").unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), fs::read_link(&link).unwrap()), ("new", file));
        let dangling = folder.path().join("dangling.svg");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(ReplacedFile::check(&dangling).is_err());
    }
}
