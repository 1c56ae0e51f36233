//! Files that are either as they were or whole and new, whatever happens in between.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a file can be written, as far as can be told beforehand.
#[derive(Debug)]
pub struct Destination {
    /// Without links: a link is kept, and what it points at replaced.
    file: PathBuf,
    /// As it was given, for messages.
    given: PathBuf,
}

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{}: not a file that could be replaced", .0.display())]
    NoFile(PathBuf),
    #[error("{}: there is no folder {}", .file.display(), .folder.display())]
    NoFolder { file: PathBuf, folder: PathBuf },
    #[error("{}: {error}", .file.display())]
    Io { file: PathBuf, error: io::Error },
}

impl Destination {
    /// Looks whether `path` is, or can become, a file, and whether its folder takes new ones.
    pub fn check(path: &Path) -> Result<Self, WriteError> {
        let destination = Self::of(path)?;
        let temporary = destination.temporary();
        // Modes and mounts do not tell; an attempt does.
        let tried = File::create(&temporary).and_then(|_| fs::remove_file(&temporary));
        tried.map_err(|error| WriteError::Io { file: destination.given.clone(), error })?;
        Ok(destination)
    }

    fn of(path: &Path) -> Result<Self, WriteError> {
        let given = path.to_owned();
        if fs::symlink_metadata(path).is_ok() {
            let file = fs::canonicalize(path).map_err(|error| WriteError::Io { file: given.clone(), error })?;
            return if file.is_file() { Ok(Self { file, given }) } else { Err(WriteError::NoFile(given)) };
        }
        // "plots/" names a folder that is not there.
        let is_name = path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if !is_name {
            return Err(WriteError::NoFile(given));
        }
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if folder.is_dir() {
            Ok(Self { file: given.clone(), given })
        } else {
            Err(WriteError::NoFolder { file: given, folder: folder.to_owned() })
        }
    }

    /// Beside the file, since a rename is atomic within a file system only; of this process, since another may write too.
    fn temporary(&self) -> PathBuf {
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        self.file.with_file_name(name)
    }
}

/// Writes `bytes` beside the destination and then moves them there.
pub fn write(destination: &Destination, bytes: &[u8]) -> Result<(), WriteError> {
    let temporary = destination.temporary();
    let written = File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, &destination.file));
    written.map_err(|error| {
        // The error that is reported is the first one; what is left behind may never have been there.
        let _ = fs::remove_file(&temporary);
        WriteError::Io { file: destination.given.clone(), error }
    })
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
            write(&Destination::check(&file).unwrap(), content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["plot.svg"]);
    }

    #[test]
    fn folders_and_what_is_in_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing.join(""), Path::new(""), Path::new("/"), Path::new("..")] {
            assert!(matches!(Destination::check(path), Err(WriteError::NoFile(_))), "{path:?}");
        }
        let error = Destination::check(&missing.join("plot.svg")).unwrap_err().to_string();
        assert!(error.contains("there is no folder") && error.ends_with("missing"), "{error}");
    }

    #[test]
    fn a_folder_that_takes_no_file_is_refused_beforehand_and_one_that_does_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        fs::write(&file, "old").unwrap();
        Destination::check(&file).unwrap();
        assert_eq!(
            (names(folder.path()), fs::read_to_string(&file).unwrap()),
            (vec!["plot.svg".to_owned()], "old".into())
        );
        // Permissions do not stop root; something in the temporary file's place stops everybody.
        fs::create_dir(Destination { file: file.clone(), given: file.clone() }.temporary()).unwrap();
        let error = Destination::check(&file).unwrap_err().to_string();
        assert!(error.contains("plot.svg"), "{error}");
        assert!(Destination::check(&folder.path().join("other.svg")).is_ok());
    }

    #[test]
    fn a_folder_that_goes_away_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gone/plot.svg");
        fs::create_dir(file.parent().unwrap()).unwrap();
        let destination = Destination::check(&file).unwrap();
        fs::remove_dir(file.parent().unwrap()).unwrap();
        let error = write(&destination, b"bars").unwrap_err().to_string();
        assert!(error.contains("gone/plot.svg"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_kept_and_its_file_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("plot.svg"), folder.path().join("latest.svg"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&Destination::check(&link).unwrap(), b"new").unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), fs::read_link(&link).unwrap()), ("new", file));
        let dangling = folder.path().join("dangling.svg");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(Destination::check(&dangling).is_err());
    }
}
