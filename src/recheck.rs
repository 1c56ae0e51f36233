//! `adit validate --datadir`: a whole store checked anew from genesis, and `adit reindex`, which mends one.

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
use adit_validator::store::{StoreError, store_folder};
use anyhow::anyhow;
use bitcoin::BlockHash;
use bitcoin::hex::DisplayHex;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::cli::ReindexArgs;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::rate::counted;
use crate::{chain, interrupt, output, progress};

/// How many findings are printed as lines; the JSON has more.
const LINES: usize = 20;

/// Finds the store of `chain` for `--datadir`.
pub fn find_store(datadir: &Path, chain: &str) -> Result<PathBuf> {
    store_folder(datadir, chain).map_err(|error| unusable(error, datadir, ""))
}

/// What to do about damage in `file`, or where that is not known. Whatever is damaged but blocks and the marker can be made
/// anew.
fn advice(file: Option<&Path>, folder: &Path, chain: &str) -> String {
    let command =
        format!("`adit reindex --chain {} --datadir {}`", quoted(chain), quoted(&folder.display().to_string()));
    if file.is_some_and(|file| file.ends_with("STORE")) {
        "; docs/store-format.md has its four lines".to_owned()
    } else if file.is_some_and(holds_blocks) {
        format!(
            "; its blocks have to come from another copy of the chain: {command} keeps what comes before the damage, and \
             names what it leaves"
        )
    } else {
        format!("; {command} makes the database anew from the block files")
    }
}

fn holds_blocks(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("blk"))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+=:@%,".contains(letter);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Another folder, or the same one later, would do; a store that is broken is another matter. `chain` is what `--chain` was.
pub fn store_failure(error: StoreError, folder: &Path, chain: &str) -> Exit {
    let advice = match &error {
        StoreError::Damaged { path, .. } | StoreError::Database { path, .. } => advice(Some(path), folder, chain),
        StoreError::DamagedRecord { .. } | StoreError::OlderFormat { .. } => advice(None, folder, chain),
        _ => String::new(),
    };
    unusable(error, folder, &advice)
}

/// The same without a reindex as advice, for that itself.
fn unusable(error: StoreError, folder: &Path, advice: &str) -> Exit {
    let failure = match error {
        StoreError::InUse { .. }
        | StoreError::OtherChain { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::OlderFormat { .. }
        | StoreError::NotAStore { .. }
        | StoreError::NoMarker { .. }
        | StoreError::NoStore { .. }
        | StoreError::Io { .. } => Failure::Usage,
        _ => Failure::Running,
    };
    Exit::new(failure, anyhow!("--datadir: cannot use {}: {:#}{advice}", folder.display(), anyhow!(error)))
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
    let verdict = checked.map_err(|error| match error {
        // A file that cannot be read is input that cannot be read.
        StoreError::Io { .. } => Exit::new(Failure::Usage, error),
        error => store_failure(error, &folder, chain),
    })?;
    let took = started.elapsed().as_secs_f64();
    if as_json {
        output::line(verdict_json(params, &folder, &verdict, took))?;
    } else {
        output::line(verdict_text(params, &verdict, took))?;
    }
    if let Some(first) = verdict.findings.first() {
        let more = and_more(verdict.found.saturating_sub(1));
        // Where blocks are damaged, that is what counts.
        let mut files = verdict.findings.iter().map(|finding| finding.file.as_path());
        let advice = advice(files.find(|file| holds_blocks(file)).or(Some(&first.file)), &folder, chain);
        return Err(Exit::new(Failure::Invalid, anyhow!("{}{more}{advice}", describe(first))));
    }
    if verdict.interrupted {
        return Err(Exit::new(
            Failure::Running,
            anyhow!("interrupted after {}: nothing was wrong up to there", counted(verdict.blocks, "block")),
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

fn verdict_json(params: &ChainParams, folder: &Path, verdict: &RecheckReport, took: f64) -> Value {
    let findings = verdict.findings.iter().map(|finding| {
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
        "valid": verdict.found == 0,
        "complete": !verdict.interrupted && verdict.unchecked.is_empty(),
        "tip": tip_json(verdict.tip),
        "headers": verdict.headers,
        "blocks": verdict.blocks,
        "connected": verdict.connected,
        "undo_records": verdict.undo_records,
        "inputs": verdict.inputs,
        "coins": verdict.coins,
        "coin_statistics": verdict.coin_statistics.map(|coins| json!({
            "count": coins.count,
            "total_sat": coins.total.to_sat(),
            "muhash": muhash(&coins),
        })),
        "found": verdict.found,
        "findings": findings.collect::<Vec<_>>(),
        "notes": verdict.notes,
        "unchecked": verdict.unchecked,
        "seconds": took,
    })
}

/// As Bitcoin Core's `gettxoutsetinfo muhash` prints it.
fn muhash(coins: &CoinStatistics) -> String {
    let mut bytes = coins.muhash;
    bytes.reverse();
    bytes.to_lower_hex_string()
}

fn verdict_text(params: &ChainParams, verdict: &RecheckReport, took: f64) -> String {
    let word = if verdict.is_good() { "good" } else { "checked" };
    let mut lines = vec![format!(
        "chain {}: {}, {} ({} connected), {} and {} {word} in {took:.2} s",
        params.name,
        counted(verdict.headers, "header"),
        counted(verdict.blocks, "block"),
        verdict.connected,
        counted(verdict.undo_records, "undo record"),
        counted(verdict.coins, "coin"),
    )];
    lines.extend(verdict.tip.map(|(height, hash)| format!("tip {hash} at height {height}")));
    lines.extend(verdict.coin_statistics.map(|coins| {
        format!("coins of the replay: {}, {} satoshi, muhash {}", coins.count, coins.total.to_sat(), muhash(&coins))
    }));
    lines.extend(verdict.findings.iter().take(LINES).map(|finding| format!("wrong: {}", describe(finding))));
    if verdict.found > LINES as u64 {
        lines.push(format!("wrong: {} more", verdict.found - LINES as u64));
    }
    lines.extend(verdict.unchecked.iter().map(|what| format!("not checked: {what}")));
    lines.extend(verdict.notes.iter().map(|note| format!("note: {note}")));
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
        tracing::warn!("not all could be taken up, and the chain ends at height {height}: {first}{more}");
    }
    if let Some(lost) = made.lost_tip {
        tracing::warn!("the chain ends at height {height} and does not come to block {lost} any more, its tip before");
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
    lines.extend(made.left.iter().take(LINES).map(|left| format!("left where it is: {left}")));
    if made.left.len() > LINES {
        lines.push(format!("left where they are: {} more", made.left.len() - LINES));
    }
    lines.join("\n")
}
