//! Whether a server has all that locking needs: each command, and access to keys that a script does not declare.
//!
//! Without this a server that lacks `DEL` would be up, grant locks, and never unlock any of them.

use super::{
    Peer,
    failure::rejected,
    wire::{self, EVAL, EVALSHA},
    withheld::{is_missing, is_withheld},
};
use crate::{
    decision::{DownReason, Refusal},
    text::Text,
};
use fred::{interfaces::Resp3Frame, types::Value};

const SCRIPT: &str = include_str!("../scripts/needed.lua");

/// No script has this hash.
const NO_HASH: &str = "0000000000000000000000000000000000000000";

/// Fails unless the server has all commands, and returns whether scripts have to declare their keys.
///
/// To a node of a cluster all keys are declared anyway.
pub(super) async fn check(peer: &Peer<'_>, key_prefix: &[u8]) -> Result<bool, DownReason> {
    let mut found = Found::ask(peer, key_prefix, false).await?;
    let must_declare = !peer.is_node() && is_about_the_key(touched(&found));
    if must_declare {
        found = Found::ask(peer, key_prefix, true).await?;
        if is_about_the_key(touched(&found)) {
            return Err(rejected(touched(&found)));
        }
    }
    let mut found = found.map_err(|error| rejected(&error))?;
    if found.has_untried(EVALSHA) {
        let words = peer.command(EVALSHA, vec![NO_HASH.into(), 0.into()]).await?;
        found.commands.push((EVALSHA.into(), words.err().unwrap_or_default()));
    }
    found.lacking().map_or(Ok(must_declare), Err)
}

/// Whether a script failed, and neither for want of the command or a permission, nor for a reason that passes.
fn is_about_the_key(error: &str) -> bool {
    !error.is_empty() && !is_withheld(error) && !Refusal::parse(error).passes()
}

/// The error of reading a key, or of the script as a whole.
fn touched(found: &Result<Found, String>) -> &str {
    match found {
        Ok(found) => &found.touched,
        Err(error) => error,
    }
}

/// What the script found out.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The error of reading a key, or nothing.
    touched: String,
    /// The name and the error of each command.
    commands: Vec<(String, String)>,
}

impl Found {
    async fn ask(peer: &Peer<'_>, key_prefix: &[u8], declares: bool) -> Result<Result<Self, String>, DownReason> {
        let key = [
            key_prefix,
            format!("multiredlock:probe:{:032x}", rand::random::<u128>()).as_bytes(),
        ]
        .concat();
        let args: Vec<Value> = vec![SCRIPT.into(), i64::from(declares).into(), key.as_slice().into()];
        let answer = peer.command(EVAL, args).await?;
        match answer {
            Ok(frame) => Self::read(&frame)
                .map(Ok)
                .ok_or_else(|| super::failure::not_redis("it does not run scripts")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn read(frame: &Resp3Frame) -> Option<Self> {
        let Resp3Frame::Array { data, .. } = frame else {
            return None;
        };
        let (touched, commands) = data.split_first()?;
        let commands = commands.chunks(2).map(|pair| match pair {
            [name, error] => Some((wire::text(name), wire::text(error))),
            _ => None,
        });
        Some(Self {
            touched: wire::text(touched),
            commands: commands.collect::<Option<_>>()?,
        })
    }

    fn has_untried(&self, name: &str) -> bool {
        self.commands
            .iter()
            .any(|(command, error)| command == name && error == "?")
    }

    /// Why the server is of no use, if it is not.
    fn lacking(&self) -> Option<DownReason> {
        let is_lacking = |error: &str| is_withheld(error) && !denies_a_key(error);
        let lacking: Vec<_> = self.commands.iter().filter(|(_, error)| is_lacking(error)).collect();
        if lacking.is_empty() {
            return None;
        }
        let names = lacking
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        Some(if lacking.iter().all(|(_, error)| is_missing(error)) {
            DownReason::Refused(Text::new(format!("the server lacks what locking needs: {names}")))
        } else {
            DownReason::NoPermission(Text::new(format!("locking needs {names}")))
        })
    }
}

/// Whether an error says that this user may not access the key, which says nothing of other keys.
///
/// A server may name the user and the command in the denial of a command. Neither has a space in its name.
fn denies_a_key(error: &str) -> bool {
    const WORDS: [&str; 4] = [
        // In a script, up to Redis 6.2.
        "access at least one of the keys",
        // Without a script, up to Redis 6.2.
        "access one of the keys",
        // Since Redis 7.0.
        "access a key",
        // The same if the server names the key.
        "permissions to access the '",
    ];
    WORDS.iter().any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(commands: &[(&str, &str)]) -> Found {
        let commands = commands.iter().map(|(name, error)| ((*name).into(), (*error).into()));
        Found {
            touched: String::new(),
            commands: commands.collect(),
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        let missing = ("DEL", "ERR Unknown Redis command called from script");
        let denied = ("SET", "NOPERM User a has no permissions to run the 'set' command");
        let told = |commands: &[(&str, &str)]| found(commands).lacking().unwrap().to_string();
        assert_eq!(told(&[missing]), "refused: the server lacks what locking needs: DEL");
        assert_eq!(told(&[denied, missing]), "no permission: locking needs SET, DEL");
    }

    #[test]
    fn a_command_is_denied_to_a_user_whatever_their_name() {
        for error in [
            "NOPERM User keycloak has no permissions to run the 'del' command",
            "ACL failure in script: User keycloak has no permissions to run the 'del' command",
        ] {
            let reason = found(&[("DEL", error)]).lacking();
            assert_eq!(
                reason,
                Some(DownReason::NoPermission(Text::new("locking needs DEL"))),
                "{error}"
            );
        }
    }

    #[test]
    fn other_errors_are_no_sign_that_a_command_is_lacking() {
        for error in [
            "",
            "?",
            "NOSCRIPT No matching script. Please use EVAL.",
            "ACL failure in script: No permissions to access a key",
            "The user executing the script can't access at least one of the keys mentioned in the command arguments",
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM User keycloak has no permissions to access the 'x' key",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR script tried accessing undeclared key, key: x",
        ] {
            assert_eq!(found(&[("SET", error)]).lacking(), None, "{error}");
        }
    }
}
