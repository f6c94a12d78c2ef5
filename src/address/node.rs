//! Servers that are made up of several processes, and how these are found.

use super::{AddressProblem, Endpoint};
use std::{fmt, net::Ipv6Addr};

/// One of the processes that make up a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Node {
    /// None if it is not a host and a port.
    pub(crate) fn new(host: String, port: u16) -> Option<Self> {
        let node = Self { host, port };
        node.problem().is_none().then_some(node)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp {
            host: self.host.clone(),
            port: self.port,
        }
    }

    /// Reads `host` or `host:port`; an IPv6 address stands in brackets.
    pub(crate) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<Ipv6Addr>().ok()?.to_string(),
            None if host.contains(':') => return None,
            None => host.into(),
        };
        Self::new(host, port)
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn problem(&self) -> Option<AddressProblem> {
        match self {
            Self { host, .. } if host.is_empty() => Some(AddressProblem::Missing("the host")),
            Self { host, .. } if !is_host(host) => Some(AddressProblem::Host),
            Self { port: 0, .. } => Some(AddressProblem::Port("0".into())),
            _ => None,
        }
    }
}

impl<H: Into<String>> From<(H, u16)> for Node {
    fn from((host, port): (H, u16)) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{}:{port}", host.to_ascii_lowercase())
        }
    }
}

/// Who is asked for the master, and what for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sentinels {
    pub(crate) service: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinels")
            .field("service", &self.service)
            .field("nodes", &self.nodes)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

fn is_host(host: &str) -> bool {
    // A sentinel may tell anything, and hosts are shown.
    let fits = |c: char| c.is_alphanumeric() || "-._".contains(c);
    host.chars().all(fits) || host.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_with_and_without_its_port() {
        for (text, node) in [
            ("h", "h:6379"),
            ("H:1", "h:1"),
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("[::1]", "[::1]:6379"),
            ("[::1]:7000", "[::1]:7000"),
        ] {
            assert_eq!(Node::parse(text, 6379).unwrap().to_string(), node);
        }
        for text in [
            "",
            ":1",
            "h:",
            "h:0",
            "h:65536",
            "h:x",
            "::1",
            "[h]",
            "[::1",
            "u@h:1",
            "redis://h",
            "h/1",
        ] {
            assert_eq!(Node::parse(text, 6379), None, "{text}");
        }
    }
}
