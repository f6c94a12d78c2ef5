//! The way to a host: its addresses, and a connection to the first that accepts one.
//!
//! fred tries the addresses of a name one after the other, and waits for the first that swallows what it is sent until the time is
//! up. So the addresses are tried side by side here, as in RFC 8305, and fred is given the one that won.

use super::preflight;
use crate::{decision::DownReason, text::Text};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::sleep,
};

/// How long an address is tried alone, at most, before the next is tried as well.
const ALONE: Duration = Duration::from_millis(250);

/// Connects to a host within about this limit, which the caller keeps.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, DownReason> {
    let addresses = resolve(host, port).await?;
    let alone = ALONE.min(limit / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX));
    race(addresses, alone).await.map_err(|error| preflight::reason(&error))
}

/// What names a host to fred: the address that was reached, if there is one.
pub(super) fn host(host: &str, reached: Option<SocketAddr>) -> String {
    match reached {
        // A link-local address is worth nothing without its interface.
        Some(SocketAddr::V6(reached)) if reached.scope_id() != 0 => format!("{}%{}", reached.ip(), reached.scope_id()),
        Some(reached) => reached.ip().to_string(),
        None => host.to_owned(),
    }
}

/// The addresses of a host, of which there is at least one, with those of both families in turn.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DownReason> {
    let unresolved = |problem: String| {
        // It is said already what failed.
        let problem = problem.trim_start_matches("failed to lookup address information: ");
        DownReason::Unresolved(Text::new(format!("`{host}`: {problem}")))
    };
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|error| unresolved(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(unresolved("it has no address".into()));
    }
    Ok(in_turn(found))
}

/// Puts the families in turn, and leaves the order within each.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = (addresses.into_iter()).partition(|address| address.is_ipv6() == first_is_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(one.next());
        turns.extend(other.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// The first connection to any of these addresses. The next is tried when one fails, or was tried alone for so long.
async fn race(addresses: Vec<SocketAddr>, alone: Duration) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter();
    // Dropping it ends what is under way.
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(address) = untried.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            biased;
            tried = attempts.join_next() => match tried {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = Some(error),
                Some(Err(_)) => {}
                None => return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            },
            () = sleep(alone), if untried.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    const LONG: Duration = Duration::from_secs(20);

    /// Something that swallows what it is sent: its queue is full. It does so for as long as the second lives.
    async fn swallowing() -> (SocketAddr, impl Sized) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream);
        }
        (address, (listener, queued))
    }

    async fn listening() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    async fn refusing() -> SocketAddr {
        listening().await.0
    }

    async fn reached(addresses: Vec<SocketAddr>) -> io::Result<SocketAddr> {
        let raced = timeout(LONG, race(addresses, Duration::from_millis(20))).await;
        raced.expect("it is not waited for the dead")?.peer_addr()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_swallows_everything_is_not_waited_for() {
        let ((dead, _queue), (live, _listener)) = (swallowing().await, listening().await);
        assert_eq!(reached(vec![dead, dead, live]).await.unwrap(), live);
        assert_eq!(reached(vec![dead, refusing().await, live]).await.unwrap(), live);
        assert_eq!(reached(vec![live, dead]).await.unwrap(), live);
    }

    #[tokio::test]
    async fn if_every_address_fails_it_is_told_how() {
        let refused = reached(vec![refusing().await, refusing().await]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(reached(Vec::new()).await.is_err());
    }

    #[test]
    fn the_families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"].map(address);
        assert_eq!(in_turn(vec![a, b, c, d]), [a, d, b, c]);
        assert_eq!(in_turn(vec![d, a, b]), [d, a, b]);
        assert_eq!(in_turn(vec![d]), [d]);
    }
}
