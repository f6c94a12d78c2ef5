//! Where replies end, and whether they stay within bounds, without a look at what they say.

use crate::{decision::DownReason, text::Text};

/// The longest reply: a batch whose every outcome is a holder's value takes half of it.
pub(super) const LONGEST_REPLY: usize = 2 << 20;

/// The longest message that is passed on though nobody asked for it: the name of a key that changed. Hundreds of them may be kept.
const LONGEST_PUSH: usize = 64 << 10;

/// The longest line: an error, or the length of what follows.
const LONGEST_LINE: usize = 8 << 10;

/// The most values in the lists of one reply.
const MOST_VALUES: usize = 1024;

/// How many lists may stand in each other. HELLO answers with four, of modules and their arguments.
const DEEPEST: usize = 16;

/// Finds the ends of the replies in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Bounds {
    speaks_resp3: bool,
    /// Where the next value starts, from the start of its reply.
    at: usize,
    /// How many values each list that is open still lacks.
    open: Vec<usize>,
    values: usize,
}

impl Bounds {
    pub(crate) fn new(speaks_resp3: bool) -> Self {
        Self {
            speaks_resp3,
            at: 0,
            open: Vec::with_capacity(DEEPEST),
            values: 0,
        }
    }

    /// Returns how many of these bytes are whole replies, and takes out those that nobody asked for and that are too long to be
    /// kept. The next call starts with the first byte that was none of them.
    ///
    /// Fails as soon as a reply that is not whole yet can no longer be within bounds.
    pub(crate) fn whole(&mut self, bytes: &mut Vec<u8>) -> Result<usize, DownReason> {
        let mut whole = 0;
        while let Some(length) = self.reply(&bytes[whole..])? {
            if bytes[whole] == b'>' && length > LONGEST_PUSH {
                bytes.drain(whole..whole + length);
            } else {
                whole += length;
            }
        }
        Ok(whole)
    }

    /// The length of the reply that these bytes start with, if all of it is there.
    fn reply(&mut self, bytes: &[u8]) -> Result<Option<usize>, DownReason> {
        while let Some(line) = line(&bytes[self.at..])? {
            let (kind, rest) = line.split_first().ok_or_else(|| garbage(line))?;
            let mut end = self.at + line.len() + 2;
            let mut values = 0;
            match (kind, self.speaks_resp3) {
                (b'+' | b'-' | b':', _) | (b'_' | b',' | b'#' | b'(', true) => {}
                // Only so much is left of RESP2. To fred it would begin a stream of values without end in RESP3.
                (b'$' | b'*', false) if rest == b"-1" => {}
                // Its format takes four, for which fred would wait.
                (b'=', true) if number(rest)? < 4 => return Err(garbage(line)),
                (b'$', _) | (b'!' | b'=', true) => end = end.saturating_add(number(rest)?).saturating_add(2),
                (b'*', _) | (b'~' | b'>', true) => values = number(rest)?,
                (b'%', true) => values = number(rest)?.saturating_mul(2),
                _ => return Err(garbage(line)),
            }
            if end > LONGEST_REPLY {
                return Err(excess("a message of more than", LONGEST_REPLY, "bytes"));
            }
            if end > bytes.len() {
                return Ok(None);
            }
            self.at = end;
            self.count(values)?;
            if self.open.is_empty() {
                (self.at, self.values) = (0, 0);
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Takes note of a value that is there, or of a list of which so many values are to come.
    fn count(&mut self, values: usize) -> Result<(), DownReason> {
        if values > MOST_VALUES - self.values {
            return Err(excess("a reply of more than", MOST_VALUES, "values"));
        }
        self.values += values;
        if values > 0 {
            if self.open.len() == DEEPEST {
                return Err(excess("lists in each other, more than", DEEPEST, "deep"));
            }
            self.open.push(values);
            return Ok(());
        }
        // A list that lacks nothing any more is itself a value of the one around it.
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                break;
            }
            self.open.pop();
        }
        Ok(())
    }
}

/// The line that these bytes start with, without its end, if that is there.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, DownReason> {
    match bytes.windows(2).position(|end| end == b"\r\n") {
        Some(length) if length <= LONGEST_LINE => Ok(Some(&bytes[..length])),
        None if bytes.len() <= LONGEST_LINE => Ok(None),
        _ => Err(excess("a line of more than", LONGEST_LINE, "bytes")),
    }
}

fn number(digits: &[u8]) -> Result<usize, DownReason> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| garbage(digits))
}

fn garbage(line: &[u8]) -> DownReason {
    DownReason::NotRedis(Text::new(String::from_utf8_lossy(&line[..line.len().min(100)])))
}

fn excess(what: &str, most: usize, unit: &str) -> DownReason {
    DownReason::Excessive(Text::new(format!("{what} {most} {unit}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(speaks_resp3: bool, bytes: &[u8]) -> Result<usize, DownReason> {
        Bounds::new(speaks_resp3).whole(&mut bytes.to_vec())
    }

    fn is_excessive(bytes: &[u8]) -> bool {
        matches!(whole(true, bytes), Err(DownReason::Excessive(_)))
    }

    const REPLIES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-7\r\n",
        b"$0\r\n\r\n",
        b"$5\r\n\r\n\r\n+\r\n",
        b"_\r\n",
        b",1.5\r\n",
        b"#t\r\n",
        b"(123\r\n",
        b"!3\r\nERR\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"*0\r\n",
        b"*2\r\n*0\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n~1\r\n+b\r\n",
        b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
    ];

    #[test]
    fn every_kind_of_reply_is_whole_with_its_last_byte_and_not_before() {
        for reply in REPLIES {
            for length in 0..reply.len() {
                assert_eq!(whole(true, &reply[..length]), Ok(0), "{reply:?} {length}");
            }
            assert_eq!(whole(true, reply), Ok(reply.len()), "{reply:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_by_a_length_in_resp2_alone() {
        for null in [&b"$-1\r\n"[..], b"*-1\r\n"] {
            assert_eq!(whole(false, null), Ok(null.len()));
            assert!(matches!(whole(true, null), Err(DownReason::NotRedis(_))));
        }
        assert!(matches!(whole(false, b"_\r\n"), Err(DownReason::NotRedis(_))));
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$?\r\n",
            b"*?\r\n",
            b"%-5\r\n",
            b"=3\r\ntxt\r\n",
            b";4\r\n",
            b".\r\n",
            b"|1\r\n",
            b"HELLO 3\r\n",
            b"\xff\x00\r\n",
        ] {
            let reason = whole(true, bytes).unwrap_err();
            assert!(matches!(reason, DownReason::NotRedis(_)), "{bytes:?}: {reason}");
        }
    }

    #[test]
    fn no_bound_is_passed_and_each_is_reached() {
        let blob = |length: usize| [format!("${length}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat();
        assert!(whole(true, &blob(LONGEST_REPLY - 12)).unwrap() > 0);
        let push = |length: usize| [b">1\r\n", &blob(length)[..]].concat();
        assert!(whole(true, &push(LONGEST_PUSH - 14)).unwrap() > 0);
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(whole(true, &nested(DEEPEST)).unwrap() > 0);
        let list = |values: usize| [format!("*{values}\r\n").as_bytes(), &b"_\r\n".repeat(values)].concat();
        assert!(whole(true, &list(MOST_VALUES)).unwrap() > 0);
        let line = |length: usize| [b"-", &vec![b'x'; length - 1][..], b"\r\n"].concat();
        assert!(whole(true, &line(LONGEST_LINE)).unwrap() > 0);

        assert!(is_excessive(format!("${LONGEST_REPLY}\r\n").as_bytes()));
        assert!(is_excessive(&push(LONGEST_REPLY)[..20]));
        assert!(is_excessive(&nested(DEEPEST + 1)));
        assert!(is_excessive(&list(MOST_VALUES + 1)[..8]));
        assert!(is_excessive(&line(LONGEST_LINE + 1)));
        assert!(is_excessive(&vec![b'+'; LONGEST_LINE + 1]));
        for claims in [
            "$18446744073709551615\r\n",
            "*18446744073709551615\r\n",
            "%18446744073709551615\r\n",
        ] {
            assert!(is_excessive(claims.as_bytes()), "{claims}");
        }
        let lists = b"*512\r\n".repeat(3);
        assert!(is_excessive(&lists), "all lists of a reply count together");
        assert!(is_excessive(
            &b"*2\r\n$1048576\r\n"
                .iter()
                .chain(&vec![b'x'; 1 << 20])
                .chain(b"\r\n$1048576\r\n")
                .copied()
                .collect::<Vec<_>>()
        ));
    }

    #[test]
    fn what_nobody_asked_for_is_taken_out_if_it_is_too_long_to_be_kept() {
        let push = |length: usize| format!(">1\r\n${length}\r\n{}\r\n", "x".repeat(length)).into_bytes();
        let short = push(10);
        let all = [
            &b":1\r\n"[..],
            &push(LONGEST_PUSH),
            &short,
            &push(2 * LONGEST_PUSH),
            b"$3\r\nab",
        ]
        .concat();
        for piece in [all.len(), 1 << 10, 1 << 16] {
            let (mut bounds, mut kept, mut passed) = (Bounds::new(true), Vec::new(), Vec::new());
            for bytes in all.chunks(piece) {
                kept.extend_from_slice(bytes);
                let whole = bounds.whole(&mut kept).unwrap();
                passed.extend(kept.drain(..whole));
            }
            assert_eq!(passed, [b":1\r\n", &short[..]].concat(), "{piece}");
            assert_eq!(kept, b"$3\r\nab");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(
            picks in prop::collection::vec(0..REPLIES.len(), 0..20),
            cuts in prop::collection::vec(1..9_usize, 1..9),
        ) {
            let bytes = picks.iter().map(|pick| REPLIES[*pick]).collect::<Vec<_>>().concat();
            let mut bounds = Bounds::new(true);
            let (mut start, mut end) = (0, 0);
            for cut in cuts.iter().cycle() {
                end = (end + cut).min(bytes.len());
                start += bounds.whole(&mut bytes[start..end].to_vec()).unwrap();
                if end == bytes.len() {
                    break;
                }
            }
            prop_assert_eq!(start, bytes.len());
        }

        #[test]
        fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..100), speaks_resp3: bool) {
            if let Ok(length) = whole(speaks_resp3, &bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
