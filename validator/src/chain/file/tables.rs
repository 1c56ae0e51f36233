//! Reads the tables `[addresses]` and `[rules.deployments]` into types of other modules.

use serde::Deserialize;

use super::fields;
use crate::chain::addresses::AddressPrefixes;
use crate::consensus::Deployments;

/// The table `[addresses]`.
#[derive(Deserialize)]
#[serde(remote = "AddressPrefixes", deny_unknown_fields)]
pub(super) struct AddressTable {
    #[serde(deserialize_with = "fields::bech32_hrp")]
    bech32_hrp: String,
    #[serde(deserialize_with = "fields::number::<_, u8, 0, 255>")]
    p2pkh: u8,
    #[serde(deserialize_with = "fields::number::<_, u8, 0, 255>")]
    p2sh: u8,
    #[serde(deserialize_with = "fields::number::<_, u8, 0, 255>")]
    wif: u8,
    #[serde(deserialize_with = "fields::hex")]
    xpub: [u8; 4],
    #[serde(deserialize_with = "fields::hex")]
    xprv: [u8; 4],
}

/// The table `[rules.deployments]`: heights.
#[derive(Deserialize)]
#[serde(remote = "Deployments", deny_unknown_fields)]
pub(super) struct DeploymentTable {
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    bip34: u32,
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    bip65: u32,
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    bip66: u32,
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    csv: u32,
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    segwit: u32,
    #[serde(deserialize_with = "fields::number::<_, u32, 0, 0xffff_ffff>")]
    taproot: u32,
}
