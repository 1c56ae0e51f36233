//! A device that runs hot.

use super::*;
use crate::throttle::DutyCycle;

#[test]
fn a_hot_device_slows_down_pauses_and_comes_back() {
    let clock = clock();
    let sensor = Arc::new(FakeSensor::default());
    let empties = Arc::new(AtomicU64::new(0));
    let count = empties.clone();
    let mut opener = Opener::new(move |_| {
        let count = count.clone();
        Ok(scripted(move |feed| {
            loop {
                match feed.draw(64) {
                    Draw::Work(work) => feed.report(&work, &[]),
                    Draw::Empty => {
                        count.fetch_add(1, Ordering::AcqRel);
                        feed.wait();
                    }
                    Draw::Done => return Ok(()),
                }
            }
        }))
    });
    opener.sensor = Some(sensor.clone());
    let options = quick().with_max_temp(Some(80.0));
    let rig = Rig::new(without_hits(), clock, vec![opener], options);
    rig.wait(|snapshot| snapshot.devices[1].hashes > 0);
    // A temperature is seen by the throttle before the clock goes on.
    let step = || {
        let reads = sensor.reads.load(Ordering::Acquire);
        while sensor.reads.load(Ordering::Acquire) < reads + 2 {
            thread::sleep(Duration::from_millis(1));
        }
        rig.step()
    };
    // With the clock at a stand, a device at rest draws nothing however often it asks.
    let rests = || {
        let (hashes, asked) = (rig.engine.snapshot().devices[1].hashes, empties.load(Ordering::Acquire));
        rig.wait(|snapshot| snapshot.devices[1].hashes > hashes || empties.load(Ordering::Acquire) > asked + 3);
        rig.engine.snapshot().devices[1].hashes == hashes
    };
    let duty_cycles = |until: DutyCycle| {
        let (mut seen, mut rested) = (Vec::new(), false);
        let start = Instant::now();
        while seen.last() != Some(&until) {
            assert!(start.elapsed() < FOREVER, "{seen:?}");
            let duty_cycle = step().devices[1].duty_cycle;
            if seen.last() != Some(&duty_cycle) {
                seen.push(duty_cycle);
            }
            // A stretch of a step, a rest of a step, and so on.
            rested |= duty_cycle == DutyCycle::Half && rests();
        }
        assert_eq!(rested, seen.contains(&DutyCycle::Half), "it rests at half duty");
        seen
    };

    sensor.temperature.store(70, Ordering::Release);
    (0..30).for_each(|_| drop(step()));
    let snapshot = rig.engine.snapshot();
    assert_eq!((snapshot.devices[1].duty_cycle, rests()), (DutyCycle::Full, false));
    assert_eq!(snapshot.devices[1].reading.and_then(|reading| reading.temperature_celsius), Some(70.0));
    assert_eq!(snapshot.devices[0].reading, None);

    sensor.temperature.store(83, Ordering::Release);
    let down = duty_cycles(DutyCycle::Paused);
    assert!(
        down.ends_with(&[DutyCycle::ThreeQuarters, DutyCycle::Half, DutyCycle::Quarter, DutyCycle::Paused]),
        "{down:?}"
    );
    let paused = rig.engine.snapshot();
    for _ in 0..60 {
        let snapshot = step();
        assert!(mines(&snapshot, 1), "paused is not sick");
    }
    assert!(rests());
    let still = rig.engine.snapshot().devices[1].hashes - paused.devices[1].hashes;
    assert!(still <= 64, "{still} nonces while paused");

    sensor.temperature.store(60, Ordering::Release);
    let up = duty_cycles(DutyCycle::Full);
    assert!(up.ends_with(&[DutyCycle::Quarter, DutyCycle::Half, DutyCycle::ThreeQuarters, DutyCycle::Full]), "{up:?}");
    assert!(!rests());

    sensor.temperature.store(SILENT, Ordering::Release);
    assert_eq!(duty_cycles(DutyCycle::Quarter), [DutyCycle::Full, DutyCycle::Quarter], "a sensor that stops answering");
    sensor.temperature.store(60, Ordering::Release);
    assert!(duty_cycles(DutyCycle::Full).ends_with(&[DutyCycle::Half, DutyCycle::ThreeQuarters, DutyCycle::Full]));
}
