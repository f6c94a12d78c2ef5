//! Whether a load may be put on servers that others may use.

use crate::exit::{self, Failure};
use multiredlock::Server;
use std::{
    io::{self, BufRead, IsTerminal, Write},
    net::IpAddr,
};

/// How many places the question names.
const NAMED: usize = 3;

/// Asks whoever sits at the terminal, unless all servers are on this machine.
pub(super) fn ask<'a>(what: &str, addresses: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    let places: Vec<String> = addresses.flat_map(|address| elsewhere(address.trim())).collect();
    if places.is_empty() {
        return Ok(());
    }
    let mut places = list(&places);
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        places.insert_str(0, "not on this machine: ");
        let problem = format!("{places}; --yes is needed to {what} there, since there is no terminal to ask on");
        return Err(Failure::new(exit::USAGE, problem));
    }
    let read = |mut stderr: io::Stderr| {
        write!(stderr, "multiredlock: {what} on {places}? [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok::<_, io::Error>(answer)
    };
    let answer = read(io::stderr()).map_err(|error| Failure::new(exit::IO, format!("standard input: {error}")))?;
    if is_yes(&answer) {
        Ok(())
    } else {
        Err(Failure::new(exit::USAGE, "nobody agreed, so nothing was sent"))
    }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

fn list(places: &[String]) -> String {
    let (named, others) = places.split_at(places.len().min(NAMED));
    let named = named.join(", ");
    match others.len() {
        0 => named,
        others => format!("{named} and {others} more"),
    }
}

/// The places of a server, of which it may have several, that are not known to be on this machine.
fn elsewhere(address: &str) -> Vec<String> {
    if address.starts_with("redis+unix://") {
        return Vec::new();
    }
    // The library says what it is going to connect to first; the other nodes are only in the address.
    let first = Server::parse(address).map_or_else(|_| "…".into(), |server| server.address().to_string());
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let nodes = query.split('&').filter_map(|parameter| parameter.strip_prefix("node="));
    let first_node = first.rsplit(['/', '@']).next().unwrap_or(&first);
    let mut places = vec![first_node.to_owned()];
    places.extend(nodes.map(str::to_owned));
    places.retain(|place| !is_loopback(place));
    places
}

/// Whether a node, with or without its port, is reached without a network. Of a name but `localhost` that is not known.
fn is_loopback(node: &str) -> bool {
    let host = match node.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => node.rsplit_once(':').map_or(node, |(host, _)| host),
    };
    let address = host.parse().map(|address: IpAddr| address.to_canonical());
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_this_machine_is_one_that_no_network_leads_to() {
        for address in [
            "localhost",
            "LOCALHOST:1",
            "redis://user:10.0.0.1@localhost:6380/3",
            "127.0.0.1",
            "redis://127.255.255.254",
            "rediss://[::1]:1",
            "redis://[::ffff:127.0.0.1]",
            "redis+unix:///run/redis.sock",
            "redis+unix:///10.0.0.1?untrusted=true",
            "redis-cluster://localhost?node=127.0.0.1:2&node=[::1]:3",
            "redis-sentinel://localhost?sentinelServiceName=10.0.0.1&node=localhost:26380",
        ] {
            Server::parse(address).expect("it is an address");
            assert_eq!(elsewhere(address), [""; 0], "{address}");
        }
    }

    #[test]
    fn any_node_elsewhere_makes_it_a_server_elsewhere() {
        for (address, places) in [
            ("10.0.0.1", &["10.0.0.1:6379"][..]),
            ("redis://127.0.0.1:secret@10.0.0.1:1?untrusted=true", &["10.0.0.1:1"]),
            ("localhost.example.com", &["localhost.example.com:6379"]),
            ("redis://127.0.0.1.example.com", &["127.0.0.1.example.com:6379"]),
            ("redis://128.0.0.1", &["128.0.0.1:6379"]),
            ("redis://[::2]", &["[::2]:6379"]),
            ("redis-cluster://localhost?node=10.0.0.1&node=b:2", &["10.0.0.1", "b:2"]),
            ("redis-cluster://localhost?node=%5B::2%5D", &["%5B::2%5D"]),
            (
                "redis-sentinel://a?sentinelServiceName=s%40localhost&node=localhost",
                &["a:26379"],
            ),
        ] {
            Server::parse(address).expect("it is an address");
            assert_eq!(elsewhere(address), places, "{address}");
        }
    }

    #[test]
    fn only_a_yes_is_one() {
        let answers = ["y\n", " Yes\r\n", "\n", "", "yo\n"];
        assert_eq!(answers.map(is_yes), [true, true, false, false, false]);
    }

    #[test]
    fn a_question_names_a_few_places() {
        let places: Vec<String> = ["a:1", "b:1", "c:1", "d:1", "e:1"].map(String::from).into();
        assert_eq!(list(&places[..3]), "a:1, b:1, c:1");
        assert_eq!(list(&places), "a:1, b:1, c:1 and 2 more");
    }
}
