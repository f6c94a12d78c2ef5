//! Commands that a server does not have, or does not let this user run.

use crate::decision::Refusal;

/// Whether an error reply says that the server lacks the command, as after `rename-command`, in any server's words.
pub(super) fn is_missing(error: &str) -> bool {
    const WORDS: [&str; 6] = [
        "unknown",
        "unsupported",
        "not supported",
        "invalid",
        "not found",
        "disabled",
    ];
    let error = without_place(error).to_ascii_lowercase();
    // Other codes than ERR have other reasons, such as a disk to which nothing can be written.
    let has_other_code = ["misconf", "oom", "denied"].iter().any(|code| error.starts_with(code));
    !has_other_code && error.contains("command") && WORDS.iter().any(|word| error.contains(word))
}

/// Whether the server lacks the command or does not let this user run it. For us there is no difference.
pub(super) fn is_withheld(error: &str) -> bool {
    is_missing(error) || Refusal::parse(error) == Refusal::NoPermission
}

/// The words of an error without the place in the script, which Redis puts before the code up to 6.2.
fn without_place(error: &str) -> &str {
    let placed = error.strip_prefix('@').and_then(|error| error.split_once(": -"));
    placed.map_or(error, |(_, words)| words)
}

/// The words of an error without the arguments of the command, which Redis repeats if it does not know the command.
pub(super) fn without_arguments(error: &str) -> &str {
    error
        .split_once(", with args beginning with")
        .map_or(error, |(words, _)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_missing_in_many_words() {
        for error in [
            "ERR unknown command 'INFO', with args beginning with: ",
            "ERR unknown command `INFO`",
            "ERR unsupported command 'info'",
            "ERR Unknown Command",
            "ERR invalid command",
            "ERR command 'info' is disabled",
            "ERR Unknown Redis command called from script script: 1b, on @user_script:12.",
            "@user_script: 12: Unknown Redis command called from Lua script",
            "ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.",
        ] {
            assert!(is_missing(error) && is_withheld(error), "{error}");
        }
    }

    #[test]
    fn a_command_that_is_denied_is_withheld_as_well() {
        let denied = "NOPERM User a has no permissions to run the 'info' command";
        assert!(!is_missing(denied) && is_withheld(denied));
    }

    #[test]
    fn other_errors_are_no_sign_that_a_command_is_missing() {
        for error in [
            "ERR max number of clients reached",
            "DENIED Redis is running in protected mode",
            "NOAUTH Authentication required.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Commands that may modify the data set are disabled, because this instance is configured to report errors",
            "@user_script: 12: -MISCONF Commands that may modify the data set are disabled, because this instance is configured to",
            "@user_script: 12: -OOM command not allowed when used memory > 'maxmemory', which is not supported.",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "NOREPLICAS Not enough good replicas to write.",
            "CLUSTERDOWN The cluster is down",
        ] {
            assert!(!is_withheld(error), "{error}");
        }
    }
}
