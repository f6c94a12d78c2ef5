//! The latencies by percentile, as a picture that needs no other file.

use super::{
    measure::Measured,
    numbers::{grouped, latency, round_latency},
    percentiles::{Latencies, ROWS},
    report::Report,
};
use crate::exit::{self, Failure};
use plotters::{
    coord::Shift,
    prelude::{DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend, Text, TextStyle},
    style::{
        Color, FontStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use std::ops::Range;

const SIZE: (u32, u32) = (960, 540);

/// Where the curves are.
const LEFT: i32 = 96;
const RIGHT: i32 = 644;
const TOP: i32 = 136;
const BOTTOM: i32 = 460;

/// It brings its background along, so that it does not matter whether the page is light or dark.
const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT: RGBColor = RGBColor(89, 99, 110);
const GRID: RGBColor = RGBColor(222, 226, 230);
/// Two that are told apart by whoever sees no red or green, and in grey.
const LOCK: RGBColor = RGBColor(9, 82, 180);
const UNLOCK: RGBColor = RGBColor(224, 123, 20);

/// Draws it.
pub(super) fn draw(report: &Report, measured: &Measured) -> Result<String, Failure> {
    let curves = [
        Curve {
            name: "lock",
            color: LOCK,
            latencies: &measured.record.lock,
        },
        Curve {
            name: "unlock",
            color: UNLOCK,
            latencies: &measured.record.unlock,
        },
    ];
    let started = humantime::format_rfc3339_seconds(report.started).to_string();
    let started = started.replace('T', " ").replace('Z', " UTC");
    let origin = format!("multiredlock {}, {started}", env!("CARGO_PKG_VERSION"));
    let mut svg = String::new();
    Canvas(SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())
        .picture([&report.rate(), &report.conditions, &origin], &curves)
        .map_err(|error| Failure::new(exit::SOFTWARE, format!("the picture: {error}")))?;
    Ok(svg)
}

struct Curve<'a> {
    name: &'static str,
    color: RGBColor,
    latencies: &'a Latencies,
}

/// What is drawn on: pixels from the upper left.
struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

type Drawn = Result<(), plotters::drawing::DrawingAreaErrorKind<std::io::Error>>;

impl Canvas<'_> {
    fn picture(&self, [rate, conditions, origin]: [&str; 3], curves: &[Curve]) -> Drawn {
        self.0.fill(&BACKGROUND)?;
        let (right, bottom) = (SIZE.0.cast_signed() - 1, SIZE.1.cast_signed() - 1);
        self.0.draw(&Rectangle::new([(0, 0), (right, bottom)], GRID))?;
        self.text("Latency of lock and unlock", (24, 24), (24, INK, true), HPos::Left)?;
        self.text(rate, (24, 56), (17, INK, false), HPos::Left)?;
        self.text(conditions, (24, 80), (14, FAINT, false), HPos::Left)?;
        let corner = (right - 28, bottom - 20);
        self.text(origin, corner, (12, FAINT, false), HPos::Right)?;

        let longest = |curve: &Curve| curve.latencies.max();
        let shortest = |curve: &Curve| curve.latencies.min();
        let counts = curves.iter().map(|curve| curve.latencies.len());
        let scale = Scale::new(
            curves.iter().map(shortest).min().unwrap_or(0)..curves.iter().map(longest).max().unwrap_or(0),
            counts.max().unwrap_or(0),
        );
        self.axes(&scale)?;
        for curve in curves.iter().rev() {
            self.0.draw(&PathElement::new(
                scale.path(curve.latencies),
                curve.color.stroke_width(2),
            ))?;
        }
        self.table(curves)?;
        self.0.present()
    }

    fn axes(&self, scale: &Scale) -> Drawn {
        self.text("latency, logarithmic", (24, TOP - 24), (14, FAINT, false), HPos::Left)?;
        for nanos in scale.latencies() {
            let y = scale.y(nanos);
            self.line((LEFT, y), (RIGHT, y), GRID)?;
            self.text(&round_latency(nanos), (LEFT - 10, y), (14, INK, false), HPos::Right)?;
        }
        for (share, label) in scale.shares() {
            let x = scale.x(share);
            self.line((x, TOP), (x, BOTTOM), GRID)?;
            self.text(&label, (x, BOTTOM + 16), (14, INK, false), HPos::Center)?;
        }
        self.line((LEFT, BOTTOM), (RIGHT, BOTTOM), FAINT)?;
        self.text(
            "share of cycles that took no longer (percentile)",
            (i32::midpoint(LEFT, RIGHT), BOTTOM + 44),
            (14, FAINT, false),
            HPos::Center,
        )
    }

    /// The numbers, below names in the colours of the curves.
    fn table(&self, curves: &[Curve]) -> Drawn {
        const ROW: i32 = 26;
        let columns = [820, 932];
        for (curve, x) in curves.iter().zip(columns) {
            self.text(curve.name, (x, TOP), (16, INK, true), HPos::Right)?;
            self.0.draw(&Rectangle::new(
                [(x - 64, TOP + 14), (x, TOP + 18)],
                curve.color.filled(),
            ))?;
        }
        let mut y = TOP + 14;
        for (name, of) in ROWS {
            y += ROW;
            self.text(name, (RIGHT + 44, y), (15, FAINT, false), HPos::Left)?;
            for (curve, x) in curves.iter().zip(columns) {
                self.text(&latency(of(curve.latencies)), (x, y), (15, INK, false), HPos::Right)?;
            }
        }
        y += ROW;
        self.text("count", (RIGHT + 44, y), (15, FAINT, false), HPos::Left)?;
        for (curve, x) in curves.iter().zip(columns) {
            self.text(&grouped(curve.latencies.len()), (x, y), (15, INK, false), HPos::Right)?;
        }
        Ok(())
    }

    fn line(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Drawn {
        self.0.draw(&PathElement::new([from, to], color))
    }

    /// Places it beside or around a point, at half its height. The viewer has the font: nothing here depends on how wide it is.
    fn text(&self, text: &str, at: (i32, i32), (size, color, bold): (i32, RGBColor, bool), anchor: HPos) -> Drawn {
        // The backend takes the size for that of a line.
        let font = ("sans-serif", f64::from(size) * 1.24).into_font();
        let font = if bold { font.style(FontStyle::Bold) } else { font };
        let style = TextStyle::from(font).color(&color).pos(Pos::new(anchor, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style))
    }
}

/// What the axes show: both are logarithmic.
struct Scale {
    /// Powers of ten.
    latencies: Range<f64>,
    /// Of how many the longest is told apart, as a power of ten.
    nines: f64,
}

/// The first digits of the marks on the axis of latencies.
const MARKS: [u64; 3] = [1, 2, 5];

impl Scale {
    /// The axis begins and ends with a mark.
    fn new(latencies: Range<u64>, count: u64) -> Self {
        let shortest = marks().take_while(|mark| *mark <= latencies.start).last().unwrap_or(1);
        let longest = marks()
            .find(|mark| *mark > latencies.end.max(shortest))
            .unwrap_or(u64::MAX);
        Self {
            latencies: log(shortest)..log(longest),
            nines: log(count.max(10)),
        }
    }

    fn latencies(&self) -> Vec<u64> {
        let is_shown = |mark: &u64| (self.latencies.start..=self.latencies.end).contains(&log(*mark));
        let all: Vec<u64> = marks().filter(is_shown).collect();
        if all.len() <= 12 {
            return all;
        }
        all.into_iter()
            .filter(|mark| mark.to_string().starts_with('1'))
            .collect()
    }

    /// The marks on the other axis: of how many one took longer, as a power of ten, and the percentile.
    fn shares(&self) -> Vec<(f64, String)> {
        let mut marks = vec![
            (0.0, "0 %".into()),
            (2_f64.log10(), "50 %".into()),
            (1.0, "90 %".into()),
        ];
        let mut label = String::from("99");
        let mut nines = 2.0;
        while nines <= self.nines {
            marks.push((nines, format!("{label} %")));
            label += if label.len() == 2 { ".9" } else { "9" };
            nines += 1.0;
        }
        marks
    }

    /// Of a power of ten.
    fn x(&self, nines: f64) -> i32 {
        place(nines / self.nines, (LEFT, RIGHT))
    }

    fn y(&self, nanos: u64) -> i32 {
        let Range { start, end } = self.latencies;
        place((log(nanos) - start) / (end - start), (BOTTOM, TOP))
    }

    /// The latency of each percentile, a pixel apart, and the longest of all at the end.
    fn path(&self, latencies: &Latencies) -> Vec<(i32, i32)> {
        if latencies.is_empty() {
            return Vec::new();
        }
        let end = self.x(log(latencies.len()));
        let mut path: Vec<(i32, i32)> = Vec::new();
        for x in LEFT..=end {
            let nines = f64::from(x - LEFT) / f64::from(RIGHT - LEFT) * self.nines;
            let nanos = latencies.value_at_quantile(1.0 - 10_f64.powf(-nines));
            push(&mut path, (x, self.y(nanos)));
        }
        push(&mut path, (end, self.y(latencies.max())));
        path
    }
}

/// Adds a point, and leaves out what is on a horizontal line between others.
fn push(path: &mut Vec<(i32, i32)>, point: (i32, i32)) {
    if let [.., (_, before), (x, last)] = path.as_mut_slice()
        && *before == point.1
        && *last == point.1
    {
        *x = point.0;
    } else {
        path.push(point);
    }
}

/// 1, 2, 5, 10, … nanoseconds, up to what no latency exceeds.
fn marks() -> impl Iterator<Item = u64> {
    (0..=13).flat_map(|exponent| MARKS.map(|mark| mark * 10_u64.pow(exponent)))
}

#[expect(clippy::cast_precision_loss, reason = "a pixel is much more")]
fn log(number: u64) -> f64 {
    (number.max(1) as f64).log10()
}

/// Where a share of a length ends, never beyond it.
#[expect(clippy::cast_possible_truncation, reason = "it is within the picture")]
fn place(share: f64, (start, end): (i32, i32)) -> i32 {
    start + (f64::from(end - start) * share.clamp(0.0, 1.0)).round() as i32
}

#[cfg(test)]
mod tests {
    use super::{super::percentiles::latencies, *};

    fn of(nanos: impl IntoIterator<Item = u64>) -> Latencies {
        let mut all = latencies();
        for value in nanos {
            all.saturating_record(value);
        }
        all
    }

    fn drawn(lock: &Latencies, unlock: &Latencies) -> String {
        let curves = [("lock", LOCK, lock), ("unlock", UNLOCK, unlock)];
        let curves = curves.map(|(name, color, latencies)| Curve { name, color, latencies });
        let conditions = "1,024 callers · 59.9s · 15 servers · 3 groups · 14 up · ttl 59.9s · fenced";
        let mut svg = String::new();
        Canvas(SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())
            .picture(
                [
                    "1,234,567 cycles of lock and unlock a second",
                    conditions,
                    "multiredlock 0.1.0",
                ],
                &curves,
            )
            .unwrap();
        svg
    }

    /// The value of each attribute of this name.
    fn attributes<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
        let start = format!(" {name}=\"");
        let parts = svg.split(start.as_str()).skip(1);
        parts.map(|rest| rest.split('"').next().unwrap()).collect()
    }

    fn numbers(texts: &[&str]) -> Vec<f64> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn extremes() -> Vec<(Latencies, Latencies)> {
        vec![
            (latencies(), latencies()),
            (of([71_200]), of([71_200])),
            (of([0]), latencies()),
            (of([0, u64::MAX]), of([u64::MAX])),
            (of((1..100_000).map(|n| n * n)), of((1..1_000).map(|n| n * 1_000_000))),
        ]
    }

    #[test]
    fn nothing_is_outside_of_the_picture() {
        let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
        for (lock, unlock) in extremes() {
            let svg = drawn(&lock, &unlock);
            for (names, most) in [(["x", "x1", "x2"], width), (["y", "y1", "y2"], height)] {
                for number in names.iter().flat_map(|name| numbers(&attributes(&svg, name))) {
                    assert!((0.0..=most).contains(&number), "{number}: {svg}");
                }
            }
            for point in attributes(&svg, "points")
                .iter()
                .flat_map(|points| points.split_whitespace())
            {
                let (x, y) = point.split_once(',').unwrap();
                let (x, y): (i32, i32) = (x.parse().unwrap(), y.parse().unwrap());
                assert!(
                    (LEFT..=RIGHT).contains(&x) && (TOP..=BOTTOM).contains(&y),
                    "{point}: {svg}"
                );
            }
            for tag in svg.split("<text ").skip(1) {
                let number = |name| numbers(&attributes(&format!(" {tag}"), name))[0];
                let text = tag.split(['>', '<']).nth(1).unwrap().trim();
                // No common font is wider on the average.
                #[expect(clippy::cast_precision_loss, reason = "it is a short text")]
                let long = text.chars().count() as f64 * number("font-size") * 0.62;
                let (left, right) = match attributes(&format!(" {tag}"), "text-anchor")[0] {
                    "start" => (0.0, long),
                    "end" => (long, 0.0),
                    _ => (long / 2.0, long / 2.0),
                };
                let x = number("x");
                assert!(x - left >= 0.0 && x + right <= width, "{text}");
            }
        }
    }

    #[test]
    fn a_curve_rises_to_the_longest_latency() {
        let all = of((1..=1_000).map(|n| n * 10_000));
        let scale = Scale::new(10_000..all.max(), all.len());
        let path = scale.path(&all);
        assert!(
            path.is_sorted_by(|(x, y), (later, above)| x <= later && y >= above),
            "{path:?}"
        );
        assert_eq!(path.first().unwrap().0, LEFT);
        assert_eq!(path.last(), Some(&(RIGHT, scale.y(all.max()))));
        let median = scale.y(5_000_000);
        let x = scale.x(2_f64.log10());
        assert!(
            path.iter()
                .any(|(at, y)| (at - x).abs() <= 1 && (y - median).abs() <= 1),
            "{path:?}"
        );
        assert_eq!(scale.path(&latencies()), []);
    }

    #[test]
    fn the_axes_have_marks_from_end_to_end_and_not_too_many() {
        for (range, count) in [
            (0..0, 0),
            (71_200..71_300, 1),
            (0..u64::MAX, u64::MAX),
            (40_000..3_000_000, 100_000),
        ] {
            let scale = Scale::new(range.clone(), count);
            let marks = scale.latencies();
            assert!((2..=15).contains(&marks.len()), "{range:?}: {marks:?}");
            assert_eq!((scale.y(marks[0]), scale.x(0.0)), (BOTTOM, LEFT), "{range:?}");
            let shares = scale.shares();
            assert!(shares.iter().all(|(nines, _)| *nines <= scale.nines), "{shares:?}");
        }
        let labels = Scale::new(0..1, 100_000).shares().into_iter().map(|(_, label)| label);
        assert_eq!(
            labels.collect::<Vec<_>>(),
            ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]
        );
    }

    #[test]
    fn the_picture_has_its_numbers_and_its_own_background() {
        let svg = drawn(&of([71_200; 1234]), &of([1_250_000]));
        for part in [
            "71.2 µs",
            "1.25 ms",
            "1,234",
            "p99.9",
            "Latency of lock and unlock",
            "percentile",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        let background = svg.find("fill=\"#FFFFFF\"").unwrap();
        assert!(background < svg.find("<text").unwrap(), "{svg}");
        assert!(!svg.contains("href"), "{svg}");
    }
}
