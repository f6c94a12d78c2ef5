//! Foreign text in messages and log lines: names of resources, and words of servers. It is printable and short.

use std::{fmt, sync::Arc};

/// How many characters of a name are shown at most.
const SHOWN: usize = 80;

/// How many of them are from its end, where names that begin alike differ.
const OF_THE_END: usize = 16;

/// How many names of a lock are shown at most.
pub(crate) const MOST_SHOWN: usize = 8;

/// A name as it is shown: with control characters escaped, and with an ellipsis in place of what is too much.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = *self;
        // A character has at most four bytes, and one that is cut is replaced as others are that are not UTF-8.
        let is_long = name.len() > 4 * 2 * SHOWN;
        let (start, end) = if is_long {
            (&name[..4 * SHOWN], &name[name.len() - 4 * SHOWN..])
        } else {
            (name, name)
        };
        let (start, end) = (String::from_utf8_lossy(start), String::from_utf8_lossy(end));
        let write = |f: &mut fmt::Formatter<'_>, text: &str| {
            text.chars().try_for_each(|c| {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())
                } else {
                    fmt::Write::write_char(f, c)
                }
            })
        };
        if !is_long && start.chars().count() <= SHOWN {
            return write(f, &start);
        }
        write(f, &start.chars().take(SHOWN - OF_THE_END - 1).collect::<String>())?;
        f.write_str("…")?;
        let last: Vec<_> = end.chars().rev().take(OF_THE_END).collect();
        write(f, &last.into_iter().rev().collect::<String>())
    }
}

/// How much of a server's own words is kept: a hostile server must not fill our memory or a log.
const LONGEST_TEXT: usize = 200;

/// A server's or the operating system's own words, shortened to at most 200 characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Arc<str>);

impl Text {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        let printable = text.as_ref().chars().filter(|c| !c.is_control());
        Self(printable.take(LONGEST_TEXT).collect::<String>().into())
    }

    /// Returns the words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: impl AsRef<[u8]>) -> String {
        Shown(name.as_ref()).to_string()
    }

    #[test]
    fn a_name_that_fits_is_shown_as_it_is() {
        for name in ["", "console", "Größe ☃", &"x".repeat(80), &"☃".repeat(80)] {
            assert_eq!(shown(name), name);
        }
    }

    #[test]
    fn a_long_name_is_shown_by_its_start_and_its_end() {
        for long in [
            "x".repeat(81),
            "x".repeat(3_000_000),
            "☃".repeat(100),
            "☃".repeat(1_000),
        ] {
            let shown = shown(format!("orders/{long}:0123456789abcdef"));
            assert_eq!(shown.chars().count(), 80, "{shown}");
            assert!(
                shown.starts_with("orders/") && shown.ends_with("…0123456789abcdef"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_cannot_be_printed_is_escaped_or_replaced() {
        assert_eq!(shown("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn a_servers_words_are_bounded_and_printable() {
        let text = Text::new("ab\u{1b}[2J\r\n".repeat(1_000));
        assert_eq!(text.as_str().chars().count(), LONGEST_TEXT);
        assert!(text.as_str().starts_with("ab[2Jab"));
    }
}
