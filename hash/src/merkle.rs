//! Bitcoin's Merkle root over transaction ids, and the detection of repeated leaves, which give two lists the same root.

use crate::{Backend, HashBytes};

/// A Merkle root, and whether another list of leaves has the same root. The default is that of no leaves: zero, as in
/// Bitcoin Core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MerkleRoot {
    /// The root.
    pub root: HashBytes,
    /// Whether some level pairs two equal nodes. Then a shorter list has the same root, and a block with this one is refused
    /// (CVE-2012-2459; Bitcoin Core, `consensus/merkle.cpp`).
    pub mutated: bool,
}

/// The root over `leaves`, which are used as scratch space; `None` for no leaves. An odd level repeats its last node.
#[must_use]
pub fn merkle_root(backend: Backend, leaves: &mut Vec<HashBytes>) -> Option<MerkleRoot> {
    let mut mutated = false;
    let mut parents = Vec::with_capacity(leaves.len().div_ceil(2));
    while leaves.len() > 1 {
        mutated |= leaves.as_chunks::<2>().0.iter().any(|[left, right]| left == right);
        if !leaves.len().is_multiple_of(2) {
            leaves.extend_from_within(leaves.len() - 1..);
        }
        let pairs = leaves.as_flattened().as_chunks::<64>().0;
        parents.resize(pairs.len(), [0; 32]);
        backend.hash_pairs(pairs, &mut parents);
        std::mem::swap(leaves, &mut parents);
    }
    leaves.first().map(|&root| MerkleRoot { root, mutated })
}
