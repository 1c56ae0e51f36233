//! Devices that hang, fail, panic and are taken away.

use super::*;

#[test]
fn a_device_that_hangs_is_left_behind_and_opened_again() {
    let (clock, (drawn, on_drawn), (free, on_free)) = (clock(), unbounded(), unbounded::<()>());
    let (answered, on_answered) = unbounded();
    let opener = Opener::new(move |opening| match opening {
        0 => Ok(hung(drawn.clone(), on_free.clone(), answered.clone())),
        _ => Ok(scripted(|feed| {
            let Some(work) = draw(feed, 777) else { return Ok(()) };
            feed.report(&work, &[]);
            // Draws nothing more, and stays until the engine stops.
            while feed.is_current(&work) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        })),
    });
    let rig = Rig::with(&clock, opener);
    on_drawn.recv_timeout(FOREVER).unwrap();
    let (steps, snapshot) = rig.step_until(|snapshot| sick(snapshot, 1).is_some());
    assert!(steps > 45, "sick after {steps} s");
    let (reason, failures) = sick(&snapshot, 1).unwrap();
    assert!(reason.contains("no progress for") && failures == 1, "{reason}");
    assert_eq!((snapshot.devices[1].unsearched, snapshot.devices[1].hashes), (12_345, 0));

    let (_, snapshot) = rig.step_until(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > 0);
    assert_eq!((snapshot.devices[1].hashes, snapshot.devices[1].recoveries), (777, 1));
    // The old thread comes back from its driver: nothing that it says counts, and it is told to go.
    drop(free);
    assert!(!on_answered.recv_timeout(FOREVER).unwrap(), "its work was still current, or it was given more");
    let snapshot = rig.step();
    let device = &snapshot.devices[1];
    assert_eq!((device.hashes, device.unsearched, device.hardware_errors), (777, 12_345, 0));
    assert_eq!(snapshot.devices[0].state, DeviceState::Mining);
    let stopped = rig.engine.stop();
    assert!(stopped.devices.iter().all(|device| device.state == DeviceState::Stopped), "{stopped:#?}");
}

#[test]
fn an_opening_that_hangs_is_left_behind_too_and_a_stop_does_not_wait_for_it() {
    let clock = clock();
    let own = clock.clone();
    let opener = Opener::new(move |opening| {
        if opening == 0 {
            own.sleep(Duration::from_secs(1_000_000));
        }
        Err(lost())
    });
    let rig = Rig::with(&clock, opener);
    let (steps, snapshot) = rig.step_until(|snapshot| sick(snapshot, 1).is_some());
    assert!(steps > 120, "sick after {steps} s");
    assert!(sick(&snapshot, 1).unwrap().0.contains("no progress"));
    rig.step_until(|snapshot| sick(snapshot, 1).is_some_and(|(reason, _)| reason.contains("pulled out")));
    let stopped = rig.engine.stop();
    assert_eq!(stopped.devices[0].state, DeviceState::Stopped);
}

#[test]
fn a_device_that_fails_three_times_is_tried_with_growing_pauses_and_mines_again() {
    let clock = clock();
    let times = Arc::new(Mutex::new(Vec::new()));
    let (log, reader) = (times.clone(), clock.clone());
    let opener = Opener::new(move |opening| {
        log.lock().unwrap().push(reader.now());
        match opening {
            // Once in opening, twice in mining.
            0 => Err(lost()),
            1 | 2 => Ok(scripted(|feed| draw(feed, 500).map_or(Ok(()), |_| Err(lost())))),
            _ => Ok(scripted(search_nothing)),
        }
    });
    let rig = Rig::with(&clock, opener);
    for wanted in 1..=3 {
        let (_, snapshot) = rig.step_until(|snapshot| sick(snapshot, 1).is_some_and(|(_, seen)| seen == wanted));
        assert_eq!(sick(&snapshot, 1).unwrap().0, "device lost: pulled out");
        assert_eq!(snapshot.devices[1].unsearched, 500 * u64::from(wanted - 1));
    }
    let (_, snapshot) = rig.step_until(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > 0);
    assert_eq!(snapshot.devices[1].recoveries, 3, "it passed the known-answer test after each");
    let times = times.lock().unwrap();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, seconds) in pauses.iter().zip([1, 2, 4]) {
        assert!(*pause >= Duration::from_secs(seconds), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 3);
}

#[test]
fn a_device_that_always_fails_is_dead_in_the_end() {
    let clock = clock();
    let opener = Opener::new(|_| Err(lost()));
    let openings = opener.openings.clone();
    let rig = Rig::with(&clock, opener);
    let (_, snapshot) = rig.step_until(|snapshot| matches!(snapshot.devices[1].state, DeviceState::Dead { .. }));
    let dead = DeviceState::Dead { reason: "device lost: pulled out".into(), failures: 8 };
    assert_eq!(snapshot.devices[1].state, dead);
    assert!(!snapshot.all_dead());
    for _ in 0..100 {
        rig.step();
    }
    assert_eq!(openings.load(Ordering::Relaxed), 8, "and is not tried again");
}

#[test]
fn a_device_that_panics_is_opened_again() {
    let clock = clock();
    let opener = Opener::new(|opening| match opening {
        0 => panic!("a bug in an opener"),
        1 => Ok(scripted(|_| panic!("a bug in a driver"))),
        2 => Ok(scripted(|_| Ok(()))),
        _ => Ok(scripted(search_nothing)),
    });
    let rig = Rig::with(&clock, opener);
    for reason in ["a bug in an opener", "a bug in a driver", "ended while there was work"] {
        rig.step_until(|snapshot| sick(snapshot, 1).is_some_and(|(seen, _)| seen.contains(reason)));
    }
    rig.step_until(|snapshot| mines(snapshot, 1) && snapshot.devices[1].hashes > 0);
}
