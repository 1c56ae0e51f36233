//! Block-signing challenges (BIP325): the script that every block of a signet, or of a private chain with signers, must
//! satisfy.
//!
//! Any script can be a challenge. The usual one is k of n signers as bare OP_CHECKMULTISIG, which contains its keys and is
//! supported by every signing tool.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::opcodes::all::OP_CHECKMULTISIG;
use bitcoin::script::{Builder, Instruction};
use bitcoin::{CompressedPublicKey, PublicKey, Script, ScriptBuf, consensus};

/// The most keys that OP_CHECKMULTISIG takes.
///
/// Source: Bitcoin Core, `script/script.h`, `MAX_PUBKEYS_PER_MULTISIG`.
pub const MAX_SIGNERS: usize = 20;

/// The double hash of a challenge with its length. A signet's magic is its first four bytes.
#[must_use]
pub fn challenge_hash(challenge: &Script) -> sha256d::Hash {
    sha256d::Hash::hash(&consensus::serialize(challenge))
}

/// The magic of a signet: the first four bytes of [`challenge_hash`].
///
/// Source: BIP325, "Message Start".
#[must_use]
pub fn signet_magic(challenge: &Script) -> [u8; 4] {
    let digest = challenge_hash(challenge).to_byte_array();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// A challenge that k of n signers satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multisig {
    needed: usize,
    keys: Vec<CompressedPublicKey>,
}

/// The reason why keys and a threshold make no challenge.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Too many keys, or none.
    #[error("{seen} keys; wanted 1 to {MAX_SIGNERS}")]
    KeyCount {
        /// The number of keys.
        seen: usize,
    },
    /// More signatures than keys, or none.
    #[error("{needed} signatures of {keys} keys; wanted 1 to {keys}")]
    Needed {
        /// The signatures asked for.
        needed: usize,
        /// The keys given.
        keys: usize,
    },
    /// A key is given twice.
    #[error("the key {key} is given twice")]
    RepeatedKey {
        /// The key.
        key: CompressedPublicKey,
    },
}

impl Multisig {
    /// A challenge for `needed` signatures of `keys`. The signatures must be in the order of the keys.
    ///
    /// # Errors
    /// There are too many keys or none, more signatures than keys or none, or a key is given twice.
    pub fn new(needed: usize, keys: Vec<CompressedPublicKey>) -> Result<Self, ChallengeError> {
        if !(1..=MAX_SIGNERS).contains(&keys.len()) {
            return Err(ChallengeError::KeyCount { seen: keys.len() });
        }
        if !(1..=keys.len()).contains(&needed) {
            return Err(ChallengeError::Needed { needed, keys: keys.len() });
        }
        if let Some((_, key)) = keys.iter().enumerate().find(|(at, key)| keys[..*at].contains(key)) {
            return Err(ChallengeError::RepeatedKey { key: *key });
        }
        Ok(Self { needed, keys })
    }

    /// The signers of `challenge`, if it is a script that [`Self::to_script`] writes.
    #[must_use]
    pub fn of(challenge: &Script) -> Option<Self> {
        let instructions = challenge.instructions().collect::<Result<Vec<_>, _>>().ok()?;
        let [needed, pushes @ .., _, _] = &instructions[..] else { return None };
        let key = |push: &Instruction<'_>| CompressedPublicKey::from_slice(push.push_bytes()?.as_bytes()).ok();
        let keys = pushes.iter().map(key).collect::<Option<Vec<_>>>()?;
        let needed = usize::try_from(needed.script_num()?).ok()?;
        Self::new(needed, keys).ok().filter(|multisig| multisig.to_script() == *challenge)
    }

    /// The number of signatures that a block needs.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// The signers' keys, in the order in which they sign.
    #[must_use]
    pub fn keys(&self) -> &[CompressedPublicKey] {
        &self.keys
    }

    /// The challenge: OP_k, the keys, OP_n, OP_CHECKMULTISIG.
    #[must_use]
    pub fn to_script(&self) -> ScriptBuf {
        let start = Builder::new().push_int(self.needed as i64);
        let keys = self.keys.iter().fold(start, |script, key| script.push_key(&PublicKey::from(*key)));
        keys.push_int(self.keys.len() as i64).push_opcode(OP_CHECKMULTISIG).into_script()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::secp256k1::{Secp256k1, SecretKey};

    use super::*;
    use crate::chain::ChainParams;

    fn keys(count: u8) -> Vec<CompressedPublicKey> {
        let secp = Secp256k1::new();
        let key = |n| CompressedPublicKey(SecretKey::from_slice(&[n; 32]).unwrap().public_key(&secp));
        (1..=count).map(key).collect()
    }

    /// The published magic of the public signet, BIP325.
    #[test]
    fn the_magic_follows_from_the_challenge() {
        let challenge = ChainParams::signet().consensus.signet_challenge.unwrap();
        assert_eq!(signet_magic(&challenge), [0x0a, 0x03, 0xcf, 0x40]);
        assert_ne!(signet_magic(Script::from_bytes(&[0x51])), ChainParams::signet().magic);
    }

    #[test]
    fn a_multisig_is_the_script_that_the_public_signet_has() {
        let challenge = ChainParams::signet().consensus.signet_challenge.unwrap();
        let multisig = Multisig::of(&challenge).unwrap();
        assert_eq!((multisig.needed(), multisig.keys().len()), (1, 2));
        assert_eq!(multisig.to_script(), challenge);
    }

    #[test]
    fn every_k_and_n_comes_back() {
        for n in 1..=MAX_SIGNERS as u8 {
            for k in 1..=usize::from(n) {
                let multisig = Multisig::new(k, keys(n)).unwrap();
                assert_eq!(Multisig::of(&multisig.to_script()), Some(multisig), "{k} of {n}");
            }
        }
        let five_of_six = Multisig::new(5, keys(6)).unwrap().to_script();
        assert_eq!((five_of_six.as_bytes()[0], five_of_six.len()), (0x55, 1 + 6 * 34 + 2));
        assert_eq!(&five_of_six.as_bytes()[five_of_six.len() - 2..], [0x56, 0xae]);
    }

    #[test]
    fn signers_that_do_not_fit_together_are_refused() {
        assert_eq!(Multisig::new(1, Vec::new()), Err(ChallengeError::KeyCount { seen: 0 }));
        assert_eq!(Multisig::new(1, keys(21)), Err(ChallengeError::KeyCount { seen: 21 }));
        assert_eq!(Multisig::new(0, keys(2)), Err(ChallengeError::Needed { needed: 0, keys: 2 }));
        assert_eq!(Multisig::new(3, keys(2)), Err(ChallengeError::Needed { needed: 3, keys: 2 }));
        let key = keys(1)[0];
        assert_eq!(Multisig::new(1, vec![key, key]), Err(ChallengeError::RepeatedKey { key }));
    }

    #[test]
    fn other_scripts_are_no_multisig() {
        for script in ["", "51", "5151ae", "0051ae", "ae", "4cff"] {
            assert_eq!(Multisig::of(&ScriptBuf::from_hex(script).unwrap()), None, "{script}");
        }
        let mut tail = Multisig::new(1, keys(2)).unwrap().to_script().into_bytes();
        *tail.last_mut().unwrap() = 0xac;
        assert_eq!(Multisig::of(Script::from_bytes(&tail)), None);
    }
}
