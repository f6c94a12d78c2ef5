//! How a connection is introduced to a server: its protocol and its credentials.
//!
//! In RESP3 fred sends the credentials with `HELLO`, which it writes as a line of words. There, a space, a quote or a line end in a
//! password would break the line or begin another command, so such a word is quoted as Redis reads it. In RESP2 fred sends
//! `AUTH`, whose arguments may be any bytes.

use super::{Connector, cluster::Cluster, link::RedisLink, router::Router, withheld::without_arguments};
use crate::{address::Endpoint, decision::DownReason};
use fred::{
    interfaces::ClientLike,
    types::{RespVersion, config::Config},
};
use std::{borrow::Cow, fmt::Write, sync::Arc};

/// How many characters of a client's id are part of the name of its connections.
const LONGEST_NAME: usize = 100;

impl Connector {
    /// Opens a connection to every process, with RESP2 if the server does not accept RESP3.
    ///
    /// Servers refuse `HELLO` in many words, or hang up. Each connection tries it again: a refusal may pass, and with RESP2 no
    /// server reports a change.
    pub(super) async fn open(&self) -> Result<(RedisLink, Router), DownReason> {
        let refusal = match self.open_with(RespVersion::RESP3).await {
            Err(reason) if self.may_accept_resp2(&reason) => reason,
            outcome => return outcome,
        };
        match self.open_with(RespVersion::RESP2).await {
            Err(DownReason::ConnectionLost) => Err(refusal),
            outcome => outcome,
        }
    }

    /// Whether a server that refused RESP3 for this reason may accept RESP2.
    fn may_accept_resp2(&self, reason: &DownReason) -> bool {
        match reason {
            DownReason::Auth(words) => {
                let quoted = |word: &Option<String>| word.as_ref().is_some_and(|word| needs_quotes(word));
                // Valkey answers so to any command that it does not know, before we are let in.
                let is_unknown = words.as_str().contains("NOAUTH") && self.config.password.is_some();
                is_unknown || quoted(&self.config.username) || quoted(&self.config.password)
            }
            DownReason::NoPermission(_)
            | DownReason::Refused(_)
            | DownReason::NotRedis(_)
            | DownReason::Io(_)
            | DownReason::ConnectionLost => true,
            _ => false,
        }
    }

    /// A server's words without the credentials that it may repeat: Redis repeats the arguments of a command that it does not know.
    pub(super) fn without_secrets(&self, words: &str) -> String {
        let of_sentinels = match &self.server.endpoint {
            Endpoint::Sentinel(sentinels) => sentinels.password.as_ref(),
            _ => None,
        };
        let secrets = [self.server.password.as_ref(), of_sentinels].into_iter().flatten();
        let secrets = secrets.filter(|secret| !secret.is_empty());
        secrets.fold(without_arguments(words).to_owned(), |words, secret| {
            words.replace(&*quoted(secret), "…").replace(secret.as_str(), "…")
        })
    }

    async fn open_with(&self, version: RespVersion) -> Result<(RedisLink, Router), DownReason> {
        let opened = self.open_once(&introduced(&self.config, version)).await;
        let (client, mut router) = opened.map_err(|failed| self.why(failed))?;
        let tells_version = client.server_version().is_some();
        let cluster = if client.is_clustered() {
            let uninspected = Arc::clone(&self.uninspected);
            Some(Cluster::new(client.clone(), router.handle(), uninspected)?)
        } else {
            None
        };
        let link = RedisLink::new(client, &router, cluster);
        link.introduce(&self.name);
        // fred takes the end of a connection for an answer, as of a server that hung up at `HELLO`.
        if !tells_version {
            match link.peers()[0].command("PING", vec![]).await {
                Err(DownReason::ConnectionLost) => return Err(router.ended_within(self.timeout).await),
                answer => drop(answer?),
            }
        }
        Ok((link, router))
    }
}

impl RedisLink {
    /// Names every connection, so that operators see in `CLIENT LIST` whose it is. A server that refuses the name does no harm.
    pub(super) fn introduce(&self, name: &str) {
        for peer in self.peers() {
            // `HELLO` needs no permission, while `CLIENT SETNAME` does.
            let named = if self.has_pushes {
                self.start(peer.to, "HELLO", vec!["3".into(), "SETNAME".into(), name.into()])
            } else {
                self.start(peer.to, "CLIENT", vec!["SETNAME".into(), name.into()])
            };
            self.replies.when_ready(named, |_| ());
        }
    }
}

/// The id of the client as a name that servers accept: they have no spaces and nothing beyond ASCII in it.
pub(super) fn connection_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    id.chars().take(LONGEST_NAME).map(plain).collect()
}

/// The settings of a connection with this protocol, whose credentials fred can send as they are.
fn introduced(config: &Config, version: RespVersion) -> Config {
    let mut config = Config {
        version,
        ..config.clone()
    };
    if config.version == RespVersion::RESP3 {
        for word in [&mut config.username, &mut config.password].into_iter().flatten() {
            *word = quoted(word).into_owned();
        }
    }
    config
}

fn needs_quotes(word: &str) -> bool {
    word.is_empty() || !word.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\')
}

/// A word of a line. Nothing in it ends the word or the line, also where quotes mean nothing.
fn quoted(word: &str) -> Cow<'_, str> {
    if !needs_quotes(word) {
        return word.into();
    }
    let mut quoted = String::from('"');
    for byte in word.bytes() {
        if is_plain(byte) {
            quoted.push(char::from(byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes that Redis reads from a quoted word.
    fn unquoted(word: &str) -> Vec<u8> {
        let Some(inner) = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) else {
            return word.into();
        };
        let mut parts = inner.split("\\x");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    }

    #[test]
    fn only_words_that_need_quotes_have_them() {
        assert_eq!(quoted("open-sesame"), "open-sesame");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("my secret"), "\"my\\x20secret\"");
        assert_eq!(quoted("a\r\nFLUSHALL"), "\"a\\x0d\\x0aFLUSHALL\"");
        assert_eq!(quoted("\"\\'é"), "\"\\x22\\x5c\\x27\\xc3\\xa9\"");
    }

    #[test]
    fn a_connection_has_the_name_of_its_client_as_far_as_servers_accept_it() {
        assert_eq!(connection_name("web-3.example"), "web-3.example");
        assert_eq!(connection_name("web 3\n\u{e9}\0"), "web_3___");
        assert_eq!(connection_name(&"x".repeat(1_000)).len(), LONGEST_NAME);
    }

    proptest! {
        #[test]
        fn a_word_stays_one_and_the_same(word in any::<String>()) {
            let quoted = quoted(&word);
            prop_assert!(!quoted.is_empty() && quoted.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(unquoted(&quoted), word.as_bytes());
        }
    }
}
