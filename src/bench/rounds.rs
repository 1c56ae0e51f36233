//! The rounds of a measurement: every subject is tested, and then gives one sample a round, always in the same order.
//!
//! Each subject passes the known-answer test first, as the rate of a kernel that computes wrongly means nothing. A subject that
//! fails, in the test or in a round, is left out with a warning, and the others go on. Without the baseline there is no
//! measurement.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use adit_miner::{Device, MeasurePlan, Measurement, Sensor, measure_with, sensor_of, test_known_answers};
use anyhow::{Context, anyhow, ensure};

use crate::progress;

/// The warm-up before the first sample, in which clocks settle and a GPU's batches reach their size.
pub const FIRST_WARM_UP: Duration = Duration::from_millis(700);

/// The warm-up before each later sample.
pub const WARM_UP: Duration = Duration::from_millis(100);

/// A device with one of its kernels, and its samples so far.
pub struct Subject {
    pub kernel: String,
    pub device: Box<dyn Device>,
    sensor: Option<Arc<dyn Sensor>>,
    /// One a round.
    pub samples: Vec<Measurement>,
}

/// Everything that is measured.
pub struct Subjects {
    /// The plain loop that the others are compared with.
    pub baseline: Subject,
    pub others: Vec<Subject>,
    /// The labels of those that failed.
    pub failed: Vec<String>,
}

impl Subject {
    pub fn new(kernel: String, device: Box<dyn Device>) -> Self {
        let sensor = sensor_of(device.info());
        Self { kernel, device, sensor, samples: Vec::new() }
    }

    fn label(&self) -> String {
        format!("{} {}", self.device.info().id, self.kernel)
    }

    fn test(&mut self) -> anyhow::Result<()> {
        Ok(test_known_answers(&mut *self.device, &AtomicBool::new(false))?)
    }

    fn measure(&mut self, plan: &MeasurePlan) -> anyhow::Result<()> {
        let samples = measure_with(&mut *self.device, plan, self.sensor.clone())?;
        self.samples.push(*samples.first().ok_or_else(|| anyhow!("no sample"))?);
        Ok(())
    }
}

impl Subjects {
    /// Tests all and takes one sample of each a round, `seconds` in all of each.
    ///
    /// # Errors
    /// If the baseline fails, or all others do.
    pub fn measure(&mut self, rounds: u16, seconds: f64) -> anyhow::Result<()> {
        let testing = progress::spinner("known answers".to_owned());
        self.each(Subject::test)?;
        testing.finish_and_clear();
        let progress = progress::steps(u64::from(rounds) * (1 + self.others.len() as u64));
        for round in 0..rounds {
            let warm_up = if round == 0 { FIRST_WARM_UP } else { WARM_UP };
            let sample = Duration::from_secs_f64(seconds / f64::from(rounds));
            let plan = MeasurePlan::new(1, sample).with_warm_up(warm_up);
            self.each(|subject| {
                progress.set_message(subject.label());
                subject.measure(&plan)?;
                progress.inc(1);
                Ok(())
            })?;
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Runs `step` for every subject that is left, and leaves out those that fail in it.
    fn each(&mut self, mut step: impl FnMut(&mut Subject) -> anyhow::Result<()>) -> anyhow::Result<()> {
        step(&mut self.baseline).with_context(|| self.baseline.label())?;
        self.others.retain_mut(|subject| {
            let Err(error) = step(subject) else { return true };
            tracing::warn!("{}: {error:#}; going on without it", subject.label());
            self.failed.push(subject.label());
            false
        });
        if self.others.is_empty() {
            return Err(anyhow!("nothing is left to measure: {} failed", self.failed.join(", ")));
        }
        Ok(())
    }
}

/// An error that names the subjects that failed and are missing from the report, if there are any.
pub fn ensure_none_failed(failed: &[String]) -> anyhow::Result<()> {
    ensure!(failed.is_empty(), "without {}, which failed", failed.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use adit_hash::Backend;
    use adit_miner::{CpuDevice, DeviceError, DeviceInfo, Draw, Feed};

    use super::*;

    /// A CPU that is lost at its `lost_at`-th run, and searches nothing if it is `blind`.
    struct Faulty {
        cpu: CpuDevice,
        runs: u32,
        lost_at: u32,
        blind: bool,
    }

    impl Device for Faulty {
        fn info(&self) -> &DeviceInfo {
            self.cpu.info()
        }

        fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
            self.runs += 1;
            match self.blind {
                _ if self.runs == self.lost_at => Err(DeviceError::Lost("unplugged".to_owned())),
                true => {
                    while let Draw::Work(work) = feed.draw(1 << 20) {
                        feed.report(&work, &[]);
                    }
                    Ok(())
                }
                false => self.cpu.run(feed),
            }
        }
    }

    fn subject(name: &str, lost_at: u32, blind: bool) -> Subject {
        let cpu = CpuDevice::new(NonZeroUsize::new(1), Some(Backend::Sha2Crate)).unwrap();
        Subject::new(name.to_owned(), Box::new(Faulty { cpu, runs: 0, lost_at, blind }))
    }

    fn subjects(baseline: Subject, others: Vec<Subject>) -> Subjects {
        Subjects { baseline, others, failed: Vec::new() }
    }

    #[test]
    fn a_subject_that_fails_is_given_up_and_the_others_are_measured() {
        let others = vec![subject("lost", 3, false), subject("sound", 0, false), subject("blind", 0, true)];
        let mut subjects = subjects(subject("baseline", 0, false), others);
        subjects.measure(3, 0.03).unwrap();
        assert_eq!(subjects.failed, ["cpu blind", "cpu lost"]);
        let left: Vec<_> = subjects.others.iter().map(|one| (one.kernel.as_str(), one.samples.len())).collect();
        assert_eq!((left, subjects.baseline.samples.len()), (vec![("sound", 3)], 3));
        let missing = ensure_none_failed(&subjects.failed).unwrap_err().to_string();
        assert_eq!(missing, "without cpu blind, cpu lost, which failed");
        assert!(ensure_none_failed(&[]).is_ok());
    }

    #[test]
    fn without_a_baseline_or_anything_beside_it_there_is_no_measurement() {
        let mut alone =
            subjects(subject("baseline", 0, false), vec![subject("blind", 0, true), subject("lost", 1, false)]);
        let error = alone.measure(3, 0.03).unwrap_err().to_string();
        assert_eq!(error, "nothing is left to measure: cpu blind, cpu lost failed");
        let mut no_baseline = subjects(subject("baseline", 2, false), vec![subject("sound", 0, false)]);
        let error = format!("{:#}", no_baseline.measure(3, 0.03).unwrap_err());
        assert_eq!(error, "cpu baseline: device lost: unplugged");
    }
}
