//! Progress bars on standard error, if it is a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// For a file of `length` bytes that is being read.
pub fn bytes(length: u64) -> ProgressBar {
    bar(Some(length), "{bar:40} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left")
}

/// For `length` steps of whatever the message names.
pub fn steps(length: u64) -> ProgressBar {
    bar(Some(length), "{bar:30} {percent}%  {msg}")
}

/// For work that cannot say how far it is.
pub fn spinner(message: String) -> ProgressBar {
    let bar = bar(None, "{spinner} {msg}  {elapsed}").with_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::with_draw_target(length, target).with_style(style)
}
