//! Why a connection could not be made, from what fred and the server say.

use super::{Connector, withheld::without_arguments, words};
use crate::{
    decision::{DownReason, Refusal},
    text::Text,
};
use fred::error::{Error, ErrorKind};

impl Connector {
    pub(super) fn reason(&self, error: &Error) -> DownReason {
        let details = &*self.without_secrets(error.details());
        let has = |word: &str| details.contains(word);
        let words = || Text::new(words::plain(details));
        let is_auth = *error.kind() == ErrorKind::Auth
            || ["WRONGPASS", "NOAUTH", "invalid password", "AUTH"]
                .iter()
                .any(|word| has(word));
        match error.kind() {
            // First, since a denial names the user, who may be called anything.
            _ if has("NOPERM") => DownReason::NoPermission(Text::new(details)),
            _ if is_auth => DownReason::Auth(Text::new(details)),
            _ if has("LOADING") => DownReason::Loading,
            _ if self.speaks_tls && is_about_tls(details) => DownReason::Tls(words()),
            ErrorKind::Timeout => DownReason::ConnectTimeout,
            ErrorKind::Protocol | ErrorKind::Parse => DownReason::NotRedis(words()),
            ErrorKind::IO if has("refused") => DownReason::ConnectionRefused,
            ErrorKind::IO if has("closed") => DownReason::ConnectionLost,
            ErrorKind::IO => DownReason::Io(words()),
            ErrorKind::Canceled => DownReason::ConnectionLost,
            _ => DownReason::Refused(words()),
        }
    }
}

/// Reads an error reply to a command of the inspection.
pub(super) fn rejected(error: &str) -> DownReason {
    let words = Text::new(without_arguments(error));
    match Refusal::parse(error) {
        Refusal::Loading => DownReason::Loading,
        Refusal::NoPermission => DownReason::NoPermission(words),
        _ => DownReason::Refused(words),
    }
}

/// fred passes rustls' errors on in words only.
pub(super) fn is_about_tls(details: &str) -> bool {
    let details = details.to_ascii_lowercase();
    let words = [
        "certificate",
        "alertreceived",
        "received fatal alert",
        "invalidmessage",
        "invaliddata",
        "invaliddnsname",
        "handshake",
        "tls",
    ];
    words.iter().any(|word| details.contains(word))
}

pub(super) fn not_redis(problem: &str) -> DownReason {
    DownReason::NotRedis(Text::new(problem))
}
