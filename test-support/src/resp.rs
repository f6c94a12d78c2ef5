//! Just enough of the Redis protocol for a client and a proxy.

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// A simple or a bulk string, lossily as text.
    Text(String),
    /// An error, with its code.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// An array, a set or a push; a map is an array of its keys and values.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text that this must be.
    pub fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            other => panic!("expected text, the server answered {other:?}"),
        }
    }

    /// The number that this must be.
    pub fn integer(self) -> i64 {
        match self {
            Self::Integer(number) => number,
            other => panic!("expected a number, the server answered {other:?}"),
        }
    }

    /// The texts of the array that this must be.
    pub fn texts(self) -> Vec<String> {
        match self {
            Self::Array(items) => items.into_iter().map(Self::text).collect(),
            other => panic!("expected a list, the server answered {other:?}"),
        }
    }
}

/// A command as a client sends it.
pub(crate) fn encoded(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first reply and the bytes after it. Nothing while a part of it is missing.
pub(crate) fn reply(bytes: &[u8]) -> Option<(Reply, &[u8])> {
    let (header, mut rest) = Header::read(bytes)?;
    let text = || String::from_utf8_lossy(header.blob.unwrap_or(header.line)).into_owned();
    let reply = match header.kind {
        b'_' | b'$' | b'*' if header.is_nil() => Reply::Nil,
        b'-' | b'!' => Reply::Error(text()),
        b':' => Reply::Integer(header.number()),
        b'*' | b'~' | b'>' | b'%' => {
            let mut items = Vec::new();
            for _ in 0..header.count() {
                let item;
                (item, rest) = self::reply(rest)?;
                items.push(item);
            }
            Reply::Array(items)
        }
        _ => Reply::Text(text()),
    };
    Some((reply, rest))
}

/// The words of the first command, an array or a line, and the bytes after it. Nothing while a part of it is missing.
pub(crate) fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, &[u8])> {
    if bytes.first() != Some(&b'*') {
        let (line, rest) = line(bytes)?;
        return Some((line.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect(), rest));
    }
    let (header, mut rest) = Header::read(bytes)?;
    let mut words = Vec::new();
    for _ in 0..header.count() {
        let word;
        (word, rest) = Header::read(rest)?;
        words.push(word.blob.expect("no word of a command is missing").to_vec());
    }
    Some((words, rest))
}

/// The line that a value starts with, and what a bulk string has after it.
struct Header<'a> {
    kind: u8,
    line: &'a [u8],
    blob: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (line, mut rest) = line(bytes)?;
        let (&kind, line) = line.split_first().expect("each value has a kind");
        let mut header = Self { kind, line, blob: None };
        if matches!(kind, b'$' | b'=' | b'!') && !header.is_nil() {
            let length = header.count();
            header.blob = Some(rest.get(..length)?);
            rest = rest.get(length + "\r\n".len()..)?;
        }
        Some((header, rest))
    }

    fn is_nil(&self) -> bool {
        self.kind == b'_' || self.line == b"-1"
    }

    fn number(&self) -> i64 {
        let number = std::str::from_utf8(self.line)
            .ok()
            .and_then(|digits| digits.parse().ok());
        number.expect("both sides count in whole numbers")
    }

    /// How many values or bytes follow.
    fn count(&self) -> usize {
        let count = usize::try_from(self.number()).unwrap_or(0);
        if self.kind == b'%' { 2 * count } else { count }
    }
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bytes.windows(2).position(|end| end == b"\r\n")?;
    Some((&bytes[..length], &bytes[length + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_once_they_are_whole() {
        let text = |text: &str| Reply::Text(text.to_owned());
        for (bytes, expected) in [
            ("+OK\r\n", text("OK")),
            ("-ERR no\r\n", Reply::Error("ERR no".to_owned())),
            ("!6\r\nERR no\r\n", Reply::Error("ERR no".to_owned())),
            (":-7\r\n", Reply::Integer(-7)),
            ("$4\r\na\r\nb\r\n", text("a\r\nb")),
            ("$-1\r\n", Reply::Nil),
            ("*-1\r\n", Reply::Nil),
            ("_\r\n", Reply::Nil),
            (
                "*2\r\n:1\r\n*0\r\n",
                Reply::Array(vec![Reply::Integer(1), Reply::Array(Vec::new())]),
            ),
            ("%1\r\n+a\r\n#t\r\n", Reply::Array(vec![text("a"), text("t")])),
        ] {
            let more = format!("{bytes}+more\r\n");
            assert_eq!(reply(more.as_bytes()), Some((expected, &b"+more\r\n"[..])));
            for length in 0..bytes.len() {
                assert_eq!(reply(&bytes.as_bytes()[..length]), None, "{length} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn commands_are_read_as_they_are_written() {
        let words = vec![b"SET".to_vec(), b"\r\n\xff".to_vec(), Vec::new()];
        let bytes = encoded(&words);
        assert_eq!(
            command(&[&bytes[..], b"PING\r\n"].concat()),
            Some((words, &b"PING\r\n"[..]))
        );
        for length in 0..bytes.len() {
            assert_eq!(command(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(
            command(b"INFO stats\r\n"),
            Some((vec![b"INFO".to_vec(), b"stats".to_vec()], &[][..]))
        );
    }
}
