//! Whether a listener that did not answer expects TLS, or does not know it.
//!
//! A server with TLS hangs up on a plain `PING`, and a server without it waits for the end of a line in what TLS begins with. So
//! neither says what is wrong, and one message that both of them understand finds out.

use super::{Connector, reach};
use crate::{address::Endpoint, decision::DownReason, server::held_up::answer_within};
use std::{
    future::{Future, pending},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

/// How a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Tls,
    Plain,
}

impl Connector {
    /// Waits for an attempt to connect, and replaces its failure if one side speaks TLS and the other does not.
    pub(super) async fn explained<T>(
        &self,
        endpoint: &Endpoint,
        attempt: impl Future<Output = Result<T, DownReason>>,
    ) -> Result<T, DownReason> {
        let outcome = tokio::select! {
            biased;
            outcome = attempt => outcome,
            () = self.doubt(endpoint) => Err(DownReason::LacksTls),
        };
        let reason = match outcome {
            Err(reason) if may_be_a_misunderstanding(&reason, self.speaks_tls) => reason,
            outcome => return outcome,
        };
        let speech = answer_within(self.timeout, listen(endpoint, self.timeout)).await;
        Err(match (self.speaks_tls, speech.ok().flatten()) {
            (true, Some(Speech::Plain)) => DownReason::LacksTls,
            (false, Some(Speech::Tls)) => DownReason::NeedsTls,
            _ => reason,
        })
    }

    /// Resolves when TLS has gone unanswered for a while by a server that answers without it.
    async fn doubt(&self, endpoint: &Endpoint) {
        if self.speaks_tls {
            sleep(self.timeout / 2).await;
            if listen(endpoint, self.timeout).await == Some(Speech::Plain) {
                return;
            }
        }
        pending::<()>().await;
    }
}

fn may_be_a_misunderstanding(reason: &DownReason, speaks_tls: bool) -> bool {
    match reason {
        DownReason::ConnectionLost | DownReason::NotRedis(_) => true,
        DownReason::Tls(_) | DownReason::Io(_) => speaks_tls,
        _ => false,
    }
}

async fn listen(endpoint: &Endpoint, limit: Duration) -> Option<Speech> {
    let Endpoint::Tcp { host, port } = endpoint else {
        return None;
    };
    let mut stream = reach::connect(host, *port, limit).await.ok()?;
    stream.write_all(&greeting()).await.ok()?;
    speech(stream.read_u8().await.ok()?)
}

/// What the first byte of an answer to the greeting says.
fn speech(first: u8) -> Option<Speech> {
    match first {
        // An alert, or the next message of the handshake.
        0x15 | 0x16 => Some(Speech::Tls),
        b'-' | b'+' => Some(Speech::Plain),
        _ => None,
    }
}

/// The length of a TLS record, whose two bytes are a line end: to a Redis server the bytes before are a command that it does not
/// know. Its answer needs no password.
const LENGTH: u16 = u16::from_be_bytes(*b"\r\n");

/// The first message of TLS, as TLS 1.2 and later know it, for a server that would not be spoken to any further.
fn greeting() -> Vec<u8> {
    const CIPHERS: [u8; 10] = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30, 0x00, 0x9c];
    const PADDING: u16 = 21;
    let mut hello = vec![3, 3];
    hello.extend_from_slice(&[0; 32]);
    // No session.
    hello.push(0);
    hello.extend_from_slice(&[0, 10]);
    hello.extend_from_slice(&CIPHERS);
    // No compression.
    hello.extend_from_slice(&[1, 0]);
    // One extension fills the record.
    let header = 4;
    let extensions = LENGTH - header - u16::try_from(hello.len()).unwrap_or(0) - 2;
    hello.extend_from_slice(&extensions.to_be_bytes());
    hello.extend_from_slice(&PADDING.to_be_bytes());
    hello.extend_from_slice(&(extensions - 4).to_be_bytes());
    hello.resize(usize::from(LENGTH - header), 0);

    let mut record = vec![0x16, 3, 1];
    record.extend_from_slice(&LENGTH.to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&(LENGTH - header).to_be_bytes());
    record.append(&mut hello);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_one_record_of_tls_that_begins_with_a_line() {
        let greeting = greeting();
        assert_eq!(greeting.len(), 5 + usize::from(LENGTH));
        assert_eq!(&greeting[..6], b"\x16\x03\x01\r\n\x01");
    }

    #[test]
    fn only_what_is_known_is_an_answer() {
        assert_eq!(speech(b"-ERR unknown command"[0]), Some(Speech::Plain));
        assert_eq!(speech(0x15), Some(Speech::Tls));
        assert_eq!(speech(b'H'), None);
    }
}
