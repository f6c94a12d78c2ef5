//! The percentiles of one contender.

use std::iter;

use plotters::{
    backend::SVGBackend,
    chart::ChartBuilder,
    element::{Circle, EmptyElement, PathElement, Rectangle, Text},
    style::{
        Color, RGBColor,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    super::sheet::{Area, FAINT_INK, GRID, GROUND, LABEL_SIZE, Letters, Plot, colour, ground},
    scale::{Scale, figure, tick},
};
use crate::{Result, contenders::Name};

pub const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// Milliseconds, one for each of [`PERCENTILES`]; where nothing was measured, there is none.
pub type Latencies = [Option<f64>; PERCENTILES.len()];

pub struct Panel {
    pub contender: Name,
    pub healthy: Latencies,
    pub frozen: Latencies,
}

pub const PLOT: i32 = 176;
/// What the names of the percentiles take below the plot.
pub const LABELS: i32 = 18;
/// What stays free above and below the points, for their numbers.
pub const AIR: i32 = 20;
pub const HEALTHY: RGBColor = FAINT_INK;
const NUMBER_SIZE: i32 = 10;
/// Of the open points, which are seen behind the coloured ones.
const OPEN: i32 = 5;
const COLOURED: i32 = 3;

impl Panel {
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let both = points(&self.healthy).chain(points(&self.frozen));
        both.map(|(_, value)| value)
    }

    pub fn draw(&self, area: &Area<'_>, scale: &Scale, has_axis: bool) -> Result<()> {
        let mut plot = ChartBuilder::on(area)
            .margin_bottom(LABELS)
            .build_cartesian_2d(0.0..PERCENTILES.len() as f64, scale.low..scale.high)?;
        draw_grid(&mut plot, scale, has_axis)?;
        let [healthy, frozen] = self.series();
        // What lies below comes first: nothing of the grid goes through a number.
        for point in healthy.points.iter().chain(&frozen.points) {
            plot.draw_series([point.place() + point.ground()])?;
        }
        for series in [&healthy, &frozen] {
            let line = series.points.iter().map(Point::coordinates).collect::<Vec<_>>();
            plot.draw_series([PathElement::new(line, series.colour.stroke_width(2))])?;
        }
        for series in [&healthy, &frozen] {
            for point in &series.points {
                let disc = Circle::new((0, 0), series.radius, series.filling.filled());
                let ring = Circle::new((0, 0), series.radius, series.colour.stroke_width(2));
                plot.draw_series([point.place() + disc + ring + point.number()])?;
            }
        }
        Ok(())
    }

    fn series(&self) -> [Series; 2] {
        // The numbers keep off each other: that of the slower is above, that of the faster below.
        let is_frozen_slower: Vec<_> = iter::zip(self.healthy, self.frozen)
            .map(|(healthy, frozen)| frozen >= healthy)
            .collect();
        let series = |latencies, is_frozen: bool, radius, colour, filling| Series {
            points: points(latencies)
                .map(|(index, value)| Point {
                    index,
                    value,
                    has_number_above: is_frozen_slower[index] == is_frozen,
                })
                .collect(),
            radius,
            colour,
            filling,
        };
        let colour = colour(self.contender);
        [
            series(&self.healthy, false, OPEN, HEALTHY, GROUND),
            series(&self.frozen, true, COLOURED, colour, colour),
        ]
    }
}

/// The points that there are, and which percentiles they are. What took no time has no place on an axis of powers.
fn points(latencies: &Latencies) -> impl Iterator<Item = (usize, f64)> {
    let latencies = latencies.iter().enumerate();
    let points = latencies.filter_map(|(index, latency)| Some((index, (*latency)?)));
    points.filter(|(_, value)| *value > 0.0)
}

fn draw_grid(plot: &mut Plot<'_, '_>, scale: &Scale, has_axis: bool) -> Result<()> {
    for value in scale.ticks() {
        let height = value.log10();
        plot.draw_series([PathElement::new(
            [(0.0, height), (PERCENTILES.len() as f64, height)],
            GRID,
        )])?;
        if has_axis {
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
    Ok(())
}

fn column(index: usize) -> f64 {
    index as f64 + 0.5
}

struct Series {
    points: Vec<Point>,
    radius: i32,
    colour: RGBColor,
    filling: RGBColor,
}

struct Point {
    index: usize,
    value: f64,
    has_number_above: bool,
}

impl Point {
    fn coordinates(&self) -> (f64, f64) {
        (column(self.index), self.value.log10())
    }

    fn place<'s>(&self) -> EmptyElement<(f64, f64), SVGBackend<'s>> {
        EmptyElement::at(self.coordinates())
    }

    fn number(&self) -> Text<'static, (i32, i32), String> {
        Text::new(figure(self.value), self.number_offset(), self.letters().style())
    }

    fn ground(&self) -> Rectangle<(i32, i32)> {
        ground(&figure(self.value), self.number_offset(), &self.letters())
    }

    fn number_offset(&self) -> (i32, i32) {
        let distance = OPEN + 2;
        (0, if self.has_number_above { -distance } else { distance })
    }

    fn letters(&self) -> Letters {
        let vertical = if self.has_number_above { VPos::Bottom } else { VPos::Top };
        Letters::new(NUMBER_SIZE).at(HPos::Center, vertical)
    }
}
