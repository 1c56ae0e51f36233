//! The script engine's consensus flags, which the parameters of a chain list and the rules combine.

use std::ops::BitOr;

/// A set of script verification flags, in the bits that `bitcoinkernel` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptFlags(bitcoinkernel::ScriptVerificationFlags);

impl ScriptFlags {
    /// No flag: only the rules that are active from the first block on.
    pub const NONE: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_NONE);
    /// Pay to script hash (BIP16).
    pub const P2SH: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_P2SH);
    /// Strict DER signatures (BIP66).
    pub const DERSIG: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_DERSIG);
    /// OP_CHECKLOCKTIMEVERIFY (BIP65).
    pub const CHECKLOCKTIMEVERIFY: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_CHECKLOCKTIMEVERIFY);
    /// OP_CHECKSEQUENCEVERIFY (BIP112).
    pub const CHECKSEQUENCEVERIFY: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_CHECKSEQUENCEVERIFY);
    /// The extra element that OP_CHECKMULTISIG pops must be empty (BIP147).
    pub const NULLDUMMY: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_NULLDUMMY);
    /// Witness programs (BIP141).
    pub const WITNESS: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_WITNESS);
    /// Taproot and tapscript (BIP341, BIP342).
    pub const TAPROOT: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_TAPROOT);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: ScriptFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 & !other.0)
    }

    /// The flags as a number, in Bitcoin Core's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The flags as `bitcoinkernel` takes them.
    pub(crate) const fn to_kernel(self) -> bitcoinkernel::ScriptVerificationFlags {
        self.0
    }
}

impl BitOr for ScriptFlags {
    type Output = ScriptFlags;

    fn bitor(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }
}
