//! Builders shared by the cases about scripts and sizes: coins with a given lock, inputs that unlock them, and blocks of an
//! exact size or count of signature operations.

use crate::keys::{Key, TaprootSigning, sign_taproot, taproot_tree};
use crate::scene::{Expect, Funded, Scene, Trial, bare_true, spend_all, transaction};
use crate::spend::push;
use bitcoin::opcodes::all::{OP_CHECKMULTISIG, OP_CHECKSIG, OP_DROP, OP_ENDIF, OP_IF, OP_RESERVED};
use bitcoin::script::Builder;
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::taproot::LeafVersion;
use bitcoin::{Amount, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxOut, Witness, absolute};

/// The limit on a block's signature-operation cost (BIP141).
pub(crate) const SIGOPS_LIMIT: usize = 80_000;

/// The script and the witness that unlock an input.
pub(crate) type Unlock = (ScriptBuf, Witness);

/// A transaction whose first input is to be unlocked.
pub(crate) struct Spend<'a> {
    pub tx: &'a Transaction,
    pub prevouts: &'a [TxOut],
}

impl Spend<'_> {
    fn value(&self) -> Amount {
        self.prevouts[0].value
    }

    /// An ECDSA signature over the legacy digest.
    pub fn legacy(&self, key: &Key, code: &Script) -> Vec<u8> {
        key.sign_legacy(self.tx, 0, code, EcdsaSighashType::All.to_u32())
    }

    /// An ECDSA signature over the BIP143 digest.
    pub fn v0(&self, key: &Key, code: &Script) -> Vec<u8> {
        self.v0_of(key, code, self.value())
    }

    /// As [`v0`](Self::v0), committing to `value`.
    pub fn v0_of(&self, key: &Key, code: &Script, value: Amount) -> Vec<u8> {
        key.sign_v0(&mut SighashCache::new(self.tx), 0, code, value, EcdsaSighashType::All)
    }

    /// A BIP340 signature by the tweaked key for the key path.
    pub fn key_path(&self, key: &Key, signing: &TaprootSigning<'_>) -> Vec<u8> {
        sign_taproot(&key.tweaked, &mut SighashCache::new(self.tx), 0, self.prevouts, signing)
    }

    /// A BIP340 signature by the key itself for a leaf.
    pub fn script_path(&self, key: &Key, signing: &TaprootSigning<'_>) -> Vec<u8> {
        sign_taproot(&key.pair, &mut SighashCache::new(self.tx), 0, self.prevouts, signing)
    }
}

/// A key made for one case.
pub(crate) fn new_key(scene: &mut Scene) -> Key {
    Key::from_bytes(scene.rng().bytes32())
}

/// Makes a coin with `lock`, spends it in a transaction that `shape` may change and `unlock` unlocks, and judges the block.
pub(crate) fn spend_with(
    scene: &mut Scene,
    expect: &Expect,
    lock: ScriptBuf,
    shape: impl FnOnce(&mut Transaction),
    unlock: impl FnOnce(&Spend<'_>) -> Unlock,
) {
    let coins = [scene.fund_one(lock)];
    let mut tx = spend_all(&coins);
    shape(&mut tx);
    let prevouts: Vec<TxOut> = coins.iter().map(|coin| coin.output.clone()).collect();
    let (script_sig, witness) = unlock(&Spend { tx: &tx, prevouts: &prevouts });
    tx.input[0].script_sig = script_sig;
    tx.input[0].witness = witness;
    let mut trial = scene.trial();
    trial.add(tx);
    scene.judge(trial, expect);
}

/// As [`spend_with`], for a transaction without changes.
pub(crate) fn spend(scene: &mut Scene, expect: &Expect, lock: ScriptBuf, unlock: impl FnOnce(&Spend<'_>) -> Unlock) {
    spend_with(scene, expect, lock, |_| (), unlock);
}

/// An input with a script and without a witness.
pub(crate) fn legacy_input(script_sig: Builder) -> Unlock {
    (script_sig.into_script(), Witness::new())
}

/// An input with a witness and without a script.
pub(crate) fn witness_input<T: AsRef<[u8]>>(stack: &[T]) -> Unlock {
    (ScriptBuf::new(), Witness::from_slice(stack))
}

/// An input without script and witness.
pub(crate) fn no_input() -> Unlock {
    (ScriptBuf::new(), Witness::new())
}

/// The P2PKH script of `key`: also the script code of its P2WPKH coins.
pub(crate) fn p2pkh(key: &Key) -> ScriptBuf {
    ScriptBuf::new_p2pkh(&key.script_key().pubkey_hash())
}

/// The P2WPKH script of `key`.
pub(crate) fn p2wpkh(key: &Key) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&key.script_key().wpubkey_hash().expect("the key is compressed"))
}

/// The taproot script that `key` alone spends.
pub(crate) fn p2tr(key: &Key) -> ScriptBuf {
    ScriptBuf::new_p2tr_tweaked(key.output_key())
}

/// The lock of a coin with `script` as a leaf, and the control block that reveals it.
pub(crate) fn leaf(key: &Key, script: &Script, version: LeafVersion) -> (ScriptBuf, Vec<u8>) {
    let tree = taproot_tree(key.x_only, script, version);
    let control =
        tree.control_block(&(script.to_owned(), version)).expect("the script is one of the tree's leaves").serialize();
    (ScriptBuf::new_p2tr_tweaked(tree.output_key()), control)
}

/// `signature` with a zero byte before R: the same numbers in an encoding that BIP66 forbids.
pub(crate) fn pad_r(signature: &[u8]) -> Vec<u8> {
    // 0x30, total length, 0x02, length of R, R…
    let mut padded = signature.to_vec();
    padded[1] += 1;
    padded[3] += 1;
    padded.insert(4, 0);
    padded
}

/// `number opcode OP_DROP OP_TRUE`, the form of a script with a lock.
pub(crate) fn lock_script(number: i64, opcode: bitcoin::Opcode) -> ScriptBuf {
    Builder::new().push_int(number).push_opcode(opcode).push_opcode(OP_DROP).push_int(1).into_script()
}

/// Gives the transaction a lock time that its first input does not disable.
pub(crate) fn set_lock_time(tx: &mut Transaction, lock_time: u32) {
    tx.lock_time = absolute::LockTime::from_consensus(lock_time);
    tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
}

/// `builder` with `opcode` added `count` times.
pub(crate) fn repeated(builder: Builder, opcode: bitcoin::Opcode, count: usize) -> Builder {
    (0..count).fold(builder, |builder, _| builder.push_opcode(opcode))
}

/// A block of a coinbase without witness and one transaction, whose serialization has `size` bytes.
pub(crate) fn stripped_of_size(scene: &mut Scene, size: usize) -> Trial {
    let coin = scene.fund_one(bare_true());
    let mut trial = scene.empty_trial();
    trial.coinbase().input[0].witness.clear();
    let padded = |padding: usize| {
        let script_pubkey = ScriptBuf::from_bytes(vec![0; padding]);
        transaction(&[coin.outpoint], vec![TxOut { value: coin.output.value, script_pubkey }])
    };
    trial.add(padded(size / 2));
    let missing = size - trial.block().total_size();
    trial.block().txdata.pop();
    trial.add(padded(size / 2 + missing));
    debug_assert_eq!(trial.block().total_size(), size);
    trial
}

/// A block of `weight` weight units once it is sealed, most of them in one witness element.
pub(crate) fn of_weight(scene: &mut Scene, weight: usize) -> Trial {
    let key = new_key(scene);
    // `OP_RESERVED` is `OP_SUCCESS80` in a leaf: it succeeds whatever the witness holds, of any length.
    let script = Builder::new().push_opcode(OP_RESERVED).into_script();
    let (lock, control) = leaf(&key, &script, LeafVersion::TapScript);
    let coins = [scene.fund_one(lock)];
    let mut trial = scene.trial();
    let fill = |trial: &mut Trial, padding: usize| {
        let mut tx = spend_all(&coins);
        tx.input[0].witness = Witness::from_slice(&[&vec![0; padding], script.as_bytes(), &control]);
        trial.add(tx);
        let mut sealed = trial.draft.block.clone();
        crate::assemble::commit_witness(&mut sealed);
        sealed.weight().to_wu() as usize
    };
    let half = weight / 2;
    let seen = fill(&mut trial, half);
    trial.block().txdata.pop();
    let seen = fill(&mut trial, half + weight - seen);
    debug_assert_eq!(seen, weight);
    trial
}

/// A block with `count` legacy signature operations, all in an output that is never executed.
pub(crate) fn legacy_sigops(scene: &mut Scene, count: usize) -> Trial {
    let coin = scene.fund_one(bare_true());
    let mut trial = scene.empty_trial();
    let script_pubkey = ScriptBuf::from_bytes(vec![OP_CHECKSIG.to_u8(); count]);
    trial.add(transaction(&[coin.outpoint], vec![TxOut { value: coin.output.value, script_pubkey }]));
    trial
}

/// A script of 100 `OP_CHECKMULTISIG` in a branch that is not taken: 2,000 signature operations.
fn sigops_script() -> ScriptBuf {
    let mut builder = Builder::new().push_int(0).push_opcode(OP_IF);
    for _ in 0..100 {
        builder = builder.push_opcode(OP_CHECKMULTISIG);
    }
    builder.push_opcode(OP_ENDIF).push_int(1).into_script()
}

fn outpoints(coins: &[Funded]) -> Vec<OutPoint> {
    coins.iter().map(|coin| coin.outpoint).collect()
}

/// A block of cost 80,000 in P2SH inputs, and one more in a P2WPKH input if `above`.
pub(crate) fn p2sh_sigops(scene: &mut Scene, above: bool) -> Trial {
    let key = new_key(scene);
    let redeem = sigops_script();
    let mut locks = vec![redeem.to_p2sh(); SIGOPS_LIMIT / (4 * 2_000)];
    if above {
        locks.push(p2wpkh(&key));
    }
    let coins = scene.fund(&locks);
    let mut tx = transaction(&outpoints(&coins), vec![TxOut { value: Amount::ZERO, script_pubkey: bare_true() }]);
    if above {
        let last = coins.len() - 1;
        let value = coins[last].output.value;
        let all = EcdsaSighashType::All;
        let signature = key.sign_v0(&mut SighashCache::new(&tx), last, &p2pkh(&key), value, all);
        tx.input[last].witness = Witness::from_slice(&[signature, key.public.serialize().to_vec()]);
    }
    for input in &mut tx.input[..SIGOPS_LIMIT / (4 * 2_000)] {
        input.script_sig = Builder::new().push_slice(push(redeem.as_bytes())).into_script();
    }
    let mut trial = scene.empty_trial();
    trial.add(tx);
    trial
}

/// A block of cost `cost`, a multiple of 2,000 or one more, in P2WSH inputs.
pub(crate) fn witness_sigops(scene: &mut Scene, cost: usize) -> Trial {
    let many = sigops_script();
    let one = Builder::new().push_int(0).push_opcode(OP_IF).push_opcode(OP_CHECKSIG).push_opcode(OP_ENDIF).push_int(1);
    let one = one.into_script();
    let scripts: Vec<ScriptBuf> =
        std::iter::repeat_n(many, cost / 2_000).chain(std::iter::repeat_n(one, cost % 2_000)).collect();
    let locks: Vec<ScriptBuf> = scripts.iter().map(|script| script.to_p2wsh()).collect();
    let coins = scene.fund(&locks);
    let mut tx = transaction(&outpoints(&coins), vec![TxOut { value: Amount::ZERO, script_pubkey: bare_true() }]);
    for (input, script) in tx.input.iter_mut().zip(&scripts) {
        input.witness = Witness::from_slice(&[script.as_bytes()]);
    }
    let mut trial = scene.empty_trial();
    trial.add(tx);
    trial
}
