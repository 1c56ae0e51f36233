//! Scans whose hits are known. A kernel or device must find them before it mines.
//!
//! A kernel that is wrong in one lane, or misses a hit at the edge of a batch, has the same hashrate as a correct one. Only known
//! hits show the fault. The answers come from the `sha2` crate and from mainnet's genesis block, and never from our own kernels.

use crate::{Backend, HashBytes, HeaderBytes, NonceRange, ScanJob, ScanTarget, sha2_crate};

/// A scan and what it must find.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownAnswer {
    /// The header.
    pub job: ScanJob,
    /// The nonces to search.
    pub range: NonceRange,
    /// The largest hash that is a hit.
    pub target: ScanTarget,
    /// Every hit, in the order of the range.
    pub hits: Vec<u32>,
}

impl KnownAnswer {
    /// A scan of `range` whose hits are `hits`, in the order of the range.
    #[must_use]
    pub fn new(job: ScanJob, range: NonceRange, target: ScanTarget, hits: Vec<u32>) -> Self {
        Self { job, range, target, hits }
    }
}

/// A kernel gave a wrong answer and must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelfTestError {
    /// A scan missed a hit, made one up, or gave them out of order.
    #[error("{backend}: {count} nonces from {first} gave hits {seen:?}, not {wanted:?}")]
    Scan {
        /// The kernel.
        backend: Backend,
        /// The first nonce searched.
        first: u32,
        /// How many were searched.
        count: u64,
        /// The hits reported.
        seen: Vec<u32>,
        /// The hits there are.
        wanted: Vec<u32>,
    },
    /// A digest is wrong.
    #[error("{backend}: digest {index} of {count} {of} is wrong")]
    Digest {
        /// The kernel.
        backend: Backend,
        /// What was hashed: headers or pairs.
        of: &'static str,
        /// Which digest.
        index: usize,
        /// How many were hashed in one call.
        count: usize,
    },
}

/// Mainnet's genesis header, nonce included.
pub const GENESIS: HeaderBytes = {
    let mut header = [0; 80];
    header[0] = 1;
    let root = *b"\x3b\xa3\xed\xfd\x7a\x7b\x12\xb2\x7a\xc7\x2c\x3e\x67\x76\x8f\x61\
        \x7f\xc8\x1b\xc3\x88\x8a\x51\x32\x3a\x9f\xb8\xaa\x4b\x1e\x5e\x4a";
    let rest = *b"\x29\xab\x5f\x49\xff\xff\x00\x1d\x1d\xac\x2b\x7c";
    let mut i = 0;
    while i < 32 {
        header[36 + i] = root[i];
        i += 1;
    }
    i = 0;
    while i < 12 {
        header[68 + i] = rest[i];
        i += 1;
    }
    header
};

/// The nonce of [`GENESIS`], the only one that solves it in any range of the known answers.
pub const GENESIS_NONCE: u32 = 2_083_236_893;

/// The target of [`GENESIS`], `0x1d00ffff` in compact form: 32 zero bits.
pub const GENESIS_TARGET: ScanTarget = {
    let mut bytes = [0; 32];
    [bytes[26], bytes[27]] = [0xff, 0xff];
    ScanTarget::from_le_bytes(bytes)
};

/// Ranges of up to 2 · 2048 + 1 nonces are hashed completely. With half of them hits they half fill a GPU's candidate list of
/// 4,096.
const MAX_HASHED_GROUP: u32 = 2_048;

/// Scans with hits at the first and the last nonce of the range and of groups of `group` nonces, at most 2^20. A group is
/// whatever the kernel works in: its lanes, or a GPU's workgroup.
///
/// The targets are the genesis block's (32 zero bits, one hit); the exact hash of a chosen nonce, which any share of the others
/// may meet; one that half of the nonces meet, as on regtest; one that all meet; and one that none meets. For groups of more
/// than 2,048 only the genesis block's scans have that group; the others have 2,048.
#[must_use]
pub fn known_answers(group: u32) -> Vec<KnownAnswer> {
    let group = group.clamp(1, 1 << 20);
    let job = ScanJob::new(&GENESIS);
    let mut answers = Vec::new();
    for before in [0, 1, group - 1, group, 2 * group - 1] {
        for after in [0, 1, group] {
            let range = NonceRange::new(GENESIS_NONCE - before, u64::from(before) + 1 + u64::from(after));
            answers.push(KnownAnswer { job, range, target: GENESIS_TARGET, hits: vec![GENESIS_NONCE] });
        }
    }

    let small = group.min(MAX_HASHED_GROUP);
    for first in [0, 0x89ab_cdef, u32::MAX - small] {
        let job = ScanJob::new(&seeded_header(first));
        let digests: Vec<HashBytes> = (0..2 * small + 1).map(|i| digest(&job, first.wrapping_add(i))).collect();
        let answer = |count: u32, target: ScanTarget| {
            let met = (0..count).filter(|&i| target.is_met_by(&digests[i as usize]));
            let hits = met.map(|i| first.wrapping_add(i)).collect();
            KnownAnswer { job, range: NonceRange::new(first, count.into()), target, hits }
        };
        for planted in [0, 1, small - 1, small, 2 * small - 1, 2 * small] {
            let target = ScanTarget::from_le_bytes(digests[planted as usize]);
            answers.extend([planted, planted + 1, 2 * small + 1].map(|count| answer(count, target)));
        }
        let mut half = [0xff; 32];
        half[31] = 0x7f;
        answers.push(answer(2 * small + 1, ScanTarget::from_le_bytes(half)));
        answers.push(answer(small + 1, ScanTarget::MAX));
        answers.push(answer(2 * small + 1, ScanTarget::from_le_bytes([0; 32])));
    }
    answers
}

/// Compares the kernel with known answers at every edge of its lanes. Takes a few milliseconds.
///
/// # Errors
/// The first answer that is wrong.
///
/// # Panics
/// If the CPU lacks the backend's instructions.
pub fn self_test(backend: Backend) -> Result<(), SelfTestError> {
    check_scan(backend, |job, range, target, hits| backend.scan(job, range, target, hits))?;

    let headers: Vec<HeaderBytes> = (0..67).map(seeded_header).collect();
    let pairs: Vec<[u8; 64]> = headers.iter().map(|header| header[..64].try_into().expect("64 of 80 bytes")).collect();
    let mut wanted = [vec![[0; 32]; headers.len()], vec![[0; 32]; headers.len()]];
    sha2_crate::hash_headers(&headers, &mut wanted[0]);
    sha2_crate::hash_pairs(&pairs, &mut wanted[1]);
    for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 67] {
        let mut seen = [vec![[0; 32]; count], vec![[0; 32]; count]];
        backend.hash_headers(&headers[..count], &mut seen[0]);
        backend.hash_pairs(&pairs[..count], &mut seen[1]);
        for (of, (seen, wanted)) in ["headers", "pairs"].into_iter().zip(seen.iter().zip(&wanted)) {
            if let Some(index) = (0..count).find(|&i| seen[i] != wanted[i]) {
                return Err(SelfTestError::Digest { backend, of, index, count });
            }
        }
    }
    Ok(())
}

/// Compares `scan` with the known answers, for groups of every number of lanes that a kernel has.
fn check_scan(
    backend: Backend,
    mut scan: impl FnMut(&ScanJob, NonceRange, &ScanTarget, &mut Vec<u32>),
) -> Result<(), SelfTestError> {
    for answer in [1, 4, 8, 16, 32].into_iter().flat_map(known_answers) {
        let mut seen = Vec::new();
        scan(&answer.job, answer.range, &answer.target, &mut seen);
        if seen != answer.hits {
            let NonceRange { first, count } = answer.range;
            return Err(SelfTestError::Scan { backend, first, count, seen, wanted: answer.hits });
        }
    }
    Ok(())
}

/// The double hash of the job's header with `nonce`, by the `sha2` crate.
fn digest(job: &ScanJob, nonce: u32) -> HashBytes {
    let mut digest = [[0; 32]];
    sha2_crate::hash_headers(&[job.header(nonce)], &mut digest);
    digest[0]
}

/// A pseudorandom header for each seed.
fn seeded_header(seed: u32) -> HeaderBytes {
    let mut header = [0; 80];
    let mut x = seed ^ 0x9e37_79b9;
    for byte in &mut header {
        // Marsaglia's xorshift32.
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        *byte = x as u8;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kernels with the faults that known answers are there to find.
    #[test]
    fn faults_are_found() {
        type MissesHit = fn(nonce: u32, range: NonceRange) -> bool;
        let faults: [(&str, MissesHit); 4] = [
            ("the range's first nonce is missed", |nonce, range| nonce == range.first),
            ("the range's last nonce is missed", |nonce, range| {
                u64::from(nonce.wrapping_sub(range.first)) + 1 == range.count
            }),
            ("lane 0 of 16 is dead", |nonce, range| nonce.wrapping_sub(range.first) % 16 == 0),
            ("lane 7 of 8 is dead", |nonce, range| nonce.wrapping_sub(range.first) % 8 == 7),
        ];
        let scan = Backend::Sha2Crate;
        for (fault, misses) in faults {
            let outcome = check_scan(scan, |job, range, target, hits| {
                scan.scan(job, range, target, hits);
                hits.retain(|&nonce| !misses(nonce, range));
            });
            assert!(matches!(outcome, Err(SelfTestError::Scan { .. })), "{fault}");
        }
        let only_easy = check_scan(scan, |job, range, target, hits| {
            if target.top() != 0 {
                scan.scan(job, range, target, hits);
            }
        });
        assert!(only_easy.is_err_and(|error| error.to_string().starts_with("sha2: ")));
        assert_eq!(check_scan(scan, |job, range, target, hits| scan.scan(job, range, target, hits)), Ok(()));
    }
}
