// The pruned scan kernel: SHA-256d of a header from its midstate, without every operation that can be left out.
//
// Left out:
// - the first three rounds and the schedule words that do not depend on the nonce: the host computes them (`KernelInput`);
// - schedule words that are zero, and additions of constants to constants;
// - everything in the second hash that its digest's last word does not depend on. That word is the e of round 60 plus a
//   constant. So rounds 61 to 63 are left out, and so is the new a of rounds 57 to 60, which no later round reads.
//
// Three things are written for the sake of compilers (docs/performance.md, "WGSL"):
// - Schedule words have names instead of a ring of sixteen, so that a compiler sees that each is written once.
// - `kernel_input` is read whole before any branch. Behind a branch, llvmpipe reads a uniform once for each lane.
// - A constant that is added to a word that is rotated next comes from `kernel_input` instead of a literal. For every GPU,
//   Mesa turns `(x + 1u) << n` into `(x << n) + (1u << n)`, and then no longer recognises the rotate.

// How many nonces a thread tries, 1 to 32. The host sets it.
override nonces_per_thread: u32 = 32u;

// K08 plus the padding, modulo 2^32.
const K08_PADDING = 0x5807aa98u;

// K15 plus the message length in bits of the first and of the second hash, modulo 2^32.
const K15_BITS1 = 0xc19bf3f4u;
const K15_BITS2 = 0xc19bf274u;

// K60 plus H7, modulo 2^32: the constants of round 60 and of the last word of the digest.
const K60_H7 = 0xec9fcd13u;

// The state after the last round of the first hash, before the midstate is added. `w3` is the nonce as a schedule word.
fn first_hash(input: KernelInput, w3: u32) -> Words8 {
    // The state after round 3.
    var a = input.state.w0 + w3;
    var b = input.state.w1;
    var c = input.state.w2;
    var d = input.state.w3;
    var e = input.state.w4 + w3;
    var f = input.state.w5;
    var g = input.state.w6;
    var h = input.state.w7;

    // In rounds 4 to 6, h includes the round's constant and schedule word.
    round(a, b, c, &d, e, f, g, &h, 0u);
    g = input.g_k05;
    round(h, a, b, &c, d, e, f, &g, 0u);
    f = input.f_k06;
    round(g, h, a, &b, c, d, e, &f, 0u);
    round(f, g, h, &a, b, c, d, &e, K07);
    round(e, f, g, &h, a, b, c, &d, K08);
    round(d, e, f, &g, h, a, b, &c, K09);
    round(c, d, e, &f, g, h, a, &b, K10);
    round(b, c, d, &e, f, g, h, &a, K11);
    round(a, b, c, &d, e, f, g, &h, K12);
    round(h, a, b, &c, d, e, f, &g, K13);
    round(g, h, a, &b, c, d, e, &f, K14);
    round(f, g, h, &a, b, c, d, &e, K15_BITS1);
    round(e, f, g, &h, a, b, c, &d, input.k16_w16);
    round(d, e, f, &g, h, a, b, &c, input.k17_w17);
    let w18 = input.w18 + small_sigma0(w3);
    round(c, d, e, &f, g, h, a, &b, K18 + w18);
    let w19 = input.w19 + w3;
    round(b, c, d, &e, f, g, h, &a, K19 + w19);
    let w20 = small_sigma1(w18) + input.padding;
    round(a, b, c, &d, e, f, g, &h, K20 + w20);
    let w21 = small_sigma1(w19);
    round(h, a, b, &c, d, e, f, &g, K21 + w21);
    let w22 = small_sigma1(w20) + input.bits1;
    round(g, h, a, &b, c, d, e, &f, K22 + w22);
    let w23 = small_sigma1(w21) + input.w16;
    round(f, g, h, &a, b, c, d, &e, K23 + w23);
    let w24 = small_sigma1(w22) + input.w17;
    round(e, f, g, &h, a, b, c, &d, K24 + w24);
    let w25 = small_sigma1(w23) + w18;
    round(d, e, f, &g, h, a, b, &c, K25 + w25);
    let w26 = small_sigma1(w24) + w19;
    round(c, d, e, &f, g, h, a, &b, K26 + w26);
    let w27 = small_sigma1(w25) + w20;
    round(b, c, d, &e, f, g, h, &a, K27 + w27);
    let w28 = small_sigma1(w26) + w21;
    round(a, b, c, &d, e, f, g, &h, K28 + w28);
    let w29 = small_sigma1(w27) + w22;
    round(h, a, b, &c, d, e, f, &g, K29 + w29);
    let w30 = small_sigma1(w28) + w23 + input.small_sigma0_bits1;
    round(g, h, a, &b, c, d, e, &f, K30 + w30);
    let w31 = small_sigma1(w29) + w24 + input.w31;
    round(f, g, h, &a, b, c, d, &e, K31 + w31);
    let w32 = small_sigma1(w30) + w25 + input.w32;
    round(e, f, g, &h, a, b, c, &d, K32 + w32);
    let w33 = schedule(w31, w26, w18, input.w17);
    round(d, e, f, &g, h, a, b, &c, K33 + w33);
    let w34 = schedule(w32, w27, w19, w18);
    round(c, d, e, &f, g, h, a, &b, K34 + w34);
    let w35 = schedule(w33, w28, w20, w19);
    round(b, c, d, &e, f, g, h, &a, K35 + w35);
    let w36 = schedule(w34, w29, w21, w20);
    round(a, b, c, &d, e, f, g, &h, K36 + w36);
    let w37 = schedule(w35, w30, w22, w21);
    round(h, a, b, &c, d, e, f, &g, K37 + w37);
    let w38 = schedule(w36, w31, w23, w22);
    round(g, h, a, &b, c, d, e, &f, K38 + w38);
    let w39 = schedule(w37, w32, w24, w23);
    round(f, g, h, &a, b, c, d, &e, K39 + w39);
    let w40 = schedule(w38, w33, w25, w24);
    round(e, f, g, &h, a, b, c, &d, K40 + w40);
    let w41 = schedule(w39, w34, w26, w25);
    round(d, e, f, &g, h, a, b, &c, K41 + w41);
    let w42 = schedule(w40, w35, w27, w26);
    round(c, d, e, &f, g, h, a, &b, K42 + w42);
    let w43 = schedule(w41, w36, w28, w27);
    round(b, c, d, &e, f, g, h, &a, K43 + w43);
    let w44 = schedule(w42, w37, w29, w28);
    round(a, b, c, &d, e, f, g, &h, K44 + w44);
    let w45 = schedule(w43, w38, w30, w29);
    round(h, a, b, &c, d, e, f, &g, K45 + w45);
    let w46 = schedule(w44, w39, w31, w30);
    round(g, h, a, &b, c, d, e, &f, K46 + w46);
    let w47 = schedule(w45, w40, w32, w31);
    round(f, g, h, &a, b, c, d, &e, K47 + w47);
    let w48 = schedule(w46, w41, w33, w32);
    round(e, f, g, &h, a, b, c, &d, K48 + w48);
    let w49 = schedule(w47, w42, w34, w33);
    round(d, e, f, &g, h, a, b, &c, K49 + w49);
    let w50 = schedule(w48, w43, w35, w34);
    round(c, d, e, &f, g, h, a, &b, K50 + w50);
    let w51 = schedule(w49, w44, w36, w35);
    round(b, c, d, &e, f, g, h, &a, K51 + w51);
    let w52 = schedule(w50, w45, w37, w36);
    round(a, b, c, &d, e, f, g, &h, K52 + w52);
    let w53 = schedule(w51, w46, w38, w37);
    round(h, a, b, &c, d, e, f, &g, K53 + w53);
    let w54 = schedule(w52, w47, w39, w38);
    round(g, h, a, &b, c, d, e, &f, K54 + w54);
    let w55 = schedule(w53, w48, w40, w39);
    round(f, g, h, &a, b, c, d, &e, K55 + w55);
    let w56 = schedule(w54, w49, w41, w40);
    round(e, f, g, &h, a, b, c, &d, K56 + w56);
    let w57 = schedule(w55, w50, w42, w41);
    round(d, e, f, &g, h, a, b, &c, K57 + w57);
    let w58 = schedule(w56, w51, w43, w42);
    round(c, d, e, &f, g, h, a, &b, K58 + w58);
    let w59 = schedule(w57, w52, w44, w43);
    round(b, c, d, &e, f, g, h, &a, K59 + w59);
    let w60 = schedule(w58, w53, w45, w44);
    round(a, b, c, &d, e, f, g, &h, K60 + w60);
    let w61 = schedule(w59, w54, w46, w45);
    round(h, a, b, &c, d, e, f, &g, K61 + w61);
    let w62 = schedule(w60, w55, w47, w46);
    round(g, h, a, &b, c, d, e, &f, K62 + w62);
    let w63 = schedule(w61, w56, w48, w47);
    round(f, g, h, &a, b, c, d, &e, K63 + w63);
    return Words8(e, f, g, h, a, b, c, d);
}

// The last word of the second hash's digest. `state` is the result of `first_hash`, without the midstate.
fn second_hash_last_word(input: KernelInput, state: Words8) -> u32 {
    let w0 = input.midstate.w0 + state.w0;
    let w1 = input.midstate.w1 + state.w1;
    let w2 = input.midstate.w2 + state.w2;
    let w3 = input.midstate.w3 + state.w3;
    let w4 = input.midstate.w4 + state.w4;
    let w5 = input.midstate.w5 + state.w5;
    let w6 = input.midstate.w6 + state.w6;
    let w7 = input.midstate.w7 + state.w7;

    // The state after round 0.
    var a = input.second_a + state.w0;
    var b = input.h0;
    var c = input.h1;
    var d = input.h2;
    var e = input.second_e + state.w0;
    var f = H4;
    var g = H5;
    var h = input.h6_k01;

    // In rounds 1 to 3, h includes the round's constant and the midstate's part of the schedule word.
    round(a, b, c, &d, e, f, g, &h, state.w1);
    g = input.h5_k02;
    round(h, a, b, &c, d, e, f, &g, state.w2);
    f = input.h4_k03;
    round(g, h, a, &b, c, d, e, &f, state.w3);
    round(f, g, h, &a, b, c, d, &e, K04 + w4);
    round(e, f, g, &h, a, b, c, &d, K05 + w5);
    round(d, e, f, &g, h, a, b, &c, K06 + w6);
    round(c, d, e, &f, g, h, a, &b, K07 + w7);
    round(b, c, d, &e, f, g, h, &a, K08_PADDING);
    round(a, b, c, &d, e, f, g, &h, K09);
    round(h, a, b, &c, d, e, f, &g, K10);
    round(g, h, a, &b, c, d, e, &f, K11);
    round(f, g, h, &a, b, c, d, &e, K12);
    round(e, f, g, &h, a, b, c, &d, K13);
    round(d, e, f, &g, h, a, b, &c, K14);
    round(c, d, e, &f, g, h, a, &b, K15_BITS2);
    let w16 = small_sigma0(w1) + w0;
    round(b, c, d, &e, f, g, h, &a, K16 + w16);
    let w17 = input.small_sigma1_bits2 + small_sigma0(w2) + w1;
    round(a, b, c, &d, e, f, g, &h, K17 + w17);
    let w18 = small_sigma1(w16) + small_sigma0(w3) + w2;
    round(h, a, b, &c, d, e, f, &g, K18 + w18);
    let w19 = small_sigma1(w17) + small_sigma0(w4) + w3;
    round(g, h, a, &b, c, d, e, &f, K19 + w19);
    let w20 = small_sigma1(w18) + small_sigma0(w5) + w4;
    round(f, g, h, &a, b, c, d, &e, K20 + w20);
    let w21 = small_sigma1(w19) + small_sigma0(w6) + w5;
    round(e, f, g, &h, a, b, c, &d, K21 + w21);
    let w22 = small_sigma1(w20) + input.bits2 + small_sigma0(w7) + w6;
    round(d, e, f, &g, h, a, b, &c, K22 + w22);
    let w23 = small_sigma1(w21) + w16 + input.small_sigma0_padding + w7;
    round(c, d, e, &f, g, h, a, &b, K23 + w23);
    let w24 = small_sigma1(w22) + w17 + input.padding;
    round(b, c, d, &e, f, g, h, &a, K24 + w24);
    let w25 = small_sigma1(w23) + w18;
    round(a, b, c, &d, e, f, g, &h, K25 + w25);
    let w26 = small_sigma1(w24) + w19;
    round(h, a, b, &c, d, e, f, &g, K26 + w26);
    let w27 = small_sigma1(w25) + w20;
    round(g, h, a, &b, c, d, e, &f, K27 + w27);
    let w28 = small_sigma1(w26) + w21;
    round(f, g, h, &a, b, c, d, &e, K28 + w28);
    let w29 = small_sigma1(w27) + w22;
    round(e, f, g, &h, a, b, c, &d, K29 + w29);
    let w30 = small_sigma1(w28) + w23 + input.small_sigma0_bits2;
    round(d, e, f, &g, h, a, b, &c, K30 + w30);
    let w31 = small_sigma1(w29) + w24 + small_sigma0(w16) + input.bits2;
    round(c, d, e, &f, g, h, a, &b, K31 + w31);
    let w32 = schedule(w30, w25, w17, w16);
    round(b, c, d, &e, f, g, h, &a, K32 + w32);
    let w33 = schedule(w31, w26, w18, w17);
    round(a, b, c, &d, e, f, g, &h, K33 + w33);
    let w34 = schedule(w32, w27, w19, w18);
    round(h, a, b, &c, d, e, f, &g, K34 + w34);
    let w35 = schedule(w33, w28, w20, w19);
    round(g, h, a, &b, c, d, e, &f, K35 + w35);
    let w36 = schedule(w34, w29, w21, w20);
    round(f, g, h, &a, b, c, d, &e, K36 + w36);
    let w37 = schedule(w35, w30, w22, w21);
    round(e, f, g, &h, a, b, c, &d, K37 + w37);
    let w38 = schedule(w36, w31, w23, w22);
    round(d, e, f, &g, h, a, b, &c, K38 + w38);
    let w39 = schedule(w37, w32, w24, w23);
    round(c, d, e, &f, g, h, a, &b, K39 + w39);
    let w40 = schedule(w38, w33, w25, w24);
    round(b, c, d, &e, f, g, h, &a, K40 + w40);
    let w41 = schedule(w39, w34, w26, w25);
    round(a, b, c, &d, e, f, g, &h, K41 + w41);
    let w42 = schedule(w40, w35, w27, w26);
    round(h, a, b, &c, d, e, f, &g, K42 + w42);
    let w43 = schedule(w41, w36, w28, w27);
    round(g, h, a, &b, c, d, e, &f, K43 + w43);
    let w44 = schedule(w42, w37, w29, w28);
    round(f, g, h, &a, b, c, d, &e, K44 + w44);
    let w45 = schedule(w43, w38, w30, w29);
    round(e, f, g, &h, a, b, c, &d, K45 + w45);
    let w46 = schedule(w44, w39, w31, w30);
    round(d, e, f, &g, h, a, b, &c, K46 + w46);
    let w47 = schedule(w45, w40, w32, w31);
    round(c, d, e, &f, g, h, a, &b, K47 + w47);
    let w48 = schedule(w46, w41, w33, w32);
    round(b, c, d, &e, f, g, h, &a, K48 + w48);
    let w49 = schedule(w47, w42, w34, w33);
    round(a, b, c, &d, e, f, g, &h, K49 + w49);
    let w50 = schedule(w48, w43, w35, w34);
    round(h, a, b, &c, d, e, f, &g, K50 + w50);
    let w51 = schedule(w49, w44, w36, w35);
    round(g, h, a, &b, c, d, e, &f, K51 + w51);
    let w52 = schedule(w50, w45, w37, w36);
    round(f, g, h, &a, b, c, d, &e, K52 + w52);
    let w53 = schedule(w51, w46, w38, w37);
    round(e, f, g, &h, a, b, c, &d, K53 + w53);
    let w54 = schedule(w52, w47, w39, w38);
    round(d, e, f, &g, h, a, b, &c, K54 + w54);
    let w55 = schedule(w53, w48, w40, w39);
    round(c, d, e, &f, g, h, a, &b, K55 + w55);
    let w56 = schedule(w54, w49, w41, w40);
    round(b, c, d, &e, f, g, h, &a, K56 + w56);

    // From here on only the new e of each round is read.
    let w57 = schedule(w55, w50, w42, w41);
    d += round_t1(e, f, g, h, K57 + w57);
    let w58 = schedule(w56, w51, w43, w42);
    c += round_t1(d, e, f, g, K58 + w58);
    let w59 = schedule(w57, w52, w44, w43);
    b += round_t1(c, d, e, f, K59 + w59);
    let w60 = schedule(w58, w53, w45, w44);
    return a + round_t1(b, c, d, e, K60_H7 + w60);
}

// T1 of a round: the new e is d plus this.
fn round_t1(e: u32, f: u32, g: u32, h: u32, kw: u32) -> u32 {
    return h + big_sigma1(e) + choose(e, f, g) + kw;
}

@compute @workgroup_size(workgroup_threads)
fn scan(@builtin(global_invocation_id) id: vec3<u32>) {
    let input = kernel_input;
    let at = place(id) * nonces_per_thread;
    let nonce = input.first + at;
    // Bit i is set if the thread's nonce i is a candidate.
    var hits = 0u;
    var i = 0u;
    loop {
        let last_word = second_hash_last_word(input, first_hash(input, byte_swap(nonce + i)));
        hits |= u32(is_candidate(last_word, input.target_top)) << i;
        i++;
        // At the end of the body, and not as `while` or `continuing`: with either, llvmpipe runs the body one more time.
        if i >= nonces_per_thread {
            break;
        }
    }
    // Reported after the loop: llvmpipe spends the time of a branch whether it is taken or not.
    while hits != 0u {
        let i = countTrailingZeros(hits);
        hits &= hits - 1u;
        if at + i < input.count {
            report(nonce + i);
        }
    }
}
