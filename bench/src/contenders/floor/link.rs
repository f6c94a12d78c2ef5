//! One connection. Answers come back in the order of the commands, so the first ballot that waits owns the next answer.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use super::{ballot::Ballot, queue::Batch};
use crate::Result;

/// A frozen server is owed no more than about this many commands; further ones count as refused at once.
const MOST_UNANSWERED: usize = 1 << 16;
const READ_AT_ONCE: usize = 64 * 1024;

pub struct Link {
    stream: TcpStream,
    unanswered: VecDeque<Arc<Ballot>>,
    outgoing: Vec<u8>,
    /// How much of `outgoing` is written.
    written: usize,
    incoming: Box<[u8]>,
    /// How much of `incoming` is the beginning of an answer.
    begun: usize,
    closed: bool,
}

impl Link {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unanswered: VecDeque::new(),
            outgoing: Vec::new(),
            written: 0,
            incoming: vec![0; READ_AT_ONCE].into(),
            begun: 0,
            closed: false,
        })
    }

    /// Sends the command that loads a script and returns the hash that it answers with.
    pub async fn load_script(&mut self, command: &[u8]) -> Result<String> {
        const HASH: usize = 40;
        self.stream.write_all(command).await?;
        let mut answer = [0; "$40\r\n".len() + HASH + "\r\n".len()];
        self.stream.read_exact(&mut answer).await?;
        let hash = str::from_utf8(&answer)?.trim_end().strip_prefix("$40\r\n");
        Ok(hash.ok_or("the server did not load the script")?.to_owned())
    }

    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Takes commands to be written.
    pub fn submit(&mut self, batch: &Batch) {
        if self.closed || self.unanswered.len() >= MOST_UNANSWERED {
            for ballot in &batch.ballots {
                ballot.vote(false);
            }
        } else {
            self.outgoing.extend_from_slice(&batch.commands);
            self.unanswered.extend(batch.ballots.iter().cloned());
        }
    }

    /// Writes as much as the socket takes.
    pub fn write(&mut self, context: &mut Context<'_>) {
        while self.written < self.outgoing.len() {
            let rest = &self.outgoing[self.written..];
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(_)) => return self.close(),
                Poll::Pending => return,
            }
        }
        self.outgoing.clear();
        self.written = 0;
    }

    /// Reads as much as the socket has, and votes.
    pub fn read(&mut self, context: &mut Context<'_>) {
        while !self.closed {
            let mut buffer = ReadBuf::new(&mut self.incoming[self.begun..]);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let end = self.begun + buffer.filled().len();
                    self.vote(end);
                }
                Poll::Ready(_) => return self.close(),
                Poll::Pending => return,
            }
        }
    }

    /// Votes with every complete one-line answer: `+OK` and `:1` are for, everything else is against.
    fn vote(&mut self, end: usize) {
        let mut parsed = 0;
        while let Some(length) = self.incoming[parsed..end].iter().position(|byte| *byte == b'\n') {
            let line = &self.incoming[parsed..parsed + length];
            if let Some(ballot) = self.unanswered.pop_front() {
                ballot.vote(matches!(line, b"+OK\r" | b":1\r"));
            }
            parsed += length + 1;
        }
        self.incoming.copy_within(parsed..end, 0);
        self.begun = end - parsed;
    }

    fn close(&mut self) {
        self.closed = true;
        self.outgoing.clear();
        self.written = 0;
        for ballot in self.unanswered.drain(..) {
            ballot.vote(false);
        }
    }
}
