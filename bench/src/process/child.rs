//! A process as the one that started it sees it.

use std::{env, future::Future, net::SocketAddr, process::Stdio, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time,
};

use super::READY;
use crate::{
    Result,
    args::{self, Role},
    clock,
    contenders::Name,
};

/// Killed when dropped.
pub struct Process {
    what: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Returns when the process is connected and can start.
    pub async fn start(contender: Name, addresses: Vec<SocketAddr>, role: Role) -> Result<Self> {
        let what = format!("{contender}, {role:?}");
        let (process, input, output) = spawn(&args::Child {
            contender,
            addresses,
            role,
        })?;
        let mut started = Self {
            what,
            child: process,
            input,
            output: BufReader::new(output),
        };
        match started.line().await? {
            line if line == READY => Ok(started),
            line => Err(format!("not `{READY}` but `{line}`: {}", started.what).into()),
        }
    }

    /// Starts several processes, one after another.
    pub async fn start_all(
        contender: Name,
        addresses: &[SocketAddr],
        roles: impl Iterator<Item = Role>,
    ) -> Result<Vec<Self>> {
        let mut started = Vec::new();
        for role in roles {
            started.push(Self::start(contender, addresses.to_vec(), role).await?);
        }
        Ok(started)
    }

    /// Lets several processes begin at the same time, and returns it.
    pub async fn begin(processes: &mut [Self]) -> Result<Duration> {
        /// Enough for the last of them to hear of it before.
        const AHEAD: Duration = Duration::from_millis(100);
        let start = clock::now() + AHEAD;
        for process in processes {
            process.say(&clock::nanos(start).to_string()).await?;
        }
        Ok(start)
    }

    pub async fn say(&mut self, line: &str) -> Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(())
    }

    pub async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if bounded(&self.what, self.output.read_line(&mut line)).await? == 0 {
            return Err(format!("it ended before it was done: {}", self.what).into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// Reads what the process [writes](super::Parent::tell).
    pub async fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(serde_json::from_str(&self.line().await?)?)
    }

    /// Tells the process that nothing more is asked of it, and waits for it to be gone.
    pub async fn end(self) -> Result<()> {
        let Self {
            what,
            mut child,
            input,
            output: _output,
        } = self;
        drop(input);
        let status = bounded(&what, child.wait()).await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("it failed, {status}: {what}").into())
        }
    }
}

/// Starts a process, which is killed when dropped, and returns its standard input and output.
pub fn spawn(child: &args::Child) -> Result<(Child, ChildStdin, ChildStdout)> {
    let mut process = Command::new(env::current_exe()?)
        .args(child.arguments()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
        return Err("a process was started without its pipes".into());
    };
    Ok((process, input, output))
}

/// A process that has nothing to say for this long has a fault.
async fn bounded<T>(what: &str, answer: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    const BOUND: Duration = Duration::from_secs(60);
    let answer = time::timeout(BOUND, answer).await;
    Ok(answer.map_err(|_| format!("not a word within {BOUND:?}: {what}"))??)
}
