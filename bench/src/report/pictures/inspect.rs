//! A picture as a test sees it.

use std::iter;

use roxmltree::{Document, Node};

/// What is written on a picture, and where.
pub struct Picture {
    pub texts: Vec<Writing>,
    pub width: f64,
    pub height: f64,
}

pub struct Writing {
    pub text: String,
    pub place: Place,
}

#[derive(Clone, Copy, Debug)]
pub struct Place {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Picture {
    /// Panics if it is no XML, or if anything lies outside of the picture.
    pub fn of(svg: &str) -> Self {
        let document = Document::parse(svg).expect("it is XML");
        let root = document.root_element();
        assert_eq!(root.tag_name().name(), "svg");
        let (width, height) = (number(root, "width"), number(root, "height"));
        let view = root.attribute("viewBox").expect("it can be shown in any size");
        assert_eq!(view, format!("0 0 {width} {height}"));
        let mut texts = Vec::new();
        for node in root.children().filter(Node::is_element) {
            let place = place(node);
            let is_inside = place.left >= 0.0 && place.top >= 0.0 && place.right <= width && place.bottom <= height;
            assert!(is_inside, "outside of {width} × {height}: {place:?}, {node:?}");
            if node.has_tag_name((SVG, "text")) {
                let text = node.text().expect("it says something").trim().to_owned();
                texts.push(Writing { text, place });
            }
        }
        Self { texts, width, height }
    }

    pub fn says(&self, text: &str) -> bool {
        self.times(text) > 0
    }

    pub fn times(&self, text: &str) -> usize {
        self.texts.iter().filter(|writing| writing.text == text).count()
    }

    /// The words in small print, without their line breaks.
    pub fn prose(&self) -> String {
        let texts: Vec<_> = self.texts.iter().map(|writing| writing.text.as_str()).collect();
        texts.join(" ")
    }

    /// Texts that lie on each other.
    pub fn collisions(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        for (index, one) in self.texts.iter().enumerate() {
            let others = self.texts[index + 1..].iter();
            let hit = others.filter(|other| one.place.meets(other.place));
            found.extend(hit.map(|other| (one.text.as_str(), other.text.as_str())));
        }
        found
    }
}

impl Place {
    fn meets(self, other: Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

const SVG: &str = "http://www.w3.org/2000/svg";

fn place(node: Node<'_, '_>) -> Place {
    let of = |name| number(node, name);
    match node.tag_name().name() {
        "rect" => around([(of("x"), of("y")), (of("x") + of("width"), of("y") + of("height"))]),
        "circle" => around([
            (of("cx") - of("r"), of("cy") - of("r")),
            (of("cx") + of("r"), of("cy") + of("r")),
        ]),
        "line" => around([(of("x1"), of("y1")), (of("x2"), of("y2"))]),
        "polyline" | "polygon" => {
            let points = node.attribute("points").expect("it has points").split_whitespace();
            around(points.map(|point| {
                let (x, y) = point.split_once(',').expect("a point has two numbers");
                (x.parse().expect("a number"), y.parse().expect("a number"))
            }))
        }
        "text" => text_place(node),
        other => panic!("nothing here draws a {other}"),
    }
}

/// The place of a text in a font of the usual width.
fn text_place(node: Node<'_, '_>) -> Place {
    let (x, y, size) = (number(node, "x"), number(node, "y"), number(node, "font-size"));
    let width = node.text().expect("it says something").trim().chars().count() as f64 * size * 0.55;
    let left = match node.attribute("text-anchor") {
        Some("start") => 0.0,
        Some("middle") => width / 2.0,
        Some("end") => width,
        other => panic!("no anchor is called {other:?}"),
    };
    let up = match node.attribute("dy") {
        Some("0.76em") => 0.0,
        Some("0.5ex") => size / 2.0,
        Some("-0.5ex") => size,
        other => panic!("no anchor is called {other:?}"),
    };
    let corners = [(-left, -up), (width - left, size - up)];
    let is_upright = node
        .attribute("transform")
        .is_some_and(|turn| turn.starts_with("rotate(270"));
    around(corners.map(|(right, down)| {
        if is_upright {
            (x + down, y - right)
        } else {
            (x + right, y + down)
        }
    }))
}

fn around(points: impl IntoIterator<Item = (f64, f64)>) -> Place {
    let mut points = points.into_iter();
    let (x, y) = points.next().expect("it has a point");
    let none = Place {
        left: x,
        top: y,
        right: x,
        bottom: y,
    };
    iter::once((x, y)).chain(points).fold(none, |place, (x, y)| Place {
        left: place.left.min(x),
        top: place.top.min(y),
        right: place.right.max(x),
        bottom: place.bottom.max(y),
    })
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let text = node.attribute(name).unwrap_or_else(|| panic!("{node:?} has no {name}"));
    let number: f64 = text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"));
    assert!(number.is_finite(), "{name} is {number}");
    number
}
