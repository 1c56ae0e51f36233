// The scan kernel: SHA-256d of a header from its midstate, one nonce a thread, with all left out that can be.
//
// Left out: the first three rounds and the schedule words that the nonce does not reach, which arrive in `work`; schedule
// words that are zero; additions of constants to constants; in the second hash everything that the last word of the digest
// does not need. That word is the e of round 60 plus a constant, so rounds 61 to 63 fall away, and since no later round
// reads what rounds 57 to 60 would make of a, so does that half of those.
//
// Schedule words have names rather than a ring of sixteen: each is written once and compilers need not find that out.

// The first hash's length in bits, which is its schedule word 15, and the second's.
const BITS1 = 640u;
const BITS2 = 256u;

// The padding's first bit, which is schedule word 4 of the first hash and 8 of the second.
const PADDING = 0x80000000u;

// small_sigma0 of the lengths and of the padding.
const SMALL_SIGMA0_BITS1 = 0x00a00055u;
const SMALL_SIGMA0_BITS2 = 0x00400022u;
const SMALL_SIGMA0_PADDING = 0x11002000u;
const SMALL_SIGMA1_BITS2 = 0x00a00000u;

// What round 0 of the second hash makes of the initial state, less schedule word 0.
const SECOND_A1_LESS_W0 = 0xfc08884du;
const SECOND_E1_LESS_W0 = 0x98c7e2a2u;

// K08 plus the padding, modulo 2^32.
const K08_PADDING = 0x5807aa98u;

// K60 plus H7, modulo 2^32: what the last word of the digest adds to round 60.
const K60_H7 = 0xec9fcd13u;

// The digest of the header. `w3` is the nonce as a schedule word.
fn first_hash(w3: u32) -> Words8 {
    let midstate_a_to_d = work.midstate_a_to_d;
    let midstate_e_to_h = work.midstate_e_to_h;
    let words16_to_19 = work.words16_to_19;
    let words31_to_32 = work.words31_to_32;
    let folded = work.folded;
    let w16 = words16_to_19.x;
    let w17 = words16_to_19.y;

    // The state after round 3.
    let state_a_to_d = work.state_a_to_d;
    let state_e_to_h = work.state_e_to_h;
    var a = state_a_to_d.x + w3;
    var b = state_a_to_d.y;
    var c = state_a_to_d.z;
    var d = state_a_to_d.w;
    var e = state_e_to_h.x + w3;
    var f = state_e_to_h.y;
    var g = state_e_to_h.z;
    var h = state_e_to_h.w;

    // The h of rounds 4 to 6 comes with the round's constant and schedule word in it.
    round(a, b, c, &d, e, f, g, &h, 0u);
    g = folded.x;
    round(h, a, b, &c, d, e, f, &g, 0u);
    f = folded.y;
    round(g, h, a, &b, c, d, e, &f, 0u);
    round(f, g, h, &a, b, c, d, &e, K07);
    round(e, f, g, &h, a, b, c, &d, K08);
    round(d, e, f, &g, h, a, b, &c, K09);
    round(c, d, e, &f, g, h, a, &b, K10);
    round(b, c, d, &e, f, g, h, &a, K11);
    round(a, b, c, &d, e, f, g, &h, K12);
    round(h, a, b, &c, d, e, f, &g, K13);
    round(g, h, a, &b, c, d, e, &f, K14);
    round(f, g, h, &a, b, c, d, &e, K15 + BITS1);
    round(e, f, g, &h, a, b, c, &d, folded.z);
    round(d, e, f, &g, h, a, b, &c, folded.w);
    let w18 = words16_to_19.z + small_sigma0(w3);
    round(c, d, e, &f, g, h, a, &b, K18 + w18);
    let w19 = words16_to_19.w + w3;
    round(b, c, d, &e, f, g, h, &a, K19 + w19);
    let w20 = small_sigma1(w18) + PADDING;
    round(a, b, c, &d, e, f, g, &h, K20 + w20);
    let w21 = small_sigma1(w19);
    round(h, a, b, &c, d, e, f, &g, K21 + w21);
    let w22 = small_sigma1(w20) + BITS1;
    round(g, h, a, &b, c, d, e, &f, K22 + w22);
    let w23 = small_sigma1(w21) + w16;
    round(f, g, h, &a, b, c, d, &e, K23 + w23);
    let w24 = small_sigma1(w22) + w17;
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
    let w30 = small_sigma1(w28) + w23 + SMALL_SIGMA0_BITS1;
    round(g, h, a, &b, c, d, e, &f, K30 + w30);
    let w31 = small_sigma1(w29) + w24 + words31_to_32.x;
    round(f, g, h, &a, b, c, d, &e, K31 + w31);
    let w32 = small_sigma1(w30) + w25 + words31_to_32.y;
    round(e, f, g, &h, a, b, c, &d, K32 + w32);
    let w33 = schedule(w31, w26, w18, w17);
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
    return Words8(
        midstate_a_to_d.x + e,
        midstate_a_to_d.y + f,
        midstate_a_to_d.z + g,
        midstate_a_to_d.w + h,
        midstate_e_to_h.x + a,
        midstate_e_to_h.y + b,
        midstate_e_to_h.z + c,
        midstate_e_to_h.w + d,
    );
}

// The last word of the digest of a 32-byte digest.
fn second_hash_last_word(digest: Words8) -> u32 {
    // The state after round 0.
    var a = SECOND_A1_LESS_W0 + digest.w0;
    var b = H0;
    var c = H1;
    var d = H2;
    var e = SECOND_E1_LESS_W0 + digest.w0;
    var f = H4;
    var g = H5;
    var h = H6;

    round(a, b, c, &d, e, f, g, &h, K01 + digest.w1);
    round(h, a, b, &c, d, e, f, &g, K02 + digest.w2);
    round(g, h, a, &b, c, d, e, &f, K03 + digest.w3);
    round(f, g, h, &a, b, c, d, &e, K04 + digest.w4);
    round(e, f, g, &h, a, b, c, &d, K05 + digest.w5);
    round(d, e, f, &g, h, a, b, &c, K06 + digest.w6);
    round(c, d, e, &f, g, h, a, &b, K07 + digest.w7);
    round(b, c, d, &e, f, g, h, &a, K08_PADDING);
    round(a, b, c, &d, e, f, g, &h, K09);
    round(h, a, b, &c, d, e, f, &g, K10);
    round(g, h, a, &b, c, d, e, &f, K11);
    round(f, g, h, &a, b, c, d, &e, K12);
    round(e, f, g, &h, a, b, c, &d, K13);
    round(d, e, f, &g, h, a, b, &c, K14);
    round(c, d, e, &f, g, h, a, &b, K15 + BITS2);
    let w16 = small_sigma0(digest.w1) + digest.w0;
    round(b, c, d, &e, f, g, h, &a, K16 + w16);
    let w17 = SMALL_SIGMA1_BITS2 + small_sigma0(digest.w2) + digest.w1;
    round(a, b, c, &d, e, f, g, &h, K17 + w17);
    let w18 = small_sigma1(w16) + small_sigma0(digest.w3) + digest.w2;
    round(h, a, b, &c, d, e, f, &g, K18 + w18);
    let w19 = small_sigma1(w17) + small_sigma0(digest.w4) + digest.w3;
    round(g, h, a, &b, c, d, e, &f, K19 + w19);
    let w20 = small_sigma1(w18) + small_sigma0(digest.w5) + digest.w4;
    round(f, g, h, &a, b, c, d, &e, K20 + w20);
    let w21 = small_sigma1(w19) + small_sigma0(digest.w6) + digest.w5;
    round(e, f, g, &h, a, b, c, &d, K21 + w21);
    let w22 = small_sigma1(w20) + BITS2 + small_sigma0(digest.w7) + digest.w6;
    round(d, e, f, &g, h, a, b, &c, K22 + w22);
    let w23 = small_sigma1(w21) + w16 + SMALL_SIGMA0_PADDING + digest.w7;
    round(c, d, e, &f, g, h, a, &b, K23 + w23);
    let w24 = small_sigma1(w22) + w17 + PADDING;
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
    let w30 = small_sigma1(w28) + w23 + SMALL_SIGMA0_BITS2;
    round(d, e, f, &g, h, a, b, &c, K30 + w30);
    let w31 = small_sigma1(w29) + w24 + small_sigma0(w16) + BITS2;
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

// What a round adds to d to make the new e.
fn round_t1(e: u32, f: u32, g: u32, h: u32, kw: u32) -> u32 {
    return h + big_sigma1(e) + choose(e, f, g) + kw;
}

@compute @workgroup_size(workgroup_threads)
fn scan(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = place(id);
    if at >= work.search.z {
        return;
    }
    let nonce = work.search.y + at;
    report(nonce, second_hash_last_word(first_hash(byte_swap(nonce))));
}
