//! The file that keeps tuned settings from one start to the next.
//!
//! One JSON object for all devices of the user:
//!
//! ```json
//! { "format": 1, "devices": [ { "device": "…", "driver": "…", "shader": "…", "workgroup": 64, … } ] }
//! ```
//!
//! An entry holds for one device, driver and shader source. After a change of any of these it is not found, and the device is
//! tuned again. So it is, with a warning, where the file is damaged or of another format: that is never an error.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adit_shaders::GpuKernel;
use atomic_write_file::AtomicWriteFile;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::batch;
use super::tune::Tuning;
use crate::device_info::{DeviceInfo, DeviceKind};

/// The version of the file's format. It goes up when tuning itself changes, too: earlier results are then out of date.
const FORMAT: u32 = 1;

/// Held while the file is changed. GPUs are tuned at the same time, and none may overwrite the other's entry. Two processes
/// may do so, which costs a tuning.
static CHANGING: Mutex<()> = Mutex::new(());

/// Tuned settings in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TuningCache {
    path: PathBuf,
}

#[derive(Debug, Deserialize, Serialize)]
struct CacheFile {
    format: u32,
    devices: Vec<CacheEntry>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct CacheEntry {
    #[serde(flatten)]
    key: CacheKey,
    workgroup: u32,
    nonces_per_thread: u32,
    /// Milliseconds.
    dispatch_ms: u64,
    batch: u64,
}

/// The device, driver and shader that an entry is for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct CacheKey {
    /// The device's name, its PCI ids and the interface. Cards that have these in common need the same settings.
    device: String,
    driver: String,
    /// The SHA-256 of the kernel's source.
    shader: String,
}

impl CacheKey {
    /// `None` if the device is no GPU.
    fn of(info: &DeviceInfo) -> Option<Self> {
        let DeviceKind::Gpu(gpu) = &info.kind else { return None };
        let hash = Sha256::digest(GpuKernel::default().source().as_bytes());
        Some(Self {
            device: format!("{} {:04x}:{:04x} {}", info.name, gpu.vendor_id, gpu.device_id, gpu.interface),
            driver: gpu.driver.clone(),
            shader: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

impl CacheEntry {
    fn new(key: CacheKey, tuning: &Tuning) -> Self {
        let Tuning { workgroup, nonces_per_thread, dispatch, batch } = *tuning;
        // Tuned dispatches take at most 50 ms.
        let dispatch_ms = u64::try_from(dispatch.as_millis()).unwrap_or(u64::MAX);
        Self { key, workgroup, nonces_per_thread, dispatch_ms, batch }
    }

    /// The settings, if they are within the bounds that tuning has.
    fn tuning(&self) -> Option<Tuning> {
        let dispatch = Duration::from_millis(self.dispatch_ms);
        let sound = (1..=256).contains(&self.workgroup)
            && (1..=32).contains(&self.nonces_per_thread)
            && !dispatch.is_zero()
            && dispatch <= batch::TARGET
            && (1..=batch::LARGEST).contains(&self.batch);
        let Self { workgroup, nonces_per_thread, batch, .. } = *self;
        sound.then_some(Tuning { workgroup, nonces_per_thread, dispatch, batch })
    }
}

impl TuningCache {
    /// The cache in the file `path`, which need not exist yet, nor its folder.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of a device.
    #[must_use]
    pub fn get(&self, info: &DeviceInfo) -> Option<Tuning> {
        let key = CacheKey::of(info)?;
        let entry = self.read().into_iter().find(|entry| entry.key == key)?;
        let tuning = entry.tuning();
        if tuning.is_none() {
            tracing::warn!("{}: impossible settings of {}: {entry:?}; tuning again", self.path.display(), info.name);
        }
        tuning
    }

    /// Saves the settings of a device. The file is replaced as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn put(&self, info: &DeviceInfo, tuning: &Tuning) -> io::Result<()> {
        let Some(key) = CacheKey::of(info) else { return Ok(()) };
        // A panic elsewhere leaves the file whole, so a poisoned lock does not matter.
        let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut devices = self.read();
        // The settings for an older driver or shader are not needed again.
        devices.retain(|entry| entry.key.device != key.device);
        devices.push(CacheEntry::new(key, tuning));
        let text = serde_json::to_string_pretty(&CacheFile { format: FORMAT, devices })?;

        // The rename at the end would fail and leave the draft behind.
        if self.path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = AtomicWriteFile::open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.commit()
    }

    /// Every entry; none where there is no file, or none that can be read.
    fn read(&self) -> Vec<CacheEntry> {
        let path = self.path.display();
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!("{path}: tuned settings cannot be read: {error}");
                return Vec::new();
            }
        };
        match serde_json::from_slice::<CacheFile>(&bytes) {
            Ok(file) if file.format == FORMAT => file.devices,
            Ok(file) => {
                tracing::warn!("{path}: tuned settings of format {}; wanted {FORMAT}; tuning again", file.format);
                Vec::new()
            }
            Err(error) => {
                tracing::warn!("{path}: damaged tuned settings: {error}; tuning again");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_info::{DeviceId, GpuInfo};

    fn gpu(name: &str, driver: &str) -> DeviceInfo {
        let ids = GpuInfo { vendor_id: 0x10de, device_id: 0x2206, ..GpuInfo::new("vulkan") };
        let gpu = GpuInfo { vendor: "NVIDIA".into(), driver: driver.into(), ..ids };
        DeviceInfo::new(DeviceId::Gpu(0), name.into(), DeviceKind::Gpu(gpu))
    }

    fn tuning(workgroup: u32) -> Tuning {
        Tuning { workgroup, nonces_per_thread: 16, dispatch: Duration::from_millis(25), batch: 123_456_789 }
    }

    #[test]
    fn what_was_put_is_got_back_for_the_same_device_and_driver_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TuningCache::at(folder.path().join("not/there/yet/tuning.json"));
        let (one, other) = (gpu("one", "1.0"), gpu("other", "1.0"));
        assert_eq!(cache.get(&one), None);
        cache.put(&one, &tuning(64)).unwrap();
        cache.put(&other, &tuning(256)).unwrap();
        assert_eq!((cache.get(&one), cache.get(&other)), (Some(tuning(64)), Some(tuning(256))));
        cache.put(&one, &tuning(128)).unwrap();
        assert_eq!((cache.get(&one), cache.get(&other)), (Some(tuning(128)), Some(tuning(256))));

        assert_eq!(cache.get(&gpu("one", "1.1")), None, "another driver");
        cache.put(&gpu("one", "1.1"), &tuning(32)).unwrap();
        assert_eq!(cache.get(&one), None, "the old driver's settings are gone");
        let left: Vec<_> = std::fs::read_dir(cache.path().parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "drafts are left: {left:?}");
    }

    #[test]
    fn what_is_put_at_the_same_time_is_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TuningCache::at(folder.path().join("tuning.json"));
        let gpus: Vec<_> = (0..8).map(|i| gpu(&format!("card {i}"), "1.0")).collect();
        std::thread::scope(|scope| {
            for gpu in &gpus {
                scope.spawn(|| cache.put(gpu, &tuning(64)).unwrap());
            }
        });
        assert!(gpus.iter().all(|gpu| cache.get(gpu) == Some(tuning(64))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_shader_is_tuned_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TuningCache::at(folder.path().join("tuning.json"));
        cache.put(&gpu("one", "1.0"), &tuning(64)).unwrap();
        let text = std::fs::read_to_string(cache.path()).unwrap();
        let shader = CacheKey::of(&gpu("one", "1.0")).unwrap().shader;
        assert!(shader.len() == 64 && text.contains(&shader));
        std::fs::write(cache.path(), text.replace(&shader, &shader.replace('0', "1"))).unwrap();
        assert_eq!(cache.get(&gpu("one", "1.0")), None);
    }

    #[test]
    fn a_damaged_foreign_or_senseless_file_is_passed_over_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TuningCache::at(folder.path().join("tuning.json"));
        let one = gpu("one", "1.0");
        cache.put(&one, &tuning(64)).unwrap();
        let good = std::fs::read_to_string(cache.path()).unwrap();
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"format\": 1", "\"format\": 2"),
            good.replace("\"workgroup\": 64", "\"workgroup\": 0"),
            good.replace("\"workgroup\": 64", "\"workgroup\": 100000"),
            good.replace("\"dispatch_ms\": 25", "\"dispatch_ms\": 251"),
            good.replace("\"batch\": 123456789", "\"batch\": 0"),
            "{\"name\": \"package.json\"}".to_owned(),
        ] {
            assert_ne!(bad, good);
            std::fs::write(cache.path(), &bad).unwrap();
            assert_eq!(cache.get(&one), None, "{bad}");
            cache.put(&one, &tuning(64)).unwrap();
            assert_eq!(cache.get(&one), Some(tuning(64)), "{bad}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // A folder stands where the file should.
        let cache = TuningCache::at(folder.path().join("tuning.json"));
        std::fs::create_dir(cache.path()).unwrap();
        assert!(cache.put(&gpu("one", "1.0"), &tuning(64)).is_err());
        assert_eq!(cache.get(&gpu("one", "1.0")), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
