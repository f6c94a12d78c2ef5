//! How many commands servers are given.
//!
//! A server's own count, `total_commands_processed`, includes what its scripts call. `MONITOR` shows of each command
//! whether a client sent it or a script called it, and in the order in which they were run, so that the same two `INFO`s
//! bound both counts. It does not show the few commands that are for administrators only.

use std::{
    net::SocketAddr,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt, future::try_join_all};
use redis::{AsyncConnectionConfig, Client, InfoDict, aio::MultiplexedConnection, cmd};
use tokio::time::sleep;

use crate::Result;

/// Commands a second that servers were given together, without what counting took.
pub struct PerSecond {
    /// What clients sent.
    pub sent: f64,
    /// What the servers count, which is the same with what scripts called.
    pub processed: f64,
}

/// Counts on several servers at once, and adds them up.
pub async fn count(servers: &[SocketAddr], window: Duration) -> Result<PerSecond> {
    let all = try_join_all(servers.iter().map(|server| count_one(*server, window))).await?;
    let window = all.iter().map(|(window, ..)| *window).max().unwrap_or(window);
    let per_second = |count: u64| count as f64 / window.as_secs_f64();
    Ok(PerSecond {
        sent: per_second(all.iter().map(|(_, sent, _)| sent).sum()),
        processed: per_second(all.iter().map(|(.., processed)| processed).sum()),
    })
}

async fn count_one(server: SocketAddr, window: Duration) -> Result<(Duration, u64, u64)> {
    let client = Client::open(format!("redis://{server}"))?;
    // A busy server may be slow to answer.
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut asking = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let told: String = cmd("CLIENT").arg("INFO").query_async(&mut asking).await?;
    let us = told.split(' ').find_map(|word| word.strip_prefix("addr="));
    let us = us.ok_or("the server does not tell the address of a client")?;
    let mut monitor = client.get_async_monitor().await?;

    let asked = async {
        let before = processed(&mut asking).await?;
        let started = Instant::now();
        sleep(window).await;
        let after = processed(&mut asking).await?;
        Ok((started.elapsed(), after - before))
    };
    let (sent, (window, processed)) = tokio::try_join!(sent_between(monitor.on_message(), us), asked)?;
    // The first question is in the second answer.
    Ok((window, sent, processed.saturating_sub(1)))
}

/// How many commands the server has run.
async fn processed(connection: &mut MultiplexedConnection) -> Result<u64> {
    let info: InfoDict = cmd("INFO").arg("stats").query_async(connection).await?;
    let count = info.get("total_commands_processed");
    Ok(count.ok_or("the server does not tell how many commands it has run")?)
}

/// Counts what clients send between two commands of ours.
async fn sent_between(commands: impl Stream<Item = String>, us: &str) -> Result<u64> {
    let mut commands = pin!(commands);
    let (mut ours, mut sent) = (0, 0);
    while ours < 2 {
        let line = commands.next().await.ok_or("the server stopped showing its commands")?;
        match source(&line) {
            Some(source) if source == us => ours += 1,
            Some("lua") | None => {}
            Some(_) if ours == 1 => sent += 1,
            Some(_) => {}
        }
    }
    Ok(sent)
}

/// The connection that gave a command, out of `1700000000.123456 [0 127.0.0.1:50000] "PING"`.
fn source(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('[')?;
    let (brackets, _) = rest.split_once(']')?;
    brackets.split(' ').next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_and_a_script_are_told_apart_by_the_first_brackets() {
        let sources = [
            (
                r#"1700000000.123456 [0 127.0.0.1:50000] "SET" "[x]""#,
                Some("127.0.0.1:50000"),
            ),
            (r#"1700000000.123456 [0 lua] "get" "x""#, Some("lua")),
            ("OK", None),
        ];
        for (line, expected) in sources {
            assert_eq!(source(line), expected);
        }
    }
}
