//! Draws the bars of `adit bench --plot` as an SVG.
//!
//! It is written by hand: a plotting library would bring fonts and rasters for four kinds of elements. There is no background,
//! and the text's grey is readable on white (contrast 4.5 to 1) and on near-black (4.2 to 1), since pages that embed the file
//! have either. Names are above their bars, in a font of fixed width, so that no name overlaps a figure or a bar.

use std::fmt::Write;

use super::report::{BASELINE, BenchReport, Row};
use crate::rate::hashrate;

/// Pixels.
const WIDTH: f64 = 860.0;
const MARGIN: f64 = 20.0;
const ROW: f64 = 46.0;
const BAR: f64 = 16.0;
/// From one line of the head to the next.
const LINE: f64 = 20.0;
const FONT: f64 = 13.0;

/// The width of a letter of a fixed-width font at most, as a share of the font's size. Courier's is 0.6.
const LETTER: f64 = 0.62;

/// The width of the figures at a row's right in letters, with the space before them.
const FIGURES: usize = 34;

const TEXT: &str = "#767676";
const BARS: &str = "#3b82f6";
const BASELINE_BAR: &str = "#9ca3af";

/// Draws a report.
pub fn svg(report: &BenchReport) -> String {
    let rows: Vec<_> = std::iter::once((BASELINE.to_owned(), BASELINE_BAR, &report.baseline))
        .chain(report.results.iter().map(|row| (row.label(), BARS, row)))
        .collect();
    let most = rows.iter().map(|(_, _, row)| row.hashes_per_second.max).fold(0.0, f64::max);
    let head = [report.machine.line(), format!("{}, {}", report.adit.line(), report.began), legend(report)];
    let top = MARGIN + LINE * head.len() as f64 + 8.0;
    let height = top + ROW * rows.len() as f64 + MARGIN;
    let mut svg = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Courier New', monospace\" \
         font-size=\"{FONT}\" fill=\"{TEXT}\">\n<title>adit bench, hashes a second</title>\n"
    );
    for (i, line) in head.iter().enumerate() {
        text(&mut svg, MARGIN + LINE * (i as f64 + 0.5), line, letters(WIDTH - 2.0 * MARGIN));
    }
    for (i, (name, colour, row)) in rows.iter().enumerate() {
        draw(&mut svg, top + ROW * i as f64, name, colour, row, most);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(report: &BenchReport) -> String {
    let rounds = report.settings.rounds;
    format!("bars: median of {rounds} samples; whiskers: least to most; ×: times the plain loop over sha2")
}

/// A name with its figures, and below them the bar with its whiskers.
fn draw(svg: &mut String, top: f64, name: &str, colour: &str, row: &Row, most: f64) {
    let room = WIDTH - 2.0 * MARGIN;
    let place = |rate: f64| if most > 0.0 { MARGIN + room * rate / most } else { MARGIN };
    let rates = &row.hashes_per_second;
    let line = top + FONT;
    text(svg, line, name, letters(room) - FIGURES);
    let figures = format!(
        "{} ± {:.1} %, {:.2} ×",
        hashrate(rates.median),
        100.0 * rates.mad / rates.median,
        row.ratio_to_baseline.median
    );
    let (right, bar, middle) = (WIDTH - MARGIN, top + FONT + 7.0, top + FONT + 7.0 + BAR / 2.0);
    write(svg, format_args!("<text x=\"{right}\" y=\"{line}\" text-anchor=\"end\">{}</text>\n", escaped(&figures)));
    let length = place(rates.median) - MARGIN;
    write(
        svg,
        format_args!(
            "<rect x=\"{MARGIN}\" y=\"{bar}\" width=\"{length:.2}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\" \
             fill-opacity=\"0.55\"/>\n"
        ),
    );
    let (from, to) = (place(rates.min), place(rates.max));
    let (upper, lower) = (middle - BAR / 3.0, middle + BAR / 3.0);
    write(
        svg,
        format_args!(
            "<path d=\"M{from:.2} {upper:.2}V{lower:.2}M{from:.2} {middle:.2}H{to:.2}M{to:.2} {upper:.2}V{lower:.2}\" \
             stroke=\"{TEXT}\" stroke-width=\"1.5\" fill=\"none\"/>\n"
        ),
    );
}

/// One line of text at the left margin, cut to `most` letters. The tooltip of a cut line has all of it.
fn text(svg: &mut String, y: f64, line: &str, most: usize) {
    let line = printable(line);
    let shown = cut(&line, most);
    let title = if shown == line { String::new() } else { format!("<title>{}</title>", escaped(&line)) };
    write(svg, format_args!("<text x=\"{MARGIN}\" y=\"{y}\">{title}{}</text>\n", escaped(&shown)));
}

fn write(svg: &mut String, element: std::fmt::Arguments<'_>) {
    svg.write_fmt(element).expect("a string takes all that is written to it");
}

/// How many letters fit into so many pixels.
fn letters(pixels: f64) -> usize {
    (pixels / (FONT * LETTER)) as usize
}

/// The first `most` columns. The letters of Chinese, Japanese and Korean are two wide.
fn cut(line: &str, most: usize) -> String {
    const WIDE: char = '\u{2e80}';
    let columns = |letter: char| if letter < WIDE { 1 } else { 2 };
    if line.chars().map(columns).sum::<usize>() <= most {
        return line.to_owned();
    }
    let mut taken = 0;
    let kept = line.chars().take_while(|letter| {
        taken += columns(*letter);
        taken < most
    });
    kept.chain(['…']).collect()
}

/// Text without the characters that XML 1.0 cannot hold in any spelling, and on one line.
fn printable(text: &str) -> String {
    let printable = |letter| match letter {
        '\t' | '\n' | '\r' => ' ',
        '\0'..' ' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(printable).collect()
}

/// Text as XML spells it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::super::report::Kind;
    use super::super::report::tests::report;
    use super::*;

    fn number(node: Node<'_, '_>, name: &str) -> f64 {
        node.attribute(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    fn shown(node: Node<'_, '_>) -> String {
        node.children().filter(Node::is_text).filter_map(|text| text.text()).collect()
    }

    #[test]
    fn bars_are_as_long_as_their_medians_and_stay_on_the_page() {
        let report = report(&[(Kind::Cpu, "sha_ni", &[3.0, 2.0, 4.0, 3.0, 3.0]), (Kind::Gpu, "pruned", &[8.0; 5])]);
        let svg = svg(&report);
        let document = Document::parse(&svg).unwrap();
        let bars: Vec<_> = document.descendants().filter(|node| node.has_tag_name("rect")).collect();
        let lengths: Vec<_> = bars.iter().map(|bar| number(*bar, "width")).collect();
        let room = WIDTH - 2.0 * MARGIN;
        for (length, share) in lengths.iter().zip([1.0 / 8.0, 3.0 / 8.0, 1.0]) {
            assert!((length - room * share).abs() < 0.01, "{lengths:?}");
        }
        let height = number(document.root_element(), "height");
        assert!(bars.iter().all(|bar| number(*bar, "y") + number(*bar, "height") <= height));
        let texts: Vec<_> = document.descendants().filter(|node| node.has_tag_name("text")).map(shown).collect();
        for words in ["plain loop over sha2", "cpu sha_ni ×1", "30.0 MH/s ± 0.0 %, 3.00 ×"] {
            assert!(texts.iter().any(|text| text == words), "{words} in {texts:?}");
        }
    }

    #[test]
    fn whiskers_reach_from_the_least_to_the_most() {
        let report = report(&[(Kind::Cpu, "sha_ni", &[3.0, 2.0, 4.0, 3.0, 3.0])]);
        let svg = svg(&report);
        let document = Document::parse(&svg).unwrap();
        let whiskers = document.descendants().filter(|node| node.has_tag_name("path")).nth(1).unwrap();
        let path = whiskers.attribute("d").unwrap();
        let (least, most) = (MARGIN + (WIDTH - 2.0 * MARGIN) / 2.0, WIDTH - MARGIN);
        assert!(path.starts_with(&format!("M{least:.2} ")) && path.contains(&format!("H{most:.2}")), "{path}");
    }

    #[test]
    fn long_and_hostile_names_stay_in_their_place_and_in_xml() {
        let mut report = report(&[(Kind::Gpu, "pruned", &[8.0; 5])]);
        report.results[0].name = format!("<script>&\"'\u{1}\u{0}]]>\n{}", "W".repeat(300));
        report.machine.cpu.model = "処理装置".repeat(60);
        let svg = svg(&report);
        let document = Document::parse(&svg).unwrap();
        let names: Vec<_> = document.descendants().filter(|node| node.has_tag_name("text")).collect();
        for node in names {
            let text = shown(node);
            let columns: usize = text.chars().map(|letter| if letter < '\u{2e80}' { 1 } else { 2 }).sum();
            let is_row = number(node, "y") > MARGIN + LINE * 3.0;
            let room = if is_row { letters(WIDTH - 2.0 * MARGIN) - FIGURES } else { letters(WIDTH - 2.0 * MARGIN) };
            assert!(columns <= room, "{columns} columns in {room}: {text}");
        }
        assert!(document.descendants().all(|node| !node.has_tag_name("script")));
        let whole =
            document.descendants().find(|node| node.text().is_some_and(|text| text.ends_with(&"W".repeat(300))));
        assert!(whole.is_some_and(|node| node.has_tag_name("title")), "the whole name is still there");
    }
}
