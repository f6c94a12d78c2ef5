//! Bars in groups, one below the other, and in columns.

use plotters::{
    chart::ChartBuilder,
    element::{EmptyElement, PathElement, Rectangle, Text},
    style::{
        Color, RGBColor,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    super::spread::{Spread, grouped},
    sheet::{
        self, Area, Caption, GRID, INK, LABEL_SIZE, Letters, MARGIN, Plot, WIDTH, colour, count, text_width, write,
    },
};
use crate::{Result, contenders::Name};

/// Bars that share a unit.
pub struct Bars {
    pub caption: Caption,
    pub unit: &'static str,
    /// The headings, which may be empty.
    pub columns: Vec<String>,
    pub groups: Vec<Group>,
}

/// Bars below a name. Those of one column share a scale.
pub struct Group {
    pub name: String,
    /// A bar for each column, where it was measured.
    pub rows: Vec<(Name, Vec<Option<Spread>>)>,
}

const HEADING: i32 = 22;
const GROUP_NAME: i32 = 20;
const ROW: i32 = 17;
const TICKS: i32 = 20;
const UNIT: i32 = 14;
const GROUP_GAP: i32 = 8;
const COLUMN_GAP: i32 = 28;
const LEAST_COLUMN: i32 = 130;
/// A number at an axis, and what keeps it from the next one.
const TICK: i32 = 45;
const MOST_TICKS: usize = 6;
/// Half a number at the end of an axis.
const OVERHANG: i32 = 14;
/// What a row leaves free above and below its bar, of a height of 1.
const AIR: f64 = 0.14;
/// Half the height of the strokes that end the span from the least to the greatest.
const WHISKER: f64 = 0.18;

impl Bars {
    /// Nothing comes of no numbers.
    pub fn draw(&self) -> Result<Option<String>> {
        let groups: Vec<_> = self.groups.iter().filter(|group| group.is_measured()).collect();
        if groups.is_empty() {
            return Ok(None);
        }
        let columns = count(self.columns.len());
        let names = self.names_width();
        let gaps = (columns - 1) * COLUMN_GAP + OVERHANG;
        let column = ((WIDTH - 2 * MARGIN - names - gaps) / columns).max(LEAST_COLUMN);
        let heading = if self.columns.iter().all(String::is_empty) {
            0
        } else {
            HEADING
        };
        let width = names + columns * column + gaps;
        let height = heading + groups.iter().map(|group| group.height()).sum::<i32>() + UNIT;
        let svg = sheet::draw(&self.caption, (width, height), |area| {
            let mut top = heading;
            for (index, group) in groups.iter().enumerate() {
                let is_last = index + 1 == groups.len();
                group.draw_names(area, top)?;
                for (number, heading) in self.columns.iter().enumerate() {
                    let left = names + count(number) * (column + COLUMN_GAP);
                    if index == 0 && !heading.is_empty() {
                        write(area, heading, (left, 0), &Letters::new(LABEL_SIZE + 1).bold())?;
                    }
                    let height = group.plot_height() + TICKS + if is_last { UNIT } else { 0 };
                    let cell = area.clone().shrink((left, top + GROUP_NAME), (column, height));
                    group.draw_column(&cell, number, column, is_last.then_some(self.unit))?;
                }
                top += group.height();
            }
            Ok(())
        })?;
        Ok(Some(svg))
    }

    fn names_width(&self) -> i32 {
        let rows = self.groups.iter().flat_map(|group| &group.rows);
        let widths = rows.map(|(name, _)| text_width(&name.to_string(), LABEL_SIZE));
        widths.max().unwrap_or_default() + 10
    }
}

impl Group {
    fn is_measured(&self) -> bool {
        let mut cells = self.rows.iter().flat_map(|(_, cells)| cells);
        cells.any(Option::is_some)
    }

    fn plot_height(&self) -> i32 {
        count(self.rows.len()) * ROW
    }

    fn height(&self) -> i32 {
        GROUP_NAME + self.plot_height() + TICKS + GROUP_GAP
    }

    fn draw_names(&self, area: &Area<'_>, top: i32) -> Result<()> {
        write(area, &self.name, (0, top + 2), &Letters::new(LABEL_SIZE + 1).bold())?;
        let letters = Letters::new(LABEL_SIZE).at(HPos::Left, VPos::Center);
        for (index, (name, _)) in self.rows.iter().enumerate() {
            let middle = top + GROUP_NAME + count(index) * ROW + (ROW + 1) / 2;
            write(area, &name.to_string(), (0, middle), &letters)?;
        }
        Ok(())
    }

    fn draw_column(&self, cell: &Area<'_>, column: usize, width: i32, unit: Option<&str>) -> Result<()> {
        let rows = self.rows.len() as f64;
        let mut plot = ChartBuilder::on(cell)
            .x_label_area_size(TICKS + unit.map_or(0, |_| UNIT))
            .build_cartesian_2d(0.0..self.scale(column, width), rows..0.0)?;
        draw_axis(&mut plot, width, unit)?;
        for (index, (name, cells)) in self.rows.iter().enumerate() {
            let top = index as f64;
            match cells[column] {
                Some(spread) => draw_bar(&mut plot, top, spread, colour(*name))?,
                None => write_beside(&mut plot, (0.0, top), "not measured", &number_letters().faint())?,
            }
        }
        Ok(())
    }

    /// The end of an axis on which the longest bar of a column leaves room for its number.
    fn scale(&self, column: usize, width: i32) -> f64 {
        let values = || self.rows.iter().filter_map(|(_, cells)| cells[column]);
        let greatest = values().map(|spread| spread.max).fold(0.0, f64::max);
        let numbers = values().map(|spread| text_width(&figure(spread.median), LABEL_SIZE));
        let left = (width - numbers.max().unwrap_or_default() - 6).max(width / 3);
        if greatest > 0.0 {
            greatest * f64::from(width) / f64::from(left)
        } else {
            1.0
        }
    }
}

fn draw_axis(plot: &mut Plot<'_, '_>, width: i32, unit: Option<&str>) -> Result<()> {
    let letters = Letters::new(LABEL_SIZE).faint();
    let ticks = usize::try_from(width / TICK).map_or(0, |fitting| fitting.min(MOST_TICKS));
    let mut mesh = plot.configure_mesh();
    mesh.disable_y_mesh()
        .disable_y_axis()
        .x_labels(ticks)
        .x_max_light_lines(1)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .set_all_tick_mark_size(3)
        .label_style(letters.style())
        .axis_desc_style(letters.style())
        .x_label_formatter(&|value| tick(*value));
    if let Some(unit) = unit {
        mesh.x_desc(unit);
    }
    Ok(mesh.draw()?)
}

fn draw_bar(plot: &mut Plot<'_, '_>, top: f64, spread: Spread, colour: RGBColor) -> Result<()> {
    write_beside(plot, (spread.max, top), &figure(spread.median), &number_letters())?;
    let bar = [(0.0, top + AIR), (spread.median, top + 1.0 - AIR)];
    plot.draw_series([Rectangle::new(bar, colour.filled())])?;
    if spread.min < spread.max {
        let middle = top + 0.5;
        let stroke = |value| PathElement::new([(value, middle - WHISKER), (value, middle + WHISKER)], INK);
        let span = PathElement::new([(spread.min, middle), (spread.max, middle)], INK);
        plot.draw_series([span, stroke(spread.min), stroke(spread.max)])?;
    }
    Ok(())
}

fn write_beside(plot: &mut Plot<'_, '_>, (value, top): (f64, f64), text: &str, letters: &Letters) -> Result<()> {
    const OFFSET: (i32, i32) = (5, 0);
    let ground = sheet::ground(text, OFFSET, letters);
    let text = Text::new(text.to_owned(), OFFSET, letters.style());
    plot.draw_series([EmptyElement::at((value, top + 0.5)) + ground + text])?;
    Ok(())
}

fn number_letters() -> Letters {
    Letters::new(LABEL_SIZE).at(HPos::Left, VPos::Center)
}

/// A number as it stands at its bar.
fn figure(value: f64) -> String {
    if value >= 1e7 {
        format!("{value:.2e}")
    } else {
        grouped(value, usize::from(value > 0.0 && value < 100.0))
    }
}

/// A number as it stands at an axis: 1500 is `1.5k`.
fn tick(value: f64) -> String {
    let short = |value: f64| (value * 1e3).round() / 1e3;
    match value {
        _ if value >= 1e9 => format!("{value:.1e}"),
        _ if value >= 1e6 => format!("{}M", short(value / 1e6)),
        _ if value >= 1e3 => format!("{}k", short(value / 1e3)),
        _ => short(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_at_a_bar_has_digits_where_it_is_small() {
        assert_eq!(
            [0.0, 89.02, 134_108.4, 2.5e15].map(figure),
            ["0", "89.0", "134,108", "2.50e15"]
        );
    }

    #[test]
    fn a_number_at_an_axis_is_short() {
        let ticks = [0.0, 0.1 + 0.2, 500.0, 1_500.0, 50_000.0, 2_000_000.0, 3e15].map(tick);
        assert_eq!(ticks, ["0", "0.3", "500", "1.5k", "50k", "2M", "3.0e15"]);
    }
}
