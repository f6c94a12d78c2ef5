//! What a run has seen, as SVG.

mod bars;
mod folder;
mod percentiles;
mod sheet;

#[cfg(test)]
mod inspect;
#[cfg(test)]
mod tests;

use super::Report;
use crate::Result;

pub use self::folder::Folder;
pub(super) use self::{
    bars::{Bars, Group},
    percentiles::{PERCENTILES, Panel, Percentiles, Row},
    sheet::Caption,
};

impl Report<'_> {
    /// Writes a picture of everything that was measured and can be drawn.
    pub fn draw(&self, folder: &Folder) -> Result<()> {
        for (name, svg) in self.pictures()? {
            folder.write(name, &svg)?;
        }
        Ok(())
    }

    fn pictures(&self) -> Result<Vec<(&'static str, String)>> {
        let hand_overs = match self.plan.contention {
            Some(effort) => self.hand_overs_picture(effort).draw()?,
            None => None,
        };
        let pictures = [
            ("throughput.svg", self.throughput_picture().draw()?),
            ("frozen.svg", self.frozen_picture().draw()?),
            ("hand-overs.svg", hand_overs),
        ];
        let drawn = pictures.into_iter().filter_map(|(name, svg)| Some((name, svg?)));
        Ok(drawn.collect())
    }
}
