//! How many commands servers are given.
//!
//! A server's own count, `total_commands_processed`, includes what its scripts call. `MONITOR` shows of each command
//! whether a client sent it or a script called it, and in the order in which they were run, so that the same two `INFO`s
//! bound both counts. It does not show the few commands that are for administrators only.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::sleep,
};

use crate::Result;

/// What servers were given within a time, without what counting took.
pub struct Commands {
    pub window: Duration,
    /// What clients sent.
    pub sent: u64,
    /// What the servers count, which is the same with what scripts called.
    pub processed: u64,
}

/// Counts on several servers at once, and adds them up.
pub async fn count(servers: &[SocketAddr], window: Duration) -> Result<Commands> {
    let all = try_join_all(servers.iter().map(|server| count_one(*server, window))).await?;
    Ok(Commands {
        window: all.iter().map(|commands| commands.window).max().unwrap_or(window),
        sent: all.iter().map(|commands| commands.sent).sum(),
        processed: all.iter().map(|commands| commands.processed).sum(),
    })
}

async fn count_one(server: SocketAddr, window: Duration) -> Result<Commands> {
    let mut asking = BufReader::new(TcpStream::connect(server).await?);
    let mut watching = BufReader::new(TcpStream::connect(server).await?);
    watching.write_all(b"MONITOR\r\n").await?;
    let mut answer = String::new();
    watching.read_line(&mut answer).await?;
    if answer != "+OK\r\n" {
        return Err(format!("{server} cannot be watched: {}", answer.trim_end()).into());
    }

    let us = asking.get_ref().local_addr()?.to_string();
    let asked = async {
        let before = processed(&mut asking).await?;
        let started = Instant::now();
        sleep(window).await;
        let after = processed(&mut asking).await?;
        Ok((started.elapsed(), after - before))
    };
    let (sent, (window, processed)) = tokio::try_join!(sent_between(&mut watching, &us), asked)?;
    Ok(Commands {
        window,
        sent,
        // The first question is in the second answer.
        processed: processed.saturating_sub(1),
    })
}

/// Reads out of `INFO` how many commands the server has run.
async fn processed(connection: &mut BufReader<TcpStream>) -> Result<u64> {
    connection.write_all(b"INFO stats\r\n").await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let length = line.trim_end().strip_prefix('$').ok_or("INFO was not answered")?;
    // The text is followed by the end of a line.
    let mut text = vec![0; length.parse::<usize>()? + 2];
    connection.read_exact(&mut text).await?;
    let count = String::from_utf8(text)?
        .lines()
        .find_map(|line| Some(line.strip_prefix("total_commands_processed:")?.parse()))
        .ok_or("the server does not tell how many commands it has run")?;
    Ok(count?)
}

/// Counts what clients send between two commands of ours.
async fn sent_between(monitor: &mut BufReader<TcpStream>, us: &str) -> Result<u64> {
    let (mut ours, mut sent) = (0, 0);
    let mut line = Vec::new();
    while ours < 2 {
        line.clear();
        if monitor.read_until(b'\n', &mut line).await? == 0 {
            return Err("the server stopped showing its commands".into());
        }
        match source(&line) {
            Some(source) if source == us.as_bytes() => ours += 1,
            Some(b"lua") | None => {}
            Some(_) if ours == 1 => sent += 1,
            Some(_) => {}
        }
    }
    Ok(sent)
}

/// Who gave a command, out of `+1700000000.123456 [0 127.0.0.1:50000] "PING"`.
fn source(line: &[u8]) -> Option<&[u8]> {
    let start = line.iter().position(|byte| *byte == b'[')? + 1;
    let length = line[start..].iter().position(|byte| *byte == b']')?;
    line[start..start + length].split(|byte| *byte == b' ').next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_and_a_script_are_told_apart_by_the_first_brackets() {
        let sources = [
            (
                &b"+1700000000.123456 [0 127.0.0.1:50000] \"SET\" \"[x]\"\r\n"[..],
                Some(&b"127.0.0.1:50000"[..]),
            ),
            (b"+1700000000.123456 [0 lua] \"get\" \"x\"\r\n", Some(b"lua")),
            (b"+OK\r\n", None),
        ];
        for (line, expected) in sources {
            assert_eq!(source(line), expected);
        }
    }
}
