//! What a server is started with.

use std::fs;

use super::daemon::CONFIGURATION;
use super::place::{Directory, Port};
use super::redis::{ADMIN, RedisServer, SOCKET};

/// A server that has a place to live and settings, and no process yet.
#[derive(Debug)]
#[must_use = "the server starts with `start`"]
pub(crate) struct RedisServerBuilder {
    port: Port,
    pub(super) directory: Directory,
    pub(super) tls: bool,
    lines: Vec<String>,
}

impl RedisServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            port: Port::reserve(),
            directory: Directory::create(),
            tls: false,
            lines: Vec::new(),
        }
    }

    /// Any line of the configuration file.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub(crate) fn password(self, password: &str) -> Self {
        self.line(format!("requirepass {password}"))
    }

    /// A user by its ACL rules: `user("locker", "on >secret ~locks:* +@all")`.
    pub(crate) fn user(self, name: &str, rules: &str) -> Self {
        self.line(format!("user {name} {rules}"))
    }

    /// Every write is on disk before it is answered, so the memory outlives a crash.
    pub(crate) fn keep_memory(self) -> Self {
        self.line("appendonly yes").line("appendfsync always")
    }

    pub(crate) fn replica_of(self, primary: &RedisServer) -> Self {
        let address = primary.address();
        self.line(format!("replicaof {} {}", address.ip(), address.port()))
    }

    pub(crate) fn start(self) -> RedisServer {
        let server = self.prepare();
        server.restart();
        server
    }

    /// A server that has an address and has not been started yet.
    pub(crate) fn prepare(self) -> RedisServer {
        let number = self.port.address().port();
        let ports = if self.tls {
            format!("port 0\ntls-port {number}")
        } else {
            format!("port {number}")
        };
        let settings = format!(
            "bind 127.0.0.1\n{ports}\nunixsocket {SOCKET}\nuser {ADMIN} on nopass ~* &* +@all\n\
             daemonize no\nsave \"\"\nappendonly no\n{}\n",
            self.lines.join("\n")
        );
        fs::write(self.directory.file(CONFIGURATION), settings).expect("the directory is writable");
        RedisServer::new(self.port, self.directory, self.tls)
    }
}
