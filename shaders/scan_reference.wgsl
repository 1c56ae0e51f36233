// The reference scan kernel: two whole compressions a nonce from the midstate, nothing left out.
//
// The pruned kernel of scan.wgsl is tested and measured against it. It is short enough to be compared by eye with FIPS
// 180-4, section 6.2.2.

// The state after one more block, whose words are w0 to w15.
fn compress(
    state: Words8,
    w0: u32,
    w1: u32,
    w2: u32,
    w3: u32,
    w4: u32,
    w5: u32,
    w6: u32,
    w7: u32,
    w8: u32,
    w9: u32,
    w10: u32,
    w11: u32,
    w12: u32,
    w13: u32,
    w14: u32,
    w15: u32,
) -> Words8 {
    var a = state.w0;
    var b = state.w1;
    var c = state.w2;
    var d = state.w3;
    var e = state.w4;
    var f = state.w5;
    var g = state.w6;
    var h = state.w7;

    round(a, b, c, &d, e, f, g, &h, K00 + w0);
    round(h, a, b, &c, d, e, f, &g, K01 + w1);
    round(g, h, a, &b, c, d, e, &f, K02 + w2);
    round(f, g, h, &a, b, c, d, &e, K03 + w3);
    round(e, f, g, &h, a, b, c, &d, K04 + w4);
    round(d, e, f, &g, h, a, b, &c, K05 + w5);
    round(c, d, e, &f, g, h, a, &b, K06 + w6);
    round(b, c, d, &e, f, g, h, &a, K07 + w7);
    round(a, b, c, &d, e, f, g, &h, K08 + w8);
    round(h, a, b, &c, d, e, f, &g, K09 + w9);
    round(g, h, a, &b, c, d, e, &f, K10 + w10);
    round(f, g, h, &a, b, c, d, &e, K11 + w11);
    round(e, f, g, &h, a, b, c, &d, K12 + w12);
    round(d, e, f, &g, h, a, b, &c, K13 + w13);
    round(c, d, e, &f, g, h, a, &b, K14 + w14);
    round(b, c, d, &e, f, g, h, &a, K15 + w15);
    let w16 = schedule(w14, w9, w1, w0);
    round(a, b, c, &d, e, f, g, &h, K16 + w16);
    let w17 = schedule(w15, w10, w2, w1);
    round(h, a, b, &c, d, e, f, &g, K17 + w17);
    let w18 = schedule(w16, w11, w3, w2);
    round(g, h, a, &b, c, d, e, &f, K18 + w18);
    let w19 = schedule(w17, w12, w4, w3);
    round(f, g, h, &a, b, c, d, &e, K19 + w19);
    let w20 = schedule(w18, w13, w5, w4);
    round(e, f, g, &h, a, b, c, &d, K20 + w20);
    let w21 = schedule(w19, w14, w6, w5);
    round(d, e, f, &g, h, a, b, &c, K21 + w21);
    let w22 = schedule(w20, w15, w7, w6);
    round(c, d, e, &f, g, h, a, &b, K22 + w22);
    let w23 = schedule(w21, w16, w8, w7);
    round(b, c, d, &e, f, g, h, &a, K23 + w23);
    let w24 = schedule(w22, w17, w9, w8);
    round(a, b, c, &d, e, f, g, &h, K24 + w24);
    let w25 = schedule(w23, w18, w10, w9);
    round(h, a, b, &c, d, e, f, &g, K25 + w25);
    let w26 = schedule(w24, w19, w11, w10);
    round(g, h, a, &b, c, d, e, &f, K26 + w26);
    let w27 = schedule(w25, w20, w12, w11);
    round(f, g, h, &a, b, c, d, &e, K27 + w27);
    let w28 = schedule(w26, w21, w13, w12);
    round(e, f, g, &h, a, b, c, &d, K28 + w28);
    let w29 = schedule(w27, w22, w14, w13);
    round(d, e, f, &g, h, a, b, &c, K29 + w29);
    let w30 = schedule(w28, w23, w15, w14);
    round(c, d, e, &f, g, h, a, &b, K30 + w30);
    let w31 = schedule(w29, w24, w16, w15);
    round(b, c, d, &e, f, g, h, &a, K31 + w31);
    let w32 = schedule(w30, w25, w17, w16);
    round(a, b, c, &d, e, f, g, &h, K32 + w32);
    let w33 = schedule(w31, w26, w18, w17);
    round(h, a, b, &c, d, e, f, &g, K33 + w33);
    let w34 = schedule(w32, w27, w19, w18);
    round(g, h, a, &b, c, d, e, &f, K34 + w34);
    let w35 = schedule(w33, w28, w20, w19);
    round(f, g, h, &a, b, c, d, &e, K35 + w35);
    let w36 = schedule(w34, w29, w21, w20);
    round(e, f, g, &h, a, b, c, &d, K36 + w36);
    let w37 = schedule(w35, w30, w22, w21);
    round(d, e, f, &g, h, a, b, &c, K37 + w37);
    let w38 = schedule(w36, w31, w23, w22);
    round(c, d, e, &f, g, h, a, &b, K38 + w38);
    let w39 = schedule(w37, w32, w24, w23);
    round(b, c, d, &e, f, g, h, &a, K39 + w39);
    let w40 = schedule(w38, w33, w25, w24);
    round(a, b, c, &d, e, f, g, &h, K40 + w40);
    let w41 = schedule(w39, w34, w26, w25);
    round(h, a, b, &c, d, e, f, &g, K41 + w41);
    let w42 = schedule(w40, w35, w27, w26);
    round(g, h, a, &b, c, d, e, &f, K42 + w42);
    let w43 = schedule(w41, w36, w28, w27);
    round(f, g, h, &a, b, c, d, &e, K43 + w43);
    let w44 = schedule(w42, w37, w29, w28);
    round(e, f, g, &h, a, b, c, &d, K44 + w44);
    let w45 = schedule(w43, w38, w30, w29);
    round(d, e, f, &g, h, a, b, &c, K45 + w45);
    let w46 = schedule(w44, w39, w31, w30);
    round(c, d, e, &f, g, h, a, &b, K46 + w46);
    let w47 = schedule(w45, w40, w32, w31);
    round(b, c, d, &e, f, g, h, &a, K47 + w47);
    let w48 = schedule(w46, w41, w33, w32);
    round(a, b, c, &d, e, f, g, &h, K48 + w48);
    let w49 = schedule(w47, w42, w34, w33);
    round(h, a, b, &c, d, e, f, &g, K49 + w49);
    let w50 = schedule(w48, w43, w35, w34);
    round(g, h, a, &b, c, d, e, &f, K50 + w50);
    let w51 = schedule(w49, w44, w36, w35);
    round(f, g, h, &a, b, c, d, &e, K51 + w51);
    let w52 = schedule(w50, w45, w37, w36);
    round(e, f, g, &h, a, b, c, &d, K52 + w52);
    let w53 = schedule(w51, w46, w38, w37);
    round(d, e, f, &g, h, a, b, &c, K53 + w53);
    let w54 = schedule(w52, w47, w39, w38);
    round(c, d, e, &f, g, h, a, &b, K54 + w54);
    let w55 = schedule(w53, w48, w40, w39);
    round(b, c, d, &e, f, g, h, &a, K55 + w55);
    let w56 = schedule(w54, w49, w41, w40);
    round(a, b, c, &d, e, f, g, &h, K56 + w56);
    let w57 = schedule(w55, w50, w42, w41);
    round(h, a, b, &c, d, e, f, &g, K57 + w57);
    let w58 = schedule(w56, w51, w43, w42);
    round(g, h, a, &b, c, d, e, &f, K58 + w58);
    let w59 = schedule(w57, w52, w44, w43);
    round(f, g, h, &a, b, c, d, &e, K59 + w59);
    let w60 = schedule(w58, w53, w45, w44);
    round(e, f, g, &h, a, b, c, &d, K60 + w60);
    let w61 = schedule(w59, w54, w46, w45);
    round(d, e, f, &g, h, a, b, &c, K61 + w61);
    let w62 = schedule(w60, w55, w47, w46);
    round(c, d, e, &f, g, h, a, &b, K62 + w62);
    let w63 = schedule(w61, w56, w48, w47);
    round(b, c, d, &e, f, g, h, &a, K63 + w63);
    return Words8(
        state.w0 + a,
        state.w1 + b,
        state.w2 + c,
        state.w3 + d,
        state.w4 + e,
        state.w5 + f,
        state.w6 + g,
        state.w7 + h,
    );
}

@compute @workgroup_size(workgroup_threads)
fn scan(@builtin(global_invocation_id) id: vec3<u32>) {
    let input = kernel_input;
    let at = place(id);
    if at >= input.count {
        return;
    }
    let nonce = input.first + at;
    let first = compress(
        input.midstate,
        input.tail0, input.tail1, input.tail2, byte_swap(nonce),
        0x80000000u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 640u,
    );
    let second = compress(
        Words8(H0, H1, H2, H3, H4, H5, H6, H7),
        first.w0, first.w1, first.w2, first.w3, first.w4, first.w5, first.w6, first.w7,
        0x80000000u, 0u, 0u, 0u, 0u, 0u, 0u, 256u,
    );
    if is_candidate(second.w7, input.target_top) {
        report(nonce);
    }
}
