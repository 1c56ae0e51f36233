//! The verifier: re-hashes every candidate with `sha2`, counts it for or against its device, and hands solutions in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::Receiver;

use super::Shared;
use super::stats::DeviceStats;
use crate::job::{CheckedCandidate, HeaderWork};
use crate::work::{Solution, Submission, TemplateId};

/// How many of the templates that we solved are remembered. A device reports a batch at most some 100 ms after its template was
/// solved; where blocks are so easy that more are solved meanwhile, a surplus solution counts as stale, no more.
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

/// The verifier's thread. Ends when every device has.
pub(super) fn verify_candidates(shared: &Arc<Shared>, batches: &Receiver<CandidateBatch>) {
    let mut solved = VecDeque::new();
    for CandidateBatch { device, work, candidates } in batches {
        let stats = &shared.devices[device];
        for nonce in candidates {
            // While stopping, the queue is only emptied, lest a device wait for room in it.
            if shared.is_stopping() {
                break;
            }
            match work.check_candidate(nonce) {
                CheckedCandidate::Solution(hash) => {
                    let solution = Solution {
                        template: work.template,
                        header: work.scan.header(nonce),
                        extranonce: work.extranonce.to_vec(),
                        hash,
                    };
                    hand_in(shared, stats, &solution, &mut solved);
                }
                CheckedCandidate::AboveTarget => {}
                CheckedCandidate::HardwareError => {
                    add_one(&stats.hardware_errors);
                    tracing::warn!("{} reported nonce {nonce}, whose hash is above the target", stats.info().id);
                }
            }
        }
    }
}

/// Hands `solution` in, unless its template is replaced. `solved` holds the last templates that a solution of ours was
/// accepted for.
fn hand_in(shared: &Shared, stats: &DeviceStats, solution: &Solution, solved: &mut VecDeque<TemplateId>) {
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
