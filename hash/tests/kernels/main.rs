//! One suite over every kernel, against published digests, real blocks and the `sha2` crate.
//!
//! There is a trial for each kernel that this build knows. One whose instructions this CPU lacks is reported as ignored with
//! the reason, and so is one whose real input is missing, unless `CI=true`: then it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use adit_hash::{Backend, Digest, Header, NonceRange, ScanJob, ScanTarget, known_answers, merkle_root, self_test};
use bitcoin::consensus::encode::deserialize;
use bitcoin_hashes::Hash as _;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::Config;
use sha2::{Digest as _, Sha256};

const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
     67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";

/// The round constants, FIPS 180-4, section 4.2.2.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

fn sha256d(bytes: &[u8]) -> Digest {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// What a scan must find, one nonce at a time through the `sha2` crate.
fn hits(job: &ScanJob, range: NonceRange, target: &ScanTarget) -> Vec<u32> {
    let nonces = (0..range.count).map(|i| range.first.wrapping_add(i as u32));
    nonces.filter(|&nonce| target.is_met_by(&sha256d(&job.header(nonce)))).collect()
}

fn scan(backend: Backend, job: &ScanJob, range: NonceRange, target: &ScanTarget) -> Vec<u32> {
    let mut hits = Vec::new();
    backend.scan(job, range, target, &mut hits);
    hits
}

/// A file of the real input.
fn vector(name: &str) -> PathBuf {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")), PathBuf::from);
    folder.join(name)
}

fn read(name: &str) -> Vec<u8> {
    let path = vector(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn passes_its_self_test(backend: Backend) {
    self_test(backend).unwrap_or_else(|error| panic!("{error}"));
}

/// The shortest of many short runs of `work`, in which other programs interfere least.
fn shortest(mut work: impl FnMut()) -> Duration {
    let runs = (0..40).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    runs.min().expect("there are runs")
}

/// The chosen kernel takes at most half as long again as any other, measured once more. Kernels are up to ten times apart.
fn is_among_the_fastest(fastest: Backend, mut work: impl FnMut(Backend)) {
    let time = shortest(|| work(fastest));
    for backend in Backend::supported() {
        let other = shortest(|| work(backend));
        assert!(time <= other * 3 / 2, "{fastest} takes {time:?}, {backend} {other:?}");
    }
}

fn the_fastest_kernels_are_fast() {
    let (job, never) = (ScanJob::new(&[0x3a; 80]), ScanTarget::from_le_bytes([0; 32]));
    is_among_the_fastest(Backend::fastest(), |backend| {
        assert_eq!(scan(backend, &job, NonceRange::new(0, 4_096), &never), []);
    });
    let (headers, pairs, mut out) = (vec![[0x3a; 80]; 2_048], vec![[0x3a; 64]; 2_048], vec![[0; 32]; 2_048]);
    is_among_the_fastest(Backend::fastest_headers(), |backend| backend.hash_headers(&headers, &mut out));
    is_among_the_fastest(Backend::fastest_pairs(), |backend| backend.hash_pairs(&pairs, &mut out));
}

fn names_are_read_back() {
    for &backend in Backend::ALL {
        assert_eq!(backend.name().parse(), Ok(backend));
    }
    let error = "avx1024".parse::<Backend>().unwrap_err().to_string();
    assert!(error.contains("\"avx1024\"") && error.contains("portable"), "{error}");
}

fn known_answers_are_true_and_say_something() {
    for group in [1, 4, 16, 64, 256, 4_096] {
        let answers = known_answers(group);
        for answer in &answers {
            assert_eq!(answer.hits, hits(&answer.job, answer.range, &answer.target), "groups of {group}");
        }
        let most = answers.iter().map(|answer| answer.hits.len()).max();
        assert!(most >= Some(group.min(2_048) as usize + 1), "groups of {group}: {most:?} hits at most");
    }
}

fn a_solution_of_genesis_stands_alone_in_the_largest_known_answer() {
    let answers = known_answers(u32::MAX);
    let widest = answers.iter().max_by_key(|answer| answer.range.count).unwrap();
    assert_eq!(widest.range.count, 3 << 20);
    assert_eq!(scan(Backend::fastest(), &widest.job, widest.range, &widest.target), widest.hits);
}

/// NIST CAVP, SHA256ShortMsg.rsp, Len = 512.
fn pairs_match_nist(backend: Backend) {
    let message: [u8; 64] = hex::decode(
        "5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8\
         a650547208251f6d4237e661c7bf4c77f335390394c37fa1a9f9be836ac28509",
    )
    .unwrap()
    .try_into()
    .unwrap();
    let digest = hex::decode("42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa").unwrap();
    let wanted: Digest = Sha256::digest(digest).into();
    for count in 1..40 {
        let mut out = vec![[0; 32]; count];
        backend.hash_pairs(&vec![message; count], &mut out);
        assert_eq!(out, vec![wanted; count], "{backend}");
    }
}

/// Every header names the hash of the one before.
fn real_headers_name_each_other(backend: Backend) {
    for (file, count) in [("mainnet/headers-0-10236.bin", 10_237), ("signet/headers-0-2015.bin", 2_016)] {
        let bytes = read(file);
        let headers = bytes.as_chunks::<80>().0;
        assert_eq!(headers.len(), count);
        let mut digests = vec![[0; 32]; count];
        backend.hash_headers(headers, &mut digests);
        for (i, (digest, next)) in digests.iter().zip(&headers[1..]).enumerate() {
            assert_eq!(digest, &next[4..36], "{backend}: {file}: header {i}");
        }
    }
}

fn real_headers_are_solved_by_their_nonces(backend: Backend) {
    let bytes = read("mainnet/headers-0-10236.bin");
    for (i, header) in bytes.as_chunks::<80>().0.iter().enumerate().step_by(64) {
        let bits = u32::from_le_bytes(header[72..76].try_into().unwrap());
        let target = ScanTarget::from_le_bytes(
            bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits)).to_le_bytes(),
        );
        let nonce = u32::from_le_bytes(header[76..].try_into().unwrap());
        let job = ScanJob::new(header);
        let range = NonceRange::new(nonce.wrapping_sub(100 + i as u32 % 16), 200);
        assert_eq!(scan(backend, &job, range, &target), [nonce], "{backend}: header {i}");
    }
}

fn real_blocks_have_their_merkle_roots(backend: Backend) {
    for name in ["367891", "866342", "481824", "709632", "91842"] {
        let bytes = read(&format!("mainnet/block-{name}.bin"));
        let block: bitcoin::Block = deserialize(&bytes).unwrap();
        let leaves: Vec<Digest> = block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
        let merkle = merkle_root(backend, &mut leaves.clone()).unwrap();
        assert_eq!(merkle.root, block.header.merkle_root.to_byte_array(), "{backend}: block {name}");
        assert!(!merkle.mutated, "{backend}: block {name}");
    }
}

fn genesis_is_solved_wherever_its_nonce_lies_in_the_range(backend: Backend) {
    const NONCE: u32 = 2_083_236_893;
    let header: Header = hex::decode(GENESIS).unwrap().try_into().unwrap();
    let job = ScanJob::new(&header);
    let mut bytes = [0; 32];
    bytes[26..28].fill(0xff);
    let target = ScanTarget::from_le_bytes(bytes);
    for before in 0..70 {
        for after in [0, 1, 15, 40] {
            let range = NonceRange::new(NONCE - before, u64::from(before) + 1 + after);
            assert_eq!(scan(backend, &job, range, &target), [NONCE], "{backend}: {range:?}");
        }
        let range = NonceRange::new(NONCE - before, before.into());
        assert_eq!(scan(backend, &job, range, &target), [], "{backend}: {range:?}");
    }
    let range = NonceRange::new(2_083_000_000, 300_000);
    assert_eq!(scan(backend, &job, range, &target), [NONCE], "{backend}: {range:?}");
}

/// A target equal to a nonce's hash is met by it; one less is not.
fn a_target_is_the_largest_hit(backend: Backend) {
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
fn every_nonce_of_a_range_is_searched_once(backend: Backend) {
    let job = ScanJob::new(&[1; 80]);
    for first in [0, 3, u32::MAX, u32::MAX - 7, u32::MAX - 16, 0x7fff_fff9] {
        for count in (0..36).chain([63, 64, 65, 127, 129, 255, 257]) {
            let wanted: Vec<u32> = (0..count).map(|i| first.wrapping_add(i as u32)).collect();
            let range = NonceRange::new(first, count);
            assert_eq!(scan(backend, &job, range, &ScanTarget::MAX), wanted, "{backend}: {range:?}");
        }
    }
}

fn hits_are_appended(backend: Backend) {
    let job = ScanJob::new(&[2; 80]);
    let mut hits = vec![9];
    backend.scan(&job, NonceRange::new(40, 2), &ScanTarget::MAX, &mut hits);
    assert_eq!(hits, [9, 40, 41], "{backend}");
}

/// The tree as Bitcoin Core describes it, one node at a time: root and whether two equal nodes were paired.
fn plain_merkle_root(leaves: &[Digest]) -> (Digest, bool) {
    let (mut level, mut mutated) = (leaves.to_vec(), false);
    while level.len() > 1 {
        let pairs = level.chunks(2);
        mutated |= pairs.clone().any(|pair| pair.len() == 2 && pair[0] == pair[1]);
        level = pairs.map(|pair| sha256d(&[pair[0], *pair.last().expect("chunks are not empty")].concat())).collect();
    }
    (level[0], mutated)
}

fn merkle_roots_of_every_small_tree(backend: Backend) {
    assert_eq!(merkle_root(Backend::Portable, &mut Vec::new()), None);
    let leaves: Vec<Digest> = (0..140u32).map(|i| sha256d(&i.to_le_bytes())).collect();
    for count in 1..leaves.len() {
        let (root, mutated) = plain_merkle_root(&leaves[..count]);
        assert!(!mutated);
        let of_library = bitcoin::merkle_tree::calculate_root(
            leaves[..count].iter().map(|&leaf| bitcoin::hashes::sha256d::Hash::from_byte_array(leaf)),
        );
        assert_eq!(of_library.unwrap().to_byte_array(), root);
        let merkle = merkle_root(backend, &mut leaves[..count].to_vec()).unwrap();
        assert_eq!((merkle.root, merkle.mutated), (root, false), "{backend}: {count} leaves");
    }
}

/// CVE-2012-2459: repeating the end of a list as an odd level does gives the same root, and must be seen.
fn merkle_mutations_are_seen(backend: Backend) {
    let leaves: Vec<Digest> = (0..70u32).map(|i| sha256d(&i.to_be_bytes())).collect();
    for (honest, repeated) in [(3, 1), (6, 2), (5, 1), (7, 1), (12, 4), (35, 1), (70, 2)] {
        let root = merkle_root(backend, &mut leaves[..honest].to_vec()).unwrap();
        let mut copy = leaves[..honest].to_vec();
        copy.extend_from_within(honest - repeated..);
        let mutated = merkle_root(backend, &mut copy.clone()).unwrap();
        assert_eq!((mutated.root, mutated.mutated), (root.root, true), "{backend}: {honest} + {repeated}");
        assert_eq!(plain_merkle_root(&copy), (root.root, true));
    }
}

fn headers() -> impl Strategy<Value = Header> {
    proptest::collection::vec(any::<u8>(), 80).prop_map(|bytes| bytes.try_into().expect("80 bytes"))
}

fn config() -> Config {
    Config { failure_persistence: None, ..Config::with_cases(96) }
}

/// At targets that give hundreds of hits, and at all that are easier and harder.
fn scans_find_what_sha2_finds(backend: Backend) {
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

fn digests_are_sha2_s(backend: Backend) {
    proptest!(config(), |(headers in proptest::collection::vec(headers(), 0..70))| {
        let pairs: Vec<[u8; 64]> = headers.iter().map(|header| header[16..].try_into().unwrap()).collect();
        let mut out = vec![[0; 32]; headers.len()];
        backend.hash_headers(&headers, &mut out);
        for (digest, header) in out.iter().zip(&headers) {
            prop_assert_eq!(digest, &sha256d(header));
        }
        backend.hash_pairs(&pairs, &mut out);
        for (digest, pair) in out.iter().zip(&pairs) {
            prop_assert_eq!(digest, &sha256d(pair));
        }
    });
}

/// What a job tells a kernel elsewhere is enough to finish the first hash.
fn a_job_s_words_finish_the_hash() {
    proptest!(config(), |(header in headers(), nonce: u32)| {
        let job = ScanJob::new(&header);
        prop_assert_eq!(finish_first_hash(&job, nonce), Sha256::digest(job.header(nonce)).to_vec());
    });
}

/// The first hash from the job's getters alone, as a GPU would do it.
fn finish_first_hash(job: &ScanJob, nonce: u32) -> Vec<u8> {
    let s0 = |x: u32| x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
    let s1 = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10);
    let known = job.schedule();
    let w3 = nonce.swap_bytes();
    let mut w = [0u32; 64];
    (w[4], w[15], w[16], w[17]) = (0x8000_0000, 640, known.w16, known.w17);
    w[18] = known.w18.wrapping_add(s0(w3));
    w[19] = known.w19.wrapping_add(w3);
    for i in 20..64 {
        w[i] = match i {
            31 => known.w31.wrapping_add(w[24]).wrapping_add(s1(w[29])),
            32 => known.w32.wrapping_add(w[25]).wrapping_add(s1(w[30])),
            _ => w[i - 16].wrapping_add(s0(w[i - 15])).wrapping_add(w[i - 7]).wrapping_add(s1(w[i - 2])),
        };
    }
    let mut state = job.state_after_round_3();
    state[0] = state[0].wrapping_add(w3);
    state[4] = state[4].wrapping_add(w3);
    for i in 4..64 {
        let [a, b, c, d, e, f, g, h] = state;
        let t1 = h
            .wrapping_add(e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25))
            .wrapping_add((e & f) ^ (!e & g))
            .wrapping_add(K[i])
            .wrapping_add(w[i]);
        let t2 =
            (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add((a & b) ^ (a & c) ^ (b & c));
        state = [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g];
    }
    state.iter().zip(job.midstate()).flat_map(|(word, mid)| word.wrapping_add(mid).to_be_bytes()).collect()
}

/// Scans of ranges that begin, end and wrap at odd places, at targets that many, some and few hashes meet.
#[cfg(target_arch = "x86_64")]
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
        let (job, range) = (ScanJob::new(&[seed; 80]), NonceRange::new(first, count));
        for top in [u32::MAX, u32::MAX >> 1, u32::MAX >> 6] {
            let target = ScanTarget::from_top(top);
            assert_eq!(found(&job, range, &target), hits(&job, range, &target), "{range:?}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn a_hash_variant_hashes_as_sha2_does<const LEN: usize>(hash: fn(&[[u8; LEN]], &mut [Digest])) {
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

/// A trial of each form of each job that the SHA-NI kernel has. A CPU uses one of them, so the others need trials of their own.
#[cfg(target_arch = "x86_64")]
fn variant_trials() -> Vec<Trial> {
    use adit_hash::{Variant, variants};
    let trial = |(name, is_supported, variant): (&str, bool, Variant)| {
        Trial::ignorable_test(format!("sha_ni::{name}"), move || {
            if !is_supported {
                return Ok(Completion::ignored_with("this CPU lacks the instructions of this form"));
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

#[cfg(not(target_arch = "x86_64"))]
fn variant_trials() -> Vec<Trial> {
    Vec::new()
}

/// A test of one kernel, with its name.
type KernelTest = (&'static str, fn(Backend));

/// What every kernel passes.
const OF_EVERY_KERNEL: [KernelTest; 10] = [
    ("passes_its_self_test", passes_its_self_test),
    ("pairs_match_nist", pairs_match_nist),
    ("genesis_is_solved_wherever_its_nonce_lies_in_the_range", genesis_is_solved_wherever_its_nonce_lies_in_the_range),
    ("a_target_is_the_largest_hit", a_target_is_the_largest_hit),
    ("every_nonce_of_a_range_is_searched_once", every_nonce_of_a_range_is_searched_once),
    ("hits_are_appended", hits_are_appended),
    ("merkle_roots_of_every_small_tree", merkle_roots_of_every_small_tree),
    ("merkle_mutations_are_seen", merkle_mutations_are_seen),
    ("scans_find_what_sha2_finds", scans_find_what_sha2_finds),
    ("digests_are_sha2_s", digests_are_sha2_s),
];

/// What every kernel passes on the real input, each with one of the files that it reads.
const ON_REAL_INPUT: [(KernelTest, &str); 3] = [
    (("real_headers_name_each_other", real_headers_name_each_other), "signet/headers-0-2015.bin"),
    (
        ("real_headers_are_solved_by_their_nonces", real_headers_are_solved_by_their_nonces),
        "mainnet/headers-0-10236.bin",
    ),
    (("real_blocks_have_their_merkle_roots", real_blocks_have_their_merkle_roots), "mainnet/block-367891.bin"),
];

/// What does not depend on the kernel.
const OF_NO_KERNEL: [(&str, fn()); 5] = [
    ("the_fastest_kernels_are_fast", the_fastest_kernels_are_fast),
    ("names_are_read_back", names_are_read_back),
    ("known_answers_are_true_and_say_something", known_answers_are_true_and_say_something),
    (
        "a_solution_of_genesis_stands_alone_in_the_largest_known_answer",
        a_solution_of_genesis_stands_alone_in_the_largest_known_answer,
    ),
    ("a_job_s_words_finish_the_hash", a_job_s_words_finish_the_hash),
];

/// Runs `test` on `backend`, if this CPU can run it and the file `input` of the real input is there.
fn on(backend: Backend, input: Option<&str>, test: fn(Backend)) -> Result<Completion, Failed> {
    if !backend.is_supported() {
        return Ok(Completion::ignored_with(format!("this CPU lacks the instructions of {backend}")));
    }
    if let Some(path) = input.map(vector).filter(|path| !path.exists()) {
        if std::env::var("CI").as_deref() == Ok("true") {
            return Err(format!("no real input, and CI must have it: {}", path.display()).into());
        }
        return Ok(Completion::ignored_with(format!("no real input: {}", path.display())));
    }
    test(backend);
    Ok(Completion::Completed)
}

fn main() -> ExitCode {
    let mut trials = variant_trials();
    for &backend in Backend::ALL {
        for (name, test) in OF_EVERY_KERNEL {
            trials.push(Trial::ignorable_test(format!("{backend}::{name}"), move || on(backend, None, test)));
        }
        for ((name, test), input) in ON_REAL_INPUT {
            trials.push(Trial::ignorable_test(format!("{backend}::{name}"), move || on(backend, Some(input), test)));
        }
    }
    for (name, test) in OF_NO_KERNEL {
        trials.push(Trial::test(name, move || {
            test();
            Ok(())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
