//! Percentiles of a latency while all is well and while it is not, with a panel for each contender.

use std::iter;

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{cartesian::Cartesian2d, types::RangedCoordf64},
    element::{Circle, EmptyElement, PathElement, Rectangle, Text},
    prelude::SVGBackend,
    style::{
        Color, FontTransform, RGBColor,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    super::spread::grouped,
    sheet::{
        self, Area, Caption, FAINT_INK, GRID, GROUND, LABEL_SIZE, Letters, MARGIN, WIDTH, colour, count, text_width,
        write,
    },
};
use crate::{Result, contenders::Name};

pub const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// Milliseconds, one for each of [`PERCENTILES`]; where nothing was measured, there is none.
pub type Latencies = [Option<f64>; PERCENTILES.len()];

pub struct Percentiles {
    pub caption: Caption,
    /// What the panels show, and what else is in them.
    pub healthy: &'static str,
    pub frozen: &'static str,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub name: String,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    pub contender: Name,
    pub healthy: Latencies,
    pub frozen: Latencies,
}

const LEGEND: i32 = 28;
const ROW_NAME: i32 = 20;
const PANEL_NAME: i32 = 18;
const PLOT: i32 = 176;
const LABELS: i32 = 18;
const ROW_GAP: i32 = 8;
const ROW: i32 = ROW_NAME + PANEL_NAME + PLOT + LABELS + ROW_GAP;
const AXIS: i32 = 54;
const GAP: i32 = 12;
const LEAST_PANEL: i32 = 160;
/// What stays free above and below the points, for their numbers.
const AIR: i32 = 20;
const NUMBER_SIZE: i32 = 10;
const HEALTHY: RGBColor = FAINT_INK;

impl Percentiles {
    /// Nothing comes of no numbers.
    pub fn draw(&self) -> Result<Option<String>> {
        let Some(scale) = Scale::of(self.values()) else {
            return Ok(None);
        };
        let panels = self.rows.iter().map(|row| count(row.panels.len())).max().unwrap_or(1);
        let panel = ((WIDTH - 2 * MARGIN - AXIS) / panels - GAP).max(LEAST_PANEL);
        let width = AXIS + panels * (panel + GAP);
        let height = LEGEND + count(self.rows.len()) * ROW;
        let svg = sheet::draw(&self.caption, (width, height), |area| {
            self.draw_legend(area)?;
            for (index, row) in self.rows.iter().enumerate() {
                let top = LEGEND + count(index) * ROW;
                row.draw(&area.clone().shrink((0, top), (width, ROW)), panel, &scale)?;
            }
            Ok(())
        })?;
        Ok(Some(svg))
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        panels
            .flat_map(|panel| panel.healthy.iter().chain(&panel.frozen))
            .filter_map(|latency| positive(*latency))
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result<()> {
        let letters = Letters::new(LABEL_SIZE + 1).at(HPos::Left, VPos::Center);
        let middle = LEGEND / 2 - 4;
        area.draw(&Circle::new((6, middle), 4, HEALTHY.stroke_width(2)))?;
        write(area, self.healthy, (16, middle), &letters)?;
        let left = 16 + text_width(self.healthy, LABEL_SIZE + 1) + 24;
        let panels = self.rows.first().map_or(&[] as &[Panel], |row| &row.panels);
        for (index, panel) in panels.iter().enumerate() {
            let place = (left + 12 * count(index), middle);
            area.draw(&Circle::new(place, 4, colour(panel.contender).filled()))?;
        }
        write(area, self.frozen, (left + 12 * count(panels.len()), middle), &letters)
    }
}

impl Row {
    fn draw(&self, area: &Area<'_>, width: i32, scale: &Scale) -> Result<()> {
        write(area, &self.name, (0, 2), &Letters::new(LABEL_SIZE + 1).bold())?;
        let top = ROW_NAME + PANEL_NAME;
        let label = Letters::new(LABEL_SIZE).faint().at(HPos::Center, VPos::Center);
        let upright = label.style().transform(FontTransform::Rotate270);
        area.draw_text("lock latency, ms", &upright, (8, top + PLOT / 2))?;
        for (index, panel) in self.panels.iter().enumerate() {
            let left = AXIS + count(index) * (width + GAP);
            let name = Letters::new(LABEL_SIZE).at(HPos::Center, VPos::Center);
            let middle = ROW_NAME + PANEL_NAME / 2;
            write(area, &panel.contender.to_string(), (left + width / 2, middle), &name)?;
            panel.draw(
                &area.clone().shrink((left, top), (width, PLOT + LABELS)),
                scale,
                index == 0,
            )?;
        }
        Ok(())
    }
}

type Plot<'a, 's> = ChartContext<'a, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl Panel {
    fn draw(&self, area: &Area<'_>, scale: &Scale, is_first: bool) -> Result<()> {
        let columns = PERCENTILES.len() as f64;
        let mut plot = ChartBuilder::on(area)
            .margin_bottom(LABELS)
            .build_cartesian_2d(0.0..columns, scale.low..scale.high)?;
        for value in scale.ticks() {
            let height = value.log10();
            plot.draw_series([PathElement::new([(0.0, height), (columns, height)], GRID)])?;
            if is_first {
                let letters = Letters::new(LABEL_SIZE).faint().at(HPos::Right, VPos::Center);
                let label = Text::new(tick(value), (-6, 0), letters.style());
                plot.draw_series([EmptyElement::at((0.0, height)) + label])?;
            }
        }
        for (index, name) in PERCENTILES.iter().enumerate() {
            let letters = Letters::new(NUMBER_SIZE).faint().at(HPos::Center, VPos::Top);
            let label = Text::new(*name, (0, 5), letters.style());
            plot.draw_series([EmptyElement::at((column(index), scale.low)) + label])?;
        }
        let is_frozen_above: Vec<_> = iter::zip(self.healthy, self.frozen)
            // The numbers keep off each other: that of the slower is above, that of the faster below.
            .map(|(healthy, frozen)| positive(frozen) >= positive(healthy))
            .collect();
        let healthy = || points(&self.healthy).map(|(index, value)| (index, value, !is_frozen_above[index]));
        let frozen = || points(&self.frozen).map(|(index, value)| (index, value, is_frozen_above[index]));
        let place = |index, value: f64| EmptyElement::at((column(index), value.log10()));
        // What lies below comes first: nothing of the grid goes through a number.
        for (index, value, above) in healthy().chain(frozen()) {
            plot.draw_series([place(index, value) + ground(value, above)])?;
        }
        draw_line(&mut plot, &self.healthy, HEALTHY)?;
        draw_line(&mut plot, &self.frozen, colour(self.contender))?;
        for (index, value, above) in healthy() {
            let disc = Circle::new((0, 0), 4, GROUND.filled());
            let ring = Circle::new((0, 0), 4, HEALTHY.stroke_width(2));
            plot.draw_series([place(index, value) + disc + ring + number(value, above)])?;
        }
        for (index, value, above) in frozen() {
            let disc = Circle::new((0, 0), 4, colour(self.contender).filled());
            plot.draw_series([place(index, value) + disc + number(value, above)])?;
        }
        Ok(())
    }
}

/// What has a place on the axis, and which percentile it is.
fn points(latencies: &Latencies) -> impl Iterator<Item = (usize, f64)> {
    let latencies = latencies.iter().enumerate();
    latencies.filter_map(|(index, latency)| Some((index, positive(*latency)?)))
}

fn draw_line(plot: &mut Plot<'_, '_>, latencies: &Latencies, colour: RGBColor) -> Result<()> {
    let points: Vec<_> = points(latencies)
        .map(|(index, value)| (column(index), value.log10()))
        .collect();
    plot.draw_series([PathElement::new(points, colour.stroke_width(2))])?;
    Ok(())
}

fn number(value: f64, above: bool) -> Text<'static, (i32, i32), String> {
    let (vertical, distance) = if above { (VPos::Bottom, -6) } else { (VPos::Top, 7) };
    let letters = Letters::new(NUMBER_SIZE).at(HPos::Center, vertical);
    Text::new(figure(value), (0, distance), letters.style())
}

/// The ground that a number stands on.
fn ground(value: f64, above: bool) -> Rectangle<(i32, i32)> {
    let half = text_width(&figure(value), NUMBER_SIZE) / 2;
    let (near, far) = if above {
        (-6, -6 - NUMBER_SIZE)
    } else {
        (7, 7 + NUMBER_SIZE)
    };
    Rectangle::new([(-half, near), (half, far)], GROUND.filled())
}

fn column(index: usize) -> f64 {
    index as f64 + 0.5
}

/// Nothing has a place on this axis that took no time.
fn positive(latency: Option<f64>) -> Option<f64> {
    latency.filter(|latency| *latency > 0.0)
}

/// An axis of powers of ten, as logarithms.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let ends = values.map(f64::log10).fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = ends?;
        // Points of one height get an axis, too.
        let (low, high) = if high - low < 1.0 {
            (low - 0.5, high + 0.5)
        } else {
            (low, high)
        };
        let air = (high - low) * f64::from(AIR) / f64::from(PLOT - 2 * AIR);
        Some(Self {
            low: low - air,
            high: high + air,
        })
    }

    /// The powers of ten, and what lies between them where they are few.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high - self.low < 2.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let mut ticks = Vec::new();
        let mut power = self.low.floor();
        while power <= self.high {
            ticks.extend(steps.iter().map(|step| step * 10_f64.powf(power)));
            power += 1.0;
        }
        ticks.retain(|tick| (self.low..=self.high).contains(&tick.log10()));
        ticks
    }
}

/// A power of ten, or what lies between two.
fn tick(value: f64) -> String {
    match value {
        _ if !(1e-4..1e6).contains(&value) => format!("{value:.0e}"),
        _ if value < 1.0 => format!("{value}"),
        _ => grouped(value, 0),
    }
}

/// Two digits that count, and all of those before the point.
fn figure(value: f64) -> String {
    match value {
        _ if !(1e-4..1e6).contains(&value) => format!("{value:.0e}"),
        _ if value >= 9.95 => grouped(value, 0),
        _ if value >= 0.995 => grouped(value, 1),
        _ if value >= 0.0995 => grouped(value, 2),
        _ if value >= 0.00995 => grouped(value, 3),
        _ => grouped(value, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_two_digits_that_count() {
        let values = [0.0005, 0.0234, 0.524, 0.996, 2.73, 12.2, 501.7, 5_000.0, 6e9];
        let figures = ["0.0005", "0.023", "0.52", "1.0", "2.7", "12", "502", "5,000", "6e9"];
        assert_eq!(values.map(figure), figures);
    }

    #[test]
    fn an_axis_has_ticks_whatever_is_on_it() {
        for values in [vec![3.0], vec![0.2, 0.9], vec![0.1, 500.0], vec![1e-9, 1e15]] {
            let scale = Scale::of(values.iter().copied()).expect("there are values");
            assert!(scale.ticks().len() >= 2, "{values:?}");
        }
    }
}
