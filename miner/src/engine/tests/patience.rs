//! Devices that make no progress and are not to blame.

use super::*;

/// A device that needs a minute for each of the first two batches of the known-answer test, and for each of mining.
struct SlowDevice(CpuDevice, Arc<TestClock>, bool);

impl Device for SlowDevice {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn run(&mut self, feed: &dyn Feed) -> Result<(), DeviceError> {
        if !std::mem::replace(&mut self.2, true) {
            let reports = AtomicUsize::new(0);
            let before = |_: &HeaderWork, _: &mut Vec<u32>| {
                if reports.fetch_add(1, Ordering::Relaxed) < 2 {
                    self.1.sleep(Duration::from_secs(60));
                }
            };
            return self.0.run(&BeforeReport { feed, before: &before });
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
    let opener = Opener::new(move |_| Ok(Box::new(SlowDevice(one_thread(), own.clone(), false))));
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
    let hanging = Opener::new(move |opening| match opening {
        0 => Ok(hung(drawn.clone(), on_free.clone(), answered.clone())),
        _ => Err(lost()),
    });
    let finding = Opener::new(|_| {
        Ok(scripted(|feed| {
            while let Some(work) = draw(feed, 1) {
                feed.report(&work, &[work.range.first]);
            }
            Ok(())
        }))
    });
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let idle = Opener::new(move |_| {
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
    let templates = TestSource::new(None, Submission::Accepted, false);
    // The source takes no solution until `open` is gone.
    let source = BeforeSubmit::new(templates.clone(), move || {
        let _ = closed.recv();
    });
    let openers = [hanging, finding, idle].map(|opener| Arc::new(opener) as Arc<dyn DeviceOpener>);
    let reader = clock.clone();
    let engine = Engine::start_by(Box::new(move || reader.now()), source, openers.to_vec(), quick()).unwrap();
    let rig = Rig { engine, clock };
    rig.wait(|snapshot| snapshot.devices.iter().all(|device| device.state == DeviceState::Mining));
    templates.set(template(1, ScanTarget::MAX));
    on_drawn.recv_timeout(FOREVER).unwrap();
    // More than the queue holds, while the verifier waits for the source.
    rig.wait(|snapshot| snapshot.devices[1].hashes > 64);
    templates.set(None);

    // When the device that hangs is found sick, the watchdog has looked at the others as often.
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
