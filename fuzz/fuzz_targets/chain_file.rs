//! Text as a chain file: a file that is read and written again is the same, and has parameters.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::chain::file::ChainFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = ChainFile::parse(text).map_err(|error| error.to_string());
    // Almost no mutant has a genesis block with valid proof of work.
    if let Ok(file) = ChainFile::parse_unsolved(text) {
        assert_eq!(ChainFile::parse_unsolved(&file.to_toml()).as_ref(), Ok(&file));
        assert_eq!(file.params().name, file.name);
    }
});
