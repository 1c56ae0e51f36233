//! Files in the data folder that are not part of the store.

use std::fs;

use super::checker::Checker;
use crate::filters;
use crate::progress::Stop;
use crate::store::commit_note::note_path;
use crate::store::io_error;
use crate::store::location::{
    BLOCKS, CUT_JOURNAL, DATABASE, LOCK, MARKER, NEW_CUT_JOURNAL, NEW_DATABASE, NEW_MARKER, OLD, REBUILDING, REBUILT,
    SCRATCH,
};

impl Checker<'_> {
    /// Notes every file that is not part of the store.
    pub(super) fn check_folder(&mut self) -> Result<(), Stop> {
        let folder = self.store.folder.clone();
        for found in fs::read_dir(&folder).map_err(io_error(&folder))? {
            let path = found.map_err(io_error(&folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match name.as_str() {
                LOCK | MARKER | BLOCKS | DATABASE => {}
                // The folders of indexes.
                filters::FOLDER => {}
                _ if path == note_path(&folder) => {}
                name if name.starts_with(CUT_JOURNAL) || name == NEW_CUT_JOURNAL => {
                    self.note(format!("{}: left over from a start that was cut off", path.display()));
                }
                NEW_MARKER | NEW_DATABASE | SCRATCH | REBUILDING | REBUILT | OLD => {
                    self.note(format!("{}: left over from a run that was cut off", path.display()));
                }
                _ => self.note(format!("{}: not of this store", path.display())),
            }
        }
        Ok(())
    }
}
