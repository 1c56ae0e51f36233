//! Both forms of each job of this kernel, for the test suite: on a given CPU [`Backend`](crate::Backend) uses one of them.

use super::{
    hash_headers_with_16, hash_headers_with_32, hash_pairs_with_16, hash_pairs_with_32, is_supported, pairs,
    scan_in_pairs, scan_in_streams,
};
use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::{HashBytes, HeaderBytes};

/// A form of a job. Calling it on a CPU without its instructions panics.
#[derive(Clone, Copy, Debug)]
pub enum Variant {
    /// A nonce scan.
    Scan(fn(&ScanJob, NonceRange, &ScanTarget, &mut Vec<u32>)),
    /// The double hashes of headers.
    Headers(fn(&[HeaderBytes], &mut [HashBytes])),
    /// The double hashes of pairs.
    Pairs(fn(&[[u8; 64]], &mut [HashBytes])),
}

/// Every form with its name, and the instruction set that it needs and this CPU lacks, if it lacks one.
#[must_use]
pub fn variants() -> [(&'static str, Option<&'static str>, Variant); 6] {
    let (sha_ni, in_pairs, with_32) = (missing(SHA_NI), missing(PAIRS), missing(REGISTERS_32));
    [
        ("scan_in_streams", sha_ni, Variant::Scan(streams)),
        ("scan_in_pairs", in_pairs, Variant::Scan(vectors)),
        ("headers_with_16_registers", sha_ni, Variant::Headers(headers_16)),
        ("headers_with_32_registers", with_32, Variant::Headers(headers_32)),
        ("pairs_with_16_registers", sha_ni, Variant::Pairs(pairs_16)),
        ("pairs_with_32_registers", with_32, Variant::Pairs(pairs_32)),
    ]
}

/// An instruction set by name, and whether this CPU has it.
type InstructionSet = (&'static str, fn() -> bool);

const SHA_NI: &[InstructionSet] = &[("sha_ni", is_supported)];
const REGISTERS_32: &[InstructionSet] = &[SHA_NI[0], AVX512VL];
const PAIRS: &[InstructionSet] = &[
    SHA_NI[0],
    ("avx512f", || is_x86_feature_detected!("avx512f")),
    AVX512VL,
    ("avx512vbmi2", || is_x86_feature_detected!("avx512vbmi2")),
];
const AVX512VL: InstructionSet = ("avx512vl", || is_x86_feature_detected!("avx512vl"));

/// The first of `sets` that this CPU lacks.
fn missing(sets: &[InstructionSet]) -> Option<&'static str> {
    sets.iter().find(|(_, has)| !has()).map(|(name, _)| *name)
}

fn has_32_registers() -> bool {
    missing(REGISTERS_32).is_none()
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

fn headers_16(headers: &[HeaderBytes], out: &mut [HashBytes]) {
    assert!(is_supported());
    // SAFETY: checked above.
    unsafe { hash_headers_with_16(headers, out) }
}

fn headers_32(headers: &[HeaderBytes], out: &mut [HashBytes]) {
    assert!(has_32_registers());
    // SAFETY: checked above.
    unsafe { hash_headers_with_32(headers, out) }
}

fn pairs_16(pairs: &[[u8; 64]], out: &mut [HashBytes]) {
    assert!(is_supported());
    // SAFETY: checked above.
    unsafe { hash_pairs_with_16(pairs, out) }
}

fn pairs_32(pairs: &[[u8; 64]], out: &mut [HashBytes]) {
    assert!(has_32_registers());
    // SAFETY: checked above.
    unsafe { hash_pairs_with_32(pairs, out) }
}
