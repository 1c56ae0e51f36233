//! Both forms of each job of this kernel, for the test suite: on a given CPU [`Backend`](crate::Backend) uses one of them.

use super::{
    hash_headers_with_16, hash_headers_with_32, hash_pairs_with_16, hash_pairs_with_32, is_supported, pairs,
    scan_in_pairs, scan_in_streams,
};
use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::{Digest, Header};

/// A form of a job. Calling it on a CPU without its instructions panics.
#[derive(Clone, Copy, Debug)]
pub enum Variant {
    /// A nonce scan.
    Scan(fn(&ScanJob, NonceRange, &ScanTarget, &mut Vec<u32>)),
    /// The double hashes of headers.
    Headers(fn(&[Header], &mut [Digest])),
    /// The double hashes of pairs.
    Pairs(fn(&[[u8; 64]], &mut [Digest])),
}

/// Every form with its name and whether this CPU has its instructions.
#[must_use]
pub fn variants() -> [(&'static str, bool, Variant); 6] {
    let has_32 = has_32_registers();
    [
        ("scan_in_streams", is_supported(), Variant::Scan(streams)),
        ("scan_in_pairs", is_supported() && pairs::is_supported(), Variant::Scan(vectors)),
        ("headers_with_16_registers", is_supported(), Variant::Headers(headers_16)),
        ("headers_with_32_registers", has_32, Variant::Headers(headers_32)),
        ("pairs_with_16_registers", is_supported(), Variant::Pairs(pairs_16)),
        ("pairs_with_32_registers", has_32, Variant::Pairs(pairs_32)),
    ]
}

fn has_32_registers() -> bool {
    is_supported() && is_x86_feature_detected!("avx512vl")
}

fn streams(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    assert!(is_supported());
    // SAFETY: checked above.
    unsafe { scan_in_streams(job, range, target, hits) }
}

fn vectors(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    assert!(is_supported() && pairs::is_supported());
    // SAFETY: checked above.
    unsafe { scan_in_pairs(job, range, target, hits) }
}

fn headers_16(headers: &[Header], out: &mut [Digest]) {
    assert!(is_supported());
    // SAFETY: checked above.
    unsafe { hash_headers_with_16(headers, out) }
}

fn headers_32(headers: &[Header], out: &mut [Digest]) {
    assert!(has_32_registers());
    // SAFETY: checked above.
    unsafe { hash_headers_with_32(headers, out) }
}

fn pairs_16(pairs: &[[u8; 64]], out: &mut [Digest]) {
    assert!(is_supported());
    // SAFETY: checked above.
    unsafe { hash_pairs_with_16(pairs, out) }
}

fn pairs_32(pairs: &[[u8; 64]], out: &mut [Digest]) {
    assert!(has_32_registers());
    // SAFETY: checked above.
    unsafe { hash_pairs_with_32(pairs, out) }
}
