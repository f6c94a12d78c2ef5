//! What a server is started with.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::sync::Mutex;

use crate::place::{Directory, Port};
use crate::process::CONFIGURATION;
use crate::server::{ADMIN, RedisServer, SOCKET};

/// A server that has a place to live and settings, and no process yet.
#[derive(Debug)]
#[must_use = "the server starts with `start`"]
pub struct RedisServerBuilder {
    port: Port,
    pub(crate) directory: Directory,
    pub(crate) tls: bool,
    arguments: &'static [&'static str],
    environment: Vec<(&'static str, OsString)>,
    lines: Vec<String>,
}

impl RedisServerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            port: Port::reserve(),
            directory: Directory::create(),
            tls: false,
            arguments: &[],
            environment: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// A node that knows no other yet.
    pub fn node_of_a_cluster() -> Self {
        let node = Self {
            port: Port::reserve_for_a_node(),
            ..Self::new()
        };
        node.line("cluster-enabled yes")
            .line("cluster-announce-ip 127.0.0.1")
            .line("cluster-node-timeout 2000")
    }

    /// Not a server but a sentinel, which is alone and quick to decide.
    pub fn sentinel_of(mut self, service: &str, master: &RedisServer) -> Self {
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
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// A variable of the process's environment.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The password of the default user.
    pub fn password(self, password: &str) -> Self {
        self.line(format!("requirepass {password}"))
    }

    /// A user by its ACL rules: `user("locker", "on >secret ~locks:* +@all")`.
    pub fn user(self, name: &str, rules: &str) -> Self {
        self.line(format!("user {name} {rules}"))
    }

    /// Every write is on disk before it is answered, so the memory outlives a crash.
    pub fn keep_memory(self) -> Self {
        self.line("appendonly yes").line("appendfsync always")
    }

    /// A replica, whose memory is that of its primary.
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        let address = primary.address();
        self.line(format!("replicaof {} {}", address.ip(), address.port()))
    }

    /// A server that answers.
    pub fn start(self) -> RedisServer {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// A server that answers, or why there is none.
    pub fn try_start(self) -> io::Result<RedisServer> {
        let server = self.prepare();
        server.try_restart()?;
        Ok(server)
    }

    /// A server that has an address and has not been started yet.
    pub fn prepare(self) -> RedisServer {
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
        RedisServer {
            port: self.port,
            tls: self.tls,
            arguments: self.arguments,
            environment: self.environment,
            process: Mutex::new(None),
            directory: self.directory,
        }
    }
}
