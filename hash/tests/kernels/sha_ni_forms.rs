//! Every form of each job of the SHA-NI kernel. A CPU uses one of them, so the others need trials of their own.

use adit_hash::{HashBytes, HeaderBytes, NonceRange, ScanJob, ScanTarget, Variant, known_answers, variants};
use libtest_mimic::{Completion, Trial};

use crate::lacks_instructions;
use crate::reference::{hits, sha256d};

/// A header whose bytes differ, another for each `seed`.
fn random_header(seed: u8) -> HeaderBytes {
    let bytes: Vec<u8> = (0..3).flat_map(|part| sha256d(&[seed, part])).collect();
    bytes[..80].try_into().unwrap()
}

/// Scans of ranges that begin, end and wrap at odd places, at targets that many, some and few hashes meet.
fn a_scan_variant_finds_what_sha2_finds(scan: fn(&ScanJob, NonceRange, &ScanTarget, &mut Vec<u32>)) {
    let found = |job: &ScanJob, range, target: &ScanTarget| {
        let mut hits = Vec::new();
        scan(job, range, target, &mut hits);
        hits
    };
    for group in [4, 16] {
        for answer in known_answers(group) {
            assert_eq!(found(&answer.job, answer.range, &answer.target), answer.hits);
        }
    }
    let ranges = [(0, 4096), (77, 1003), (u32::MAX - 500, 1001), (5, 1), (5, 0), (9, 6), (u32::MAX, 2)];
    for (seed, (first, count)) in (0..).zip(ranges) {
        let header = random_header(seed);
        let (job, range) = (ScanJob::new(&header), NonceRange::new(first, count));
        let [a, b, c, d, ..] = header;
        for top in [u32::MAX, u32::MAX >> 1, u32::MAX >> 6, u32::from_le_bytes([a, b, c, d])] {
            let target = ScanTarget::from_top(top);
            assert_eq!(found(&job, range, &target), hits(&job, range, &target), "{range:?}");
        }
    }
}

fn a_hash_variant_hashes_as_sha2_does<const LEN: usize>(hash: fn(&[[u8; LEN]], &mut [HashBytes])) {
    for count in [0, 1, 3, 4, 5, 8, 63] {
        let mut messages = vec![[0; LEN]; count];
        for (i, byte) in messages.iter_mut().flatten().enumerate() {
            *byte = (i * i % 251) as u8;
        }
        let mut seen = vec![[0; 32]; count];
        hash(&messages, &mut seen);
        let wanted: Vec<_> = messages.iter().map(|message| sha256d(message)).collect();
        assert_eq!(seen, wanted, "{count} messages of {LEN} bytes");
    }
}

/// A trial of each form.
pub fn trials() -> Vec<Trial> {
    let trial = |(name, missing, variant): (&str, Option<&'static str>, Variant)| {
        Trial::ignorable_test(format!("sha_ni::{name}"), move || {
            if let Some(set) = missing {
                return Ok(lacks_instructions(set));
            }
            match variant {
                Variant::Scan(scan) => a_scan_variant_finds_what_sha2_finds(scan),
                Variant::Headers(hash) => a_hash_variant_hashes_as_sha2_does(hash),
                Variant::Pairs(hash) => a_hash_variant_hashes_as_sha2_does(hash),
            }
            Ok(Completion::Completed)
        })
    };
    variants().into_iter().map(trial).collect()
}
