//! Trials that report why they were ignored.
//!
//! They are not those of `adit_testchain::trials`, because a dev-dependency on that crate would make the tests of this one build
//! Bitcoin Core's kernel.

#[cfg(feature = "gpu")]
use adit_miner::{CpuSettings, DeviceId, DeviceKind, Devices, Selection};
use libtest_mimic::{Completion, Failed};

/// The outcome of a trial that cannot run without what is `missing`: ignored with that reason, or failed with `CI=true`.
pub fn without(missing: &str) -> Result<Completion, Failed> {
    if std::env::var("CI").as_deref() == Ok("true") {
        return Err(format!("{missing}, and CI must have it").into());
    }
    Ok(Completion::ignored_with(missing))
}

/// The reason to ignore a trial on a machine without a GPU.
#[cfg(feature = "gpu")]
pub const NO_GPU: &str = "no Vulkan adapter";

/// The GPUs of this machine, software adapters included, with the list to open them from; `None` where there is none.
#[cfg(feature = "gpu")]
pub fn gpus() -> Result<Option<(Devices, Vec<DeviceId>)>, Failed> {
    let devices = Devices::list(CpuSettings::default(), &Selection::All)?;
    let gpus = devices.infos().iter().filter(|info| matches!(info.kind, DeviceKind::Gpu(_)));
    let gpus: Vec<_> = gpus.map(|info| info.id).collect();
    Ok((!gpus.is_empty()).then_some((devices, gpus)))
}
