//! Server addresses as text.

#[cfg(feature = "tls")]
use super::Tls;
use super::{
    Server,
    shown::{host_and_port, is_bare_ipv6, is_port, split_port},
};
use crate::address::{AddressProblem, Endpoint, Node, REDIS_PORT, SENTINEL_PORT, Sentinels};
use url::Url;

const DISTRUSTED: &str = "untrusted";

/// Reads an address in any of the forms that [`Server::parse`] names.
pub(super) fn parse(address: &str) -> Result<Server, AddressProblem> {
    let Some((scheme, rest)) = split_scheme(address) else {
        return parse_tcp(&format!("redis://{address}"));
    };
    match scheme {
        "redis" | "valkey" => parse_tcp(address),
        "rediss" | "valkeys" => with_tls(parse_tcp(address)?),
        "redis-cluster" | "valkey-cluster" => parse_cluster(address),
        "rediss-cluster" | "valkeys-cluster" => with_tls(parse_cluster(address)?),
        "redis-sentinel" | "valkey-sentinel" => parse_sentinel(address),
        "rediss-sentinel" | "valkeys-sentinel" => with_tls(parse_sentinel(address)?),
        "redis+unix" => {
            let (path, query) = rest
                .split_once('?')
                .map_or((rest, None), |(path, query)| (path, Some(query)));
            with_query(parse_path(path, "the path of the socket").map(Server::unix)?, query)
        }
        "memory" => parse_path(rest, "the name").map(Server::memory),
        _ => Err(AddressProblem::Scheme(scheme.into())),
    }
}

/// What could be a scheme, and what comes after it. Elsewhere the same characters may stand in a password.
fn split_scheme(address: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = address.split_once("://")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.chars().all(fits).then_some((scheme, rest))
}

/// Reads what stands for itself after the scheme: a path or a name.
fn parse_path<'a>(rest: &'a str, what: &'static str) -> Result<&'a str, AddressProblem> {
    if let Some((_, query)) = rest.split_once('?') {
        return Err(unexpected_query(query));
    }
    if authority(rest).contains('@') {
        // A path is shown, and so would be a password before it.
        return Err(AddressProblem::NoCredentials);
    }
    match rest {
        "" | "/" => Err(AddressProblem::Missing(what)),
        _ => Ok(rest),
    }
}

#[cfg(feature = "tls")]
#[expect(clippy::unnecessary_wraps, reason = "it fails without the feature")]
fn with_tls(server: Server) -> Result<Server, AddressProblem> {
    Ok(server.tls(Tls::new()))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: Server) -> Result<Server, AddressProblem> {
    Err(AddressProblem::NoTls)
}

fn parse_tcp(url: &str) -> Result<Server, AddressProblem> {
    let (node, server, query) = parse_url(url, REDIS_PORT)?;
    let endpoint = node.endpoint();
    with_query(Server { endpoint, ..server }, query.as_deref())
}

/// Reads the only parameter that a server has which is one process.
fn with_query(mut server: Server, query: Option<&str>) -> Result<Server, AddressProblem> {
    let mut is_untrusted = None;
    for (name, value) in parameters(query) {
        match name {
            DISTRUSTED => set_flag(&mut is_untrusted, DISTRUSTED, &value)?,
            _ => return Err(AddressProblem::Parameter(name.into())),
        }
    }
    server.is_untrusted = is_untrusted.unwrap_or_default();
    checked(server)
}

fn set_flag(flag: &mut Option<bool>, name: &'static str, value: &str) -> Result<(), AddressProblem> {
    let value = value.parse().map_err(|_| AddressProblem::Flag(name))?;
    match flag.replace(value) {
        None => Ok(()),
        Some(_) => Err(AddressProblem::Repeated(name)),
    }
}

fn parse_cluster(url: &str) -> Result<Server, AddressProblem> {
    let (node, server, query) = parse_url(url, REDIS_PORT)?;
    let mut nodes = vec![node];
    for (name, value) in parameters(query.as_deref()) {
        match name {
            "node" => nodes.push(parse_node(&value, REDIS_PORT)?),
            _ => return Err(AddressProblem::Parameter(name.into())),
        }
    }
    checked(Server {
        endpoint: Endpoint::Cluster(nodes),
        ..server
    })
}

fn parse_sentinel(url: &str) -> Result<Server, AddressProblem> {
    let (node, server, query) = parse_url(url, SENTINEL_PORT)?;
    let mut nodes = vec![node];
    let (mut service, mut username, mut password, mut is_untrusted) = (None, None, None, None);
    for (name, value) in parameters(query.as_deref()) {
        let (name, place) = match name {
            "node" => {
                nodes.push(parse_node(&value, SENTINEL_PORT)?);
                continue;
            }
            DISTRUSTED => {
                set_flag(&mut is_untrusted, DISTRUSTED, &value)?;
                continue;
            }
            "sentinelServiceName" => ("sentinelServiceName", &mut service),
            "sentinelUsername" => ("sentinelUsername", &mut username),
            "sentinelPassword" => ("sentinelPassword", &mut password),
            _ => return Err(AddressProblem::Parameter(name.into())),
        };
        if place.replace(value).is_some() {
            return Err(AddressProblem::Repeated(name));
        }
    }
    checked(Server {
        endpoint: Endpoint::Sentinel(Sentinels {
            service: service.ok_or(AddressProblem::Missing("the query parameter `sentinelServiceName`"))?,
            nodes,
            username,
            password,
        }),
        is_untrusted: is_untrusted.unwrap_or_default(),
        ..server
    })
}

fn parse_node(text: &str, default_port: u16) -> Result<Node, AddressProblem> {
    if is_bare_ipv6(text) {
        return Err(AddressProblem::Brackets);
    }
    Node::parse(text, default_port).ok_or(AddressProblem::Node)
}

fn checked(server: Server) -> Result<Server, AddressProblem> {
    match server.problem() {
        None => Ok(server),
        Some(problem) => Err(problem),
    }
}

/// Reads the host, what else every kind of server has, and the query.
fn parse_url(url: &str, default_port: u16) -> Result<(Node, Server, Option<String>), AddressProblem> {
    let authority = authority(url);
    if after(authority, url).contains('@') {
        // What looks like a port, a path or a parameter would be a part of the password, which no error may show.
        return Err(AddressProblem::Credentials);
    }
    if is_bare_ipv6(host_part(authority)) {
        return Err(AddressProblem::Brackets);
    }
    let url = Url::parse(url).map_err(|error| match error {
        url::ParseError::InvalidPort => wrong_port(authority),
        url::ParseError::EmptyHost => AddressProblem::Missing("the host"),
        error => AddressProblem::Syntax(error.to_string()),
    })?;
    let host = match url.host() {
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err(AddressProblem::Missing("the host")),
    };
    if host.is_empty() {
        return Err(AddressProblem::Missing("the host"));
    }
    if url.fragment().is_some() {
        return Err(AddressProblem::Fragment);
    }
    let port = url.port().unwrap_or(default_port);
    if port == 0 {
        return Err(AddressProblem::Port("0".into()));
    }
    let mut server = Server::new(&*host);
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() {
        let number = database
            .parse()
            .map_err(|_| AddressProblem::Database(database.into()))?;
        server = server.database(number);
    }
    if !url.username().is_empty() {
        server = server.username(decoded(url.username()));
    }
    if let Some(password) = url.password() {
        server = server.password(decoded(password));
    }
    Ok((Node { host, port }, server, url.query().map(str::to_owned)))
}

/// The names and the decoded values of the parameters of a query.
fn parameters(query: Option<&str>) -> impl Iterator<Item = (&str, String)> {
    let parts = query.into_iter().flat_map(|query| query.split('&'));
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name, decoded(value))
    })
}

/// Names the first parameter, but not its value, which may be a password.
fn unexpected_query(query: &str) -> AddressProblem {
    AddressProblem::Parameter(query.split(['=', '&']).next().unwrap_or_default().into())
}

/// Names the port that the URL parser did not take, unless it may be a part of a password.
fn wrong_port(authority: &str) -> AddressProblem {
    match split_port(host_part(authority)) {
        (_, Some(port)) if is_port(port) => AddressProblem::Port(port.into()),
        _ => AddressProblem::NotAPort,
    }
}

/// What stands between the scheme and the path.
fn authority(url: &str) -> &str {
    let rest = split_scheme(url).map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// What stands behind the credentials.
fn host_part(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn after<'a>(authority: &str, url: &'a str) -> &'a str {
    let rest = split_scheme(url).map_or(url, |(_, rest)| rest);
    &rest[authority.len()..]
}

/// The address with what could be a password taken out, whatever else is wrong with it.
pub(super) fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match split_scheme(address) {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    match rest.rfind('@') {
        // It may end a password that is not encoded, or stand in one among the parameters.
        Some(at) if at > end => scheme + "…",
        Some(at) => format!("{scheme}…@{}", host_and_port(&rest[at + 1..end])),
        None => scheme + &host_and_port(&rest[..end]),
    }
}

/// The address as text that is read again, without passwords and TLS settings.
#[cfg(feature = "serde")]
pub(super) fn without_secrets(server: &Server) -> String {
    use crate::address::Endpoint;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use std::fmt::Write;

    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    #[cfg(feature = "tls")]
    let scheme = if server.tls.is_some() { "rediss" } else { "redis" };
    #[cfg(not(feature = "tls"))]
    let scheme = "redis";
    let user = server
        .username
        .as_ref()
        .map(|user| encoded(user) + "@")
        .unwrap_or_default();
    let database = match server.database {
        0 => String::new(),
        database => format!("/{database}"),
    };
    let query = if server.is_untrusted { "?untrusted=true" } else { "" };
    let (first, rest, kind) = match &server.endpoint {
        Endpoint::Unix(_) => return format!("redis+unix://{}{query}", server.address()),
        Endpoint::Memory(_) => return server.address().to_string(),
        Endpoint::Tcp { .. } => return format!("{scheme}://{user}{}{database}{query}", server.address()),
        Endpoint::Cluster(nodes) => (nodes.first(), nodes.iter().skip(1), "cluster"),
        Endpoint::Sentinel(sentinels) => (sentinels.nodes.first(), sentinels.nodes.iter().skip(1), "sentinel"),
    };
    let first = first.map(ToString::to_string).unwrap_or_default();
    let mut parameters: Vec<_> = rest.map(|node| format!("node={node}")).collect();
    if let Endpoint::Sentinel(sentinels) = &server.endpoint {
        parameters.insert(0, format!("sentinelServiceName={}", encoded(&sentinels.service)));
        if let Some(username) = &sentinels.username {
            parameters.push(format!("sentinelUsername={}", encoded(username)));
        }
    }
    if server.is_untrusted {
        parameters.push("untrusted=true".into());
    }
    let mut url = format!("{scheme}-{kind}://{user}{first}{database}");
    for (i, parameter) in parameters.iter().enumerate() {
        let separator = if i == 0 { '?' } else { '&' };
        // Writing to a string does not fail.
        let _ = write!(url, "{separator}{parameter}");
    }
    url
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests;
