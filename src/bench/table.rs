//! The table that `adit bench` prints for people.

use super::report::{BASELINE, BenchReport, Row};
use super::statistics::Summary;
use crate::rate::{counted, hashes_a_joule, hashrate};

/// The lines of a report.
pub fn text(report: &BenchReport) -> String {
    let rows: Vec<_> = std::iter::once((BASELINE.to_owned(), &report.baseline))
        .chain(report.results.iter().map(|row| (row.label(), row)))
        .collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let with_power = rows.iter().any(|(_, row)| row.watts.is_some());
    let mut lines = vec![report.machine.line(), report.adit.line()];
    let mut titles = format!(
        "{:width$}  {:>10}  {:>6}  {:>10}  {:>10}  {:>6}  {:>6}  {:>6}",
        "", "median", "±", "least", "most", "ratio", "±", "cpu"
    );
    if with_power {
        titles.push_str(&format!("  {:>7}  {:>10}", "watts", "efficiency"));
    }
    lines.push(titles);
    lines.extend(rows.iter().map(|(name, row)| line(name, width, row, with_power)));
    lines.push(format!(
        "{} each; ±: median absolute deviation; ratio: to the plain loop on {} in the same round; cpu: of one core",
        counted(report.settings.rounds as u64, "sample"),
        counted(report.settings.threads as u64, "thread"),
    ));
    if report.adit.profile != "release" {
        lines.push("this is no release build: its rates are not to be quoted".to_owned());
    }
    lines.join("\n")
}

fn line(name: &str, width: usize, row: &Row, with_power: bool) -> String {
    let (rates, ratios) = (&row.hashes_per_second, &row.ratio_to_baseline);
    let [median, least, most] = [rates.median, rates.min, rates.max].map(hashrate);
    let cpu = row.cpu_cores.map_or_else(unknown, |cores| format!("{:.0} %", 100.0 * cores.median));
    let mut line = format!(
        "{name:width$}  {median:>10}  {:>6}  {least:>10}  {most:>10}  {:>6.2}  {:>6}  {cpu:>6}",
        spread(rates),
        ratios.median,
        spread(ratios)
    );
    if with_power {
        let watts = row.watts.map_or_else(unknown, |watts| format!("{:.1} W", watts.median));
        let efficiency = row.hashes_per_joule.map_or_else(unknown, |summary| hashes_a_joule(summary.median));
        line.push_str(&format!("  {watts:>7}  {efficiency:>10}"));
    }
    line
}

/// The median absolute deviation as a share of the median.
fn spread(summary: &Summary) -> String {
    format!("{:.1} %", 100.0 * summary.mad / summary.median)
}

fn unknown() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::report::Kind;
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn columns_stand_below_their_titles_and_power_only_where_known() {
        let mut report =
            report(&[(Kind::Cpu, "sha_ni", &[3.0, 2.0, 4.0, 3.0, 3.3]), (Kind::Gpu, "pruned", &[700.0; 5])]);
        let with_power = text(&report);
        let table: Vec<_> = with_power.lines().skip(2).take(4).map(|line| line.chars().count()).collect();
        assert!(table.iter().all(|length| *length == table[0]), "{with_power}");
        assert!(with_power.contains("50.0 W") && with_power.contains("600 kH/J"), "{with_power}");
        report.results[1].watts = None;
        report.results[1].hashes_per_joule = None;
        assert!(text(&report).contains(" –"), "{}", text(&report));
        report.results[0].watts = None;
        report.baseline.watts = None;
        assert!(!text(&report).contains("watts"), "{}", text(&report));
    }

    #[test]
    fn only_a_release_build_may_be_quoted() {
        let mut report = report(&[(Kind::Cpu, "sha_ni", &[3.0; 5])]);
        report.adit.profile = "debug".to_owned();
        assert!(text(&report).contains("no release build"));
        report.adit.profile = "release".to_owned();
        assert!(!text(&report).contains("no release build"));
    }
}
