//! A session of a device, from one opening to its end, and the feed that the device draws from in it.
//!
//! A thread that is stuck in a driver cannot be ended. It is left behind with its session, and the next session begins in
//! another thread. Everything that a device's thread does to the engine goes through the state of its session. A closed session
//! accepts nothing, so a thread that comes back later cannot count a nonce twice or hold a channel open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;

use super::verify::CandidateBatch;
use super::watchdog::{Heartbeat, WatchdogPolicy};
use super::{IDLE_WAIT, Shared};
use crate::device::{Draw, Feed};
use crate::job::{HeaderWork, Job};
use crate::throttle::{DutyCycle, DutyTimer};
use crate::work::TemplateId;

/// The shortest sleep of a device that rests.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// One opening of a device and what followed.
#[derive(Debug)]
pub(super) struct Session {
    /// The index of the device.
    pub(super) device: usize,
    state: Mutex<SessionState>,
    /// Whether the session is closed. Read without the lock.
    over: AtomicBool,
}

#[derive(Debug)]
struct SessionState {
    /// Where candidates go; `None` once the session is closed.
    found: Option<Sender<CandidateBatch>>,
    /// Whether the device passed the known-answer test.
    mining: bool,
    /// The template of the last draw.
    template: Option<TemplateId>,
    /// The nonces drawn of `template` and not reported.
    in_flight: u64,
    heartbeat: Heartbeat,
    duty_timer: DutyTimer,
}

impl Session {
    pub(super) fn new(device: usize, found: Sender<CandidateBatch>, now: Instant) -> Self {
        let state = SessionState {
            found: Some(found),
            mining: false,
            template: None,
            in_flight: 0,
            heartbeat: Heartbeat::new(now),
            duty_timer: DutyTimer::default(),
        };
        Self { device, state: Mutex::new(state), over: AtomicBool::new(false) }
    }

    /// Closes the session, whatever its thread is doing. Returns the number of nonces of the newest template that were drawn and
    /// not reported. They are not given out again: other nonces are worth the same, and a job does not run out of them.
    pub(super) fn close(&self) -> u64 {
        let mut state = self.lock();
        self.over.store(true, Ordering::Release);
        state.found = None;
        std::mem::take(&mut state.in_flight)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The device is open, and its known-answer test begins.
    pub(super) fn opened(&self, now: Instant) {
        self.lock().heartbeat.reset(now);
    }

    /// The device reported a batch of the known-answer test.
    pub(super) fn answered(&self, now: Instant) {
        self.lock().heartbeat.test_report(now);
    }

    /// The device passed the known-answer test.
    pub(super) fn passed(&self, now: Instant) {
        let mut state = self.lock();
        state.mining = true;
        state.heartbeat.reset(now);
    }

    /// Restarts the time since the last report: the device was not to blame for it.
    pub(super) fn excuse(&self, now: Instant) {
        self.lock().heartbeat.reset(now);
    }

    /// The time since the last heartbeat, if that is too long.
    pub(super) fn stalled(&self, policy: &WatchdogPolicy, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let patience = if state.mining { policy.stall } else { policy.opening };
        state.heartbeat.stalled(patience, policy.slack, now)
    }

    fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().expect("nothing that holds the state panics")
    }
}

impl SessionState {
    /// Forgets work in flight of a template that is not `newest`: a device that asks for more has dropped it.
    fn drop_stale(&mut self, newest: Option<TemplateId>) {
        if self.template != newest {
            self.in_flight = 0;
        }
    }

    /// The device called its feed. That is a heartbeat if it holds no work; otherwise only a report is one.
    fn feed_called(&mut self, now: Instant) {
        if self.in_flight == 0 {
            self.heartbeat.reset(now);
        }
    }
}

/// The feed that the engine gives to a device for one session.
pub(super) struct SessionFeed<'a> {
    pub(super) shared: &'a Shared,
    pub(super) session: &'a Session,
}

impl Feed for SessionFeed<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        if self.shared.is_stopping() || self.session.is_over() {
            return Draw::Done;
        }
        // Before the lock is taken, as a source may panic.
        let newest = self.shared.source.newest();
        let job = self.shared.current_job().filter(|job| Some(job.template().id) == newest);
        let (now, duty_cycle) = (self.shared.now(), self.shared.devices[self.session.device].duty_cycle());
        let mut state = self.session.lock();
        if state.found.is_none() {
            return Draw::Done;
        }
        state.drop_stale(newest);
        state.feed_called(now);
        let in_flight = state.in_flight > 0;
        if !state.duty_timer.may_begin(duty_cycle, in_flight, now) {
            return Draw::Empty;
        }
        let Some(work) = job.and_then(|job| job.draw(nonces)) else {
            if !in_flight {
                state.duty_timer.idle();
            }
            return Draw::Empty;
        };
        state.template = Some(work.template);
        state.in_flight += work.range.count;
        Draw::Work(work)
    }

    fn wait(&self) {
        let newest = self.shared.source.newest();
        let now = self.shared.now();
        let rest = {
            let mut state = self.session.lock();
            state.drop_stale(newest);
            state.feed_called(now);
            state.duty_timer.rest_left(now)
        };
        let resting = rest.is_some() || self.shared.devices[self.session.device].duty_cycle() == DutyCycle::Paused;
        let idle = |job: &mut Option<Arc<Job>>| {
            let newest = |job: &Arc<Job>| self.shared.is_newest(job.template().id) && !job.is_exhausted();
            let ready = !resting && job.as_ref().is_some_and(newest);
            !ready && !self.shared.is_stopping() && !self.session.is_over()
        };
        // If the rest is over and another thread's batch is not, the time is not known.
        let longest = rest.map_or(IDLE_WAIT, |rest| rest.clamp(SHORTEST_REST, IDLE_WAIT));
        let job = self.shared.lock_job();
        drop(self.shared.changed.wait_timeout_while(job, longest, idle));
    }

    fn is_current(&self, work: &HeaderWork) -> bool {
        !self.shared.is_stopping() && !self.session.is_over() && self.shared.is_newest(work.template)
    }

    fn has_given_up(&self) -> bool {
        self.session.is_over()
    }

    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        let stats = &self.shared.devices[self.session.device];
        let (now, duty_cycle) = (self.shared.now(), stats.duty_cycle());
        let found = {
            let mut state = self.session.lock();
            let Some(found) = state.found.clone() else { return };
            if state.template == Some(work.template) {
                state.in_flight = state.in_flight.saturating_sub(work.range.count);
            }
            state.heartbeat.report(now);
            state.duty_timer.batch_ended(duty_cycle, now);
            // Under the lock, so that each nonce of a session counts either as searched or as unsearched.
            stats.add_hashes(work.range.count);
            if candidates.is_empty() {
                return;
            }
            state.heartbeat.enter_feed();
            found
        };
        let found_now =
            CandidateBatch { device: self.session.device, work: work.clone(), candidates: candidates.to_vec() };
        // The verifier outlives every sender unless it panicked. Then the engine is stopping, and gives the reason.
        let _ = found.send(found_now);
        drop(found);
        self.session.lock().heartbeat.leave_feed(self.shared.now());
    }
}
