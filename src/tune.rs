//! `adit bench --tune`: finds the settings with which GPUs are fastest, and keeps them for mining.

use anyhow::Context;
use serde_json::json;

use crate::cli::BenchArgs;
use crate::exit::{OrExit, Result};
use crate::{devices, output};

pub fn run(args: &BenchArgs) -> Result {
    let (devices, gpus) = devices::gpus(&args.devices)?;
    for gpu in gpus {
        let tuning = devices.tune(gpu.id).with_context(|| gpu.id.to_string()).or_running()?;
        let milliseconds = tuning.dispatch.as_millis();
        if args.json {
            let object = json!({
                "device": gpu.id.to_string(),
                "name": gpu.name,
                "workgroup": tuning.workgroup,
                "nonces_per_thread": tuning.nonces_per_thread,
                "dispatch_ms": u64::try_from(milliseconds).unwrap_or(u64::MAX),
                "batch": tuning.batch,
            });
            output::line(object)?;
        } else {
            output::line(format_args!(
                "{} {}: workgroups of {} threads, {} nonces a thread, dispatches of {} nonces in {milliseconds} ms",
                gpu.id, gpu.name, tuning.workgroup, tuning.nonces_per_thread, tuning.batch
            ))?;
        }
    }
    Ok(())
}
