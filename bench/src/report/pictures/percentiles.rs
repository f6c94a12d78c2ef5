//! Percentiles of a latency while all is well and while it is not, with a panel for each contender.

use plotters::{
    chart::ChartBuilder,
    coord::ranged1d::SegmentValue,
    element::{Circle, EmptyElement, PathElement, Text},
    prelude::{IntoLogRange, IntoSegmentedCoord},
    style::{
        Color, FontStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::sheet::{self, Area, Caption, FAINT_INK, GRID, INK, WIDTH, color, letters};
use crate::{Result, contenders::Name, report::spread::grouped};

pub const READING: &str = "Lower is better, and the scale is logarithmic. Gray: all servers healthy; in color: one server \
                           frozen, counted from its first moment.";

const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];
const PANEL: u32 = 240;
const AXIS: u32 = 44;

/// The percentiles of one contender in milliseconds, when healthy and when frozen; 0 where nothing was measured.
pub struct Percentiles {
    pub name: String,
    pub contender: Name,
    pub series: [[f64; PERCENTILES.len()]; 2],
}

impl Percentiles {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.series.as_flattened().iter().copied().filter(|value| *value > 0.0)
    }

    fn draw(&self, area: &Area<'_>, (low, high): (f64, f64)) -> Result<()> {
        let mut plot = ChartBuilder::on(area)
            .caption(&self.name, letters(12, INK, FontStyle::Bold))
            .margin(6)
            .x_label_area_size(20)
            .y_label_area_size(AXIS)
            .build_cartesian_2d((0..PERCENTILES.len() - 1).into_segmented(), (low..high).log_scale())?;
        let percentile = |place: &SegmentValue<usize>| match place {
            SegmentValue::CenterOf(index) => (*PERCENTILES.get(*index).unwrap_or(&"")).to_owned(),
            _ => String::new(),
        };
        plot.configure_mesh()
            .disable_x_mesh()
            .x_labels(PERCENTILES.len())
            .y_max_light_lines(0)
            .x_label_formatter(&percentile)
            .y_label_formatter(&|value| figure(*value))
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(letters(10, FAINT_INK, FontStyle::Normal))
            .draw()?;
        let [healthy, frozen] = self.series;
        let color = color(self.contender);
        for (is_frozen, series, color) in [(false, healthy, FAINT_INK), (true, frozen, color)] {
            let points = series.iter().enumerate().filter(|(_, value)| **value > 0.0);
            let points: Vec<_> = points
                .map(|(index, value)| (SegmentValue::CenterOf(index), *value))
                .collect();
            plot.draw_series([PathElement::new(points.clone(), color.stroke_width(2))])?;
            for (index, point) in points.into_iter().enumerate() {
                // The numbers keep off each other: that of the slower is above, that of the faster below.
                let is_above = is_frozen == (self.series[1][index] >= self.series[0][index]);
                let (offset, anchor) = if is_above { (-6, VPos::Bottom) } else { (6, VPos::Top) };
                let style = letters(10, color, FontStyle::Normal).pos(Pos::new(HPos::Center, anchor));
                let number = Text::new(figure(point.1), (0, offset), style);
                plot.draw_series([EmptyElement::at(point) + Circle::new((0, 0), 3, color.filled()) + number])?;
            }
        }
        Ok(())
    }
}

pub fn draw(caption: &Caption, rows: &[Vec<Percentiles>]) -> Result<String> {
    let values = || rows.iter().flatten().flat_map(Percentiles::values);
    // Room for the numbers above and below, and an axis also for no numbers.
    let low = values().reduce(f64::min).unwrap_or(1.0) / 3.0;
    let high = values().fold(low, f64::max) * 3.0;
    let height = PANEL * u32::try_from(rows.len())?;
    sheet::draw(caption, (WIDTH, height), |area| {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(1);
        let cells = area.split_evenly((rows.len(), columns));
        for (row, cells) in rows.iter().zip(cells.chunks(columns)) {
            for (panel, cell) in row.iter().zip(cells) {
                panel.draw(cell, (low, high))?;
            }
        }
        Ok(())
    })
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
}
