//! The prefixes of a chain's addresses and keys in text form.
//!
//! No rule uses them. They are parameters so that code that prints or parses addresses does not depend on chain names.

/// The prefixes of a chain's addresses and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPrefixes {
    /// The prefix of segwit addresses, before the `1` (BIP173, BIP350): 1 to 30 lower-case letters and digits.
    pub bech32_hrp: String,
    /// The version byte of addresses that pay to the hash of a public key.
    pub p2pkh: u8,
    /// The version byte of addresses that pay to the hash of a script.
    pub p2sh: u8,
    /// The version byte of private keys in the wallet import format.
    pub wif: u8,
    /// The version bytes of extended public keys (BIP32).
    pub xpub: [u8; 4],
    /// The version bytes of extended private keys (BIP32).
    pub xprv: [u8; 4],
}

impl AddressPrefixes {
    /// The prefixes of main. Source of all three: Bitcoin Core, `kernel/chainparams.cpp`, `base58Prefixes` and `bech32_hrp`.
    #[must_use]
    pub fn main() -> Self {
        Self {
            bech32_hrp: "bc".to_owned(),
            p2pkh: 0,
            p2sh: 5,
            wif: 128,
            xpub: [0x04, 0x88, 0xb2, 0x1e],
            xprv: [0x04, 0x88, 0xad, 0xe4],
        }
    }

    /// The prefixes of the public test chains.
    #[must_use]
    pub fn test() -> Self {
        Self {
            bech32_hrp: "tb".to_owned(),
            p2pkh: 111,
            p2sh: 196,
            wif: 239,
            xpub: [0x04, 0x35, 0x87, 0xcf],
            xprv: [0x04, 0x35, 0x83, 0x94],
        }
    }

    /// The prefixes of regtest, which differ from the test chains' in segwit addresses only.
    #[must_use]
    pub fn regtest() -> Self {
        Self { bech32_hrp: "bcrt".to_owned(), ..Self::test() }
    }
}
