//! The number by which a storage recognizes an owner that is late.

use crate::text::Shown;
use std::{fmt, str::FromStr};

/// The fencing token of a lock: a number that grows from lock to lock.
///
/// A fenced lock has a larger token than each fenced lock that was granted on its resource before it was asked for; see
/// [`Lock::token`](crate::Lock::token). Tokens of different resources have no order.
///
/// A token is about the time in microseconds since 1970 and at most 2⁵³ − 1. It fits a signed column of 64 bits.
///
/// ```
/// use multiredlock::FencingToken;
///
/// let token: FencingToken = "1764355056000000".parse()?;
/// assert_eq!(token.to_string(), "1764355056000000");
/// assert_eq!(u64::from(token), 1_764_355_056_000_000);
/// assert!(token < FencingToken::from(1_764_355_056_000_001));
///
/// let error = "latest".parse::<FencingToken>().unwrap_err();
/// assert_eq!(error.to_string(), "`latest` is not a fencing token: it must be a whole number from 0 to 18446744073709551615");
/// # Ok::<(), multiredlock::error::InvalidFencingToken>(())
/// ```
///
/// A token is not any number:
///
/// ```compile_fail,E0308
/// # fn f(lock: multiredlock::Lock) {
/// let attempts: u64 = 3;
/// let lock = lock.with_token(attempts);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl From<u64> for FencingToken {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}

/// The number.
impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FencingToken {
    type Err = InvalidFencingToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| InvalidFencingToken {
            text: Shown(text.as_bytes()).to_string(),
        })
    }
}

/// A text that is not a fencing token, which is a whole number of at most 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a fencing token: it must be a whole number from 0 to {}", u64::MAX)]
pub struct InvalidFencingToken {
    text: String,
}

impl InvalidFencingToken {
    /// Returns the text, printable and shortened to 80 characters.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        for number in [0, 1, 1_764_355_056_000_000, u64::MAX] {
            let token = FencingToken::from(number);
            assert_eq!(token.to_string(), number.to_string());
            assert_eq!(token.to_string().parse(), Ok(token));
            assert_eq!(u64::from(token), number);
        }
        assert_eq!(format!("{:>4}", FencingToken(7)), "   7");
    }

    #[test]
    fn text_that_is_no_token_is_named_and_shortened() {
        for text in ["", "x", "-1", "1.0", " 1", "18446744073709551616"] {
            let error = text.parse::<FencingToken>().unwrap_err();
            assert_eq!(error.text(), text);
            let message =
                format!("`{text}` is not a fencing token: it must be a whole number from 0 to 18446744073709551615");
            assert_eq!(error.to_string(), message);
        }
        let error = "9".repeat(1_000).parse::<FencingToken>().unwrap_err();
        assert_eq!(error.text().chars().count(), 80);
        assert_eq!("9\n".parse::<FencingToken>().unwrap_err().text(), "9\\n");
    }
}
