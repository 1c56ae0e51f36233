//! The verifier's thread: hashes every candidate again with the `sha2` crate and submits the solutions among them.
//!
//! It is a thread of its own so that a slow source does not hold up a device. What it finds is counted for the device.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::Receiver;

use super::Shared;
use super::stats::DeviceStats;
use crate::job::{CheckedCandidate, HeaderWork};
use crate::work::{Solution, Submission, TemplateId};

/// How many solved templates are remembered. A device reports a batch at most some 100 ms after its template was solved. Where
/// blocks are so easy that more templates are solved in that time, a surplus solution is counted as stale.
const SOLVED_KEPT: usize = 1_024;

/// The candidates of one batch.
#[derive(Debug)]
pub(super) struct CandidateBatch {
    /// The index of the device.
    pub(super) device: usize,
    /// What was searched.
    pub(super) work: HeaderWork,
    /// The nonces that the device reported.
    pub(super) candidates: Vec<u32>,
}

/// Runs until every device's sender is gone.
pub(super) fn verify_candidates(shared: &Arc<Shared>, batches: &Receiver<CandidateBatch>) {
    let mut solved = VecDeque::new();
    for CandidateBatch { device, work, candidates } in batches {
        let stats = &shared.devices[device];
        for nonce in candidates {
            // A stop empties the queue without checking, so that no device waits for room in it.
            if shared.is_stopping() {
                break;
            }
            match work.check_nonce(nonce) {
                CheckedCandidate::Solution(solution) => submit(shared, stats, &solution, &mut solved),
                CheckedCandidate::AboveTarget => {}
                CheckedCandidate::HardwareError => {
                    add_one(&stats.hardware_errors);
                    tracing::warn!("{} reported nonce {nonce}, whose hash is above the target", stats.info().id);
                }
            }
        }
    }
}

/// Submits `solution`, unless its template is replaced. `solved` holds the last templates of which a solution was accepted.
fn submit(shared: &Shared, stats: &DeviceStats, solution: &Solution, solved: &mut VecDeque<TemplateId>) {
    let device = stats.info().id;
    let replaced = || if solved.contains(&solution.template) { &stats.surplus } else { &stats.stale };
    if !shared.is_newest(solution.template) {
        add_one(replaced());
        return;
    }
    match shared.source.submit(solution) {
        Submission::Accepted => {
            add_one(&stats.accepted);
            if solved.back() != Some(&solution.template) {
                solved.push_back(solution.template);
            }
            if solved.len() > SOLVED_KEPT {
                solved.pop_front();
            }
            tracing::debug!("{device}: solution of template {} accepted", solution.template.0);
        }
        Submission::Stale => {
            add_one(replaced());
            tracing::debug!("{device}: solution of template {} came too late", solution.template.0);
        }
        Submission::Rejected(reason) => {
            add_one(&stats.rejected);
            tracing::warn!("{device}: solution of template {} rejected: {reason}", solution.template.0);
        }
    }
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
