//! `adit devices` and `adit bench`: what they list, measure and refuse.

mod support;

use support::run;

#[test]
fn devices_lists_the_cpu_with_its_kernel() {
    let list = run(["devices", "--json"]);
    assert_eq!(list.code(), 0, "{}", list.stderr());
    let json = list.json();
    let cpu = &json["devices"][0];
    assert_eq!((&cpu["id"], &cpu["kind"]), (&"cpu".into(), &"cpu".into()));
    assert!(cpu["threads"].as_u64().is_some_and(|threads| threads > 0));
    assert!(cpu["backend"].as_str().is_some_and(|name| !name.is_empty()));

    let text = run(["devices"]);
    assert_eq!(text.code(), 0);
    assert!(text.stdout().starts_with("cpu"), "{}", text.stdout());
}

#[test]
fn bench_finds_the_nonce_of_genesis_on_every_kernel() {
    let kernels: Vec<String> = run(["devices", "--json"]).json()["devices"][0]["kernels"]
        .as_array()
        .expect("a list of kernels")
        .iter()
        .map(|kernel| kernel.as_str().expect("a name").to_owned())
        .collect();
    assert!(kernels.iter().any(|kernel| kernel == "portable"));
    for kernel in kernels {
        let solved = run(["bench", "--solve", "genesis", "--device", "cpu", "--backend", &kernel, "--json"]);
        assert_eq!(solved.code(), 0, "{kernel}: {}", solved.stderr());
        assert_eq!(solved.json()["nonce"], 2_083_236_893_u32, "{kernel}");
    }
}

#[test]
fn bench_measures_a_kernel_beside_the_plain_loop() {
    let bench =
        run(["bench", "--device", "cpu", "--backend", "portable", "--threads", "1", "--seconds", "0.5", "--json"]);
    assert_eq!(bench.code(), 0, "{}", bench.stderr());
    let json = bench.json();
    let row = &json["results"][0];
    assert_eq!((&row["device"], &row["backend"]), (&"cpu".into(), &"portable".into()));
    for field in ["median_mhs", "min_mhs", "max_mhs", "ratio"] {
        assert!(row[field].as_f64().is_some_and(|value| value > 0.0), "{field} in {row}");
    }
    assert!(row["min_mhs"].as_f64() <= row["median_mhs"].as_f64());
    assert!(row["median_mhs"].as_f64() <= row["max_mhs"].as_f64());
}

#[test]
fn wrong_usage_is_named() {
    run(["bench", "--backend", "abacus"]).refused(2, &["abacus", "portable"]);
    run(["bench", "--device", "gpu99"]).refused(2, &["gpu99"]);
    for args in [&["bench", "--seconds", "0"][..], &["bench", "--threads", "0"], &["dig"], &[]] {
        assert_eq!(run(args).code(), 2, "{args:?}");
    }
}
