//! A real server process as a value that cleans up after itself.
//!
//! The fixture blocks, on purpose: the body of a test runs on a thread of its own and not on one of the runtime's
//! workers, so nothing of the library waits while a server starts.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client::Connection;
use crate::place::{Directory, Port};
use crate::process::{CONFIGURATION, Process};
use crate::resp::Reply;
use crate::settings::RedisServerBuilder;
use crate::wait::{PATIENCE, block_until, within};

/// The fixture's own way in, which no password, port or certificate bars.
pub(crate) const SOCKET: &str = "redis.sock";
pub(crate) const ADMIN: &str = "the-fixture";

/// Whether all tests that name servers one by one are run through the relay, which `MULTIREDLOCK_TEST_DISTRUST` asks for.
pub fn are_untrusted() -> bool {
    std::env::var_os("MULTIREDLOCK_TEST_DISTRUST").is_some()
}

/// A Redis or Valkey server on a port and in a directory of its own, killed on drop.
#[derive(Debug)]
pub struct RedisServer {
    pub(crate) port: Port,
    pub(crate) tls: bool,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) process: Mutex<Option<Process>>,
    // Last, since fields drop in order: the process ends before its directory goes.
    pub(crate) directory: Directory,
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl RedisServer {
    /// A server with an empty memory and no settings of its own.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The settings of a server that is not started yet.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::new()
    }

    /// The host and port that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The address as a client of the library takes it.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}?untrusted={}", self.address(), are_untrusted())
    }

    /// The address with something between the scheme and the host: `user:password`.
    pub fn url_as(&self, credentials: &str) -> String {
        self.url().replacen("://", &format!("://{credentials}@"), 1)
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.file(SOCKET)
    }

    /// Kills the process as a power cut would.
    pub fn crash(&self) {
        self.process().take();
    }

    /// Starts the process again on the same port: with an empty memory, unless the server was built to keep it.
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same, or why the server does not answer.
    pub fn try_restart(&self) -> io::Result<()> {
        self.try_spawn()?;
        self.wait_for("is not ready", |reply| *reply == Reply::Text("PONG".to_owned()))
    }

    /// Whether a process was started and not crashed since.
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Starts the process again and returns while it is still reading its data, until `finish_loading`.
    ///
    /// Needs a server that keeps its memory.
    pub fn restart_loading(&self) {
        // While it loads, a server looks after its clients once in about a thousand commands.
        let many = "for i = 1, 30000 do redis.call('SET', KEYS[1], i) end redis.call('DEL', KEYS[1])";
        self.command(&["EVAL", many, "1", "ballast"]);
        self.append("key-load-delay 50");
        let is_loading = |reply: &Reply| matches!(reply, Reply::Error(error) if error.starts_with("LOADING"));
        let loads = self
            .try_spawn()
            .and_then(|()| self.wait_for("is not loading", is_loading));
        loads.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets the server read the rest of its data at full speed.
    pub fn finish_loading(&self) {
        self.command(&["CONFIG", "SET", "key-load-delay", "0"]);
    }

    /// Stops the process where it stands. Its connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process()
            .as_mut()
            .expect("only a running server can be frozen")
            .freeze();
    }

    /// Lets the process go on.
    pub fn thaw(&self) {
        self.process()
            .as_mut()
            .expect("only a frozen server can be thawed")
            .thaw();
    }

    /// Runs one command as a user who may do everything, on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Reply {
        match self.try_command(words) {
            Ok(reply) => reply,
            Err(error) => panic!("{words:?} failed on {}: {error}", self.address()),
        }
    }

    /// All keys in the database that a client sees by default.
    pub fn keys(&self) -> Vec<String> {
        self.command(&["KEYS", "*"]).texts()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<String> {
        match self.command(&["GET", key]) {
            Reply::Nil => None,
            reply => Some(reply.text()),
        }
    }

    /// What is left of the key's time to live in milliseconds; negative when there is no such key or no expiry.
    pub fn pttl(&self, key: &str) -> i64 {
        self.command(&["PTTL", key]).integer()
    }

    /// How often the server has run a command, inside of scripts too.
    pub fn calls(&self, command: &str) -> u64 {
        let statistics = self.command(&["INFO", "commandstats"]).text();
        let start = format!("cmdstat_{command}:calls=");
        let counted = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.split(',').next());
        counted.map_or(0, |calls| calls.parse().expect("the server counts in whole numbers"))
    }

    /// Of how many keys the server is going to tell somebody when they change, who may be gone.
    pub fn watched(&self) -> usize {
        self.statistic("tracking_total_keys")
    }

    /// How many connections want to be told when a key changes.
    pub fn listeners(&self) -> usize {
        self.statistic("tracking_clients")
    }

    /// A number that the server reports about itself, or zero if it does not know the name.
    pub fn statistic(&self, name: &str) -> usize {
        let statistics = self.command(&["INFO"]).text();
        let mut fields = statistics.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(field, _)| *field == name);
        found.map_or(0, |(_, count)| {
            count.parse().expect("the server counts in whole numbers")
        })
    }

    /// The connections of everyone but the fixture, one line each.
    pub fn clients(&self) -> Vec<String> {
        let ours = format!("user={ADMIN} ");
        let list = self.command(&["CLIENT", "LIST"]).text();
        list.lines()
            .filter(|line| !line.contains(&ours))
            .map(str::to_owned)
            .collect()
    }

    /// Closes the connections of everyone but the fixture.
    pub fn kill_clients(&self) {
        self.kill(self.clients());
    }

    /// Closes the connections with this name.
    pub fn kill_clients_named(&self, name: &str) {
        let name = format!(" name={name} ");
        self.kill(self.clients().into_iter().filter(|client| client.contains(&name)));
    }

    fn kill(&self, clients: impl IntoIterator<Item = String>) {
        for client in clients {
            let id = client.split(' ').find_map(|field| field.strip_prefix("id="));
            self.command(&["CLIENT", "KILL", "ID", id.expect("each client has an id")]);
        }
    }

    /// The same, or why there is no answer.
    pub fn try_command(&self, words: &[&str]) -> io::Result<Reply> {
        let mut connection = Connection::open(&self.socket())?;
        connection.command(&["AUTH", ADMIN, "any"])?;
        connection.command(words)
    }

    /// Starts a process that cannot be asked whether it is ready.
    pub fn spawn_unasked(&self) {
        self.try_spawn().unwrap_or_else(|error| panic!("{error}"));
        block_until("the socket is there", || self.socket().exists());
    }

    fn try_spawn(&self) -> io::Result<()> {
        let mut process = self.process();
        // The old process must be gone before its successor asks for the port.
        process.take();
        *process = Some(Process::spawn(&self.directory, self.arguments, &self.environment)?);
        Ok(())
    }

    /// Waits until the answer to a PING is as it should be, while the process lives.
    fn wait_for(&self, fault: &str, is_ready: impl Fn(&Reply) -> bool) -> io::Result<()> {
        let started = within(PATIENCE, || {
            if let Some(words) = self.process().as_mut()?.last_words(&self.directory) {
                return Some(Err(format!("the server did not start:\n{words}")));
            }
            let answers = self.try_command(&["PING"]).is_ok_and(|reply| is_ready(&reply));
            answers.then_some(Ok(()))
        });
        let started = started.unwrap_or_else(|| Err(format!("the server at {} {fault}", self.address())));
        started.map_err(io::Error::other)
    }

    fn append(&self, line: &str) {
        let file = self.directory.file(CONFIGURATION);
        let lines = fs::read_to_string(&file).expect("the file was written before the start");
        fs::write(file, format!("{lines}\n{line}\n")).expect("the directory is writable");
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_test_that_panics_leaves_neither_a_process_nor_a_directory() {
        let place = Mutex::new(None);
        let panicked = catch_unwind(|| {
            let server = RedisServer::start();
            server.freeze();
            *place.lock().unwrap() = Some((server.address(), server.socket()));
            panic!("as a test does");
        });
        assert!(panicked.is_err());
        let (address, socket) = place.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap();
        assert!(!socket.parent().unwrap().exists());
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_server_that_does_not_start_is_an_error_with_its_words() {
        let error = RedisServer::builder().line("nonsense yes").try_start().unwrap_err();
        assert!(error.to_string().contains("Bad directive"), "{error}");
    }

    #[test]
    fn a_server_that_keeps_its_memory_has_it_after_a_crash_on_the_same_port() {
        let servers = [RedisServer::start(), RedisServer::builder().keep_memory().start()];
        let values = servers.each_ref().map(|server| {
            let before = server.address();
            server.command(&["SET", "key", "value"]);
            server.crash();
            assert!(!server.is_running());
            server.restart();
            assert_eq!(server.address(), before);
            server.get("key")
        });
        assert_eq!(values, [None, Some("value".to_owned())]);
    }
}
