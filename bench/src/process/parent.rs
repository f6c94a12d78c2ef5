//! The process that started this one, as this one sees it.

use std::{
    io::{self, stdin},
    os::fd::AsFd,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe::Receiver,
};

use super::READY;
use crate::{Result, clock};

pub struct Parent(Lines<BufReader<Receiver>>);

impl Parent {
    /// Says that this process is connected and can start.
    pub fn greet() -> Result<Self> {
        let parent = Self::connect()?;
        Self::ready();
        Ok(parent)
    }

    /// Returns the parent, to which [`ready`](Self::ready) is to be said.
    pub fn connect() -> Result<Self> {
        // tokio's own standard input is a thread that blocks in a read, and the process could not end before it.
        let input = stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(BufReader::new(Receiver::from_owned_fd(input)?).lines()))
    }

    pub fn ready() {
        println!("{READY}");
    }

    pub fn tell(what: &impl Serialize) -> Result<()> {
        println!("{}", serde_json::to_string(what)?);
        Ok(())
    }

    /// Waits to be told when to begin, and then until that time, which it returns.
    pub async fn begin(&mut self) -> Result<Duration> {
        let line = self.line().await?.ok_or("nobody said when to begin")?;
        let start = Duration::from_nanos(line.parse()?);
        clock::sleep_until(start).await;
        Ok(start)
    }

    /// Nothing when no more is asked of this process.
    pub async fn line(&mut self) -> io::Result<Option<String>> {
        self.0.next_line().await
    }
}
