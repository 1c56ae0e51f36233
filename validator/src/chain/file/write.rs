//! Writes a chain file: every field, in the order of docs/chain-file.md, with comments for its reader.

use super::{ChainFile, DifficultyRule};

impl ChainFile {
    /// The text of the file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Self { format, name, network, addresses, genesis, rules, .. } = self;
        let magic = hex(self.magic);
        let forks = &rules.deployments;
        let seeds: Vec<String> = network.seeds.iter().map(|seed| quoted(&seed.to_string())).collect();
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
            p2p_port = network.p2p_port,
            rpc_port = network.rpc_port,
            seeds = seeds.join(", "),
            work = network.minimum_chain_work,
            assume_valid = optional("assume_valid", network.assume_valid.map(|hash| hash.to_string())),
            hrp = quoted(&addresses.bech32_hrp),
            p2pkh = addresses.p2pkh,
            p2sh = addresses.p2sh,
            wif = addresses.wif,
            xpub = hex(addresses.xpub),
            xprv = hex(addresses.xprv),
            time = genesis.time,
            bits = genesis.bits.to_consensus(),
            nonce = genesis.nonce,
            version = genesis.version.to_consensus(),
            message = quoted(&genesis.message),
            script = genesis.script,
            value = genesis.value.to_sat(),
            hash = optional("hash", genesis.hash.map(|hash| hash.to_string())),
            pow_limit = rules.pow_limit,
            spacing = rules.spacing,
            subsidy = rules.subsidy.to_sat(),
            halving_interval = rules.halving_interval,
            challenge = optional("challenge", rules.challenge.as_ref().map(|script| script.to_hex_string())),
            difficulty = difficulty(&rules.difficulty),
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

fn difficulty(rule: &DifficultyRule) -> String {
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
