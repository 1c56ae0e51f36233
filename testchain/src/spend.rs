//! The kinds of coin that a chain holds: the script that locks each and the input that spends it.
//!
//! The locking scripts and the parts of an input that do not depend on the transaction are made once for each key: a bench
//! makes hundreds of thousands of inputs, and only their signatures should take time.

use crate::keys::{Key, Keyring, TaprootSigning, sign_taproot, taproot_tree, tapscript_single};
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::taproot::{LeafVersion, TapLeafHash};
use bitcoin::{Amount, OutPoint, Script, ScriptBuf, Transaction, TxOut, Witness};

/// A kind of coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SpendKind {
    /// Pay to witness public key hash (BIP141): one ECDSA signature.
    P2wpkh,
    /// Taproot, key path (BIP341): one Schnorr signature.
    P2trKey,
    /// Taproot, script path (BIP342): one Schnorr signature in a leaf at depth one.
    P2trScript,
    /// Pay to public key hash: one ECDSA signature over the legacy digest.
    P2pkh,
    /// P2WPKH nested in P2SH.
    P2shP2wpkh,
    /// A bare two of three: two ECDSA signatures, 80 of a block's 80,000 signature operations an output.
    BareMultisig,
    /// Two of three behind P2WSH.
    P2wshMultisig,
    /// Pay to public key.
    P2pk,
    /// A bare `OP_TRUE`: no signature, no hash. Not standard, but valid.
    TrueBare,
    /// `OP_TRUE` behind P2WSH: one SHA-256 of one byte.
    TrueP2wsh,
}

impl SpendKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::P2wpkh,
        Self::P2trKey,
        Self::P2trScript,
        Self::P2pkh,
        Self::P2shP2wpkh,
        Self::BareMultisig,
        Self::P2wshMultisig,
        Self::P2pk,
        Self::TrueBare,
        Self::TrueP2wsh,
    ];

    /// The number of signatures in an input that spends this kind.
    pub fn signatures(self) -> u32 {
        match self {
            Self::TrueBare | Self::TrueP2wsh => 0,
            Self::BareMultisig | Self::P2wshMultisig => 2,
            _ => 1,
        }
    }
}

/// A coin that the generator may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coin {
    /// Its outpoint.
    pub outpoint: OutPoint,
    /// Its value in satoshi.
    pub value: u64,
    /// The height of the block that created it.
    pub height: u32,
    /// The index of its key in the ring.
    pub key: u16,
    /// The kind of script that locks it.
    pub kind: SpendKind,
}

/// A key's scripts, one for each kind, and the parts of inputs that do not change.
#[derive(Debug)]
struct KeyScripts {
    locks: [ScriptBuf; SpendKind::ALL.len()],
    multisig: ScriptBuf,
    p2wpkh_code: ScriptBuf,
    p2pkh_push: PushBytesBuf,
    tapscript: ScriptBuf,
    tapleaf: TapLeafHash,
    control: Vec<u8>,
}

/// A keyring and everything that spending its coins needs.
#[derive(Debug)]
pub struct Wallet {
    ring: Keyring,
    scripts: Vec<KeyScripts>,
}

impl Wallet {
    /// The wallet of a chain with this seed.
    pub fn new(seed: u64) -> Self {
        // 64 keys: enough that scripts differ, few enough to be made quickly.
        let ring = Keyring::new(seed, 64);
        let scripts = (0..ring.len()).map(|index| KeyScripts::new(&ring, index)).collect();
        Self { ring, scripts }
    }

    /// The keys.
    pub fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// The script that locks a coin of `kind` to the key at `key`.
    pub fn lock(&self, kind: SpendKind, key: u16) -> &Script {
        &self.scripts[usize::from(key)].locks[kind as usize]
    }

    /// The output of `coin`: value and script.
    pub fn output(&self, coin: &Coin) -> TxOut {
        TxOut { value: Amount::from_sat(coin.value), script_pubkey: self.lock(coin.kind, coin.key).to_owned() }
    }

    /// Signs every input of `tx`, whose prevouts are `coins` in order.
    pub fn sign(&self, tx: &mut Transaction, coins: &[Coin]) {
        let prevouts: Vec<TxOut> = coins.iter().map(|coin| self.output(coin)).collect();
        let inputs: Vec<(ScriptBuf, Witness)> = {
            let mut cache = SighashCache::new(&*tx);
            (0..coins.len()).map(|index| self.input(&mut cache, index, coins, &prevouts)).collect()
        };
        for (input, (script_sig, witness)) in tx.input.iter_mut().zip(inputs) {
            input.script_sig = script_sig;
            input.witness = witness;
        }
    }

    fn input(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        coins: &[Coin],
        prevouts: &[TxOut],
    ) -> (ScriptBuf, Witness) {
        let coin = &coins[index];
        let scripts = &self.scripts[usize::from(coin.key)];
        let key = self.ring.get(usize::from(coin.key));
        let second = self.ring.get(usize::from(coin.key) + 1);
        let value = Amount::from_sat(coin.value);
        let lock = &scripts.locks[coin.kind as usize];
        let all = EcdsaSighashType::All;
        let legacy = |key: &Key, cache: &SighashCache<&Transaction>| {
            push(&key.sign_legacy(cache.transaction(), index, lock, all.to_u32()))
        };
        match coin.kind {
            SpendKind::P2wpkh | SpendKind::P2shP2wpkh => {
                let signature = key.sign_v0(cache, index, &scripts.p2wpkh_code, value, all);
                let script_sig = match coin.kind {
                    SpendKind::P2wpkh => ScriptBuf::new(),
                    _ => Builder::new()
                        .push_slice(push(scripts.locks[SpendKind::P2wpkh as usize].as_bytes()))
                        .into_script(),
                };
                (script_sig, Witness::from_slice(&[signature, key.public.serialize().to_vec()]))
            }
            SpendKind::P2trKey => {
                let signature = sign_taproot(&key.tweaked, cache, index, prevouts, &TaprootSigning::default());
                (ScriptBuf::new(), Witness::from_slice(&[signature]))
            }
            SpendKind::P2trScript => {
                let signing = TaprootSigning { leaf: Some(scripts.tapleaf), ..TaprootSigning::default() };
                let signature = sign_taproot(&key.pair, cache, index, prevouts, &signing);
                let stack = [&signature[..], scripts.tapscript.as_bytes(), &scripts.control];
                (ScriptBuf::new(), Witness::from_slice(&stack))
            }
            SpendKind::P2pkh => {
                let builder = Builder::new().push_slice(legacy(key, cache)).push_slice(&scripts.p2pkh_push);
                (builder.into_script(), Witness::new())
            }
            SpendKind::P2pk => (Builder::new().push_slice(legacy(key, cache)).into_script(), Witness::new()),
            SpendKind::BareMultisig => {
                let signatures = Builder::new().push_int(0).push_slice(legacy(key, cache));
                (signatures.push_slice(legacy(second, cache)).into_script(), Witness::new())
            }
            SpendKind::P2wshMultisig => {
                let first = key.sign_v0(cache, index, &scripts.multisig, value, all);
                let second = second.sign_v0(cache, index, &scripts.multisig, value, all);
                let stack = [&[], &first[..], &second[..], scripts.multisig.as_bytes()];
                (ScriptBuf::new(), Witness::from_slice(&stack))
            }
            SpendKind::TrueBare => (ScriptBuf::new(), Witness::new()),
            SpendKind::TrueP2wsh => (ScriptBuf::new(), Witness::from_slice(&[[OP_TRUE.to_u8()]])),
        }
    }
}

impl KeyScripts {
    fn new(ring: &Keyring, index: usize) -> Self {
        let key = ring.get(index);
        let public = key.script_key();
        let multisig = ring.multisig(index);
        let op_true = Builder::new().push_opcode(OP_TRUE).into_script();
        let p2wpkh = ScriptBuf::new_p2wpkh(&public.wpubkey_hash().expect("the key is compressed"));
        let tapscript = tapscript_single(key);
        let tree = taproot_tree(key.x_only, &tapscript, LeafVersion::TapScript);
        let control = tree
            .control_block(&(tapscript.clone(), LeafVersion::TapScript))
            .expect("the script is one of the tree's leaves")
            .serialize();
        let lock = |kind| match kind {
            SpendKind::P2wpkh => p2wpkh.clone(),
            SpendKind::P2trKey => ScriptBuf::new_p2tr_tweaked(key.output_key()),
            SpendKind::P2trScript => ScriptBuf::new_p2tr_tweaked(tree.output_key()),
            SpendKind::P2pkh => ScriptBuf::new_p2pkh(&public.pubkey_hash()),
            SpendKind::P2shP2wpkh => p2wpkh.to_p2sh(),
            SpendKind::BareMultisig => multisig.clone(),
            SpendKind::P2wshMultisig => multisig.to_p2wsh(),
            SpendKind::P2pk => ScriptBuf::new_p2pk(&public),
            SpendKind::TrueBare => op_true.clone(),
            SpendKind::TrueP2wsh => op_true.to_p2wsh(),
        };
        Self {
            locks: SpendKind::ALL.map(lock),
            multisig: multisig.clone(),
            p2wpkh_code: ScriptBuf::new_p2pkh(&public.pubkey_hash()),
            p2pkh_push: push(&key.public.serialize()),
            tapleaf: TapLeafHash::from_script(&tapscript, LeafVersion::TapScript),
            tapscript,
            control,
        }
    }
}

/// `bytes` as a push, which Bitcoin bounds at 2^32 bytes.
pub(crate) fn push(bytes: &[u8]) -> PushBytesBuf {
    PushBytesBuf::try_from(bytes.to_vec()).expect("a test's data is shorter than 4 GiB")
}
