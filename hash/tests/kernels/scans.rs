//! Nonce scans: known answers, every edge of a range, random headers and targets.

use adit_hash::{
    Backend, GENESIS, GENESIS_NONCE, GENESIS_TARGET, HeaderBytes, NonceRange, ScanJob, ScanTarget, known_answers,
};
use bitcoin::Network;
use bitcoin::blockdata::constants::genesis_block;
use bitcoin::consensus::serialize;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::reference::{config, finish_first_hash, headers, hits, sha256d};

pub fn scan(backend: Backend, job: &ScanJob, range: NonceRange, target: &ScanTarget) -> Vec<u32> {
    let mut hits = Vec::new();
    backend.scan(job, range, target, &mut hits);
    hits
}

/// Mainnet's genesis header, its nonce and its target, by the `bitcoin` crate.
fn genesis() -> (HeaderBytes, u32, ScanTarget) {
    let header = genesis_block(Network::Bitcoin).header;
    let target = ScanTarget::from_le_bytes(header.target().to_le_bytes());
    (serialize(&header).try_into().unwrap(), header.nonce, target)
}

pub fn the_constants_are_genesis() {
    assert_eq!((GENESIS, GENESIS_NONCE, GENESIS_TARGET), genesis());
    assert!(GENESIS_TARGET.is_met_by(&sha256d(&GENESIS)));
}

pub fn known_answers_are_true_and_say_something() {
    for group in [1, 4, 16, 64, 256, 4_096] {
        let answers = known_answers(group);
        for answer in &answers {
            assert_eq!(answer.hits, hits(&answer.job, answer.range, &answer.target), "groups of {group}");
        }
        let most = answers.iter().map(|answer| answer.hits.len()).max();
        assert!(most >= Some(group.min(2_048) as usize + 1), "groups of {group}: {most:?} hits at most");
    }
}

pub fn a_solution_of_genesis_stands_alone_in_the_largest_known_answer() {
    let answers = known_answers(u32::MAX);
    let widest = answers.iter().max_by_key(|answer| answer.range.count).unwrap();
    assert_eq!(widest.range.count, 3 << 20);
    assert_eq!(scan(Backend::fastest(), &widest.job, widest.range, &widest.target), widest.hits);
}

pub fn genesis_is_solved_wherever_its_nonce_lies_in_the_range(backend: Backend) {
    let (header, nonce, target) = genesis();
    let job = ScanJob::new(&header);
    for before in 0..70 {
        for after in [0, 1, 15, 40] {
            let range = NonceRange::new(nonce - before, u64::from(before) + 1 + after);
            assert_eq!(scan(backend, &job, range, &target), [nonce], "{backend}: {range:?}");
        }
        let range = NonceRange::new(nonce - before, before.into());
        assert_eq!(scan(backend, &job, range, &target), [], "{backend}: {range:?}");
    }
    let range = NonceRange::new(2_083_000_000, 300_000);
    assert_eq!(scan(backend, &job, range, &target), [nonce], "{backend}: {range:?}");
}

/// A target equal to a nonce's hash is met by it; one less is not.
pub fn a_target_is_the_largest_hit(backend: Backend) {
    let job = ScanJob::new(&[0x5a; 80]);
    for nonce in [0, 1, 77, 0xffff_ffff] {
        let digest = sha256d(&job.header(nonce));
        let mut below = digest;
        for byte in &mut below {
            let (less, borrows) = byte.overflowing_sub(1);
            *byte = less;
            if !borrows {
                break;
            }
        }
        let range = NonceRange::new(nonce, 1);
        assert_eq!(scan(backend, &job, range, &ScanTarget::from_le_bytes(digest)), [nonce], "{backend}");
        assert_eq!(scan(backend, &job, range, &ScanTarget::from_le_bytes(below)), [], "{backend}");
    }
}

/// With a target that everything meets, the hits are the range: in order, none missed, none too many, across the wrap.
pub fn every_nonce_of_a_range_is_searched_once(backend: Backend) {
    let job = ScanJob::new(&[1; 80]);
    for first in [0, 3, u32::MAX, u32::MAX - 7, u32::MAX - 16, 0x7fff_fff9] {
        for count in (0..36).chain([63, 64, 65, 127, 129, 255, 257]) {
            let wanted: Vec<u32> = (0..count).map(|i| first.wrapping_add(i as u32)).collect();
            let range = NonceRange::new(first, count);
            assert_eq!(scan(backend, &job, range, &ScanTarget::MAX), wanted, "{backend}: {range:?}");
        }
    }
}

pub fn hits_are_appended(backend: Backend) {
    let job = ScanJob::new(&[2; 80]);
    let mut hits = vec![9];
    backend.scan(&job, NonceRange::new(40, 2), &ScanTarget::MAX, &mut hits);
    assert_eq!(hits, [9, 40, 41], "{backend}");
}

/// At targets that give hundreds of hits, and at all that are easier and harder.
pub fn scans_find_what_sha2_finds(backend: Backend) {
    proptest!(config(), |(
        header in headers(),
        first in prop_oneof![any::<u32>(), (u32::MAX - 2000)..=u32::MAX],
        count in 0u64..3000,
        top in prop_oneof![0x0800_0000u32..0x4000_0000, any::<u32>(), (20u32..32).prop_map(|bits| 1 << bits)],
    )| {
        let job = ScanJob::new(&header);
        let (range, target) = (NonceRange::new(first, count), ScanTarget::from_top(top));
        let wanted = hits(&job, range, &target);
        prop_assert_eq!(&scan(backend, &job, range, &target), &wanted, "{:?}", range);
    });
}

/// What a job tells a kernel elsewhere is enough to finish the first hash.
pub fn a_job_s_words_finish_the_hash() {
    proptest!(config(), |(header in headers(), nonce: u32)| {
        let job = ScanJob::new(&header);
        prop_assert_eq!(finish_first_hash(&job, nonce), Sha256::digest(job.header(nonce)).to_vec());
    });
}
