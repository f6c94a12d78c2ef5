//! Percentiles of a latency while all is well and while it is not, with a panel for each contender.

mod panel;
mod scale;

use plotters::{
    element::Circle,
    style::{
        Color, FontTransform,
        text_anchor::{HPos, VPos},
    },
};

pub use self::panel::{PERCENTILES, Panel};
use self::{
    panel::{AIR, HEALTHY, LABELS, PLOT},
    scale::Scale,
};
use super::sheet::{self, Area, Caption, LABEL_SIZE, Letters, MARGIN, WIDTH, colour, count, text_width, write};
use crate::Result;

pub struct Percentiles {
    pub caption: Caption,
    /// What the open points are.
    pub healthy: &'static str,
    /// What the coloured points are.
    pub frozen: &'static str,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub name: String,
    pub panels: Vec<Panel>,
}

const LEGEND: i32 = 28;
const ROW_NAME: i32 = 20;
const PANEL_NAME: i32 = 18;
const ROW_GAP: i32 = 8;
const ROW: i32 = ROW_NAME + PANEL_NAME + PLOT + LABELS + ROW_GAP;
/// What an axis takes with its numbers.
const AXIS: i32 = 54;
const GAP: i32 = 12;
const LEAST_PANEL: i32 = 160;

impl Percentiles {
    /// Nothing comes of no numbers.
    pub fn draw(&self) -> Result<Option<String>> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        let air = f64::from(AIR) / f64::from(PLOT);
        let Some(scale) = Scale::of(panels.flat_map(Panel::values), air) else {
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
