//! What `fuzz/` calls, and what has to hold whatever it calls it with. No build but that of `cargo fuzz` has this.

use crate::{
    Server,
    address::Endpoint,
    decision::{Holder, Owner, Shortened},
};
use std::time::UNIX_EPOCH;

pub use crate::server::fuzzing::{Bounds, greeting, reply};

/// A text that is read as an address is written so that it is read again, and no password is ever shown.
pub fn address(text: &str) {
    const SECRET: &str = "hunter2";

    let _ = shown(text);
    if let Ok(mut server) = Server::parse(text) {
        let written = server.without_secrets();
        let read = Server::parse(&written).expect("what is written can be read");
        assert_eq!(read.without_secrets(), written);
        server.password = None;
        if let Endpoint::Sentinel(sentinels) = &mut server.endpoint {
            sentinels.password = None;
        }
        // Two that differ in the case of a host only are not equal, and are written alike.
        assert_eq!(format!("{server:?}"), format!("{read:?}"));
        assert_eq!(server.check(), read.check());
    }
    // It may stand there already, if only after what reading does to it.
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let letters = decoded.chars().filter(char::is_ascii_alphanumeric);
    if letters.collect::<String>().to_lowercase().contains(SECRET) {
        return;
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    for with_secret in [
        format!("{scheme}:{SECRET}@{rest}"),
        format!("{scheme}user:{SECRET}@{rest}"),
        format!(
            "{text}{}sentinelPassword={SECRET}",
            if text.contains('?') { '&' } else { '?' }
        ),
    ] {
        let shown = shown(&with_secret);
        assert!(!shown.contains(SECRET), "{with_secret}: {shown}");
    }
}

/// All that is ever shown of it.
fn shown(address: &str) -> String {
    match Server::parse(address) {
        Ok(server) => format!(
            "{server:?} {} {} {:?}",
            server.address(),
            server.without_secrets(),
            server.check()
        ),
        Err(error) => format!("{error} {error:?}"),
    }
}

/// An owner that is read off a value is the owner that a value made of it tells, and a value is never shown whole.
pub fn value(value: &[u8]) {
    let holder = Holder::new(value, None);
    if let Some(owner) = holder.owner {
        let since = owner
            .since
            .duration_since(UNIX_EPOCH)
            .expect("no value tells an earlier time");
        let again = format!("{}_{}_random", owner.id, since.as_millis());
        assert_eq!(Owner::parse(again.as_bytes()).as_ref(), Some(&owner));
        assert!(!owner.to_string().chars().any(char::is_control));
        assert!(owner.to_string().len() < 2_000);
    }
    if let Ok(value) = std::str::from_utf8(value) {
        let shown = format!("{:?}", Shortened(value));
        let secret = value.rsplit_once('_').map_or(value, |(_, random)| random);
        assert!(secret.is_empty() || !shown.ends_with(&format!("{secret}…")), "{shown}");
    }
}
