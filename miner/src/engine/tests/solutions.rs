//! Solutions, templates and sources that fail, with devices that are given up at their first failure.

use std::collections::HashSet;

use adit_hash::Backend;

use super::*;
use crate::engine::DeviceSnapshot;
use crate::job::sha256d;

fn hits(work: &HeaderWork) -> Vec<u32> {
    let mut hits = Vec::new();
    Backend::Portable.scan(&work.scan, work.range, &work.target, &mut hits);
    hits
}

/// Starts an engine that gives a device up at its first failure. Other policies are tested in the files beside this one.
fn start(source: Arc<dyn WorkSource>, devices: Vec<Box<dyn Device>>) -> Engine {
    let opener = |device: Box<dyn Device>| -> Arc<dyn DeviceOpener> {
        let once = Mutex::new(Some(device));
        Arc::new(Opener::new(move |_| once.lock().unwrap().take().ok_or_else(lost)))
    };
    let options = EngineOptions::default().with_watchdog(WatchdogPolicy::default().with_failures(1));
    Engine::start(source, devices.into_iter().map(opener).collect(), options).unwrap()
}

#[test]
fn a_chain_grows_by_solutions_that_rebuild() {
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, true);
    let cpu = CpuDevice::new(NonZeroUsize::new(2), None).unwrap();
    let engine = start(source.clone(), vec![Box::new(cpu)]);
    wait_for(&engine, |snapshot| snapshot.devices[0].accepted >= 12);
    let device = engine.stop().devices.remove(0);

    let solutions = source.submitted();
    assert_eq!(device.state, DeviceState::Stopped);
    assert_eq!((device.accepted, device.rejected, device.hardware_errors), (solutions.len() as u64, 0, 0));
    assert_eq!(device.stale, 0, "nobody else mines here");
    assert!(device.hashes >= 12);
    let mut previous = [7; 32];
    for (solution, id) in solutions.iter().zip(1..) {
        let made_from = template(id, moderate());
        assert_eq!(solution.template, TemplateId(id));
        assert_eq!(solution.hash, sha256d(&solution.header));
        assert!(made_from.target.is_met_by(&solution.hash));
        assert_eq!(solution.header[4..36], previous);
        let coinbase = [&made_from.coinbase.prefix[..], &solution.extranonce, &made_from.coinbase.suffix].concat();
        let root =
            made_from.merkle_branch.iter().fold(sha256d(&coinbase), |left, right| sha256d(&[left, *right].concat()));
        assert_eq!(solution.header[36..68], root);
        previous = solution.hash;
    }
}

#[test]
fn what_is_found_after_our_own_solution_is_surplus_not_stale() {
    let source = TestSource::new(template(1, ScanTarget::MAX), Submission::Accepted, true);
    let engine = start(source.clone(), vec![Box::new(one_thread())]);
    let snapshot = wait_for(&engine, |snapshot| snapshot.devices[0].surplus > 0);
    engine.stop();
    assert_eq!(snapshot.devices[0].stale, 0);
    let ids: Vec<_> = source.submitted().iter().map(|solution| solution.template.0).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "a template was solved twice: {ids:?}");
}

#[test]
fn shares_of_one_template_are_all_submitted_once_by_all_devices() {
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let engine = start(source.clone(), vec![Box::new(one_thread()), Box::new(one_thread())]);
    wait_for(&engine, |snapshot| snapshot.devices.iter().all(|device| device.accepted >= 5));
    let snapshot = engine.stop();
    let solutions = source.submitted();
    assert_eq!(snapshot.devices.iter().map(|device| device.accepted).sum::<u64>(), solutions.len() as u64);
    let distinct: HashSet<_> = solutions.iter().map(|solution| solution.header).collect();
    assert_eq!(distinct.len(), solutions.len());
}

#[test]
fn a_lost_a_panicking_and_a_wrong_device_leave_the_others_mining() {
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let lost = scripted(|feed| {
        let _ = draw(feed, 1 << 20);
        Err(DeviceError::Lost("pulled out".into()))
    });
    let panicking = scripted(|_| panic!("a bug in a driver"));
    let untested = ScriptedDevice { cpu: one_thread(), tested: true, script: Box::new(search_nothing) };
    let engine = start(source.clone(), vec![lost, panicking, Box::new(untested), Box::new(one_thread())]);
    let failed = |device: &DeviceSnapshot, with: &str| matches!(&device.state, DeviceState::Dead { reason, .. } if reason.contains(with));
    let snapshot = wait_for(&engine, |snapshot| {
        let [lost, panicking, wrong, _] = &snapshot.devices[..] else { return false };
        failed(lost, "pulled out") && failed(panicking, "a bug in a driver") && failed(wrong, "missed")
    });
    assert_eq!(snapshot.devices[2].hashes, 0, "a device that fails the test never mines");
    assert!(!snapshot.all_dead());
    let before = snapshot.devices[3].accepted;
    let after = wait_for(&engine, |snapshot| snapshot.devices[3].accepted > before);
    assert_eq!(after.devices[3].state, DeviceState::Mining);
    engine.stop();
}

#[test]
fn a_wrong_candidate_is_a_hardware_error_and_is_not_submitted() {
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let device = scripted(|feed| {
        while let Some(work) = draw(feed, 1 << 12) {
            let hits = hits(&work);
            let wrong = (0..).map(|i| work.range.first + i).find(|nonce| !hits.contains(nonce)).unwrap();
            feed.report(&work, &[wrong]);
        }
        Ok(())
    });
    let engine = start(source.clone(), vec![device]);
    wait_for(&engine, |snapshot| snapshot.devices[0].hardware_errors >= 3);
    let snapshot = engine.stop();
    assert_eq!(snapshot.devices[0].accepted, 0);
    assert_eq!(source.submitted(), []);
}

#[test]
fn solutions_of_a_replaced_template_are_stale_and_not_submitted() {
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let (drawn, on_drawn) = unbounded();
    let (go, on_go): (Sender<()>, Receiver<()>) = unbounded();
    let device = scripted(move |feed| {
        let Some(work) = draw(feed, 1 << 22) else { return Ok(()) };
        let hits = hits(&work);
        let _ = drawn.send(hits.len());
        let _ = on_go.recv();
        feed.report(&work, &hits);
        while let Some(work) = draw(feed, 1 << 16) {
            assert_eq!(work.template, TemplateId(2), "stale work was given out");
            feed.report(&work, &[]);
        }
        Ok(())
    });
    let engine = start(source.clone(), vec![device]);
    let found = on_drawn.recv().unwrap() as u64;
    assert!(found > 0);
    source.set(template(2, never()));
    go.send(()).unwrap();
    wait_for(&engine, |snapshot| snapshot.devices[0].stale == found);
    let snapshot = engine.stop();
    assert_eq!(snapshot.devices[0].state, DeviceState::Stopped);
    assert_eq!(source.submitted(), []);
}

#[test]
fn the_source_s_own_refusals_are_counted() {
    for (answer, stale, rejected) in
        [(Submission::Stale, true, false), (Submission::Rejected("no".into()), false, true)]
    {
        let source = TestSource::new(template(1, moderate()), answer, false);
        let engine = start(source.clone(), vec![Box::new(one_thread())]);
        let snapshot = wait_for(&engine, |snapshot| snapshot.devices[0].stale + snapshot.devices[0].rejected > 0);
        engine.stop();
        let device = &snapshot.devices[0];
        assert_eq!((device.stale > 0, device.rejected > 0, device.accepted), (stale, rejected, 0));
    }
}

#[test]
fn a_new_template_reaches_every_device_at_its_next_draw() {
    let source = TestSource::new(template(1, never()), Submission::Accepted, false);
    let (drawn, on_drawn) = unbounded();
    let recorder = |name: usize| {
        let drawn = drawn.clone();
        scripted(move |feed| {
            while let Some(work) = draw(feed, 1 << 20) {
                let _ = drawn.send((name, work.template.0));
                feed.report(&work, &[]);
            }
            Ok(())
        })
    };
    let engine = start(source.clone(), vec![recorder(0), recorder(1), recorder(2)]);
    for id in 2..6 {
        // What was drawn before the change may still be in the channel; it ends, and nothing older comes after newer work.
        source.set(template(id, never()));
        let mut reached = [false; 3];
        while reached != [true; 3] {
            let (name, seen) = on_drawn.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(seen <= id && (!reached[name] || seen == id), "device {name} went back to template {seen}");
            reached[name] |= seen == id;
        }
    }
    engine.stop();
}

#[test]
fn an_exhausted_template_is_said_to_be_and_a_new_one_is_mined() {
    let narrow = |id| {
        let mut narrow = template(id, never()).with_version(0x2000_0000, 0).with_max_time(1_700_000_001);
        narrow.coinbase = Coinbase::new(vec![1], 0, vec![id as u8]);
        narrow
    };
    let source = TestSource::new(narrow(1), Submission::Accepted, false);
    let searches_nothing = || {
        scripted(|feed| {
            while let Some(work) = draw(feed, 1 << 28) {
                feed.report(&work, &[]);
            }
            Ok(())
        })
    };
    let engine = start(source.clone(), vec![searches_nothing(), searches_nothing()]);
    let all_of_one = 2_u64 << 32;
    let hashes = |snapshot: &EngineSnapshot| snapshot.devices.iter().map(|device| device.hashes).sum::<u64>();
    let snapshot = wait_for(&engine, |snapshot| snapshot.exhausted && hashes(snapshot) >= all_of_one);
    assert_eq!(hashes(&snapshot), all_of_one);
    assert_eq!(snapshot.template, Some((TemplateId(1), 101)));
    source.set(narrow(2));
    wait_for(&engine, |snapshot| snapshot.template == Some((TemplateId(2), 102)) && hashes(snapshot) == 2 * all_of_one);
    engine.stop();
}

#[test]
fn a_template_that_cannot_be_mined_is_passed_over() {
    let source = TestSource::new(template(1, moderate()).with_max_time(0), Submission::Accepted, false);
    let engine = start(source.clone(), vec![Box::new(one_thread())]);
    wait_for(&engine, |snapshot| snapshot.devices[0].state == DeviceState::Mining);
    assert_eq!(engine.snapshot().template, None);
    source.set(template(2, moderate()));
    wait_for(&engine, |snapshot| snapshot.devices[0].accepted > 0);
    engine.stop();
    assert!(source.submitted().iter().all(|solution| solution.template == TemplateId(2)));
}

#[test]
fn stopping_does_not_wait_for_a_device_that_is_stuck() {
    let source = TestSource::new(template(1, never()), Submission::Accepted, false);
    let (free, on_free): (Sender<()>, Receiver<()>) = unbounded();
    let stuck_now = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stuck_now);
    let stuck = scripted(move |_| {
        flag.store(true, Ordering::Release);
        let _ = on_free.recv();
        Ok(())
    });
    let engine = start(source.clone(), vec![stuck, Box::new(one_thread())]);
    wait_for(&engine, |snapshot| stuck_now.load(Ordering::Acquire) && snapshot.devices[1].state == DeviceState::Mining);
    // Returns although the device does not: it is freed only afterwards.
    let snapshot = engine.stop();
    assert_eq!(snapshot.devices[0].state, DeviceState::Mining);
    assert_eq!(snapshot.devices[1].state, DeviceState::Stopped);
    drop(free);
}

#[test]
fn a_source_that_panics_ends_the_engine_which_says_so() {
    let source = TestSource::new(template(1, moderate()), Submission::Accepted, false);
    let source = BeforeSubmit::new(source, || panic!("the disk is on fire"));
    let engine = start(source, vec![Box::new(one_thread())]);
    let snapshot = wait_for(&engine, |snapshot| snapshot.failure.is_some());
    assert_eq!(snapshot.failure.as_deref(), Some("the disk is on fire"));
    wait_for(&engine, |snapshot| snapshot.devices[0].state == DeviceState::Stopped);
}
