// The interface of every scan kernel: its input, the list of candidates, and the number of a thread.

// Everything that does not depend on the nonce. `KernelInput` of src/layout.rs is the same struct in Rust; a test compares
// the two field by field. The reference kernel reads midstate, tail and the last four fields.
struct KernelInput {
    // The state after the header's first 64 bytes.
    midstate: Words8,
    // The state after round 3: a and e less the nonce, which is that round's schedule word, and h with the constant and the
    // schedule word of round 4 added.
    state: Words8,

    // The schedule words 0 to 2: the end of the Merkle root, time, bits. Word 3 is the nonce.
    tail0: u32,
    tail1: u32,
    tail2: u32,

    // The h of rounds 5 and 6, which is the g and the f after round 3, with those rounds' constants added.
    g_k05: u32,
    f_k06: u32,
    // The constants of rounds 16 and 17 with their schedule words added.
    k16_w16: u32,
    k17_w17: u32,
    // The schedule words 16 and 17, and the parts of 18, 19, 31 and 32 that do not depend on the nonce.
    w16: u32,
    w17: u32,
    w18: u32,
    w19: u32,
    w31: u32,
    w32: u32,

    // a and e after round 0 of the second hash, with the midstate's part of schedule word 0.
    second_a: u32,
    second_e: u32,
    // The h of the second hash's rounds 1 to 3 with those rounds' constants and the midstate's part of their schedule words.
    h6_k01: u32,
    h5_k02: u32,
    h4_k03: u32,

    // Constants whose values are hidden from compilers (the reason is in scan.wgsl). Words 0 to 2 of the initial state.
    h0: u32,
    h1: u32,
    h2: u32,
    // The padding's first bit, the message lengths of the first and the second hash in bits, and small sigmas of these.
    padding: u32,
    bits1: u32,
    bits2: u32,
    small_sigma0_padding: u32,
    small_sigma0_bits1: u32,
    small_sigma0_bits2: u32,
    small_sigma1_bits2: u32,

    // The target's most significant 32 bits.
    target_top: u32,
    // The first nonce and the number of nonces. Nonces wrap at 2^32.
    first: u32,
    count: u32,
    // The threads of a row of workgroups.
    row: u32,
}

struct Candidates {
    // How many were found. The list may hold fewer: then the host searches the range again in halves.
    found: atomic<u32>,
    nonces: array<u32>,
}

@group(0) @binding(0) var<uniform> kernel_input: KernelInput;
@group(0) @binding(1) var<storage, read_write> candidates: Candidates;

// Threads in a workgroup. The host sets it.
override workgroup_threads: u32 = 64u;

// The number of the thread. A dispatch has rows because each of its dimensions is limited.
fn place(id: vec3<u32>) -> u32 {
    return id.y * kernel_input.row + id.x;
}

// Whether the most significant 32 bits of the digest, read as a little-endian number, are not above those of the target.
// They are the digest's last word with its bytes swapped. The host compares the rest.
fn is_candidate(last_word: u32, target_top: u32) -> bool {
    return byte_swap(last_word) <= target_top;
}

fn report(nonce: u32) {
    let at = atomicAdd(&candidates.found, 1u);
    if at < arrayLength(&candidates.nonces) {
        candidates.nonces[at] = nonce;
    }
}
