//! The signing keys of a chain and the scripts that they control.
//!
//! A chain uses a small ring of keys derived from its seed: making a key costs as much as a signature, and a validator's
//! work does not depend on how many there are. Everything that a spend needs besides the signature is made once for each key.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::key::{Keypair, TapTweak, TweakedPublicKey, UntweakedPublicKey, XOnlyPublicKey};
use bitcoin::opcodes::all::OP_CHECKSIG;
use bitcoin::script::Builder;
use bitcoin::secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::{Annex, EcdsaSighashType, SighashCache, TapSighash, TapSighashType};
use bitcoin::taproot::{LeafVersion, TapLeafHash, TaprootBuilder, TaprootSpendInfo};
use bitcoin::{Amount, Script, ScriptBuf, Transaction, TxOut, opcodes};
use std::sync::LazyLock;

/// The secp256k1 context, shared because making one takes milliseconds.
pub(crate) static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// One key of the ring, with the forms of it that scripts use.
#[derive(Debug, Clone)]
pub struct Key {
    /// The secret and public key.
    pub pair: Keypair,
    /// `pair` tweaked for a key-path spend of an output without scripts.
    pub tweaked: Keypair,
    /// The public key, compressed.
    pub public: PublicKey,
    /// The public key's x coordinate, as BIP340 and BIP342 use it.
    pub x_only: XOnlyPublicKey,
}

impl Key {
    /// A key from any 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut candidate = bytes;
        let secret = loop {
            match SecretKey::from_slice(&candidate) {
                Ok(secret) => break secret,
                // Zero or above the group's order: one chance in 2^127.
                Err(_) => candidate = sha256::Hash::hash(&candidate).to_byte_array(),
            }
        };
        let pair = Keypair::from_secret_key(&SECP, &secret);
        Self {
            pair,
            tweaked: pair.tap_tweak(&SECP, None).to_keypair(),
            public: pair.public_key(),
            x_only: pair.x_only_public_key().0,
        }
    }

    /// The key as the key types of scripts.
    pub fn script_key(&self) -> bitcoin::PublicKey {
        bitcoin::PublicKey::new(self.public)
    }

    /// The output key of a taproot output that this key alone spends.
    pub fn output_key(&self) -> TweakedPublicKey {
        TweakedPublicKey::dangerous_assume_tweaked(self.tweaked.x_only_public_key().0)
    }

    /// A DER signature with `hash_type` appended, over the legacy digest of input `index` with `script_code`.
    pub fn sign_legacy(&self, tx: &Transaction, index: usize, script_code: &Script, hash_type: u32) -> Vec<u8> {
        let digest = SighashCache::new(tx)
            .legacy_signature_hash(index, script_code, hash_type)
            .expect("the index is one of the transaction's inputs");
        self.sign_digest(digest.to_byte_array(), hash_type)
    }

    /// A DER signature with `hash_type` appended, over the BIP143 digest of input `index`.
    pub fn sign_v0(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        script_code: &Script,
        value: Amount,
        hash_type: EcdsaSighashType,
    ) -> Vec<u8> {
        let digest = cache
            .p2wsh_signature_hash(index, script_code, value, hash_type)
            .expect("the index is one of the transaction's inputs");
        self.sign_digest(digest.to_byte_array(), hash_type.to_u32())
    }

    /// A DER signature over `digest`, with the low byte of `hash_type` appended.
    pub fn sign_digest(&self, digest: [u8; 32], hash_type: u32) -> Vec<u8> {
        let signature = SECP.sign_ecdsa(&Message::from_digest(digest), &self.pair.secret_key());
        let mut bytes = signature.serialize_der().to_vec();
        bytes.push(hash_type as u8);
        bytes
    }
}

/// The data that a taproot signature commits to besides the transaction.
#[derive(Debug, Default)]
pub struct TaprootSigning<'a> {
    /// The leaf that is executed; none for the key path.
    pub leaf: Option<TapLeafHash>,
    /// The annex, its 0x50 prefix included.
    pub annex: Option<&'a [u8]>,
    /// The hash type; the default one leaves the signature at 64 bytes.
    pub hash_type: Option<TapSighashType>,
}

/// A BIP340 signature of input `index` by `pair` (tweaked already where it must be), without auxiliary randomness.
pub fn sign_taproot(
    pair: &Keypair,
    cache: &mut SighashCache<&Transaction>,
    index: usize,
    prevouts: &[TxOut],
    signing: &TaprootSigning<'_>,
) -> Vec<u8> {
    let hash_type = signing.hash_type.unwrap_or(TapSighashType::Default);
    let digest: TapSighash = cache
        .taproot_signature_hash(
            index,
            &bitcoin::sighash::Prevouts::All(prevouts),
            signing.annex.map(|bytes| Annex::new(bytes).expect("an annex starts with 0x50")),
            signing.leaf.map(|leaf| (leaf, u32::MAX)),
            hash_type,
        )
        .expect("the index and the prevouts are the transaction's");
    let signature = SECP.sign_schnorr_no_aux_rand(&Message::from_digest(digest.to_byte_array()), pair);
    let mut bytes = signature.serialize().to_vec();
    if hash_type != TapSighashType::Default {
        bytes.push(hash_type as u8);
    }
    bytes
}

/// A taproot output whose tree has `script` as one of two leaves, so that a control block carries one hash.
pub fn taproot_tree(internal: UntweakedPublicKey, script: &Script, version: LeafVersion) -> TaprootSpendInfo {
    let sibling = Builder::new().push_opcode(opcodes::all::OP_RETURN).into_script();
    TaprootBuilder::new()
        .add_leaf_with_ver(1, script.to_owned(), version)
        .and_then(|builder| builder.add_leaf(1, sibling))
        .expect("two leaves at depth one are a tree")
        .finalize(&SECP, internal)
        .expect("two leaves at depth one are a whole tree")
}

/// `<key> OP_CHECKSIG`.
pub fn tapscript_single(key: &Key) -> ScriptBuf {
    Builder::new().push_x_only_key(&key.x_only).push_opcode(OP_CHECKSIG).into_script()
}

/// The ring of keys that a chain signs with.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl Keyring {
    /// `count` keys that are a function of `seed`; at least three, which the multisig scripts need.
    pub fn new(seed: u64, count: usize) -> Self {
        let keys = (0..count.max(3))
            .map(|index| {
                let label = format!("adit testchain key {seed} {index}");
                Key::from_bytes(sha256::Hash::hash(label.as_bytes()).to_byte_array())
            })
            .collect();
        Self { keys }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always false: a ring has at least three keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key at `index` modulo the number of keys.
    pub fn get(&self, index: usize) -> &Key {
        &self.keys[index % self.keys.len()]
    }

    /// `2 <key> <key> <key> 3 OP_CHECKMULTISIG` over the key at `index` and the two after it.
    pub fn multisig(&self, index: usize) -> ScriptBuf {
        Builder::new()
            .push_int(2)
            .push_key(&self.get(index).script_key())
            .push_key(&self.get(index + 1).script_key())
            .push_key(&self.get(index + 2).script_key())
            .push_int(3)
            .push_opcode(opcodes::all::OP_CHECKMULTISIG)
            .into_script()
    }
}
