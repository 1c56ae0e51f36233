//! `adit chain show`: the parameters of a chain, and the hashes by which two people see that they have the same one.

use std::path::Path;

use adit_validator::chain::{AddressPrefixes, ChainParams, Multisig, challenge_hash, signet_magic};
use adit_validator::consensus::{Deployments, Difficulty};
use bitcoin::Work;
use bitcoin::consensus::encode::serialize_hex;
use serde_json::{Value, json};

use super::{is_path, named_by};
use crate::cli::ChainShowArgs;
use crate::exit::Result;
use crate::output;

pub fn run(args: &ChainShowArgs) -> Result {
    let params = named_by("", &args.chain)?;
    if args.rules {
        // The line's end is the text's own last one.
        output::line(params.rules_text().trim_end())?;
    } else if args.json {
        let file = is_path(&args.chain).then(|| Path::new(&args.chain));
        output::line(as_json(&params, file))?;
    } else {
        output::line(as_text(&params))?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The chain in lines of a label and a value.
pub fn as_text(params: &ChainParams) -> String {
    let [a, b, c, d] = params.magic;
    let mut rows = vec![
        ("chain", params.name.clone()),
        ("magic", hex(&params.magic)),
        (
            "message start",
            format!("{a:#04x} {b:#04x} {c:#04x} {d:#04x}, little-endian {:#010x}", little_endian(params)),
        ),
        ("ports", format!("p2p {}, rpc {}", params.p2p_port, params.rpc_port)),
        ("addresses", addresses(params)),
        ("genesis hash", params.consensus.genesis_hash.to_string()),
        ("merkle root", params.genesis.header.merkle_root.to_string()),
        ("genesis header", genesis_header(params)),
        ("rules hash", params.rules_hash().to_string()),
        ("pow limit", format!("{:064x}", params.consensus.pow_limit)),
        ("spacing", format!("{} s", params.consensus.pow_target_spacing)),
        ("difficulty", difficulty(params)),
        ("subsidy", subsidy(params)),
        ("deployments", deployments(params)),
    ];
    if let Some(challenge) = &params.consensus.signet_challenge {
        rows.push(("challenge", challenge.to_hex_string()));
        if let Some(signers) = signers(params) {
            rows.push(("signers", signers));
        }
        rows.push(("challenge hash", hex(challenge_hash(challenge).as_ref())));
        rows.push(("signet magic", hex(&signet_magic(challenge))));
    }
    if params.consensus.minimum_chain_work > Work::from_be_bytes([0; 32]) {
        rows.push(("minimum work", format!("{:064x}", params.consensus.minimum_chain_work)));
    }
    if let Some(hash) = params.consensus.default_assume_valid {
        rows.push(("assume valid", hash.to_string()));
    }
    rows.extend(params.seeds.iter().map(|seed| ("seed", seed.to_string())));
    rows.iter().map(|(label, value)| format!("{label:16}{value}")).collect::<Vec<_>>().join("\n")
}

fn addresses(params: &ChainParams) -> String {
    let AddressPrefixes { bech32_hrp, p2pkh, p2sh, wif, xpub, xprv } = &params.addresses;
    let (xpub, xprv) = (hex(xpub), hex(xprv));
    format!("bech32 {bech32_hrp}, p2pkh {p2pkh}, p2sh {p2sh}, wif {wif}, xpub {xpub}, xprv {xprv}")
}

fn genesis_header(params: &ChainParams) -> String {
    let header = &params.genesis.header;
    let (version, bits) = (header.version.to_consensus(), header.bits.to_consensus());
    format!("version {version}, time {}, bits {bits:08x}, nonce {}", header.time, header.nonce)
}

fn deployments(params: &ChainParams) -> String {
    let Deployments { bip34, bip65, bip66, csv, segwit, taproot } = params.consensus.deployments;
    format!("bip34 {bip34}, bip65 {bip65}, bip66 {bip66}, csv {csv}, segwit {segwit}, taproot {taproot}")
}

/// Some programs write the magic as a number.
fn little_endian(params: &ChainParams) -> u32 {
    u32::from_le_bytes(params.magic)
}

/// Who must sign, where the challenge says so in the usual form: `5 of 6`.
pub fn signers(params: &ChainParams) -> Option<String> {
    let multisig = Multisig::of(params.consensus.signet_challenge.as_ref()?)?;
    Some(format!("{} of {}", multisig.needed(), multisig.keys().len()))
}

fn difficulty(params: &ChainParams) -> String {
    match params.consensus.difficulty {
        Difficulty::Asert { half_life, anchor_height } => {
            format!("asert, half-life {half_life} s, anchored at height {anchor_height}")
        }
        Difficulty::Retarget { pow_no_retargeting: true, pow_allow_min_difficulty_blocks: minimum_allowed, .. } => {
            format!("none{}", if minimum_allowed { ", minimum allowed after two spacings" } else { "" })
        }
        Difficulty::Retarget {
            pow_target_timespan,
            pow_allow_min_difficulty_blocks: minimum_allowed,
            enforce_bip94,
            ..
        } => format!(
            "retarget each {} blocks{}{}",
            pow_target_timespan / params.consensus.pow_target_spacing,
            if minimum_allowed { ", minimum allowed after two spacings" } else { "" },
            if enforce_bip94 { ", BIP94" } else { "" }
        ),
        // A rule of a later version; the text of the rules names it.
        _ => "another rule".to_owned(),
    }
}

fn subsidy(params: &ChainParams) -> String {
    let coins = params.consensus.subsidy.initial.to_btc();
    match params.consensus.subsidy.halving_interval {
        0 => format!("{coins} coins, for ever"),
        interval => format!("{coins} coins, halved each {interval} blocks"),
    }
}

/// The same as one object, with the genesis block.
pub fn as_json(params: &ChainParams, file: Option<&Path>) -> Value {
    let header = &params.genesis.header;
    let forks = &params.consensus.deployments;
    let addresses = &params.addresses;
    json!({
        "name": params.name,
        "file": file.map(|file| file.display().to_string()),
        "magic": hex(&params.magic),
        "magic_little_endian": little_endian(params),
        "p2p_port": params.p2p_port,
        "rpc_port": params.rpc_port,
        "seeds": params.seeds.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "addresses": {
            "bech32_hrp": addresses.bech32_hrp,
            "p2pkh": addresses.p2pkh,
            "p2sh": addresses.p2sh,
            "wif": addresses.wif,
            "xpub": hex(&addresses.xpub),
            "xprv": hex(&addresses.xprv),
        },
        "genesis": {
            "hash": params.consensus.genesis_hash.to_string(),
            "merkle_root": header.merkle_root.to_string(),
            "version": header.version.to_consensus(),
            "time": header.time,
            "bits": format!("{:08x}", header.bits.to_consensus()),
            "nonce": header.nonce,
            "block": serialize_hex(&params.genesis),
        },
        "rules_hash": params.rules_hash().to_string(),
        "rules": {
            "pow_limit": format!("{:064x}", params.consensus.pow_limit),
            "spacing": params.consensus.pow_target_spacing,
            "difficulty": difficulty(params),
            "subsidy": params.consensus.subsidy.initial.to_sat(),
            "halving_interval": params.consensus.subsidy.halving_interval,
            "bip34": forks.bip34,
            "bip65": forks.bip65,
            "bip66": forks.bip66,
            "csv": forks.csv,
            "segwit": forks.segwit,
            "taproot": forks.taproot,
        },
        "challenge": params.consensus.signet_challenge.as_ref().map(|challenge| json!({
            "script": challenge.to_hex_string(),
            "hash": hex(challenge_hash(challenge).as_ref()),
            "signet_magic": hex(&signet_magic(challenge)),
            "signers": signers(params),
        })),
        "minimum_chain_work": format!("{:064x}", params.consensus.minimum_chain_work),
        "assume_valid": params.consensus.default_assume_valid.map(|hash| hash.to_string()),
    })
}
