//! Bars, one for each contender, in panels with a scale of their own.

use std::fmt::Display;

use plotters::{
    chart::ChartBuilder,
    coord::ranged1d::SegmentValue,
    element::{EmptyElement, ErrorBar, Rectangle, Text},
    prelude::IntoSegmentedCoord,
    style::{
        Color, FontStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::sheet::{self, Area, Caption, FAINT_INK, GRID, INK, WIDTH, color, letters};
use crate::{
    Result,
    contenders::Name,
    measure::Samples,
    report::spread::{Spread, grouped},
};

pub const READING: &str = "Longer is better, and the thin line spans all repeats. Each axis has a scale of its own.";

const NAMES: u32 = 90;
const LEAST_PANEL: u32 = 150;

/// The bars of a panel.
pub struct Bars {
    name: String,
    bars: Vec<(Name, Spread)>,
}

impl Bars {
    /// A bar for each contender that was measured.
    pub fn of<K: Copy + PartialEq + Display, N>(samples: &Samples<K, N>, key: K, value: fn(&N) -> f64) -> Self {
        let bars = samples.contenders().into_iter();
        Self {
            name: key.to_string(),
            bars: bars
                .filter_map(|name| Some((name, samples.spread(name, key, value)?)))
                .collect(),
        }
    }

    fn draw(&self, area: &Area<'_>, names: u32) -> Result<()> {
        let greatest = self.bars.iter().map(|(_, spread)| spread.max).fold(0.0, f64::max);
        // Room for the number of the longest bar.
        let end = if greatest > 0.0 { greatest * 1.4 } else { 1.0 };
        // The first bar is on top.
        let count = self.bars.len();
        let mut plot = ChartBuilder::on(area)
            .caption(&self.name, letters(12, INK, FontStyle::Bold))
            .margin(6)
            .margin_right(20)
            .x_label_area_size(20)
            .y_label_area_size(names)
            .build_cartesian_2d(0.0..end, (0..count - 1).into_segmented())?;
        let name = |place: &SegmentValue<usize>| match place {
            SegmentValue::CenterOf(row) if *row < count => self.bars[count - 1 - row].0.to_string(),
            _ => String::new(),
        };
        plot.configure_mesh()
            .disable_y_mesh()
            .x_labels(4)
            .x_max_light_lines(1)
            .y_labels(count)
            .x_label_formatter(&|value| figure(*value))
            .y_label_formatter(&name)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(letters(11, FAINT_INK, FontStyle::Normal))
            .draw()?;
        for (row, (name, spread)) in self.bars.iter().rev().enumerate() {
            let corners = [
                (0.0, SegmentValue::Exact(row)),
                (spread.median, SegmentValue::Exact(row + 1)),
            ];
            let mut bar = Rectangle::new(corners, color(*name).filled());
            bar.set_margin(2, 2, 0, 0);
            plot.draw_series([bar])?;
            let middle = SegmentValue::CenterOf(row);
            if spread.min < spread.max {
                let span = ErrorBar::new_horizontal(middle.clone(), spread.min, spread.median, spread.max, INK, 5);
                plot.draw_series([span])?;
            }
            let style = letters(11, INK, FontStyle::Normal).pos(Pos::new(HPos::Left, VPos::Center));
            let number = Text::new(figure(spread.median), (5, 0), style);
            plot.draw_series([EmptyElement::at((spread.max, middle)) + number])?;
        }
        Ok(())
    }
}

pub fn draw(caption: &Caption, rows: &[Vec<Bars>]) -> Result<String> {
    let columns = u32::try_from(rows.iter().map(Vec::len).max().unwrap_or(1).max(1))?;
    let panel = (WIDTH.saturating_sub(NAMES) / columns).max(LEAST_PANEL);
    let heights = rows.iter().map(|row| row.iter().map(|bars| bars.bars.len()).max());
    let heights = heights.map(|bars| Ok(50 + 17 * u32::try_from(bars.unwrap_or_default())?));
    let heights = heights.collect::<Result<Vec<_>>>()?;
    sheet::draw(caption, (NAMES + columns * panel, heights.iter().sum()), |area| {
        let mut rest = area.clone();
        for (row, height) in rows.iter().zip(heights) {
            let (mut line, below) = rest.split_vertically(height);
            rest = below;
            for (column, bars) in row.iter().enumerate() {
                let names = if column == 0 { NAMES } else { 0 };
                let (cell, beside) = line.split_horizontally(panel + names);
                line = beside;
                bars.draw(&cell, names)?;
            }
        }
        Ok(())
    })
}

fn figure(value: f64) -> String {
    if value >= 1e7 {
        format!("{value:.2e}")
    } else {
        grouped(value, usize::from(value > 0.0 && value < 100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_at_a_bar_has_digits_where_it_is_small() {
        let figures = ["0", "89.0", "134,108", "2.50e15"];
        assert_eq!([0.0, 89.02, 134_108.4, 2.5e15].map(figure), figures);
    }
}
