//! Devices that make no progress and are not to blame.

use super::*;

/// The feed of a device that takes a minute for each batch of the known-answer test, so far as the test has the patience.
struct MinuteFeed<'a>(&'a dyn Feed, &'a TestClock, AtomicUsize);

impl Feed for MinuteFeed<'_> {
    fn draw(&self, nonces: u64) -> Draw {
        self.0.draw(nonces)
    }
    fn wait(&self) {
        self.0.wait();
    }
    fn is_current(&self, work: &HeaderWork) -> bool {
        self.0.is_current(work)
    }
    fn has_given_up(&self) -> bool {
        self.0.has_given_up()
    }
    fn report(&self, work: &HeaderWork, candidates: &[u32]) {
        if self.2.fetch_add(1, Ordering::Relaxed) < 2 {
            self.1.sleep(Duration::from_secs(60));
        }
        self.0.report(work, candidates);
    }
}

/// A device that needs a minute a batch, tested or mining.
struct Slow(CpuDevice, Arc<TestClock>, bool);

impl Device for Slow {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        if !std::mem::replace(&mut self.2, true) {
            return self.0.run(&MinuteFeed(feed, &self.1, AtomicUsize::new(0)));
        }
        while let Some(work) = draw(feed, 100) {
            self.1.sleep(Duration::from_secs(60));
            feed.report(&work, &[]);
        }
        Ok(())
    }
}

#[test]
fn a_slow_device_is_not_sick() {
    let clock = clock();
    let own = clock.clone();
    let opener = Opener::new(move |_| Ok(Box::new(Slow(one_thread(), own.clone(), false))));
    let openings = opener.openings.clone();
    let rig = Rig::with(&clock, opener);
    rig.step_until(|snapshot| {
        assert_eq!(sick(snapshot, 1), None);
        snapshot.devices[1].hashes >= 300
    });
    assert_eq!(openings.load(Ordering::Relaxed), 1);
    // Its thread sleeps by the clock that nobody will move.
    *clock.now.lock().unwrap() += Duration::from_secs(3_600);
    rig.engine.stop();
}

#[test]
fn devices_without_work_and_devices_that_wait_for_the_verifier_are_not_sick() {
    let (clock, (free, on_free), (open, closed)) = (clock(), unbounded::<()>(), unbounded::<()>());
    let (drawn, on_drawn) = unbounded();
    let (answered, _on_answered) = unbounded();
    let canary = Opener::new(move |opening| match opening {
        0 => Ok(hung(drawn.clone(), on_free.clone(), answered.clone())),
        _ => Err(lost()),
    });
    let finder = Opener::new(|_| {
        Ok(scripted(|feed| {
            while let Some(work) = draw(feed, 1) {
                feed.report(&work, &[work.range.first]);
            }
            Ok(())
        }))
    });
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let idler = Opener::new(move |_| {
        let count = count.clone();
        Ok(scripted(move |feed| {
            loop {
                count.fetch_add(1, Ordering::AcqRel);
                match feed.draw(1) {
                    Draw::Work(work) => feed.report(&work, &[]),
                    Draw::Empty => feed.wait(),
                    Draw::Done => return Ok(()),
                }
            }
        }))
    });
    let source = Source::new(ScanTarget::MAX, Some(closed));
    source.withdrawn.store(true, Ordering::Release);
    let openers = [canary, finder, idler].map(|opener| Arc::new(opener) as Arc<dyn DeviceOpener>);
    let reader = clock.clone();
    let engine = Engine::start_by(Box::new(move || reader.now()), source.clone(), openers.to_vec(), quick()).unwrap();
    let rig = Rig { engine, clock };
    rig.wait(|snapshot| snapshot.devices.iter().all(|device| device.state == DeviceState::Mining));
    source.withdrawn.store(false, Ordering::Release);
    on_drawn.recv_timeout(FOREVER).unwrap();
    // More than the queue holds, with the verifier at a closed desk.
    rig.wait(|snapshot| snapshot.devices[1].hashes > 64);
    source.withdrawn.store(true, Ordering::Release);

    // The canary hangs: when it is found sick, the watchdog has judged the others as often.
    let start = Instant::now();
    while rig.engine.snapshot().devices[0].state == DeviceState::Mining {
        let before = asked.load(Ordering::Acquire);
        rig.wait(|_| asked.load(Ordering::Acquire) > before + 1);
        rig.clock.advance(4 * STEP);
        assert!(start.elapsed() < FOREVER);
    }
    let snapshot = rig.engine.snapshot();
    assert!(sick(&snapshot, 0).is_some_and(|(reason, _)| reason.contains("no progress")), "{snapshot:#?}");
    assert!(mines(&snapshot, 1) && mines(&snapshot, 2), "{snapshot:#?}");
    drop((open, free));
    rig.engine.stop();
}

#[test]
fn a_watchdog_that_was_itself_held_up_blames_nobody() {
    let clock = clock();
    let (drawn, on_drawn) = unbounded();
    let (free, on_free) = unbounded::<()>();
    let (answered, _on_answered) = unbounded();
    let opener = Opener::new(move |_| Ok(hung(drawn.clone(), on_free.clone(), answered.clone())));
    let rig = Rig::with(&clock, opener);
    on_drawn.recv_timeout(FOREVER).unwrap();
    // The machine slept for an hour; the silence begins anew.
    clock.advance(Duration::from_secs(3_600));
    let (steps, _) = rig.step_until(|snapshot| {
        assert!(mines(snapshot, 0));
        sick(snapshot, 1).is_some()
    });
    assert!(steps > 40, "sick {steps} s after the machine woke");
    drop(free);
}
