//! A client that looks into a server behind the library's back.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::resp::{self, Reply};

const PATIENCE: Duration = Duration::from_secs(10);

/// A blocking connection that waits a few seconds for an answer, and not longer.
#[derive(Debug)]
pub(crate) struct Connection(UnixStream);

impl Connection {
    pub(crate) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    pub(crate) fn command(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.0.write_all(&resp::encoded(words))?;
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
        loop {
            match self.0.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => bytes.extend_from_slice(&piece[..length]),
            }
            if let Some((reply, _)) = resp::reply(&bytes) {
                return Ok(reply);
            }
        }
    }
}
