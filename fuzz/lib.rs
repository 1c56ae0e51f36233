//! The macro that makes a fuzz target from a closure: libFuzzer's, or without the feature `libfuzzer` a program that runs the
//! closure on each file that the command line names.

#[cfg(feature = "libfuzzer")]
pub use libfuzzer_sys::fuzz_target;

/// A program that runs the closure on the bytes of each file that the command line names.
#[cfg(not(feature = "libfuzzer"))]
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $body:block) => {
        fn run($bytes: &[u8]) $body

        fn main() -> std::io::Result<()> {
            for file in std::env::args_os().skip(1) {
                run(&std::fs::read(file)?);
            }
            Ok(())
        }
    };
}
