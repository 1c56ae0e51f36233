//! `adit validate --datadir`, which checks a whole store from genesis, and `adit reindex`, which rebuilds its database.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use adit_validator::chain::ChainParams;
use adit_validator::chainstate::ChainStateOptions;
use adit_validator::coins::statistics::CoinStatistics;
use adit_validator::import::{ReindexReport, reindex};
use adit_validator::progress::Watcher;
use adit_validator::recheck::{Finding, RecheckReport, recheck};
use adit_validator::store::{FileKind, StoreError, store_folder};
use anyhow::anyhow;
use bitcoin::BlockHash;
use bitcoin::hex::DisplayHex;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::cli::ReindexArgs;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::rate::counted;
use crate::{chain, interrupt, output, progress};

/// The number of findings printed as lines. The JSON has more.
const LINES: usize = 20;

/// Finds the store of `chain` for `--datadir`.
pub fn find_store(datadir: &Path, chain: &str) -> Result<PathBuf> {
    store_folder(datadir, chain).map_err(|error| unusable(error, datadir, ""))
}

/// Advice for damage in `file`, or in a file that is not known. Only block files and the marker cannot be rebuilt.
fn advice(file: Option<&Path>, folder: &Path, chain: &str) -> String {
    let command =
        format!("`adit reindex --chain {} --datadir {}`", quoted(chain), quoted(&folder.display().to_string()));
    match file.map(FileKind::of) {
        Some(FileKind::Marker) => "; docs/store-format.md has its four lines".to_owned(),
        Some(FileKind::Blocks) => format!(
            "; its blocks have to come from another copy of the chain: {command} keeps what comes before the damage, and \
             names what it leaves"
        ),
        _ => format!("; {command} makes the database anew from the block files"),
    }
}

fn holds_blocks(file: &Path) -> bool {
    FileKind::of(file) == FileKind::Blocks
}

/// Quotes `word` for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+=:@%,".contains(letter);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The exit for a store that cannot be used, with advice. `chain` is the value of `--chain`.
pub fn store_failure(error: StoreError, folder: &Path, chain: &str) -> Exit {
    let advice = match &error {
        StoreError::Damaged { path, .. } | StoreError::Database { path, .. } => advice(Some(path), folder, chain),
        StoreError::DamagedRecord { .. } | StoreError::OlderFormat { .. } => advice(None, folder, chain),
        _ => String::new(),
    };
    unusable(error, folder, &advice)
}

/// As [`store_failure`], with other advice. A wrong folder is a usage error, damage and a failing disk are not.
fn unusable(error: StoreError, folder: &Path, advice: &str) -> Exit {
    let failure = match &error {
        StoreError::InUse { .. }
        | StoreError::OtherChain { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::OlderFormat { .. }
        | StoreError::NotAStore { .. }
        | StoreError::NoMarker { .. }
        | StoreError::NoStore { .. } => Failure::Usage,
        StoreError::Io { source, .. } if names_a_wrong_folder(source.kind()) => Failure::Usage,
        _ => Failure::Running,
    };
    Exit::new(failure, anyhow!("--datadir: cannot use {}: {:#}{advice}", folder.display(), anyhow!(error)))
}

const fn names_a_wrong_folder(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename
    )
}

/// Draws progress until a signal asks for an end.
struct Display {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Display {
    fn new() -> Result<Self> {
        Ok(Self { bar: progress::steps(1), interrupted: interrupt::flag().or_running()? })
    }
}

impl Watcher for Display {
    fn progress(&mut self, work: &'static str, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(format!("{work} ({done})"));
    }

    fn goes_on(&mut self) -> bool {
        !self.interrupted.load(Ordering::Relaxed)
    }
}

/// `adit validate --datadir`.
pub fn validate_store(params: &ChainParams, chain: &str, datadir: &Path, as_json: bool) -> Result {
    let folder = find_store(datadir, &params.name)?;
    let mut display = Display::new()?;
    let started = Instant::now();
    let checked = recheck(&folder, params, &mut display);
    display.bar.finish_and_clear();
    let report = checked.map_err(|error| match error {
        // A file that cannot be read is input that cannot be read.
        StoreError::Io { .. } => Exit::new(Failure::Usage, error),
        error => store_failure(error, &folder, chain),
    })?;
    let took = started.elapsed().as_secs_f64();
    if as_json {
        output::line(recheck_json(params, &folder, &report, took))?;
    } else {
        output::line(recheck_text(params, &report, took))?;
    }
    if let Some(first) = report.findings.first() {
        let more = and_more(report.found.saturating_sub(1));
        // Damage in a block file needs the other advice.
        let mut files = report.findings.iter().map(|finding| finding.file.as_path());
        let advice = advice(files.find(|file| holds_blocks(file)).or(Some(&first.file)), &folder, chain);
        return Err(Exit::new(Failure::Invalid, anyhow!("{}{more}{advice}", describe(first))));
    }
    if report.interrupted {
        return Err(Exit::new(
            Failure::Running,
            anyhow!("interrupted after {}: nothing was wrong up to there", counted(report.blocks, "block")),
        ));
    }
    Ok(())
}

fn and_more(count: u64) -> String {
    if count > 0 { format!(" (and {count} more)") } else { String::new() }
}

/// File, byte, height, block, rule and what was seen.
fn describe(finding: &Finding) -> String {
    let mut line = finding.file.display().to_string();
    line.extend(finding.byte.map(|byte| format!(": byte {byte}")));
    line.extend(finding.height.map(|height| format!(": height {height}")));
    line.extend(finding.hash.map(|hash| format!(", block {hash}")));
    if finding.what.starts_with(&finding.rule) {
        format!("{line}: {}", finding.what)
    } else {
        format!("{line}: {}: {}", finding.rule, finding.what)
    }
}

fn tip_json(tip: Option<(u32, BlockHash)>) -> Value {
    json!(tip.map(|(height, hash)| json!({ "height": height, "hash": hash.to_string() })))
}

fn recheck_json(params: &ChainParams, folder: &Path, report: &RecheckReport, took: f64) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "file": finding.file.display().to_string(),
            "byte": finding.byte,
            "height": finding.height,
            "hash": finding.hash.map(|hash| hash.to_string()),
            "rule": finding.rule,
            "what": finding.what,
        })
    });
    json!({
        "chain": params.name,
        "store": folder.display().to_string(),
        "valid": report.found == 0,
        "complete": !report.interrupted && report.unchecked.is_empty(),
        "tip": tip_json(report.tip),
        "headers": report.headers,
        "blocks": report.blocks,
        "connected": report.connected,
        "undo_records": report.undo_records,
        "inputs": report.inputs,
        "coins": report.coins,
        "coin_statistics": report.coin_statistics.map(|coins| json!({
            "count": coins.count,
            "total_sat": coins.total.to_sat(),
            "muhash": muhash(&coins),
        })),
        "found": report.found,
        "findings": findings.collect::<Vec<_>>(),
        "notes": report.notes,
        "unchecked": report.unchecked,
        "seconds": took,
    })
}

/// As Bitcoin Core's `gettxoutsetinfo muhash` prints it.
fn muhash(coins: &CoinStatistics) -> String {
    let mut bytes = coins.muhash;
    bytes.reverse();
    bytes.to_lower_hex_string()
}

fn recheck_text(params: &ChainParams, report: &RecheckReport, took: f64) -> String {
    let word = if report.is_good() { "good" } else { "checked" };
    let mut lines = vec![format!(
        "chain {}: {}, {} ({} connected), {} and {} {word} in {took:.2} s",
        params.name,
        counted(report.headers, "header"),
        counted(report.blocks, "block"),
        report.connected,
        counted(report.undo_records, "undo record"),
        counted(report.coins, "coin"),
    )];
    lines.extend(report.tip.map(|(height, hash)| format!("tip {hash} at height {height}")));
    lines.extend(report.coin_statistics.map(|coins| {
        format!("coins of the replay: {}, {} satoshi, muhash {}", coins.count, coins.total.to_sat(), muhash(&coins))
    }));
    lines.extend(report.findings.iter().take(LINES).map(|finding| format!("wrong: {}", describe(finding))));
    if report.found > LINES as u64 {
        lines.push(format!("wrong: {} more", report.found - LINES as u64));
    }
    lines.extend(report.unchecked.iter().map(|what| format!("not checked: {what}")));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// `adit reindex`.
pub fn run_reindex(args: &ReindexArgs) -> Result {
    let params = chain::named(&args.chain)?;
    let folder = find_store(&args.datadir, &params.name)?;
    let mut display = Display::new()?;
    let made = reindex(&folder, &params, ChainStateOptions::default(), &mut display);
    display.bar.finish_and_clear();
    let made = made.map_err(|error| match error {
        StoreError::NotKept { .. } => {
            let what =
                anyhow!("{}: the first blocks are not kept, and coins cannot be made without them", folder.display());
            Exit::new(Failure::Running, what)
        }
        StoreError::Io { .. } => Exit::new(Failure::Running, error),
        error => unusable(error, &folder, ""),
    })?;
    if args.json {
        output::line(reindexed_json(&params, &folder, &made))?;
    } else {
        output::line(reindexed_text(&params, &made))?;
    }
    if made.interrupted {
        return Err(Exit::new(Failure::Running, anyhow!("interrupted: the old database is still in its place")));
    }
    let height = made.tip.map_or(0, |(height, _)| height);
    if let Some(first) = made.left.first() {
        let more = and_more(made.left.len() as u64 - 1);
        tracing::warn!("some records were left out, and the chain ends at height {height}: {first}{more}");
    }
    if let Some(lost) = made.lost_tip {
        tracing::warn!("the chain ends at height {height} and lacks its former tip {lost}");
    }
    Ok(())
}

fn reindexed_json(params: &ChainParams, folder: &Path, made: &ReindexReport) -> Value {
    json!({
        "chain": params.name,
        "store": folder.display().to_string(),
        "complete": !made.interrupted,
        "tip": tip_json(made.tip),
        "blocks": made.blocks,
        "left": made.left,
        "lost_tip": made.lost_tip.map(|hash| hash.to_string()),
    })
}

fn reindexed_text(params: &ChainParams, made: &ReindexReport) -> String {
    let mut lines = Vec::new();
    lines.extend(made.tip.map(|(height, hash)| {
        format!("chain {}: {} indexed; tip {hash} at height {height}", params.name, counted(made.blocks, "block"))
    }));
    lines.extend(made.left.iter().take(LINES).map(|left| format!("left out: {left}")));
    if made.left.len() > LINES {
        lines.push(format!("left out: {} more", made.left.len() - LINES));
    }
    lines.join("\n")
}
