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
    arguments: &'static [&'static str],
    lines: Vec<String>,
}

impl RedisServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            port: Port::reserve(),
            directory: Directory::create(),
            tls: false,
            arguments: &[],
            lines: Vec::new(),
        }
    }

    /// A node that knows no other yet.
    pub(super) fn node_of_a_cluster() -> Self {
        let node = Self {
            port: Port::reserve_for_a_node(),
            ..Self::new()
        };
        node.line("cluster-enabled yes")
            .line("cluster-announce-ip 127.0.0.1")
            .line("cluster-node-timeout 2000")
    }

    /// Not a server but a sentinel, which is alone and quick to decide.
    pub(crate) fn sentinel_of(mut self, service: &str, master: &RedisServer) -> Self {
        self.arguments = &["--sentinel"];
        let address = master.address();
        self.line(format!(
            "sentinel monitor {service} {} {} 1",
            address.ip(),
            address.port()
        ))
        .line(format!("sentinel down-after-milliseconds {service} 300"))
        .line(format!("sentinel failover-timeout {service} 2000"))
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
        RedisServer::new(self.port, self.directory, self.tls, self.arguments)
    }
}
