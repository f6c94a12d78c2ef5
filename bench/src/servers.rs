//! Redis servers that belong to a run: each on a port and in a directory of its own, gone when dropped.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Result;

const READY_WITHIN: Duration = Duration::from_secs(5);
const STARTS: usize = 5;

/// A group of independent servers, killed when dropped.
pub struct Servers(Vec<Server>);

impl Servers {
    pub fn start(count: usize) -> Result<Self> {
        (0..count).map(|_| Server::start()).collect::<Result<_>>().map(Self)
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|server| server.address).collect()
    }

    /// Stops a server as an overloaded or suspended machine would: its connections stay open and nothing is answered.
    pub fn freeze(&self, index: usize) -> Result<()> {
        self.0[index].signal(Signal::SIGSTOP)
    }

    pub fn thaw(&self, index: usize) -> Result<()> {
        self.0[index].signal(Signal::SIGCONT)
    }
}

/// The server to run: `REDIS_SERVER`, or what the path holds.
pub fn binary() -> OsString {
    env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

struct Server {
    address: SocketAddr,
    process: Child,
    // Removed after the process is killed, which `drop` does before the fields are dropped.
    _directory: Directory,
}

impl Server {
    /// Tries again on another port when somebody else took the free one before the server could.
    fn start() -> Result<Self> {
        let mut attempts = 1;
        loop {
            match Self::start_once() {
                Ok(server) => return Ok(server),
                Err(error) if attempts == STARTS => return Err(error),
                Err(_) => attempts += 1,
            }
        }
    }

    fn start_once() -> Result<Self> {
        let directory = Directory::create()?;
        let address = free_address()?;
        let process = Command::new(binary())
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(&directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("could not start {}: {error}", binary().display()))?;
        let mut server = Self {
            address,
            process,
            _directory: directory,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("the server at {} ended at once: {status}", self.address).into());
            }
            if ping(self.address).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("the server at {} was not ready within {READY_WITHIN:?}", self.address).into())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.process.id())?);
        Ok(kill(pid, signal)?)
    }
}

impl Drop for Server {
    /// Kills the server, frozen or not, and waits for it to be gone.
    fn drop(&mut self) {
        // Either fails only when the process has already ended and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Directory(PathBuf);

impl Directory {
    pub fn create() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "multiredlock-bench-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Directory {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // An empty directory that stays behind harms nobody, and a destructor has nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn ping(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, READY_WITHIN)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if &answer == b"+PONG\r\n" {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
