//! Writes a chain file: every field, in the order of docs/chain-file.md, with comments for its reader.

use super::{ChainFile, DifficultyRule, GenesisTable, NetworkTable, RulesTable};

impl ChainFile {
    /// The text of the file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every field is named, so that a new one is not left out.
        let Self { format, name, magic, network, addresses, genesis, rules } = self;
        let NetworkTable { p2p_port, rpc_port, seeds, minimum_chain_work, assume_valid } = network;
        let GenesisTable { time, bits, nonce, version, message, script, value, hash } = genesis;
        let RulesTable { pow_limit, spacing, subsidy, halving_interval, challenge, difficulty, deployments: forks } =
            rules;
        let magic = hex(*magic);
        let seeds: Vec<String> = seeds.iter().map(|seed| quoted(&seed.to_string())).collect();
        let optional =
            |name: &str, value: Option<String>| value.map_or_else(String::new, |v| format!("{name} = \"{v}\"\n"));
        format!(
            "\
# A private chain of Adit. docs/chain-file.md describes every field.
# Name, magic, [genesis] and [rules] are the chain: the genesis block commits to them, so a file in which they were
# edited is refused. [network] and [addresses] may be edited.
format = {format}
name = {name}
magic = \"{magic}\"

[network]
p2p_port = {p2p_port}
rpc_port = {rpc_port}
seeds = [{seeds}]
minimum_chain_work = \"{work:064x}\"
{assume_valid}
[addresses]
bech32_hrp = {hrp}
p2pkh = {p2pkh}
p2sh = {p2sh}
wif = {wif}
xpub = \"{xpub}\"
xprv = \"{xprv}\"

[genesis]
time = {time}
bits = \"{bits:08x}\"
nonce = {nonce}
version = {version}
message = {message}
script = \"{script:x}\"
value = {value} # satoshi
{hash}
[rules]
pow_limit = \"{pow_limit:064x}\"
spacing = {spacing} # seconds
subsidy = {subsidy} # satoshi
halving_interval = {halving_interval} # blocks
{challenge}{difficulty}
[rules.deployments] # heights
bip34 = {bip34}
bip65 = {bip65}
bip66 = {bip66}
csv = {csv}
segwit = {segwit}
taproot = {taproot}
",
            name = quoted(name),
            seeds = seeds.join(", "),
            work = minimum_chain_work,
            assume_valid = optional("assume_valid", assume_valid.map(|hash| hash.to_string())),
            hrp = quoted(&addresses.bech32_hrp),
            p2pkh = addresses.p2pkh,
            p2sh = addresses.p2sh,
            wif = addresses.wif,
            xpub = hex(addresses.xpub),
            xprv = hex(addresses.xprv),
            bits = bits.to_consensus(),
            version = version.to_consensus(),
            message = quoted(message),
            value = value.to_sat(),
            hash = optional("hash", hash.map(|hash| hash.to_string())),
            subsidy = subsidy.to_sat(),
            challenge = optional("challenge", challenge.as_ref().map(|script| script.to_hex_string())),
            difficulty = difficulty_text(difficulty),
            bip34 = forks.bip34,
            bip65 = forks.bip65,
            bip66 = forks.bip66,
            csv = forks.csv,
            segwit = forks.segwit,
            taproot = forks.taproot,
        )
    }
}

fn hex(bytes: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(bytes))
}

/// A basic string of TOML. Control characters would need escapes too, but no text of a chain file has any.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn difficulty_text(rule: &DifficultyRule) -> String {
    match rule {
        DifficultyRule::None => "difficulty = \"none\"\n".to_owned(),
        DifficultyRule::Retarget { interval, allow_min_difficulty, bip94 } => format!(
            "\n[rules.difficulty.retarget]\ninterval = {interval} # blocks\nallow_min_difficulty = {allow_min_difficulty}\n\
             bip94 = {bip94}\n"
        ),
        DifficultyRule::Asert { half_life, anchor_height } => {
            format!("\n[rules.difficulty.asert]\nhalf_life = {half_life} # seconds\nanchor_height = {anchor_height}\n")
        }
    }
}
