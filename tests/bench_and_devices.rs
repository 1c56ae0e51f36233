//! `adit devices` and `adit bench`: what they list, measure and refuse.

mod support;

use support::{adit, has_gpu, run};

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
fn a_gpu_is_tuned_once_and_again_where_the_settings_are_damaged() {
    if !has_gpu() {
        return;
    }
    let cache = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let output = adit().args(args).env("XDG_CACHE_HOME", cache.path()).output().expect("the program starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {err}");
        (out.into_owned(), err.into_owned())
    };
    let file = cache.path().join("adit/gpu-tuning.json");
    let read = || std::fs::read_to_string(&file).expect("the tuned settings");
    let solve = ["bench", "--solve", "genesis", "--device", "gpu0", "--json"];

    let (tuned, _) = run(&["bench", "--tune", "--device", "gpu0", "--json"]);
    let tuned: serde_json::Value = serde_json::from_str(&tuned).expect("one object");
    let kept: serde_json::Value = serde_json::from_str(&read()).expect("one object");
    for field in ["workgroup", "nonces_per_thread", "dispatch_ms", "batch"] {
        assert!(tuned[field].as_u64().is_some_and(|value| value > 0), "{field} in {tuned}");
        assert_eq!(tuned[field], kept["devices"][0][field], "{field}");
    }

    let before = read();
    let (solved, warnings) = run(&solve);
    assert!(solved.contains("2083236893") && warnings.is_empty(), "{solved} {warnings}");
    assert_eq!(read(), before, "what is known is not tuned again");

    std::fs::write(&file, &before[..before.len() / 2]).expect("written");
    let (solved, warnings) = run(&solve);
    assert!(solved.contains("2083236893") && warnings.contains("damaged tuned settings"), "{solved} {warnings}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&read()).expect("mended")["format"], 1);
}

#[test]
fn wrong_usage_is_named() {
    run(["bench", "--tune", "--device", "cpu"]).refused(2, &["--device", "no gpu"]);
    run(["bench", "--backend", "abacus"]).refused(2, &["abacus", "portable"]);
    run(["bench", "--device", "gpu99"]).refused(2, &["gpu99"]);
    for args in [&["bench", "--seconds", "0"][..], &["bench", "--threads", "0"], &["dig"], &[]] {
        assert_eq!(run(args).code(), 2, "{args:?}");
    }
}
