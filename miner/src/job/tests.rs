//! A job gives every header once, and refuses templates that cannot be mined.

use super::*;
use crate::work::Coinbase;
use proptest::prelude::*;
use std::collections::HashSet;

fn template(version_mask: u32, extranonce_len: usize, merkle_branch: Vec<HashBytes>, times: u32) -> Template {
    Template {
        id: TemplateId(7),
        height: 1,
        version: 0x2000_0000,
        version_mask,
        prev_hash: [3; 32],
        coinbase: Coinbase { prefix: vec![1, 2, 3], extranonce_len, suffix: vec![4, 5] },
        merkle_branch,
        time: 1_700_000_000,
        max_time: 1_700_000_000 + times - 1,
        bits: 0x207f_ffff,
        target: ScanTarget::MAX,
    }
}

/// The Merkle root written the slow way, from whole serializations and the hash crate's Merkle code.
fn rebuilt_root(template: &Template, extranonce: &[u8]) -> HashBytes {
    let coinbase = [&template.coinbase.prefix[..], extranonce, &template.coinbase.suffix[..]].concat();
    let mut node = sha256d(&coinbase);
    for sibling in &template.merkle_branch {
        let mut pair = vec![node, *sibling];
        node = adit_hash::merkle_root(adit_hash::Backend::Portable, &mut pair).unwrap().root;
    }
    node
}

#[test]
fn every_combination_is_given_once_and_then_the_job_says_so() {
    // 2 version bits, one byte of extranonce, 3 seconds.
    let job = Job::new(Arc::new(template(0x0000_a000, 1, vec![[9; 32]], 3))).unwrap();
    let mut headers = HashSet::new();
    while let Some(work) = job.draw(u64::MAX) {
        assert_eq!(work.range, NonceRange::ALL);
        assert!(headers.insert(work.scan.header(0)), "a header came twice");
    }
    assert_eq!(headers.len(), 4 * 256 * 3);
    assert!(job.is_exhausted());
    assert_eq!(job.draw(1), None);
    let versions: HashSet<_> = headers.iter().map(|header| header[..4].to_vec()).collect();
    assert_eq!(versions.len(), 4);
}

#[test]
fn a_header_is_given_out_in_pieces_that_meet() {
    let job = Job::new(Arc::new(template(0, 4, vec![], 1))).unwrap();
    let mut next = 0;
    for nonces in [1, 5, 1 << 20, 1 << 31, 1 << 33] {
        let work = job.draw(nonces).unwrap();
        assert_eq!(u64::from(work.range.first), next);
        assert_eq!(work.extranonce.to_vec(), [0, 0, 0, 0]);
        next += work.range.count;
    }
    assert_eq!(next, 1 << 32);
    let work = job.draw(0).unwrap();
    assert_eq!((work.range, work.extranonce.to_vec()), (NonceRange::new(0, 1), vec![1, 0, 0, 0]));
}

#[test]
fn threads_never_draw_the_same_nonce() {
    let job = Job::new(Arc::new(template(0x1fff_e000, 8, vec![], 1))).unwrap();
    let drawn: Vec<HeaderWork> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let job = &job;
                scope.spawn(move || (0..200).filter_map(|_| job.draw((1 << 26) + i)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut spans: Vec<_> =
        drawn.iter().map(|work| (work.scan.header(0), work.range.first, work.range.count)).collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        let ((header, first, count), (next_header, next_first, _)) = (pair[0], pair[1]);
        assert!(header != next_header || u64::from(first) + count <= u64::from(next_first));
    }
}

#[test]
fn templates_that_contradict_themselves_are_refused() {
    let refused = |template| Job::new(Arc::new(template)).unwrap_err();
    assert_eq!(refused(template(0, 9, vec![], 1)), JobError::ExtranonceTooLong { seen: 9 });
    assert_eq!(refused(template(0, 4, vec![[0; 32]; 33], 1)), JobError::BranchTooDeep { seen: 33 });
    let backwards = Template { max_time: 1, ..template(0, 4, vec![], 1) };
    assert_eq!(refused(backwards), JobError::TimeBackwards { time: 1_700_000_000, max_time: 1 });
}

#[test]
fn the_longest_extranonce_and_the_widest_mask_do_not_overflow() {
    let job = Job::new(Arc::new(template(u32::MAX, 8, vec![], 1))).unwrap();
    {
        let mut position = job.lock();
        position.version_roll = u64::from(u32::MAX);
        position.extranonce = Extranonce::new(u64::MAX, 8);
        position.next_nonce = NONCES;
    }
    assert_eq!(job.draw(1), None);
}

#[test]
fn a_candidate_is_checked_by_its_hash_and_its_range() {
    let work = |target, range| HeaderWork {
        template: TemplateId(0),
        scan: ScanJob::new(&[0x5a; HEADER_LEN]),
        range,
        target,
        extranonce: Extranonce::default(),
    };
    let all = NonceRange::ALL;
    let hash = sha256d(&work(ScanTarget::MAX, all).scan.header(77));
    let header = work(ScanTarget::MAX, all).scan.header(77);
    let solution =
        CheckedCandidate::Solution(Solution { template: TemplateId(0), header, extranonce: Vec::new(), hash });
    assert_eq!(work(ScanTarget::from_le_bytes(hash), all).check_nonce(77), solution);
    assert_eq!(work(ScanTarget::MAX, NonceRange::new(78, 5)).check_nonce(77), CheckedCandidate::HardwareError);
    let mut below = hash;
    below[..28].fill(0);
    assert_eq!(work(ScanTarget::from_le_bytes(below), all).check_nonce(77), CheckedCandidate::AboveTarget);
    assert_eq!(work(ScanTarget::from_le_bytes([0; 32]), all).check_nonce(77), CheckedCandidate::HardwareError);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_header_is_distinct_and_rebuilds(
        version in any::<i32>(),
        version_mask in any::<u32>(),
        extranonce_len in 0_usize..=8,
        prefix in proptest::collection::vec(any::<u8>(), 0..80),
        suffix in proptest::collection::vec(any::<u8>(), 0..80),
        branch in proptest::collection::vec(any::<[u8; 32]>(), 0..6),
        seconds in 1_u32..4,
        narrow in any::<bool>(),
    ) {
        // A narrow mask reaches the extranonce and the time within the headers looked at.
        let version_mask = if narrow { version_mask & 0x0001_1000 } else { version_mask };
        let mut template = template(version_mask, extranonce_len, branch, seconds);
        template.version = version;
        template.coinbase.prefix = prefix;
        template.coinbase.suffix = suffix;
        let template = Arc::new(template);
        let job = Job::new(Arc::clone(&template)).unwrap();
        let mut seen = HashSet::new();
        for _ in 0..1200 {
            let Some(work) = job.draw(1 << 32) else { break };
            let header = work.scan.header(0);
            prop_assert!(seen.insert(header));
            let version = i32::from_le_bytes(header[..4].try_into().unwrap());
            prop_assert_eq!((version ^ template.version) as u32 & !version_mask, 0);
            prop_assert_eq!(&header[4..36], &template.prev_hash);
            prop_assert_eq!(&header[36..68], rebuilt_root(&template, &work.extranonce.to_vec()));
            let time = u32::from_le_bytes(header[68..72].try_into().unwrap());
            prop_assert!((template.time..=template.max_time).contains(&time));
            prop_assert_eq!(&header[72..76], template.bits.to_le_bytes());
        }
        let versions = 1_u128 << version_mask.count_ones();
        let all = versions * (1_u128 << (8 * extranonce_len)) * u128::from(seconds);
        prop_assert_eq!(seen.len() as u128, all.min(1200));
    }

    #[test]
    fn a_split_covers_the_work_once(first in any::<u32>(), count in 1_u64..=1 << 32, at in any::<u64>()) {
        let job = Job::new(Arc::new(template(0, 0, vec![], 1))).unwrap();
        let work = HeaderWork { range: NonceRange::new(first, count), ..job.draw(1).unwrap() };
        let (head, rest) = work.split_at(at);
        prop_assert!(head.range.count >= 1);
        prop_assert_eq!(head.range.first, first);
        match rest {
            None => prop_assert_eq!(head.range.count, count),
            Some(rest) => {
                prop_assert_eq!(head.range.count + rest.range.count, count);
                prop_assert_eq!(rest.range.first, first.wrapping_add(head.range.count as u32));
            }
        }
    }
}
