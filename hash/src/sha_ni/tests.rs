//! Every form of every job beside the `sha2` crate: the kernels' suite sees only those that this CPU's choice falls on.

use super::*;
use crate::{known_answers, sha2_crate};

type Scan = unsafe fn(&ScanJob, NonceRange, &ScanTarget, &mut Vec<u32>);

#[test]
fn both_scans_find_what_the_sha2_crate_finds() {
    if !is_supported() {
        println!("ignored: this CPU has no SHA extensions");
        return;
    }
    for group in [4, 16] {
        for question in known_answers(group) {
            let mut hits = Vec::new();
            // SAFETY: the CPU has the instructions, as seen above.
            unsafe { scan_in_streams(&question.job, question.range, &question.target, &mut hits) };
            assert_eq!(hits, question.hits, "known answer");
        }
    }
    let mut scans: Vec<(&str, Scan)> = vec![("streams", scan_in_streams)];
    if pairs::is_supported() {
        scans.push(("pairs", scan_in_pairs));
    }
    let ranges =
        [(0, 0, 4096), (1, 77, 1003), (2, u32::MAX - 500, 1001), (3, 5, 1), (4, 5, 0), (5, 9, 6), (6, u32::MAX, 2)];
    for (seed, first, count) in ranges {
        let mut header = [0xb7; 80];
        header[..4].copy_from_slice(&(0x9e37_79b9_u32.wrapping_mul(seed)).to_le_bytes());
        header[64..68].copy_from_slice(&(0x85eb_ca6b_u32.wrapping_mul(seed)).to_le_bytes());
        let (job, range) = (ScanJob::new(&header), NonceRange::new(first, count));
        for bits in [0, 1, 6] {
            let target = easy(bits);
            let mut wanted = Vec::new();
            sha2_crate::scan(&job, range, &target, &mut wanted);
            for (name, scan) in &scans {
                let mut hits = Vec::new();
                // SAFETY: the CPU has the instructions, as seen above.
                unsafe { scan(&job, range, &target, &mut hits) };
                assert_eq!(hits, wanted, "{name}, header {seed}, {count} nonces from {first}");
            }
        }
    }
}

type Hash<T> = unsafe fn(&[T], &mut [Digest]);

fn check_hashes<const LEN: usize>(forms: [Hash<[u8; LEN]>; 2], right: fn(&[[u8; LEN]], &mut [Digest])) {
    let has_32 = is_x86_feature_detected!("avx512vl");
    for count in [0, 1, 3, 4, 5, 8, 63] {
        let mut messages = vec![[0; LEN]; count];
        for (i, byte) in messages.iter_mut().flatten().enumerate() {
            *byte = (i * i % 251) as u8;
        }
        let mut wanted = vec![[0; 32]; count];
        right(&messages, &mut wanted);
        for form in &forms[..if has_32 { 2 } else { 1 }] {
            let mut seen = vec![[0; 32]; count];
            // SAFETY: the CPU has SHA-NI and AVX, as the callers saw, and AVX-512VL for the second form.
            unsafe { form(&messages, &mut seen) };
            assert_eq!(seen, wanted, "{count} messages of {LEN} bytes");
        }
    }
}

#[test]
fn both_register_files_hash_as_the_sha2_crate_does() {
    if !is_supported() {
        println!("ignored: this CPU has no SHA extensions");
        return;
    }
    check_hashes([hash_headers_with_16, hash_headers_with_32], sha2_crate::hash_headers);
    check_hashes([hash_pairs_with_16, hash_pairs_with_32], sha2_crate::hash_pairs);
}

/// The target that one hash in two to the power of `bits` meets.
fn easy(bits: u32) -> ScanTarget {
    let mut target = [0xff; 32];
    target[28..].copy_from_slice(&(u32::MAX >> bits).to_le_bytes());
    ScanTarget::from_le_bytes(target)
}
