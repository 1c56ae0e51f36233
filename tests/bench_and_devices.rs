//! `adit devices` and `adit bench`: what they list, measure and refuse.
//!
//! The trial that needs a GPU is reported as ignored on a machine without a Vulkan adapter; with `CI=true` it fails there.

#[path = "support/bench_schema.rs"]
mod bench_schema;
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use adit_testchain::trials::{self, Missing};
use bench_schema::Schema;
use support::{adit, gpu, run};

fn devices_lists_the_cpu_with_its_kernel() {
    let list = run(["devices", "--json"]);
    assert_eq!(list.code(), 0, "{}", list.stderr());
    let json = list.json();
    let cpu = &json["devices"][0];
    assert_eq!((&cpu["id"], &cpu["kind"]), (&"cpu".into(), &"cpu".into()));
    assert!(cpu["threads"].as_u64().is_some_and(|threads| threads > 0));
    assert!(cpu["backend"].as_str().is_some_and(|name| !name.is_empty()));
    let sensors = cpu.get("sensors").expect("sensors, if only null");
    assert_eq!(sensors.is_object(), system_has_cpu_sensor(), "{sensors}");
    if let Some(sensors) = sensors.as_object() {
        let fields: Vec<_> = sensors.keys().map(String::as_str).collect();
        let wanted =
            ["core_clock_mhz", "fan_percent", "fan_rpm", "memory_clock_mhz", "power_watts", "temperature_celsius"];
        assert_eq!(fields, wanted);
        assert!(sensors.values().any(serde_json::Value::is_number), "a sensor that says nothing: {sensors:?}");
    }

    let text = run(["devices"]);
    assert_eq!(text.code(), 0);
    assert!(text.stdout().starts_with("cpu"), "{}", text.stdout());
}

/// Whether the system's files have a temperature, an energy counter or a clock of the CPU: looked for here without the code
/// under test.
fn system_has_cpu_sensor() -> bool {
    let read = |path: PathBuf| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    let number = |path: PathBuf| read(path).is_ok_and(|text| text.parse::<i64>().is_ok());
    let entries = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let has_temperature = entries("/sys/class/hwmon").any(|chip| {
        let name = read(chip.join("name")).unwrap_or_default();
        let is_cpu = ["coretemp", "k10temp", "zenpower", "cpu_thermal"].contains(&name.as_str());
        is_cpu && (0..64).any(|input| number(chip.join(format!("temp{input}_input"))))
    });
    let packages: Vec<_> = entries("/sys/class/powercap")
        .filter(|zone| read(zone.join("name")).is_ok_and(|name| name.starts_with("package-")))
        .collect();
    let has_energy = !packages.is_empty() && packages.iter().all(|zone| number(zone.join("energy_uj")));
    let has_clock = entries("/sys/devices/system/cpu").any(|cpu| number(cpu.join("cpufreq/scaling_cur_freq")));
    has_temperature || has_energy || has_clock
}

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

/// The shortest measurement that there is, of one kernel.
const QUICK: [&str; 9] = ["bench", "--device", "cpu", "--backend", "portable", "--threads", "1", "--seconds", "0.1"];

fn bench_writes_the_report_that_its_schema_describes() {
    let bench = run(QUICK.iter().chain(&["--json"]));
    assert_eq!(bench.code(), 0, "{}", bench.stderr());
    let report = bench.json();
    assert_eq!(Schema::documented().problems(&report, "Report"), [""; 0]);
    assert_eq!((&report["schema"], &report["schema_version"]), (&"adit-bench".into(), &2.into()));
    assert_eq!((&report["settings"]["rounds"], &report["settings"]["threads"]), (&5.into(), &1.into()));
    assert!(report["machine"]["cpu"]["threads_granted"].as_u64().is_some_and(|threads| threads > 0));
    assert_eq!(report["machine"]["gpus"], serde_json::Value::Null, "nobody asked for them");

    let row = &report["results"][0];
    assert_eq!((&row["device"], &row["kernel"]), (&"cpu".into(), &"portable".into()));
    for row in [row, &report["baseline"]] {
        let samples = row["samples"].as_array().expect("an array");
        assert_eq!(samples.len(), 5);
        for sample in samples {
            let number = |field: &str| sample[field].as_f64().expect("a number");
            assert!(number("hashes") > 0.0 && number("seconds") >= 0.02, "{sample}");
            let rate = number("hashes") / number("seconds");
            assert!((number("hashes_per_second") / rate - 1.0).abs() < 1e-9, "{sample}");
        }
        for figure in ["hashes_per_second", "ratio_to_baseline"] {
            let [min, median, max] = ["min", "median", "max"].map(|of| row[figure][of].as_f64().expect("a number"));
            assert!(0.0 < min && min <= median && median <= max, "{figure} of {row}");
        }
    }
    assert_eq!(report["baseline"]["ratio_to_baseline"]["median"], 1.0);
}

fn the_schema_tells_wrong_reports_from_right_ones() {
    let schema = Schema::documented();
    let mut example: serde_json::Value = serde_json::from_str(bench_schema::example()).expect("the example is JSON");
    assert_eq!(schema.problems(&example, "Report"), [""; 0], "the example of the page");
    example["results"][0]["samples"][1]["seconds"] = "long".into();
    example["machine"]["hostname"] = "rig".into();
    example["settings"].as_object_mut().expect("an object").remove("rounds");
    let problems = schema.problems(&example, "Report");
    for words in ["samples[1].seconds is no number", "hostname is not documented", "rounds is missing"] {
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words} in {problems:?}");
    }
    assert_eq!(problems.len(), 3, "{problems:?}");
}

fn bench_compares_with_itself_and_with_the_example_and_draws_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).into_os_string().into_string().expect("a path in UTF-8");
    let [first, plot, example] = ["first.json", "plot.svg", "example.json"].map(file);

    let bench = run(QUICK.iter().chain(&["--json", "--plot", &plot]));
    assert_eq!(bench.code(), 0, "{}", bench.stderr());
    std::fs::write(&first, bench.stdout()).expect("the report is written");
    let bars = std::fs::read_to_string(&plot).expect("the plot is there");
    let document = roxmltree::Document::parse(&bars).expect("the plot is XML");
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("rect")).count(), 2);

    // Whether a measurement is faster than another is not a test's to say; that a comparison is complete, is.
    let again = run(QUICK.iter().chain(&["--json", "--compare", &first]));
    assert_eq!(again.code(), 0, "{}", again.stderr());
    let again = again.json();
    assert_eq!(Schema::documented().problems(&again, "Report"), [""; 0]);
    let comparison = &again["comparison"];
    assert_eq!((&comparison["file"], &comparison["differences"]), (&"first.json".into(), &serde_json::json!([])));
    assert_eq!(comparison["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(comparison["rows"][0]["judged_by"], "ratio_to_baseline");

    // A report that holds a comparison is compared with like any other.
    std::fs::write(&first, again.to_string()).expect("the report is written");
    std::fs::write(&example, bench_schema::example()).expect("the example is written");
    let text = run(QUICK.iter().chain(&["--compare", &first, "--plot", &plot]));
    assert_eq!(text.code(), 0, "{}", text.stderr());
    assert!(text.stdout().contains("plain loop over sha2") && text.stdout().contains("against first.json"));
    let other = run(QUICK.iter().chain(&["--compare", &example]));
    assert_eq!(other.code(), 0, "{}", other.stderr());
    for words in ["differs: settings.seconds was 3.0, is 0.1", "only in the earlier run", "not in the earlier run"] {
        assert!(other.stdout().contains(words), "{words} in {}", other.stdout());
    }
    // A report of an earlier version of the schema, with the same rows as the example.
    let version_1 = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bench-report-v1.json");
    let earlier = run(QUICK.iter().chain(&["--json", "--compare", version_1]));
    assert_eq!(earlier.code(), 0, "{}", earlier.stderr());
    let comparison = &earlier.json()["comparison"];
    assert_eq!(
        (&comparison["file"], &comparison["began"]),
        (&"bench-report-v1.json".into(), &"2026-11-23T08:55:06Z".into())
    );
    assert!(comparison["baseline"]["factor"].as_f64().is_some_and(|factor| factor > 0.0), "{comparison}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").flatten().collect();
    assert_eq!(left.len(), 3, "nothing but the three files: {left:?}");
}

fn files_that_cannot_be_compared_with_or_drawn_into_are_refused_before_measuring() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("earlier.json");
    let path = file.to_str().expect("a path in UTF-8");
    let example = bench_schema::example();
    for (content, words) in [
        ("", "empty"),
        ("{\"schema\": \"criterion\"}", "no report of adit bench"),
        (&example[..example.len() / 2], "no JSON"),
        (&example.replace("\"schema_version\": 2", "\"schema_version\": 99"), "99"),
        (&example.replace("\"baseline\"", "\"basement\""), "baseline"),
    ] {
        std::fs::write(&file, content).expect("the file is written");
        run(["bench", "--seconds", "3600", "--compare", path]).refused(2, &["earlier.json", words]);
    }
    run(["bench", "--seconds", "3600", "--compare", "/no/such.json"]).refused(2, &["/no/such.json"]);
    let folder = folder.path().to_str().expect("a path in UTF-8");
    run(["bench", "--seconds", "3600", "--compare", folder]).refused(2, &[folder]);
    run(["bench", "--seconds", "3600", "--plot", folder]).refused(2, &["--plot", folder]);
    run(["bench", "--seconds", "3600", "--plot", "/no/such/plot.svg"]).refused(2, &["--plot", "/no/such"]);
}

fn a_gpu_is_tuned_once_and_again_where_the_settings_are_damaged() -> Result<(), Missing> {
    gpu()?;
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
    assert_eq!(tuned["kept"].as_str(), file.to_str());
    assert!(tuned["tried"].as_u64() >= Some(2) && tuned["tried"].as_u64() <= tuned["settings"].as_u64(), "{tuned}");

    let before = read();
    let (solved, warnings) = run(&solve);
    assert!(solved.contains("2083236893") && warnings.is_empty(), "{solved} {warnings}");
    assert_eq!(read(), before, "what is known is not tuned again");

    std::fs::write(&file, &before[..before.len() / 2]).expect("written");
    let (solved, warnings) = run(&solve);
    assert!(solved.contains("2083236893") && warnings.contains("damaged tuned settings"), "{solved} {warnings}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&read()).expect("mended")["format"], 1);
    Ok(())
}

fn wrong_usage_is_named() {
    run(["bench", "--tune", "--device", "cpu"]).refused(2, &["--device", "no gpu"]);
    for flag in [["--threads", "2"], ["--backend", "portable"]] {
        let bench = run(["bench", "--tune"].iter().chain(&flag));
        assert_eq!(bench.code(), 2, "{flag:?}");
        assert!(bench.stderr().contains("--tune") && bench.stderr().contains(flag[0]), "{}", bench.stderr());
    }
    run(["bench", "--backend", "abacus"]).refused(2, &["abacus", "portable"]);
    run(["bench", "--device", "gpu99"]).refused(2, &["gpu99"]);
    for args in
        [&["bench", "--seconds", "0"][..], &["bench", "--threads", "0"], &["bench", "--rounds", "4"], &["dig"], &[]]
    {
        assert_eq!(run(args).code(), 2, "{args:?}");
    }
}

fn main() -> ExitCode {
    trials::run(adit_testchain::trials![
        devices_lists_the_cpu_with_its_kernel,
        bench_finds_the_nonce_of_genesis_on_every_kernel,
        bench_writes_the_report_that_its_schema_describes,
        the_schema_tells_wrong_reports_from_right_ones,
        bench_compares_with_itself_and_with_the_example_and_draws_both_ways,
        files_that_cannot_be_compared_with_or_drawn_into_are_refused_before_measuring,
        a_gpu_is_tuned_once_and_again_where_the_settings_are_damaged,
        wrong_usage_is_named,
    ])
}
