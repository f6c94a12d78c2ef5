//! Where a server stores the token of a fenced lock, and how large a token can be.

use std::time::Duration;

/// What is stored beside the keys of a fenced lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The lock's token. While a lock is asked for, what its token should be, at least; each server finds out.
    pub(crate) token: u64,
    /// How long a server remembers the token after it was stored last.
    pub(crate) expiry: Duration,
}

/// How far ahead of a server's time a lock's token may be. The script has the same number.
pub(crate) const FURTHEST_AHEAD: Duration = Duration::from_secs(1);

/// The shortest time for which tokens can be remembered.
///
/// A server that forgot a token goes on from its own time. The token may be ahead of that by `FURTHEST_AHEAD`, so that an expiry
/// within it would let tokens go backwards. As much again is left for clocks that differ.
pub(crate) const SHORTEST_EXPIRY: Duration = Duration::from_secs(2 * FURTHEST_AHEAD.as_secs());

/// The largest number that a script of Redis counts up from exactly, in microseconds a time in the year 2255.
pub(crate) const LARGEST_TOKEN: u64 = (1 << 53) - 1;

/// What a server answers if it cannot store a larger token.
pub(crate) const NO_TOKEN: &str = "ERR the fence holds no token that can be counted up";

const INFIX: &[u8] = b":fence:{";

/// The key of the fence that belongs to a lock's key. The hash tag leads to the slot of the lock's key, unless that has braces
/// which are no tag; and the fence begins as the lock's key does, for users that may access only keys with a certain prefix.
pub(crate) fn key(of: &[u8]) -> Vec<u8> {
    [of, INFIX, of, b"}"].concat()
}

/// The key of the lock that this key is the fence of, if it is a fence.
pub(crate) fn locked_key(fence: &[u8]) -> Option<&[u8]> {
    let rest = fence.strip_suffix(b"}")?;
    let twice = rest.len().checked_sub(INFIX.len())?;
    let (key, rest) = rest.split_at(twice / 2);
    (!key.is_empty() && rest.strip_prefix(INFIX) == Some(key)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_key_has_a_fence_of_its_own(of in prop::collection::vec(any::<u8>(), 1..20)) {
            let fence = key(&of);
            prop_assert_eq!(locked_key(&fence), Some(&of[..]));
        }

        #[test]
        fn what_is_taken_for_a_fence_is_one(some in ".{0,3}(:fence:\\{)?.{0,3}\\}?") {
            if let Some(of) = locked_key(some.as_bytes()) {
                prop_assert_eq!(key(of), some.as_bytes());
            }
        }
    }

    #[test]
    fn a_name_that_only_looks_like_a_fence_is_none() {
        for name in [
            "",
            "}",
            "a",
            ":fence:{}",
            "a:fence:{b}",
            "a:fence:{a",
            "a:fence:{aa}",
            "aa:fence:{a}",
            "a:fence:{a}}",
        ] {
            assert_eq!(locked_key(name.as_bytes()), None, "{name}");
        }
    }
}
