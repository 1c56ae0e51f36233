//! `adit chain new`: a chain file with a genesis block that commits to it, mined here.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use adit_hash::{HeaderBytes, NonceRange, ScanTarget};
use adit_miner::{CpuDevice, solve};
use adit_validator::chain::file::DifficultyRule;
use adit_validator::chain::{ChainFile, Multisig};
use adit_validator::consensus::Subsidy;
use anyhow::{Context, anyhow};
use bitcoin::consensus::serialize;
use bitcoin::{ScriptBuf, Target};

use super::show;
use crate::cli::{ChainNewArgs, DifficultyChoice};
use crate::clock::unix_time;
use crate::exit::{Exit, Failure, OrExit, Result};
use crate::{interrupt, output, progress};

/// Nonces searched between two looks at whether the run was interrupted: a second at the most.
const CHUNK: u64 = 1 << 24;

pub fn run(args: &ChainNewArgs) -> Result {
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.toml", args.name)));
    let mut file = described(args)?;
    // Before the work, so that it is not done for nothing.
    check_destination(&path)?;
    let interrupted = interrupt::flag().or_running()?;
    mine_genesis(&mut file, &interrupted)?;

    let text = file.to_toml();
    let read = ChainFile::parse(&text).context("the file would not be read back").or_running()?;
    if read != file {
        return Err(Exit::new(Failure::Running, anyhow!("the file would be read back as another chain: {text}")));
    }
    write_new(&path, &text)?;
    let params = file.params();
    if args.json {
        output::line(show::as_json(&params, Some(&path)))?;
    } else {
        output::line(format_args!("{}\nwritten to {}", show::as_text(&params), path.display()))?;
    }
    Ok(())
}

/// The chain that the flags describe, every value checked, its genesis block not mined.
fn described(args: &ChainNewArgs) -> Result<ChainFile> {
    let now = u32::try_from(unix_time()).unwrap_or(u32::MAX);
    let file = ChainFile::builder(&args.name, args.time.unwrap_or(now))
        .with_magic(args.magic)
        .with_rpc_port(args.rpc_port)
        .with_p2p_port(args.p2p_port)
        .with_seeds(args.seed.clone())
        .with_bech32_hrp(&args.hrp)
        .with_message(args.message.clone())
        .with_pow_limit(args.pow_limit)
        .with_spacing(args.spacing)
        .with_subsidy(Subsidy { initial: args.subsidy, halving_interval: args.halving })
        .with_challenge(challenge(args)?)
        .with_difficulty(difficulty(args)?);
    // The user has not seen the text that the error's line is of, nor what its fields are called.
    file.build().map_err(|error| Exit::new(Failure::Usage, anyhow!("{}", with_flags(&error.what()))))
}

/// The fields that flags set, by the names that a chain file gives them.
const FLAGS: [(&str, &str); 16] = [
    ("network.p2p_port", "--p2p-port"),
    ("network.rpc_port", "--rpc-port"),
    ("network.seeds", "--seed"),
    ("addresses.bech32_hrp", "--hrp"),
    ("genesis.time", "--time"),
    ("genesis.bits", "--pow-limit"),
    ("genesis.message", "--message"),
    ("rules.pow_limit", "--pow-limit"),
    ("rules.spacing", "--spacing"),
    ("rules.subsidy", "--subsidy"),
    ("rules.halving_interval", "--halving"),
    ("rules.difficulty.half_life", "--half-life"),
    ("rules.difficulty.asert.half_life", "--half-life"),
    ("rules.difficulty.interval", "--interval"),
    ("rules.difficulty.retarget.interval", "--interval"),
    ("rules.challenge", "--challenge"),
];

/// What is wrong with fields, said of the flags that set them.
fn with_flags(what: &str) -> String {
    // These two are words that stand elsewhere as well.
    let what = what.replace("`name`", "--name").replace("`magic`", "--magic");
    FLAGS.iter().fold(what, |what, (field, flag)| what.replace(&format!("`{field}`"), flag).replace(field, flag))
}

fn challenge(args: &ChainNewArgs) -> Result<Option<ScriptBuf>> {
    match args.signers {
        Some(signers) => {
            let multisig = Multisig::new(signers, args.key.clone()).context("--signers and --key").or_usage()?;
            Ok(Some(multisig.to_script()))
        }
        None => Ok(args.challenge.clone()),
    }
}

fn difficulty(args: &ChainNewArgs) -> Result<DifficultyRule> {
    let foreign = |flag: &str, rule: &str| {
        Err(Exit::new(Failure::Usage, anyhow!("--{flag} belongs to --difficulty {rule}; the chain has another rule")))
    };
    match (args.difficulty, args.half_life, args.interval) {
        (DifficultyChoice::Asert, half_life, None) => Ok(DifficultyRule::asert(half_life, args.spacing)),
        (DifficultyChoice::Retarget, None, interval) => Ok(DifficultyRule::retarget(interval)),
        (DifficultyChoice::None, None, None) => Ok(DifficultyRule::None),
        (DifficultyChoice::Asert | DifficultyChoice::None, _, Some(_)) => foreign("interval", "retarget"),
        (_, Some(_), _) => foreign("half-life", "asert"),
    }
}

/// Sets the nonce, and with it the hash, on as many CPU threads as there are. Where 2^32 nonces are not enough the time
/// moves on by a second.
fn mine_genesis(file: &mut ChainFile, interrupted: &AtomicBool) -> Result {
    let mut cpu = CpuDevice::new(None, None).context("cannot mine the genesis block").or_running()?;
    let target = ScanTarget::from_le_bytes(Target::from_compact(file.genesis.bits).to_le_bytes());
    tracing::info!("mining the genesis block of {}", file.name);
    let progress = progress::spinner(format!("mining the genesis block of {}", file.name));
    loop {
        let header: HeaderBytes =
            serialize(&file.params().genesis.header).try_into().expect("a header is serialized to 80 bytes");
        for first in (0..1_u64 << 32).step_by(CHUNK as usize) {
            if interrupted.load(Ordering::Relaxed) {
                progress.finish_and_clear();
                return Err(Exit::new(Failure::Running, anyhow!("interrupted: nothing was written")));
            }
            let solved = solve(&mut cpu, &header, NonceRange::new(first as u32, CHUNK), &target, &|_| {});
            if let Some(nonce) = solved.context("cannot mine the genesis block").or_running()?.nonce {
                progress.finish_and_clear();
                file.genesis.nonce = nonce;
                file.genesis.hash = Some(file.params().consensus.genesis_hash);
                return Ok(());
            }
        }
        let next = file.genesis.time.checked_add(1);
        file.genesis.time = next.ok_or_else(|| anyhow!("--time: no genesis block has a hash this low")).or_usage()?;
    }
}

/// The folder that a path's file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_destination(path: &Path) -> Result {
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let folder = folder_of(path);
    let metadata = folder.metadata().with_context(|| format!("--output: {}", folder.display())).or_usage()?;
    if metadata.is_dir() {
        Ok(())
    } else {
        Err(Exit::new(Failure::Usage, anyhow!("--output: {} is not a folder", folder.display())))
    }
}

fn exists(path: &Path) -> Exit {
    let error = anyhow!("--output: {} is there already, and a chain file is never overwritten", path.display());
    Exit::new(Failure::Usage, error)
}

/// Writes a file that was not there, whole or not at all, and durably.
fn write_new(path: &Path, text: &str) -> Result {
    let name = || format!("cannot write {}", path.display());
    let folder = folder_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".chain-").suffix(".new");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let new = builder.tempfile_in(folder);
    let unusable =
        |error: std::io::Error| anyhow!("--output: cannot make a file in {}: {}", folder.display(), error.kind());
    let mut new = new.map_err(unusable).or_usage()?;
    new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).with_context(name).or_running()?;
    match new.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
        Err(error) => return Err(error.error).with_context(name).or_running(),
    }
    // The name too survives a power loss; Windows has no such call and orders it itself.
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(name).or_running()?;
    Ok(())
}
