//! Formats hashrates and counts for people.

/// Hashes a second with the largest unit that leaves a number of at least one.
pub fn hashrate(hashes_a_second: f64) -> String {
    with_prefix(hashes_a_second, "H/s")
}

/// Hashes a joule, alike.
pub fn hashes_a_joule(hashes_a_joule: f64) -> String {
    with_prefix(hashes_a_joule, "H/J")
}

fn with_prefix(mut value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut prefix = 0;
    while value >= 999.5 && prefix + 1 < PREFIXES.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let decimals = if value >= 99.95 { 0 } else { usize::from(value < 9.995) + 1 };
    format!("{value:.decimals$} {}{unit}", PREFIXES[prefix])
}

/// A number of any size with three significant digits.
pub fn significant(value: f64) -> String {
    match value {
        0.001..1000.0 => {
            let digits = value.abs().log10().floor();
            format!("{value:.decimals$}", decimals = (2.0 - digits).max(0.0) as usize)
        }
        _ => format!("{value:.2e}"),
    }
}

/// `count` and its noun: `1 block`, `12 blocks`.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits_and_their_unit() {
        for (rate, text) in [
            (0.0, "0.00 H/s"),
            (999.4, "999 H/s"),
            (999.6, "1.00 kH/s"),
            (41_234_567.0, "41.2 MH/s"),
            (7.3e9, "7.30 GH/s"),
            (123.4e12, "123 TH/s"),
            (9.9e18, "9900 PH/s"),
        ] {
            assert_eq!(hashrate(rate), text);
        }
        assert_eq!(hashes_a_joule(18_700_000.0), "18.7 MH/J");
    }

    #[test]
    fn a_difficulty_shows_its_digits_however_small_or_large() {
        for (value, text) in
            [(4.656e-10, "4.66e-10"), (0.0039062, "0.00391"), (1.0, "1.00"), (999.4, "999"), (9.2e13, "9.20e13")]
        {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn one_has_no_plural() {
        assert_eq!((counted(1, "block"), counted(0, "block")), ("1 block".to_owned(), "0 blocks".to_owned()));
    }
}
