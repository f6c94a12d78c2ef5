//! A Redis server that is killed and started again, on the same port and with the same directory.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Result,
    servers::{Directory, binary, free_address},
};

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A clock that gains 5 ms a second, 15 ms of a drift of 100 ms over the longest ttl.
const RATE: &str = "+0 x1.005";

/// A server, killed when dropped.
pub struct Redis {
    address: SocketAddr,
    keeps_memory: bool,
    faketime: Option<PathBuf>,
    process: Mutex<Option<Child>>,
    directory: Directory,
}

/// Where libfaketime is, if it is installed.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let mut installed = libraries.filter(|library| library.exists());
    installed.next()
}

impl Redis {
    /// A server that does not start with libfaketime is started without.
    pub fn start(keeps_memory: bool, faketime: Option<&Path>) -> Result<Self> {
        match Self::start_with(keeps_memory, faketime) {
            Err(_) if faketime.is_some() => Self::start_with(keeps_memory, None),
            other => other,
        }
    }

    fn start_with(keeps_memory: bool, faketime: Option<&Path>) -> Result<Self> {
        let server = Self {
            address: free_address()?,
            keeps_memory,
            faketime: faketime.map(Path::to_path_buf),
            process: Mutex::new(None),
            directory: Directory::create()?,
        };
        server.restart_if_down()?;
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn has_faketime(&self) -> bool {
        self.faketime.is_some()
    }

    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            // Either fails only when the process has already ended and been waited for.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn restart_if_down(&self) -> Result<()> {
        let mut process = self.process();
        if process.is_some() {
            return Ok(());
        }
        let mut command = Command::new(binary());
        command
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--save", "", "--daemonize", "no", "--dir"])
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.keeps_memory {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if let Some(library) = &self.faketime {
            // An allocator that reads the clock before libfaketime has found it calls it for ever. The C library's does not.
            let preload = format!("{} libc.so.6", library.display());
            command.env("LD_PRELOAD", preload).env("FAKETIME", RATE);
        }
        *process = Some(
            command
                .spawn()
                .map_err(|error| format!("could not start {}: {error}", binary().display()))?,
        );
        drop(process);
        let started = Instant::now();
        while self.command(&["PING"]).ok().as_deref() != Some("+PONG") {
            let is_alive = |process: &mut Child| process.try_wait().is_ok_and(|end| end.is_none());
            let has_ended = !self.process().as_mut().is_some_and(is_alive);
            if has_ended || started.elapsed() > READY_WITHIN {
                return Err(format!("the server at {} is not ready", self.address).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match &*self.process() {
            Some(process) => Ok(kill(Pid::from_raw(i32::try_from(process.id())?), signal)?),
            None => Ok(()),
        }
    }

    /// The keys that are no fences.
    pub fn locks(&self) -> Result<Vec<String>> {
        let keys = self.command(&["KEYS", "*"])?;
        let is_lock = |line: &&str| !line.starts_with(['*', '$']) && !line.contains(":fence:");
        Ok(keys.lines().filter(is_lock).map(str::to_owned).collect())
    }

    /// How many connections there are besides the one that asks.
    pub fn connections(&self) -> Result<usize> {
        let clients = self.command(&["CLIENT", "LIST"])?;
        let count = clients.lines().filter(|line| line.contains("addr=")).count();
        Ok(count.saturating_sub(1))
    }

    /// Runs a command on a connection of its own, and returns the reply as it came, without the end of its last line.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            // Writing to a string does not fail.
            let _ = write!(request, "${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(request.as_bytes())?;
        let mut reply = String::new();
        read(&mut BufReader::new(stream), &mut reply)?;
        Ok(reply.trim_end().to_owned())
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one reply.
fn read(from: &mut impl BufRead, into: &mut String) -> Result<()> {
    let start = into.len();
    if from.read_line(into)? == 0 {
        return Err("the connection ended".into());
    }
    let line = into[start..].trim_end().to_owned();
    let length = || line[1..].parse::<usize>();
    match line.as_bytes().first() {
        Some(b'$') if line != "$-1" => {
            let mut text = vec![0; length()? + 2];
            from.read_exact(&mut text)?;
            *into += &String::from_utf8_lossy(&text);
        }
        Some(b'*') => {
            for _ in 0..length()? {
                read(from, into)?;
            }
        }
        _ => {}
    }
    Ok(())
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
