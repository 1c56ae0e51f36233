//! `adit bench --tune`: finds the settings with which GPUs are fastest, and saves them for mining.

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::cli::BenchArgs;
use crate::exit::{OrExit, Result};
use crate::{devices, output};

pub fn run(args: &BenchArgs) -> Result {
    let (devices, gpus) = devices::gpus(&args.devices)?;
    let mut first_failure = None;
    for gpu in gpus {
        let tuned = devices.tune(gpu.id).with_context(|| gpu.id.to_string()).or_running()?;
        let tuning = tuned.tuning;
        let milliseconds = tuning.dispatch.as_millis();
        if args.json {
            let object = json!({
                "device": gpu.id.to_string(),
                "name": gpu.name,
                "workgroup": tuning.workgroup,
                "nonces_per_thread": tuning.nonces_per_thread,
                "dispatch_ms": u64::try_from(milliseconds).unwrap_or(u64::MAX),
                "batch": tuning.batch,
                "tried": tuned.tried,
                "settings": tuned.settings,
                "kept": tuned.kept.as_ref().ok(),
            });
            output::line(object)?;
        } else {
            output::line(format_args!(
                "{} {}: workgroups of {} threads, {} nonces a thread, dispatches of {} nonces in {milliseconds} ms; {} of {} \
                 settings tried",
                gpu.id, gpu.name, tuning.workgroup, tuning.nonces_per_thread, tuning.batch, tuned.tried, tuned.settings
            ))?;
        }
        // The others are tuned all the same, for what is printed.
        if let Err(error) = tuned.kept {
            let error = anyhow!(error).context(format!("the settings of {} are not kept for mining", gpu.id));
            tracing::warn!("{error:#}");
            first_failure.get_or_insert(error);
        }
    }
    first_failure.map_or(Ok(()), Err).or_running()
}
