//! What all pictures have in common: their ground, colors and letters, and the words above.

use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    style::{FontDesc, FontFamily, FontStyle, RGBColor, TextStyle},
};

use crate::{Result, contenders::Name};

pub type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;

/// As wide as a README is shown, so that letters keep their size.
pub const WIDTH: u32 = 820;
const MARGIN: i32 = 12;
const LINE: i32 = 15;
/// That many fit in a line of notes, in a wide font: nobody knows in which it will be shown.
const LETTERS: usize = 125;

pub const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
pub const FAINT_INK: RGBColor = RGBColor(0x59, 0x63, 0x6e);
pub const GRID: RGBColor = RGBColor(0xdd, 0xe1, 0xe6);
/// Of its own, since the page may be dark.
const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);

/// What a picture says in words.
pub struct Caption {
    pub title: String,
    pub notes: Vec<String>,
}

/// Colors that stay apart for the color-blind: those of Okabe and Ito.
pub fn color(contender: Name) -> RGBColor {
    match contender {
        Name::Multiredlock => RGBColor(0x00, 0x72, 0xb2),
        Name::Fenced => RGBColor(0x56, 0xb4, 0xe9),
        Name::Guarded => RGBColor(0x00, 0x9e, 0x73),
        Name::PlainFred => RGBColor(0xe6, 0x9f, 0x00),
        Name::Rslock => RGBColor(0xd5, 0x5e, 0x00),
        Name::Floor => RGBColor(0xcc, 0x79, 0xa7),
    }
}

/// Draws a picture whose panels, below the words, take this much room.
pub fn draw(
    caption: &Caption,
    (width, height): (u32, u32),
    panels: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    let notes: Vec<_> = caption.notes.iter().flat_map(|note| wrap(note, LETTERS)).collect();
    let head = 2 * MARGIN + LINE * (2 + i32::try_from(notes.len())?);
    let root = SVGBackend::with_string(&mut svg, (width, height + head.unsigned_abs())).into_drawing_area();
    root.fill(&GROUND)?;
    root.draw_text(&caption.title, &letters(17, INK, FontStyle::Bold), (MARGIN, MARGIN))?;
    for (line, top) in notes.iter().zip((MARGIN + 2 * LINE..).step_by(15)) {
        root.draw_text(line, &letters(11, FAINT_INK, FontStyle::Normal), (MARGIN, top))?;
    }
    let (_, area) = root.split_vertically(head);
    panels(&area)?;
    root.present()?;
    drop((area, root));
    Ok(svg)
}

pub fn letters(size: u32, color: RGBColor, style: FontStyle) -> TextStyle<'static> {
    // The backend writes a size divided by this.
    const SCALE: f64 = 1.24;
    let family = FontFamily::Name("Helvetica, Arial, sans-serif");
    FontDesc::new(family, f64::from(size) * SCALE, style).color(&color)
}

/// Breaks a text into lines of so many letters; a longer word has one to itself.
fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
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
        assert_eq!(wrap("", 3), [""; 0]);
    }
}
