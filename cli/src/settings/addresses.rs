//! A list of addresses in one text, separated by commas, which passwords may contain too.

use crate::exit::{self, Failure};
use multiredlock::{ConfigError, Server, error::AddressProblem};

/// How a list is refused: without any part of it.
const RULE: &str = "the list of servers is ambiguous: write a comma in a user name, a password or a parameter as `%2C`, \
                    and begin each address that has an `@` with its scheme, such as `redis://`";

/// Splits a list into its addresses.
///
/// A comma ends an address if one with a scheme follows, or if no `@` follows that could end a password. Nothing of a list that
/// can be read in two ways is shown or connected to.
pub(crate) fn split(list: &str) -> Result<Vec<String>, Failure> {
    let mut addresses = Vec::new();
    for section in sections(list) {
        let parts = parts(section).ok_or_else(|| Failure::new(exit::CONFIG, RULE))?;
        addresses.extend(parts.into_iter().map(Into::into));
    }
    Ok(addresses)
}

/// Splits before each scheme.
fn sections(list: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    let mut start = 0;
    for (comma, _) in list.match_indices(',') {
        if begins_with_scheme(&list[comma + 1..]) {
            sections.push(&list[start..comma]);
            start = comma + 1;
        }
    }
    sections.push(&list[start..]);
    sections
}

fn begins_with_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.trim_start().split_once("://") else {
        return false;
    };
    let is_scheme = scheme.chars().all(|c| c.is_ascii_lowercase() || "+-".contains(c));
    // The library knows which schemes there are. An address without a host has another problem.
    is_scheme
        && !matches!(
            Server::parse(&format!("{scheme}://")),
            Err(ConfigError::Address {
                problem: AddressProblem::Scheme(_),
                ..
            })
        )
}

/// Splits what may have credentials in its first address only. None if that could be read in two ways.
fn parts(section: &str) -> Option<Vec<&str>> {
    let Some(first) = section.find(',') else {
        return Some(vec![section]);
    };
    let mut commas = section.match_indices(',');
    if commas.any(|(comma, _)| is_in_secret(&section[..comma])) {
        return None;
    }
    let Some(at) = section[first..].find('@').map(|at| first + at) else {
        return Some(section.split(',').collect());
    };
    let head = &section[..first];
    if head.contains('@') || may_be_whole(head) {
        return None;
    }
    // So the comma is in the password, which ends here.
    let end = section[at..].find(',').map_or(section.len(), |end| at + end);
    let (address, others) = section.split_at(end);
    if others.contains('@') {
        return None;
    }
    let mut parts = vec![address];
    parts.extend(others.split(',').skip(1));
    Some(parts)
}

/// Whether a text ends within a parameter that nobody may see.
fn is_in_secret(text: &str) -> bool {
    let parameter = text.rsplit(['?', '&']).next().unwrap_or(text);
    parameter.starts_with("sentinelUsername=") || parameter.starts_with("sentinelPassword=")
}

/// Whether this could be an address without credentials: a host, perhaps with a port.
fn may_be_whole(head: &str) -> bool {
    let rest = head.split_once("://").map_or(head, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest).trim();
    match authority.split_once(':') {
        Some(("", _)) => false,
        Some((host, port)) => host.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each list, split where `;` stands for a comma.
    fn are_split(lists: &[&str]) {
        for list in lists {
            let addresses: Vec<_> = list.split(';').collect();
            assert_eq!(split(&list.replace(';', ",")).unwrap(), addresses, "{list}");
        }
    }

    #[test]
    fn a_list_is_split_at_the_commas_between_addresses() {
        are_split(&[
            "",
            "h",
            "a;b:1;[::1]:2",
            "a; redis://b",
            "redis://u:p@a;b;c:1",
            "rediss://u:p@a;valkeys://v:q@b",
            "redis-sentinel://a?sentinelServiceName=s;redis-cluster://b?node=c;redis+unix:///d",
            "redis+unix:///a;redis+unix:///b",
            "redis://a?untrusted=true;b",
            "h;foo://h",
        ]);
    }

    #[test]
    fn a_comma_in_a_password_is_a_part_of_it() {
        are_split(&[
            "redis://u:p,w@h",
            "u:p,w@h",
            "redis://:p,w@h",
            "redis://:12,34@h",
            "redis://u:p,a,w@h;b;c:1",
            "a;redis://u:p,,w@h",
            "redis://u:p,w@a;redis://u:p,w@b",
            "redis://u:1%2C2@a;b",
        ]);
    }

    #[test]
    fn a_list_that_can_be_read_in_two_ways_is_refused_and_not_shown() {
        for list in [
            "redis://u:12,secret@h",
            "redis://u,secret@h",
            "redis://u:,secret@h",
            "redis://u:12,34@redis://secret@h",
            "redis://u:12/0,secret@h",
            "redis://[::1]:1,u:secret@h",
            "redis://u:p@w,secret@h",
            "redis://u:p,w@a,u:secret@b",
            "u:p@a,u:secret@b",
            "redis://u:12,foo://secret@h",
            "redis-sentinel://a?sentinelServiceName=s&sentinelPassword=p,secret",
            "redis://u:1?p,secret@h",
            "redis://u:1#p,secret@h",
        ] {
            let failure = split(list).expect_err(list);
            assert_eq!(failure.code, exit::CONFIG);
            assert!(failure.message.contains("`%2C`"), "{failure:?}");
            assert!(!failure.message.contains("secret"), "{failure:?}");
        }
    }
}
