//! The watchdog's thread: opens each device, checks its heartbeat, opens it again when it fails, and slows it down when it is hot.
//!
//! Only this thread sets the states of devices, and it never waits for one. Everything that may hang, opening included, runs in
//! the device's own thread, which is left behind if it hangs. So no device disturbs another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::session::{Session, SessionFeed};
use super::stats::{DeviceState, DeviceStats};
use super::verify::CandidateBatch;
use super::watchdog::{Backoff, FailureAction};
use super::{EngineOptions, Shared, panic_text};
use crate::device::{Device, DeviceError, DeviceOpener};
use crate::known_answer;
use crate::telemetry::Sensor;
use crate::throttle::{DutyCycle, Throttle};

/// If the watchdog has not looked for this long, the process or the machine was stopped, and the devices with it. Then the time
/// since their last reports starts again.
const ABSENCE: Duration = Duration::from_secs(5);

/// How long a stop waits for devices to finish what they have in flight.
const DEVICES_WAIT: Duration = Duration::from_millis(700);

/// The watchdog.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    options: EngineOptions,
    slots: Vec<Slot>,
    found: Sender<CandidateBatch>,
    tell: Sender<SessionEvent>,
    events: Receiver<SessionEvent>,
    last_look: Instant,
}

/// A device in the engine, over all of its sessions.
struct Slot {
    opener: Arc<dyn DeviceOpener>,
    backoff: Backoff,
    /// The present session; `None` between two tries, and at the end.
    session: Option<Arc<Session>>,
    /// When the device is opened again.
    next_try: Option<Instant>,
    /// Since when a device that failed has not mined.
    sick_since: Option<Instant>,
    throttle: Option<Throttle>,
    /// When the last reading that the throttle saw was taken.
    read: Option<Instant>,
}

/// What a device's thread reports to the watchdog.
struct SessionEvent {
    session: Arc<Session>,
    kind: SessionEventKind,
}

enum SessionEventKind {
    /// The device passed the known-answer test.
    Passed,
    /// The session ended.
    Ended(Result<(), DeviceError>),
}

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        openers: Vec<Arc<dyn DeviceOpener>>,
        options: EngineOptions,
        found: Sender<CandidateBatch>,
    ) -> Self {
        let (tell, events) = unbounded();
        let slot = |opener| Slot {
            opener,
            backoff: Backoff::default(),
            session: None,
            next_try: None,
            sick_since: None,
            throttle: options.max_temp.map(|limit| Throttle::new(limit, options.throttle)),
            read: None,
        };
        let last_look = shared.now();
        Self { options, slots: openers.into_iter().map(slot).collect(), found, tell, events, last_look, shared }
    }

    /// Runs until the engine stops.
    pub(super) fn run(mut self) {
        for index in 0..self.slots.len() {
            self.open(index);
        }
        while !self.shared.is_stopping() {
            if let Ok(event) = self.events.recv_timeout(self.options.watchdog.look_every) {
                self.handle(event);
            }
            self.look();
        }
        self.wind_down();
    }

    /// Looks at every device once.
    fn look(&mut self) {
        let now = self.shared.now();
        let was_absent = now.saturating_duration_since(self.last_look) > ABSENCE;
        self.last_look = now;
        for index in 0..self.slots.len() {
            self.update_duty_cycle(index, now);
            let slot = &mut self.slots[index];
            slot.backoff.forgive(&self.options.watchdog, now);
            if let Some(session) = &slot.session {
                if was_absent {
                    session.excuse(now);
                } else if let Some(silence) = session.stalled(&self.options.watchdog, now) {
                    self.fail(index, &DeviceError::Stalled { seconds: silence.as_secs() });
                }
            } else if slot.next_try.is_some_and(|at| at <= now) {
                self.open(index);
            }
        }
    }

    /// Begins a session in a thread of its own.
    fn open(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let session = Arc::new(Session::new(index, self.found.clone(), self.shared.now()));
        slot.session = Some(session.clone());
        slot.next_try = None;
        self.shared.devices[index].set_state(DeviceState::Starting);
        let name = slot.opener.info().id.to_string();
        let (shared, opener, tell) = (self.shared.clone(), slot.opener.clone(), self.tell.clone());
        let started = thread::Builder::new().name(name).spawn(move || serve(&shared, &session, &*opener, &tell));
        if let Err(error) = started {
            self.fail(index, &DeviceError::Refused(format!("the system starts no thread: {error}")));
        }
    }

    /// Handles an event of a device's thread. Events of a thread that was left behind are dropped.
    fn handle(&mut self, SessionEvent { session, kind }: SessionEvent) {
        let index = session.device;
        let slot = &mut self.slots[index];
        if !slot.session.as_ref().is_some_and(|current| Arc::ptr_eq(current, &session)) {
            return;
        }
        let stats = &self.shared.devices[index];
        match kind {
            SessionEventKind::Passed => {
                slot.backoff.mining(self.shared.now());
                stats.set_state(DeviceState::Mining);
                if slot.sick_since.take().is_some() {
                    stats.recoveries.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!("{} mines again", named(stats));
                }
            }
            SessionEventKind::Ended(outcome) if self.shared.is_stopping() => {
                if let Err(error) = outcome {
                    tracing::warn!("{} failed while stopping: {error}", named(stats));
                }
                slot.session = None;
                session.close();
                stats.set_state(DeviceState::Stopped);
            }
            SessionEventKind::Ended(outcome) => {
                let by_itself = || DeviceError::Refused("it ended while there was work".into());
                self.fail(index, &outcome.err().unwrap_or_else(by_itself));
            }
        }
    }

    /// Closes a session that failed, and opens the device again later or gives it up.
    fn fail(&mut self, index: usize, error: &DeviceError) {
        let (slot, stats) = (&mut self.slots[index], &self.shared.devices[index]);
        if let Some(session) = slot.session.take() {
            stats.unsearched.fetch_add(session.close(), Ordering::Relaxed);
        }
        let now = self.shared.now();
        let action = slot.backoff.failed(&self.options.watchdog, error, now);
        let (reason, failures) = (error.to_string(), slot.backoff.failures());
        match action {
            FailureAction::Retry(next_try) => {
                let pause = next_try.saturating_duration_since(now).as_secs_f64();
                tracing::warn!("{} is sick: {reason}; opened again in {pause} s", named(stats));
                let since = *slot.sick_since.get_or_insert(now);
                slot.next_try = Some(next_try);
                stats.set_state(DeviceState::Sick { reason, failures, since, next_try });
            }
            FailureAction::GiveUp => {
                tracing::warn!("{} no longer mines: {reason} (failures in a row: {failures})", named(stats));
                slot.next_try = None;
                stats.set_state(DeviceState::Dead { reason, failures });
            }
        }
    }

    /// Gives the last reading to the throttle, and sets the duty cycle that it returns.
    fn update_duty_cycle(&mut self, index: usize, now: Instant) {
        let (slot, stats) = (&mut self.slots[index], &self.shared.devices[index]);
        let Some(throttle) = &mut slot.throttle else { return };
        let before = (stats.duty_cycle(), throttle.is_blind());
        let fresh = stats.reading().filter(|(taken, _)| slot.read.is_none_or(|read| read < *taken));
        let temperature = fresh.and_then(|(_, reading)| reading.temperature_celsius);
        let duty_cycle = match fresh {
            Some((taken, _)) => {
                slot.read = Some(taken);
                throttle.observe(taken, temperature)
            }
            None => throttle.observe(now, None),
        };
        if (duty_cycle, throttle.is_blind()) == before {
            return;
        }
        stats.set_duty_cycle(duty_cycle);
        let what = match duty_cycle {
            DutyCycle::Paused => "paused".to_owned(),
            _ => format!("busy {} % of the time", duty_cycle.percent()),
        };
        match temperature {
            Some(temperature) => {
                tracing::warn!("{} is at {temperature:.0} °C, limit {:.0} °C: {what}", named(stats), throttle.limit());
            }
            None => tracing::warn!("{} no longer tells its temperature: {what} until it does", named(stats)),
        }
    }

    /// Waits for the devices to end, and leaves behind those that do not end.
    fn wind_down(&mut self) {
        let deadline = Instant::now() + DEVICES_WAIT;
        while self.slots.iter().any(|slot| slot.session.is_some()) {
            match self.events.recv_deadline(deadline) {
                Ok(event) => self.handle(event),
                Err(_) => break,
            }
        }
        for (slot, stats) in self.slots.iter().zip(&self.shared.devices) {
            if let Some(session) = &slot.session {
                session.close();
                tracing::warn!("{} does not stop; left behind", named(stats));
            }
        }
    }
}

fn named(stats: &DeviceStats) -> String {
    format!("{} ({})", stats.info().id, stats.info().name)
}

/// A device's thread: the opening, the known-answer test, then mining until the feed is done or the device fails.
fn serve(shared: &Shared, session: &Arc<Session>, opener: &dyn DeviceOpener, tell: &Sender<SessionEvent>) {
    // The receiver is gone only when the engine has stopped.
    let say = |kind| drop(tell.send(SessionEvent { session: session.clone(), kind }));
    let mut opened: Option<Box<dyn Device>> = None;
    // A panic in a driver or a library ends this session and not the process. The device is not used after it.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let device = opened.insert(opener.open()?);
        session.opened(shared.now());
        let over = || shared.is_stopping() || session.is_over();
        known_answer::test_until(device.as_mut(), &over, &|| session.answered(shared.now()))?;
        if !over() {
            session.passed(shared.now());
            say(SessionEventKind::Passed);
            device.run(&SessionFeed { shared, session })?;
        }
        // A device without a failure is closed before its end is reported, so that no driver runs after a stop.
        drop(opened.take());
        Ok(())
    }));
    say(SessionEventKind::Ended(
        outcome.unwrap_or_else(|panic| Err(DeviceError::Panicked(panic_text(panic.as_ref())))),
    ));
    // One that failed is closed after it: its driver may hang or panic again.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(opened)));
}

/// A sensor's thread. Each sensor has its own, as a driver may answer late or never.
pub(super) fn sense(shared: &Shared, index: usize, sensor: &dyn Sensor, every: Duration) {
    while !shared.is_stopping() {
        // A panic counts as an empty reading.
        let reading = catch_unwind(AssertUnwindSafe(|| sensor.read())).unwrap_or_default();
        shared.devices[index].set_reading(shared.now(), reading);
        let job = shared.lock_job();
        drop(shared.changed.wait_timeout_while(job, every, |_| !shared.is_stopping()));
    }
}
