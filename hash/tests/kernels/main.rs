//! One suite over every kernel, against published digests, real blocks and the `sha2` crate.
//!
//! There is a trial for each kernel that this build knows. One whose instructions this CPU lacks is reported as ignored with
//! the reason, and so is one whose real input is missing, unless `CI=true`: then it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hashes;
mod real_input;
mod reference;
mod scans;
#[cfg(target_arch = "x86_64")]
mod sha_ni_forms;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use adit_hash::{Backend, NonceRange, ScanJob, ScanTarget, self_test};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use hashes::*;
use real_input::*;
use scans::*;

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

/// What every kernel passes on the real input, each with the files that it reads.
const ON_REAL_INPUT: [(KernelTest, &[&str]); 3] = [
    (("real_headers_name_each_other", real_headers_name_each_other), &HEADERS),
    (("real_headers_are_solved_by_their_nonces", real_headers_are_solved_by_their_nonces), &[MAINNET_HEADERS]),
    (("real_blocks_have_their_merkle_roots", real_blocks_have_their_merkle_roots), &BLOCKS),
];

/// What does not depend on the kernel.
const OF_NO_KERNEL: [(&str, fn()); 6] = [
    ("the_constants_are_genesis", the_constants_are_genesis),
    ("the_fastest_kernels_are_fast", the_fastest_kernels_are_fast),
    ("names_are_read_back", names_are_read_back),
    ("known_answers_are_true_and_say_something", known_answers_are_true_and_say_something),
    (
        "a_solution_of_genesis_stands_alone_in_the_largest_known_answer",
        a_solution_of_genesis_stands_alone_in_the_largest_known_answer,
    ),
    ("a_job_s_words_finish_the_hash", a_job_s_words_finish_the_hash),
];

/// The outcome of a trial of instructions that this CPU does not have. `.ci/run` reads the name from these words.
fn lacks_instructions(set: &str) -> Completion {
    Completion::ignored_with(format!("this CPU lacks the instructions of {set}"))
}

/// Runs `test` on `backend`, if this CPU can run it and every file of `input` is there.
fn on(backend: Backend, input: &[&str], test: fn(Backend)) -> Result<Completion, Failed> {
    if !backend.is_supported() {
        return Ok(lacks_instructions(backend.name()));
    }
    if let Some(path) = input.iter().map(|name| vector(name)).find(|path| !path.is_file()) {
        if std::env::var("CI").as_deref() == Ok("true") {
            return Err(format!("no real input, and CI must have it: {}", path.display()).into());
        }
        return Ok(Completion::ignored_with(format!("no real input: {}", path.display())));
    }
    test(backend);
    Ok(Completion::Completed)
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    #[cfg(target_arch = "x86_64")]
    trials.extend(sha_ni_forms::trials());
    for &backend in Backend::ALL {
        for (name, test) in OF_EVERY_KERNEL {
            trials.push(Trial::ignorable_test(format!("{backend}::{name}"), move || on(backend, &[], test)));
        }
        for ((name, test), input) in ON_REAL_INPUT {
            trials.push(Trial::ignorable_test(format!("{backend}::{name}"), move || on(backend, input, test)));
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
