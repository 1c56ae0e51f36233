//! Makes headers and nonce ranges of a template. A job never gives the same header twice, and goes on after 2^32 nonces.
//!
//! A fast GPU searches every nonce of a header in 0.6 s. Then another field is rolled, like the digits of an odometer: the
//! version bits first, which cost one compression; then the extranonce, which costs the coinbase and its Merkle branch; the
//! time last, because peers may refuse a block whose time is ahead of the clock. The coinbase and the branch are hashed by the
//! `sha2` crate and not by our kernels, so that a kernel's bug cannot give a header with a wrong Merkle root.

use std::sync::{Arc, Mutex, MutexGuard};

use adit_hash::{HEADER_LEN, HashBytes, HeaderBytes, NonceRange, ScanJob, ScanTarget};
use sha2::{Digest as _, Sha256};

use crate::work::{Solution, Template, TemplateId};

/// The longest extranonce in bytes.
pub const MAX_EXTRANONCE_LEN: usize = 8;

/// The deepest Merkle branch. A block of 4,000,000 weight units holds fewer than 2^17 transactions.
pub const MAX_BRANCH_LEN: usize = 32;

/// The nonces of one header.
const NONCES: u64 = 1 << 32;

/// Why a template cannot be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The extranonce is longer than a job can count.
    #[error("template has an extranonce of {seen} bytes, want at most {MAX_EXTRANONCE_LEN}")]
    ExtranonceTooLong {
        /// Its length in bytes.
        seen: usize,
    },
    /// The branch is deeper than any block's.
    #[error("template has a merkle branch of {seen} levels, want at most {MAX_BRANCH_LEN}")]
    BranchTooDeep {
        /// Its levels.
        seen: usize,
    },
    /// The latest time is before the first.
    #[error("template has latest time {max_time}, want at least its time {time}")]
    TimeBackwards {
        /// The template's time in seconds since 1970.
        time: u32,
        /// The template's latest time in seconds since 1970.
        max_time: u32,
    },
}

/// The extranonce of a coinbase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Extranonce {
    value: u64,
    len: usize,
}

impl Extranonce {
    /// `value`, little-endian in `len` bytes. A `len` above [`MAX_EXTRANONCE_LEN`] is cut to it.
    #[must_use]
    pub fn new(value: u64, len: usize) -> Self {
        Self { value, len: len.min(MAX_EXTRANONCE_LEN) }
    }

    /// The bytes between the coinbase's prefix and suffix.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.value.to_le_bytes()[..self.len].to_vec()
    }

    /// The next value, or `None` after the last that fits the length.
    fn next(self) -> Option<Self> {
        let last = if self.len == MAX_EXTRANONCE_LEN { u64::MAX } else { (1 << (8 * self.len)) - 1 };
        (self.value < last).then(|| Self { value: self.value + 1, ..self })
    }
}

/// A piece of a search: one header and the nonces to try in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderWork {
    /// The template that the header belongs to.
    pub template: TemplateId,
    /// The header, prepared.
    pub scan: ScanJob,
    /// The nonces.
    pub range: NonceRange,
    /// The largest hash that is a hit.
    pub target: ScanTarget,
    /// The extranonce of the coinbase under the header's Merkle root.
    pub extranonce: Extranonce,
}

/// What the CPU finds of a nonce that a device reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckedCandidate {
    /// The hash meets the target.
    Solution(Solution),
    /// The hash is above the target, but not in its most significant 32 bits, which are all that a device must compare.
    AboveTarget,
    /// The hash is above the target in its most significant 32 bits, or the nonce is outside of the range: the device erred.
    HardwareError,
}

impl HeaderWork {
    /// The nonces `range` of the header of `scan`, whose Merkle root has `extranonce` in its coinbase.
    #[must_use]
    pub fn new(
        template: TemplateId,
        scan: ScanJob,
        range: NonceRange,
        target: ScanTarget,
        extranonce: Extranonce,
    ) -> Self {
        Self { template, scan, range, target, extranonce }
    }

    /// The first `nonces` of this work (at least one), and the rest if any is left.
    #[must_use]
    pub fn split_at(&self, nonces: u64) -> (HeaderWork, Option<HeaderWork>) {
        let head = nonces.clamp(1, self.range.count.max(1));
        let with = |range| HeaderWork { range, ..self.clone() };
        if head >= self.range.count {
            return (self.clone(), None);
        }
        // Less than `count`, which is at most 2^32, so the offset fits 32 bits.
        let rest = NonceRange::new(self.range.first.wrapping_add(head as u32), self.range.count - head);
        (with(NonceRange::new(self.range.first, head)), Some(with(rest)))
    }

    /// Checks a candidate with the `sha2` crate, which shares no code with the devices' kernels.
    #[must_use]
    pub fn check_nonce(&self, nonce: u32) -> CheckedCandidate {
        let within = u64::from(nonce.wrapping_sub(self.range.first)) < self.range.count;
        let header = self.scan.header(nonce);
        let hash = sha256d(&header);
        let top = u32::from_le_bytes([hash[28], hash[29], hash[30], hash[31]]);
        if !within || top > self.target.top() {
            CheckedCandidate::HardwareError
        } else if self.target.is_met_by(&hash) {
            let (template, extranonce) = (self.template, self.extranonce.to_vec());
            CheckedCandidate::Solution(Solution { template, header, extranonce, hash })
        } else {
            CheckedCandidate::AboveTarget
        }
    }
}

/// SHA-256 of SHA-256, by the `sha2` crate.
#[must_use]
pub fn sha256d(bytes: &[u8]) -> HashBytes {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A template being searched. Any number of threads draw from it; no two draws overlap.
#[derive(Debug)]
pub struct Job {
    template: Arc<Template>,
    position: Mutex<JobPosition>,
}

/// The present header and the first of its nonces that is not drawn.
#[derive(Debug)]
struct JobPosition {
    /// How often the version was rolled. Its low bits are spread over the mask and exclusive-ored into the version.
    version_roll: u64,
    extranonce: Extranonce,
    time: u32,
    merkle_root: HashBytes,
    scan: ScanJob,
    next_nonce: u64,
    exhausted: bool,
}

impl Job {
    /// Starts on a template.
    ///
    /// # Errors
    /// If the template contradicts itself, or exceeds [`MAX_EXTRANONCE_LEN`] or [`MAX_BRANCH_LEN`].
    pub fn new(template: Arc<Template>) -> Result<Self, JobError> {
        if template.coinbase.extranonce_len > MAX_EXTRANONCE_LEN {
            return Err(JobError::ExtranonceTooLong { seen: template.coinbase.extranonce_len });
        }
        if template.merkle_branch.len() > MAX_BRANCH_LEN {
            return Err(JobError::BranchTooDeep { seen: template.merkle_branch.len() });
        }
        if template.max_time < template.time {
            return Err(JobError::TimeBackwards { time: template.time, max_time: template.max_time });
        }
        let extranonce = Extranonce::new(0, template.coinbase.extranonce_len);
        let merkle_root = merkle_root(&template, extranonce);
        let scan = ScanJob::new(&header(&template, 0, &merkle_root, template.time));
        let time = template.time;
        let position =
            JobPosition { version_roll: 0, extranonce, time, merkle_root, scan, next_nonce: 0, exhausted: false };
        Ok(Self { template, position: Mutex::new(position) })
    }

    /// The template.
    #[must_use]
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Takes the next 1 to `nonces` nonces; `None` once everything that may be rolled was rolled.
    ///
    /// A draw ends with its header, so it may be smaller than asked.
    pub fn draw(&self, nonces: u64) -> Option<HeaderWork> {
        let mut position = self.lock();
        if position.next_nonce == NONCES {
            position.roll(&self.template);
        }
        if position.exhausted {
            return None;
        }
        let range = NonceRange::new(position.next_nonce as u32, nonces.clamp(1, NONCES - position.next_nonce));
        position.next_nonce += range.count;
        Some(HeaderWork {
            template: self.template.id,
            scan: position.scan,
            range,
            target: self.template.target,
            extranonce: position.extranonce,
        })
    }

    /// Whether [`Job::draw`] has nothing more to give.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.lock().exhausted
    }

    fn lock(&self) -> MutexGuard<'_, JobPosition> {
        self.position.lock().expect("nothing that holds the position panics")
    }
}

impl JobPosition {
    /// Goes on to the next header: version bits, then extranonce, then time.
    fn roll(&mut self, template: &Template) {
        if self.exhausted {
            return;
        }
        self.version_roll += 1;
        if self.version_roll >> template.version_mask.count_ones() != 0 {
            self.version_roll = 0;
            if let Some(next) = self.extranonce.next() {
                self.extranonce = next;
            } else if self.time < template.max_time {
                self.extranonce = Extranonce::new(0, template.coinbase.extranonce_len);
                self.time += 1;
            } else {
                self.exhausted = true;
                return;
            }
            self.merkle_root = merkle_root(template, self.extranonce);
        }
        self.scan = ScanJob::new(&header(template, self.version_roll as u32, &self.merkle_root, self.time));
        self.next_nonce = 0;
    }
}

/// Spreads the low bits of `value` over the ones of `mask`, lowest first.
fn deposit_bits(value: u32, mask: u32) -> u32 {
    let (mut spread, mut value, mut left) = (0, value, mask);
    while left != 0 {
        let bit = left & left.wrapping_neg();
        if value & 1 != 0 {
            spread |= bit;
        }
        value >>= 1;
        left ^= bit;
    }
    spread
}

/// The header with nonce 0.
fn header(template: &Template, version_roll: u32, merkle_root: &HashBytes, time: u32) -> HeaderBytes {
    let version = template.version as u32 ^ deposit_bits(version_roll, template.version_mask);
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&version.to_le_bytes());
    header[4..36].copy_from_slice(&template.prev_hash);
    header[36..68].copy_from_slice(merkle_root);
    header[68..72].copy_from_slice(&time.to_le_bytes());
    header[72..76].copy_from_slice(&template.bits.to_le_bytes());
    header
}

/// The root over the coinbase with `extranonce` in place, up the template's branch. The coinbase is leaf 0, so it is the
/// left child at every level.
fn merkle_root(template: &Template, extranonce: Extranonce) -> HashBytes {
    let coinbase = &template.coinbase;
    let txid: HashBytes = Sha256::digest(
        Sha256::new()
            .chain_update(&coinbase.prefix)
            .chain_update(extranonce.to_vec())
            .chain_update(&coinbase.suffix)
            .finalize(),
    )
    .into();
    template.merkle_branch.iter().fold(txid, |left, right| {
        let inner = Sha256::new().chain_update(left).chain_update(right).finalize();
        Sha256::digest(inner).into()
    })
}

#[cfg(test)]
mod tests;
