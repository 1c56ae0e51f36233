//! Checks the block and undo files: the positions of their records, and the blocks against the rules.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bitcoin::BlockHash;

use super::checker::Checker;
use super::index::StoreContents;
use super::report::Finding;
use crate::block::DecodedBlock;
use crate::coins::BlockUndo;
use crate::headers::{Entry, EntryId};
use crate::progress::{STRIDE, Stop};
use crate::rules::{self, BlockContext, RuleError};
use crate::store::files::FileInfo;
use crate::store::framing::FRAMING_BYTES;
use crate::store::location::{BLOCKS, block_file, file_number, undo_file};
use crate::store::{Span, io_error};

/// The length of the checksum after each undo record.
const CHECKSUM_BYTES: u32 = 32;

/// The records of one file, with height and hash of their blocks.
type Spans = Vec<(Span, u32, BlockHash)>;

impl Checker<'_> {
    fn block_path(&self, name: &str) -> PathBuf {
        self.store.folder.join(BLOCKS).join(name)
    }

    /// Checks that records do not overlap, and that they end at the committed lengths.
    pub(super) fn check_spans(&mut self, contents: &StoreContents) -> Result<(), Stop> {
        let mut files: BTreeMap<u32, (Spans, Spans)> =
            contents.infos.keys().map(|number| (*number, Default::default())).collect();
        for entry in contents.tree.ids().map(|id| contents.tree.entry(id)) {
            let Some(location) = entry.location else { continue };
            let (blocks, undo) = files.entry(location.file).or_default();
            blocks.push((location.block, entry.height, entry.hash));
            undo.extend(location.undo.map(|span| (span, entry.height, entry.hash)));
        }
        for (number, (mut blocks, mut undo)) in files {
            let info = contents.infos.get(&number).copied().unwrap_or(FileInfo::EMPTY);
            let heights = || blocks.iter().map(|(_, height, _)| *height);
            let count = blocks.len() as u32;
            let seen = (count, heights().min().unwrap_or(u32::MAX), heights().max().unwrap_or(0));
            if seen != (info.blocks, info.lowest, info.highest) {
                let wanted = format!("{} blocks, heights {} to {}", info.blocks, info.lowest, info.highest);
                let what = format!("file {number}: {wanted}; the index has {} from {} to {}", seen.0, seen.1, seen.2);
                self.found(Finding::file(contents.database.clone(), "files", what));
            }
            self.check_file(&block_file(number), &mut blocks, 0, info.block_bytes)?;
            self.check_file(&undo_file(number), &mut undo, CHECKSUM_BYTES, info.undo_bytes)?;
        }
        self.check_stray_files(contents)
    }

    fn check_file(&mut self, name: &str, spans: &mut Spans, trailer: u32, committed: u32) -> Result<(), Stop> {
        let path = self.block_path(name);
        let length = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(io_error(&path)(error).into()),
        };
        let committed = u64::from(committed);
        if length < committed {
            let what = format!("the file has {length} bytes, {committed} were committed");
            self.found(Finding::file(path.clone(), "length", what).at(length));
        } else if length > committed {
            let extra = length - committed;
            self.note(format!("{}: {extra} bytes behind the last commit; the next start cuts them", path.display()));
        }
        spans.sort_unstable_by_key(|(span, ..)| span.offset);
        let mut end = 0;
        for (span, height, hash) in spans {
            let start = u64::from(span.offset).checked_sub(FRAMING_BYTES.into());
            match start {
                Some(start) if start >= end => {
                    if start > end {
                        self.note(format!("{}: {} bytes at {end} are of no block", path.display(), start - end));
                    }
                }
                _ => {
                    let what = format!("the index has a record at {}, where another one ends at {end}", span.offset);
                    let finding = Finding::file(path.clone(), "index", what).at(span.offset.into());
                    self.found(finding.of_block(*height, *hash));
                }
            }
            end = u64::from(span.offset) + u64::from(span.length) + u64::from(trailer);
        }
        if end > committed {
            let what = format!("records end at {end}, {committed} bytes were committed");
            self.found(Finding::file(path, "files", what).at(committed));
        } else if end < committed {
            self.note(format!("{}: {} bytes at {end} are of no block", path.display(), committed - end));
        }
        Ok(())
    }

    fn check_stray_files(&mut self, contents: &StoreContents) -> Result<(), Stop> {
        let blocks = self.store.folder.join(BLOCKS);
        for found in std::fs::read_dir(&blocks).map_err(io_error(&blocks))? {
            let path = found.map_err(io_error(&blocks))?.path();
            let number = path.file_name().and_then(|name| file_number(name.to_str()?));
            match number {
                Some(number) if contents.infos.contains_key(&number) => {}
                Some(_) => self.note(format!("{}: no commit refers to it; the next start removes it", path.display())),
                None => self.note(format!("{}: not of this store", path.display())),
            }
        }
        Ok(())
    }

    /// Reads the block of `id` and checks all rules that need no coins. `None`: it is damaged, and was reported.
    pub(super) fn check_block(&mut self, contents: &StoreContents, id: EntryId) -> Result<Option<DecodedBlock>, Stop> {
        let entry = contents.tree.entry(id);
        let block = Some((entry.height, entry.hash));
        let Some(location) = entry.location else { return Ok(None) };
        let path = self.block_path(&block_file(location.file));
        let offset = u64::from(location.block.offset);
        let bytes = match contents.files.read_block(&location) {
            Ok(bytes) => bytes,
            Err(error) => return self.found_in(error, "framing", block).map(|()| None),
        };
        self.report.blocks += 1;
        if self.report.blocks.is_multiple_of(STRIDE) {
            self.watcher.progress("checking blocks", self.report.blocks, contents.blocks);
            self.go_on()?;
        }
        let finding = |rule: &str, what: String| Finding::file(path.clone(), rule, what).at(offset);
        let decoded = match DecodedBlock::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.found(finding("encoding", error.to_string()).of_block(entry.height, entry.hash));
                return Ok(None);
            }
        };
        let count = decoded.transactions().len();
        let fault = if decoded.hash() != entry.hash {
            Some(finding("block-hash", format!("a block {}, wanted {}", decoded.hash(), entry.hash)))
        } else if let Err(error) = self.rules_without_coins(contents, entry, &decoded) {
            Some(Finding::broken(path, &error).at(offset))
        } else if count != location.transactions as usize {
            Some(finding("index", format!("{count} transactions, the index has {}", location.transactions)))
        } else {
            None
        };
        match fault {
            Some(fault) => {
                self.found(fault.of_block(entry.height, entry.hash));
                Ok(None)
            }
            None => Ok(Some(decoded)),
        }
    }

    fn rules_without_coins(
        &self,
        contents: &StoreContents,
        entry: &Entry,
        block: &DecodedBlock,
    ) -> Result<(), RuleError> {
        rules::validate_block_in_isolation(&self.params.consensus, block)?;
        match entry.parent {
            Some(parent) => rules::validate_block_in_context(
                &self.params.consensus,
                BlockContext::after(&contents.tree.chain(parent)),
                block,
            ),
            None => Ok(()),
        }
    }

    /// Reads the undo record of `id`. `None`: there is none, or it is damaged and was reported.
    pub(super) fn check_undo(&mut self, contents: &StoreContents, id: EntryId) -> Result<Option<BlockUndo>, Stop> {
        let entry = contents.tree.entry(id);
        let Some((file, span)) = entry.location.and_then(|location| Some((location.file, location.undo?))) else {
            return Ok(None);
        };
        self.report.undo_records += 1;
        match contents.files.read_undo(file, span, &entry.header.prev_blockhash) {
            Ok(undo) => Ok(Some(undo)),
            Err(error) => self.found_in(error, "undo", Some((entry.height, entry.hash))).map(|()| None),
        }
    }

    /// Checks the blocks that are not in the active chain.
    pub(super) fn check_other_blocks(&mut self, contents: &StoreContents) -> Result<(), Stop> {
        for id in contents.tree.ids().filter(|id| !contents.is_active(*id)) {
            self.check_block(contents, id)?;
            self.check_undo(contents, id)?;
        }
        Ok(())
    }
}
