//! One suite over every kernel that this CPU runs, against published digests, real blocks and the `sha2` crate.

use std::path::PathBuf;

use adit_hash::{Backend, Digest, Header, NonceRange, ScanJob, ScanTarget, known_answers, merkle_root, self_test};
use bitcoin::consensus::encode::deserialize;
use bitcoin_hashes::Hash as _;
use proptest::prelude::*;
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

/// A target that about one hash in `2^32 / (top + 1)` meets.
fn target(top: u32) -> ScanTarget {
    let mut bytes = [0xff; 32];
    bytes[28..].copy_from_slice(&top.to_le_bytes());
    ScanTarget::from_le_bytes(bytes)
}

/// A file of the real input, or `None`, said aloud, where there is none. CI must have it.
fn vectors(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no vectors: {}", path.display());
        println!("ignored: no vectors: {}", path.display());
        return None;
    }
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn every_kernel_passes_its_self_test() {
    for backend in Backend::supported() {
        self_test(backend).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_fastest_kernels_are_supported_and_stay() {
    for fastest in [Backend::fastest, Backend::fastest_headers, Backend::fastest_pairs] {
        assert!(fastest().is_supported());
        assert_eq!(fastest(), fastest());
        assert_ne!(fastest(), Backend::Portable);
    }
}

#[test]
fn names_are_read_back() {
    for &backend in Backend::ALL {
        assert_eq!(backend.name().parse(), Ok(backend));
    }
    let error = "avx1024".parse::<Backend>().unwrap_err().to_string();
    assert!(error.contains("\"avx1024\"") && error.contains("portable"), "{error}");
}

#[test]
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

#[test]
fn a_solution_of_genesis_stands_alone_in_the_largest_known_answer() {
    let answers = known_answers(u32::MAX);
    let widest = answers.iter().max_by_key(|answer| answer.range.count).unwrap();
    assert_eq!(widest.range.count, 3 << 20);
    assert_eq!(scan(Backend::fastest(), &widest.job, widest.range, &widest.target), widest.hits);
}

/// NIST CAVP, SHA256ShortMsg.rsp, Len = 512.
#[test]
fn pairs_match_nist() {
    let message: [u8; 64] = hex::decode(
        "5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8\
         a650547208251f6d4237e661c7bf4c77f335390394c37fa1a9f9be836ac28509",
    )
    .unwrap()
    .try_into()
    .unwrap();
    let digest = hex::decode("42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa").unwrap();
    let wanted: Digest = Sha256::digest(digest).into();
    for backend in Backend::supported() {
        for count in 1..40 {
            let mut out = vec![[0; 32]; count];
            backend.hash_pairs(&vec![message; count], &mut out);
            assert_eq!(out, vec![wanted; count], "{backend}");
        }
    }
}

/// Every header names the hash of the one before.
#[test]
fn real_headers_name_each_other() {
    for (file, count) in [("mainnet/headers-0-10236.bin", 10_237), ("signet/headers-0-2015.bin", 2_016)] {
        let Some(bytes) = vectors(file) else { return };
        let headers = bytes.as_chunks::<80>().0;
        assert_eq!(headers.len(), count);
        for backend in Backend::supported() {
            let mut digests = vec![[0; 32]; count];
            backend.hash_headers(headers, &mut digests);
            for (i, (digest, next)) in digests.iter().zip(&headers[1..]).enumerate() {
                assert_eq!(digest, &next[4..36], "{backend}: {file}: header {i}");
            }
        }
    }
}

#[test]
fn real_headers_are_solved_by_their_nonces() {
    let Some(bytes) = vectors("mainnet/headers-0-10236.bin") else { return };
    for (i, header) in bytes.as_chunks::<80>().0.iter().enumerate().step_by(64) {
        let bits = u32::from_le_bytes(header[72..76].try_into().unwrap());
        let target = ScanTarget::from_le_bytes(
            bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits)).to_le_bytes(),
        );
        let nonce = u32::from_le_bytes(header[76..].try_into().unwrap());
        let job = ScanJob::new(header);
        for backend in Backend::supported() {
            let range = NonceRange::new(nonce.wrapping_sub(100 + i as u32 % 16), 200);
            assert_eq!(scan(backend, &job, range, &target), [nonce], "{backend}: header {i}");
        }
    }
}

#[test]
fn real_blocks_have_their_merkle_roots() {
    for name in ["367891", "866342", "481824", "709632", "91842"] {
        let Some(bytes) = vectors(&format!("mainnet/block-{name}.bin")) else { return };
        let block: bitcoin::Block = deserialize(&bytes).unwrap();
        let leaves: Vec<Digest> = block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
        for backend in Backend::supported() {
            let merkle = merkle_root(backend, &mut leaves.clone()).unwrap();
            assert_eq!(merkle.root, block.header.merkle_root.to_byte_array(), "{backend}: block {name}");
            assert!(!merkle.mutated, "{backend}: block {name}");
        }
    }
}

#[test]
fn genesis_is_solved_wherever_its_nonce_lies_in_the_range() {
    const NONCE: u32 = 2_083_236_893;
    let header: Header = hex::decode(GENESIS).unwrap().try_into().unwrap();
    let job = ScanJob::new(&header);
    let mut bytes = [0; 32];
    bytes[26..28].fill(0xff);
    let target = ScanTarget::from_le_bytes(bytes);
    for backend in Backend::supported() {
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
}

/// A target equal to a nonce's hash is met by it; one less is not.
#[test]
fn a_target_is_the_largest_hit() {
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
        for backend in Backend::supported() {
            let range = NonceRange::new(nonce, 1);
            assert_eq!(scan(backend, &job, range, &ScanTarget::from_le_bytes(digest)), [nonce], "{backend}");
            assert_eq!(scan(backend, &job, range, &ScanTarget::from_le_bytes(below)), [], "{backend}");
        }
    }
}

/// With a target that everything meets, the hits are the range: in order, none missed, none too many, across the wrap.
#[test]
fn every_nonce_of_a_range_is_searched_once() {
    let job = ScanJob::new(&[1; 80]);
    for backend in Backend::supported() {
        for first in [0, 3, u32::MAX, u32::MAX - 7, u32::MAX - 16, 0x7fff_fff9] {
            for count in (0..36).chain([63, 64, 65, 127, 129, 255, 257]) {
                let wanted: Vec<u32> = (0..count).map(|i| first.wrapping_add(i as u32)).collect();
                let range = NonceRange::new(first, count);
                assert_eq!(scan(backend, &job, range, &ScanTarget::MAX), wanted, "{backend}: {range:?}");
            }
        }
    }
}

#[test]
fn hits_are_appended() {
    let job = ScanJob::new(&[2; 80]);
    for backend in Backend::supported() {
        let mut hits = vec![9];
        backend.scan(&job, NonceRange::new(40, 2), &ScanTarget::MAX, &mut hits);
        assert_eq!(hits, [9, 40, 41], "{backend}");
    }
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

#[test]
fn merkle_roots_of_every_small_tree() {
    assert_eq!(merkle_root(Backend::Portable, &mut Vec::new()), None);
    let leaves: Vec<Digest> = (0..140u32).map(|i| sha256d(&i.to_le_bytes())).collect();
    for count in 1..leaves.len() {
        let (root, mutated) = plain_merkle_root(&leaves[..count]);
        assert!(!mutated);
        let of_library = bitcoin::merkle_tree::calculate_root(
            leaves[..count].iter().map(|&leaf| bitcoin::hashes::sha256d::Hash::from_byte_array(leaf)),
        );
        assert_eq!(of_library.unwrap().to_byte_array(), root);
        for backend in Backend::supported() {
            let merkle = merkle_root(backend, &mut leaves[..count].to_vec()).unwrap();
            assert_eq!((merkle.root, merkle.mutated), (root, false), "{backend}: {count} leaves");
        }
    }
}

/// CVE-2012-2459: repeating the end of a list as an odd level does gives the same root, and must be seen.
#[test]
fn merkle_mutations_are_seen() {
    let leaves: Vec<Digest> = (0..70u32).map(|i| sha256d(&i.to_be_bytes())).collect();
    for backend in Backend::supported() {
        for (honest, repeated) in [(3, 1), (6, 2), (5, 1), (7, 1), (12, 4), (35, 1), (70, 2)] {
            let root = merkle_root(backend, &mut leaves[..honest].to_vec()).unwrap();
            let mut copy = leaves[..honest].to_vec();
            copy.extend_from_within(honest - repeated..);
            let mutated = merkle_root(backend, &mut copy.clone()).unwrap();
            assert_eq!((mutated.root, mutated.mutated), (root.root, true), "{backend}: {honest} + {repeated}");
            assert_eq!(plain_merkle_root(&copy), (root.root, true));
        }
    }
}

fn headers() -> impl Strategy<Value = Header> {
    proptest::collection::vec(any::<u8>(), 80).prop_map(|bytes| bytes.try_into().expect("80 bytes"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// At targets that give hundreds of hits, and at all that are easier and harder.
    #[test]
    fn scans_find_what_sha2_finds(
        header in headers(),
        first in prop_oneof![any::<u32>(), (u32::MAX - 2000)..=u32::MAX],
        count in 0u64..3000,
        top in prop_oneof![0x0800_0000u32..0x4000_0000, any::<u32>(), (20u32..32).prop_map(|bits| 1 << bits)],
    ) {
        let job = ScanJob::new(&header);
        let (range, target) = (NonceRange::new(first, count), target(top));
        let wanted = hits(&job, range, &target);
        for backend in Backend::supported() {
            prop_assert_eq!(&scan(backend, &job, range, &target), &wanted, "{}: {:?}", backend, range);
        }
    }

    #[test]
    fn digests_are_sha2_s(headers in proptest::collection::vec(headers(), 0..70)) {
        let pairs: Vec<[u8; 64]> = headers.iter().map(|header| header[16..].try_into().unwrap()).collect();
        for backend in Backend::supported() {
            let mut out = vec![[0; 32]; headers.len()];
            backend.hash_headers(&headers, &mut out);
            for (digest, header) in out.iter().zip(&headers) {
                prop_assert_eq!(digest, &sha256d(header), "{}", backend);
            }
            backend.hash_pairs(&pairs, &mut out);
            for (digest, pair) in out.iter().zip(&pairs) {
                prop_assert_eq!(digest, &sha256d(pair), "{}", backend);
            }
        }
    }

    /// What a job tells a kernel elsewhere is enough to finish the first hash.
    #[test]
    fn a_job_s_words_finish_the_hash(header in headers(), nonce: u32) {
        let job = ScanJob::new(&header);
        prop_assert_eq!(finish_first_hash(&job, nonce), Sha256::digest(job.header(nonce)).to_vec());
    }
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
