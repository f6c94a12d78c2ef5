//! A real server process as a value that cleans up after itself.
//!
//! The fixture blocks, on purpose: the body of a test runs on a thread of its own and not on one of the runtime's
//! workers, so nothing of the library waits while a server starts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::daemon::{CONFIGURATION, Process};
use super::place::{Directory, Port};
use super::resp::{Connection, Reply};
use super::setup::RedisServerBuilder;
use super::wait::block_until;

/// The fixture's own way in, which no password, port or certificate bars.
pub(super) const SOCKET: &str = "redis.sock";
pub(super) const ADMIN: &str = "the-fixture";

/// Whether all tests that name servers one by one are run through the relay, which `MULTIREDLOCK_TEST_DISTRUST` asks for.
pub(crate) fn are_distrusted() -> bool {
    std::env::var_os("MULTIREDLOCK_TEST_DISTRUST").is_some()
}

/// A Redis or Valkey server on a port and in a directory of its own, killed on drop.
#[derive(Debug)]
pub(crate) struct RedisServer {
    port: Port,
    tls: bool,
    arguments: &'static [&'static str],
    process: Mutex<Option<Process>>,
    // Last, since fields drop in order: the process ends before its directory goes.
    directory: Directory,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    pub(crate) fn builder() -> RedisServerBuilder {
        RedisServerBuilder::new()
    }

    pub(super) fn new(port: Port, directory: Directory, tls: bool, arguments: &'static [&'static str]) -> Self {
        Self {
            port,
            tls,
            arguments,
            process: Mutex::new(None),
            directory,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}?distrusted={}", self.address(), are_distrusted())
    }

    /// The address with something between the scheme and the host: `user:password`.
    pub(crate) fn url_as(&self, credentials: &str) -> String {
        self.url().replacen("://", &format!("://{credentials}@"), 1)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.file(SOCKET)
    }

    /// Kills the process as a power cut would.
    pub(crate) fn crash(&self) {
        self.process().take();
    }

    /// Starts the process again on the same port: with an empty memory, unless the server was built to keep it.
    pub(crate) fn restart(&self) {
        self.spawn();
        block_until("the server is ready", || {
            self.ping() == Some(Reply::Text("PONG".to_owned()))
        });
    }

    /// Starts the process again and returns while it is still reading its data, until `finish_loading`.
    ///
    /// Needs a server that keeps its memory.
    pub(crate) fn restart_loading(&self) {
        // While it loads, a server looks after its clients once in about a thousand commands.
        let many = "for i = 1, 30000 do redis.call('SET', KEYS[1], i) end redis.call('DEL', KEYS[1])";
        self.command(&["EVAL", many, "1", "ballast"]);
        self.append("key-load-delay 50");
        self.spawn();
        block_until(
            "the server is loading",
            || matches!(self.ping(), Some(Reply::Error(error)) if error.starts_with("LOADING")),
        );
    }

    pub(crate) fn finish_loading(&self) {
        self.command(&["CONFIG", "SET", "key-load-delay", "0"]);
    }

    /// Stops the process where it stands. Its connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.process()
            .as_mut()
            .expect("only a running server can be frozen")
            .freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process()
            .as_mut()
            .expect("only a frozen server can be thawed")
            .thaw();
    }

    /// Runs one command as a user who may do everything, on a connection of its own.
    pub(crate) fn command(&self, words: &[&str]) -> Reply {
        match self.try_command(words) {
            Ok(reply) => reply,
            Err(error) => panic!("{words:?} failed on {}: {error}", self.address()),
        }
    }

    /// All keys in the database that a client sees by default.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.command(&["KEYS", "*"]).texts()
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        match self.command(&["GET", key]) {
            Reply::Nil => None,
            reply => Some(reply.text()),
        }
    }

    /// What is left of the key's time to live in milliseconds; negative when there is no such key or no expiry.
    pub(crate) fn pttl(&self, key: &str) -> i64 {
        self.command(&["PTTL", key]).integer()
    }

    /// How often the server has run a command, inside of scripts too.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let statistics = self.command(&["INFO", "commandstats"]).text();
        let start = format!("cmdstat_{command}:calls=");
        let counted = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.split(',').next());
        counted.map_or(0, |calls| calls.parse().expect("the server counts in whole numbers"))
    }

    /// Of how many keys the server is going to tell somebody when they change, who may be gone.
    pub(crate) fn watched(&self) -> usize {
        self.statistic("tracking_total_keys")
    }

    /// How many connections want to be told when a key changes.
    pub(crate) fn listeners(&self) -> usize {
        self.statistic("tracking_clients")
    }

    fn statistic(&self, name: &str) -> usize {
        let statistics = self.command(&["INFO"]).text();
        let mut fields = statistics.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(field, _)| *field == name);
        found.map_or(0, |(_, count)| {
            count.parse().expect("the server counts in whole numbers")
        })
    }

    /// The connections of everyone but the fixture, one line each.
    pub(crate) fn clients(&self) -> Vec<String> {
        let ours = format!("user={ADMIN} ");
        let list = self.command(&["CLIENT", "LIST"]).text();
        list.lines()
            .filter(|line| !line.contains(&ours))
            .map(str::to_owned)
            .collect()
    }

    /// Closes the connections of everyone but the fixture.
    pub(crate) fn kill_clients(&self) {
        self.kill(self.clients());
    }

    /// Closes the connections with this name.
    pub(crate) fn kill_clients_named(&self, name: &str) {
        let name = format!(" name={name} ");
        self.kill(self.clients().into_iter().filter(|client| client.contains(&name)));
    }

    fn kill(&self, clients: impl IntoIterator<Item = String>) {
        for client in clients {
            let id = client.split(' ').find_map(|field| field.strip_prefix("id="));
            self.command(&["CLIENT", "KILL", "ID", id.expect("each client has an id")]);
        }
    }

    pub(super) fn try_command(&self, words: &[&str]) -> io::Result<Reply> {
        let mut connection = Connection::open(&self.socket())?;
        connection.command(&["AUTH", ADMIN, "any"])?;
        connection.command(words)
    }

    /// Starts a process that cannot be asked whether it is ready.
    pub(crate) fn spawn_unasked(&self) {
        self.spawn();
        block_until("the socket is there", || self.socket().exists());
    }

    pub(super) fn spawn(&self) {
        let mut process = self.process();
        // The old process must be gone before its successor asks for the port.
        process.take();
        *process = Some(Process::spawn(&self.directory, self.arguments));
    }

    fn append(&self, line: &str) {
        let file = self.directory.file(CONFIGURATION);
        let lines = fs::read_to_string(&file).expect("the file was written before the start");
        fs::write(file, format!("{lines}\n{line}\n")).expect("the directory is writable");
    }

    fn ping(&self) -> Option<Reply> {
        if let Some(words) = self.last_words() {
            panic!("the server did not start:\n{words}");
        }
        self.try_command(&["PING"]).ok()
    }

    /// What the server said before it ended by itself, if it did.
    pub(super) fn last_words(&self) -> Option<String> {
        self.process().as_mut()?.last_words(&self.directory)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
