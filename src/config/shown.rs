//! What of an address may be shown: of the text where a port is expected, nothing but a port.

use std::net::Ipv6Addr;

/// The digits of 65535, the largest port.
const MOST_DIGITS: usize = 5;

/// Whether a text can be meant as a port. Any other text at its place may be a part of a password.
pub(super) fn is_port(text: &str) -> bool {
    (1..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A host with what follows it, where a text that cannot be a port is replaced by `…`.
pub(super) fn host_and_port(text: &str) -> String {
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let (host, port) = split_port(authority);
    match port {
        Some(port) if !port.is_empty() && !is_port(port) => format!("{host}:…{path}"),
        _ => text.into(),
    }
}

/// Whether it is an IPv6 address without its brackets, perhaps with a port, which cannot be told from the address then.
pub(super) fn is_bare_ipv6(authority: &str) -> bool {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let before_port = authority.rsplit_once(':').filter(|(_, port)| is_port(port));
    is_address(authority) || before_port.is_some_and(|(address, _)| is_address(address))
}

/// Splits at the colon behind the host, which is none of those in an IPv6 address.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    if is_bare_ipv6(authority) {
        return (authority, None);
    }
    let bracketed = authority.find(']').filter(|end| is_bracketed(&authority[..=*end]));
    let host = bracketed.map_or(0, |end| end + 1);
    match authority[host..].find(':') {
        Some(colon) => (&authority[..host + colon], Some(&authority[host + colon + 1..])),
        None => (authority, None),
    }
}

fn is_bracketed(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_port_is_shown_where_a_port_is_expected() {
        for shown in [
            "h",
            "",
            "h:1",
            "h:99999/x",
            "h:",
            "::1",
            "[::1]",
            "[::1]:6379/3",
            "/run/a:b.sock",
        ] {
            assert_eq!(host_and_port(shown), shown);
        }
        for (text, shown) in [
            ("h:x", "h:…"),
            ("h:x/1", "h:…/1"),
            ("h:123456", "h:…"),
            ("h:1:x", "h:…"),
            ("h:１", "h:…"),
            ("[::1]:x", "[::1]:…"),
            ("[a:x]:1", "[a:…"),
            ("x::1", "x:…"),
        ] {
            assert_eq!(host_and_port(text), shown);
        }
    }
}
