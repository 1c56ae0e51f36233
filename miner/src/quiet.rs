//! Catches panics that stand for an error, without a message on standard error.
//!
//! `wgpu` 30 panics in `Device::poll` when a device is lost, which is no bug to be reported with a file and a line. The panic
//! hook belongs to the process, so it is wrapped once: it is silent in a thread that expects a panic, and unchanged in others.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `run`; `None` if it panics. What it was changing is then in an unknown state.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> Option<T> {
    static WRAP: Once = Once::new();
    WRAP.call_once(wrap_hook);
    let outer = EXPECTED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    EXPECTED.set(outer);
    outcome.ok()
}

/// Makes the hook silent where a panic is expected.
fn wrap_hook() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if !EXPECTED.get() {
            before(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn only_a_panic_that_is_expected_is_silent() {
        let heard = Arc::new(AtomicUsize::new(0));
        let here = thread::current().id();
        let (counter, before) = (heard.clone(), take_hook());
        // Tests in other threads may panic at the same time, and use the hook as before.
        set_hook(Box::new(move |panic| {
            if thread::current().id() == here {
                counter.fetch_add(1, Ordering::Relaxed);
            } else {
                before(panic);
            }
        }));
        wrap_hook();
        assert_eq!(quietly(|| 7), Some(7));
        assert_eq!(quietly(|| -> u32 { panic!("a lost device") }), None);
        assert_eq!(heard.load(Ordering::Relaxed), 0);
        let nested = quietly(|| (quietly(|| -> u32 { panic!("inner") }), EXPECTED.get()));
        assert_eq!((nested, EXPECTED.get()), (Some((None, true)), false));
        assert!(catch_unwind(|| panic!("a bug")).is_err());
        assert_eq!(heard.load(Ordering::Relaxed), 1, "what is not expected is told");
    }
}
