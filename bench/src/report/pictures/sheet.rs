//! What all pictures have in common: their ground, colours and letters, the title above and the origin below.

use plotters::{
    backend::SVGBackend,
    chart::ChartContext,
    coord::{Shift, cartesian::Cartesian2d, types::RangedCoordf64},
    drawing::{DrawingArea, IntoDrawingArea},
    element::Rectangle,
    style::{
        Color, FontDesc, FontFamily, FontStyle, RGBColor, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{Result, contenders::Name};

pub type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
pub type Plot<'a, 's> = ChartContext<'a, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// As wide as a README is shown, so that letters keep their size.
pub const WIDTH: i32 = 820;
/// Between the edge and everything else.
pub const MARGIN: i32 = 16;

pub const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
pub const FAINT_INK: RGBColor = RGBColor(0x59, 0x63, 0x6e);
pub const GRID: RGBColor = RGBColor(0xdd, 0xe1, 0xe6);
/// Of its own, since the page may be dark.
pub const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);

const TITLE_SIZE: i32 = 17;
const NOTE_SIZE: i32 = 12;
pub const LABEL_SIZE: i32 = 11;
const ORIGIN_SIZE: i32 = 10;
/// The width of a letter in proportion to its size, in a wide font: nobody knows in which it will be shown.
const LETTER: (i32, i32) = (3, 5);
/// A line of text in proportion to its letters.
const LEADING: (i32, i32) = (4, 3);

/// What a picture says in words.
pub struct Caption {
    pub title: String,
    pub notes: Vec<String>,
    /// In small print: who is who, and when, where and how the numbers came about.
    pub origin: Vec<String>,
}

/// Colours that stay apart for the colour-blind: those of Okabe and Ito.
pub fn colour(contender: Name) -> RGBColor {
    match contender {
        Name::Multiredlock => RGBColor(0x00, 0x72, 0xb2),
        Name::Fenced => RGBColor(0x56, 0xb4, 0xe9),
        Name::Guarded => RGBColor(0x00, 0x9e, 0x73),
        Name::PlainFred => RGBColor(0xe6, 0x9f, 0x00),
        Name::Rslock => RGBColor(0xd5, 0x5e, 0x00),
        Name::Floor => RGBColor(0xcc, 0x79, 0xa7),
    }
}

/// Draws a picture whose middle has this width, without margins, and this height.
pub fn draw(
    caption: &Caption,
    (width, height): (i32, i32),
    middle: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let wrapped = |lines: &[String], size| -> Vec<String> {
        let lines = lines.iter();
        lines
            .filter(|line| !line.is_empty())
            .flat_map(|line| wrap(line, width * LETTER.1 / (size * LETTER.0)))
            .collect()
    };
    let (notes, origin) = (
        wrapped(&caption.notes, NOTE_SIZE),
        wrapped(&caption.origin, ORIGIN_SIZE),
    );
    let block = |lines: &[String], size| count(lines.len()) * line_height(size);
    let head = MARGIN + line_height(TITLE_SIZE) + block(&notes, NOTE_SIZE) + MARGIN / 2;
    let foot = MARGIN / 2 + block(&origin, ORIGIN_SIZE) + MARGIN / 2;
    let (full_width, full_height) = (width + 2 * MARGIN, head + height + foot);

    let mut svg = String::new();
    let size = (full_width.unsigned_abs(), full_height.unsigned_abs());
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    root.fill(&GROUND)?;
    root.draw(&Rectangle::new([(0, 0), (full_width - 1, full_height - 1)], GRID))?;
    let title = Letters::new(TITLE_SIZE).bold();
    write(&root, &caption.title, (MARGIN, MARGIN), &title)?;
    let lines = notes.iter().map(|line| (line, NOTE_SIZE));
    write_lines(&root, lines, MARGIN + line_height(TITLE_SIZE))?;
    let lines = origin.iter().map(|line| (line, ORIGIN_SIZE));
    write_lines(&root, lines, head + height + MARGIN / 2)?;
    middle(&root.clone().shrink((MARGIN, head), (width, height)))?;
    root.present()?;
    drop(root);
    Ok(svg)
}

fn write_lines<'l>(area: &Area<'_>, lines: impl Iterator<Item = (&'l String, i32)>, mut y: i32) -> Result<()> {
    for (line, size) in lines {
        write(area, line, (MARGIN, y), &Letters::new(size).faint())?;
        y += line_height(size);
    }
    Ok(())
}

/// How text looks, and which point of it is placed.
#[derive(Clone, Copy)]
pub struct Letters {
    size: i32,
    colour: RGBColor,
    style: FontStyle,
    anchor: Pos,
}

impl Letters {
    pub fn new(size: i32) -> Self {
        Self {
            size,
            colour: INK,
            style: FontStyle::Normal,
            anchor: Pos::new(HPos::Left, VPos::Top),
        }
    }

    pub fn faint(self) -> Self {
        Self {
            colour: FAINT_INK,
            ..self
        }
    }

    pub fn bold(self) -> Self {
        Self {
            style: FontStyle::Bold,
            ..self
        }
    }

    pub fn at(self, horizontal: HPos, vertical: VPos) -> Self {
        Self {
            anchor: Pos::new(horizontal, vertical),
            ..self
        }
    }

    pub fn style(&self) -> TextStyle<'static> {
        // The backend writes a size divided by this.
        const SCALE: f64 = 1.24;
        let family = FontFamily::Name("Helvetica, Arial, sans-serif");
        let font = FontDesc::new(family, f64::from(self.size) * SCALE, self.style);
        font.color(&self.colour).pos(self.anchor)
    }
}

pub fn write(area: &Area<'_>, text: &str, place: (i32, i32), letters: &Letters) -> Result<()> {
    Ok(area.draw_text(text, &letters.style(), place)?)
}

/// What lies below a text, so that no line goes through it.
pub fn ground(text: &str, (x, y): (i32, i32), letters: &Letters) -> Rectangle<(i32, i32)> {
    let (width, height) = (text_width(text, letters.size), letters.size);
    let left = match letters.anchor.h_pos {
        HPos::Left => x,
        HPos::Center => x - width / 2,
        HPos::Right => x - width,
    };
    let top = match letters.anchor.v_pos {
        VPos::Top => y,
        VPos::Center => y - height / 2,
        VPos::Bottom => y - height,
    };
    Rectangle::new([(left, top), (left + width, top + height)], GROUND.filled())
}

pub fn text_width(text: &str, size: i32) -> i32 {
    count(text.chars().count()) * size * LETTER.0 / LETTER.1
}

pub fn line_height(size: i32) -> i32 {
    size * LEADING.0 / LEADING.1
}

/// What can be counted on a picture is far from what does not fit.
pub fn count(items: usize) -> i32 {
    i32::try_from(items).unwrap_or(i32::MAX)
}

/// Breaks a text into lines of so many letters; a longer word has one to itself.
fn wrap(text: &str, letters: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if count(line.chars().count() + 1 + word.chars().count()) <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("indivisible", 3), ["indivisible"]);
    }
}
