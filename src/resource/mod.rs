//! What one lock locks: a resource, or several at once.

mod names;

pub use names::ResourceName;

use crate::{
    fence,
    text::{MOST_SHOWN, Shown},
};
use std::{fmt, sync::Arc};

/// The most resources that one lock can have.
const MOST: usize = 128;

/// The most bytes that all keys of a lock can have.
///
/// A server ends the connection of a client that sends an argument above its `proto-max-bulk-len`, which may be 1 MiB, and with it
/// end all other operations on that connection. So a command has far less than that. What a untrusted server reports of a key is
/// dropped above this length, too. And 100,000 operations may wait for a server.
pub(crate) const LONGEST: usize = 64 << 10;

/// The resources of one lock: a name, or several names that are locked together.
///
/// All calls that name resources take `impl Into<Resources>`:
///
/// - One name is text or bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`, `[u8; N]`, … See [`ResourceName`] for all types.
/// - Several names are an array, a slice, a `Vec`, a `BTreeSet` or a `HashSet` of names, or a reference to one of these.
/// - An iterator of names can be collected.
///
/// A lock has 1 to 128 resources, in any order. A name that occurs twice counts once. All names together, each with the key
/// prefix, have at most 64 KiB. If a limit is exceeded, the call that locks returns
/// [`InvalidResource`](crate::error::InvalidResource). Messages and log lines show the first 8 names, each shortened to
/// 80 characters.
///
/// Clones share their names.
///
/// # Examples
///
/// One name:
///
/// ```
/// use multiredlock::Resources;
///
/// let console = Resources::from("console");
/// assert_eq!(console, Resources::from(String::from("console")));
/// assert_eq!(console, Resources::from(&String::from("console")));
/// assert_eq!(console, Resources::from(b"console"));
/// assert_eq!(console, Resources::from(&b"console"[..]));
/// assert_eq!(console, Resources::from(b"console".to_vec()));
/// ```
///
/// Several names:
///
/// ```
/// use multiredlock::Resources;
/// use std::collections::{BTreeSet, HashSet};
///
/// let both = Resources::from(["anna", "berta"]);
/// assert_eq!(both, Resources::from(&["anna", "berta"][..]));
/// assert_eq!(both, Resources::from(vec!["berta", "anna", "berta"]));
/// assert_eq!(both, Resources::from(&vec![String::from("anna"), String::from("berta")]));
/// assert_eq!(both, Resources::from(BTreeSet::from(["anna", "berta"])));
/// assert_eq!(both, Resources::from(&BTreeSet::from(["anna", "berta"])));
/// assert_eq!(both, Resources::from(HashSet::from(["anna", "berta"])));
/// assert_eq!(both, Resources::from(&HashSet::from(["anna", "berta"])));
/// assert_eq!(both, "anna berta".split(' ').collect());
/// ```
///
/// A call takes each of these forms, and resources that were put together before:
///
/// ```
/// use multiredlock::{Redlock, Resources};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redlock = Redlock::builder().servers(["memory://a"]).build()?;
/// redlock.wait_connected().await;
/// let accounts: Resources = [7, 9].iter().map(|number| format!("account:{number}")).collect();
/// let lock = redlock.lock(&accounts, Duration::from_secs(10)).await?;
/// assert_eq!(lock.resources().collect::<Resources>(), accounts);
/// # Ok(())
/// # }
/// ```
///
/// A number is no name:
///
/// ```compile_fail,E0277
/// # fn f(redlock: multiredlock::Redlock, ttl: std::time::Duration) {
/// redlock.lock(7, ttl);
/// # }
/// ```
///
/// An iterator has to be collected first:
///
/// ```compile_fail,E0277
/// # fn f(redlock: multiredlock::Redlock, ttl: std::time::Duration) {
/// redlock.lock("anna berta".split(' '), ttl);
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Resources(Names);

/// In order, and each once.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Names {
    /// Most locks have one, which is shared as it is.
    One(Arc<[u8]>),
    Many(Arc<[Arc<[u8]>]>),
}

impl Resources {
    fn new(mut names: Vec<Arc<[u8]>>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self(if names.len() == 1 {
            Names::One(names.swap_remove(0))
        } else {
            Names::Many(names.into())
        })
    }

    /// Checks what is to be locked, with a prefix of this length.
    pub(crate) fn check(&self, prefix: usize) -> Result<(), InvalidResource> {
        let names = self.as_slice();
        match names.len() {
            0 => return Err(InvalidResource::None),
            count if count > MOST => return Err(InvalidResource::TooMany { count, most: MOST }),
            _ => {}
        }
        if names.iter().any(|name| name.is_empty()) {
            return Err(InvalidResource::Empty);
        }
        let length = names.iter().map(|name| prefix.saturating_add(name.len())).sum();
        if length > LONGEST {
            return Err(InvalidResource::TooLong {
                length,
                longest: LONGEST,
            });
        }
        Ok(())
    }

    /// Checks that none of the keys is one that servers store tokens in.
    ///
    /// A lock on it would be refused while there is a token, and refuse the fenced locks that the token is for.
    pub(crate) fn check_no_fence(&self, prefix: &[u8]) -> Result<(), InvalidResource> {
        // Only names that end like a fence's key are copied.
        let may_be_fences = self.as_slice().iter().filter(|name| name.ends_with(b"}"));
        for name in may_be_fences {
            if let Some(key) = fence::locked_key(&[prefix, name].concat()) {
                return Err(InvalidResource::Fence {
                    resource: Shown(name).to_string(),
                    key: Shown(key).to_string(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn as_slice(&self) -> &[Arc<[u8]>] {
        match &self.0 {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names,
        }
    }

    pub(crate) fn is_one(&self) -> bool {
        matches!(self.0, Names::One(_))
    }

    /// How many bytes they have together.
    pub(crate) fn bytes(&self) -> usize {
        self.as_slice().iter().map(|name| name.len()).sum()
    }

    /// The Redis keys of these resources.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> Self {
        if prefix.is_empty() {
            return self.clone();
        }
        let prefixed = |name: &Arc<[u8]>| [prefix, name].concat().into();
        Self(match &self.0 {
            Names::One(name) => Names::One(prefixed(name)),
            Names::Many(names) => Names::Many(names.iter().map(prefixed).collect()),
        })
    }
}

/// The first 8 names, each printable and shortened to 80 characters.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.as_slice();
        for (i, name) in names.iter().take(MOST_SHOWN).enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{}", Shown(name))?;
        }
        match names.len().checked_sub(MOST_SHOWN) {
            Some(more @ 1..) => write!(f, ", and {more} more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// A resource that cannot be a Redis key, or resources that cannot be locked together. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResource {
    /// The resource is empty.
    #[error("the resource is empty")]
    Empty,
    /// The list of resources is empty.
    #[error("no resource is named")]
    None,
    /// More resources than one lock can have.
    #[error("{count} resources are too many for one lock, {most} are the most")]
    #[non_exhaustive]
    TooMany {
        /// How many there are, each counted once.
        count: usize,
        /// How many there can be.
        most: usize,
    },
    /// The resource with the key prefix is longer than 64 KiB, or several together are. A server may end a connection on which it
    /// is sent too much.
    #[error("the resource with its prefix is {length} bytes long, {longest} is the most")]
    #[non_exhaustive]
    TooLong {
        /// The length in bytes, with the key prefix.
        length: usize,
        /// The most that a lock can have, in bytes.
        longest: usize,
    },
    /// The servers store the token of [fenced](crate::Builder::fenced) locks under this key: `{key}:fence:{{key}}` is reserved.
    #[error("cannot lock `{resource}`: its key is reserved for the fencing token of the key `{key}`")]
    #[non_exhaustive]
    Fence {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// The key that it is the fence of, printable and shortened to 80 characters.
        key: String,
    },
    /// Two resources of one lock belong to different groups of servers; see [`Builder::group`](crate::Builder::group).
    #[error(
        "`{first}` belongs to group {first_group} and `{second}` to group {second_group}, but one lock has one group: a common `{{tag}}` in their names leads to one"
    )]
    #[non_exhaustive]
    Groups {
        /// One resource, printable and shortened to 80 characters.
        first: String,
        /// Its group, 0 for the first.
        first_group: usize,
        /// Another resource, printable and shortened to 80 characters.
        second: String,
        /// Its group.
        second_group: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_too_many_are_errors_that_name_the_count() {
        let none: [&str; 0] = [];
        assert_eq!(Resources::from(none).check(0), Err(InvalidResource::None));
        let names: Vec<_> = (0..129).map(|i| i.to_string()).collect();
        let error = Resources::from(names.clone()).check(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "129 resources are too many for one lock, 128 are the most"
        );
        assert_eq!(Resources::from(&names[..128]).check(0), Ok(()));
    }

    #[test]
    fn of_many_names_the_first_are_shown() {
        let names: Vec<_> = (0..10).map(|i| i.to_string()).collect();
        assert_eq!(Resources::from(&names[..8]).to_string(), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(
            Resources::from(&names).to_string(),
            "0, 1, 2, 3, 4, 5, 6, 7, and 2 more"
        );
    }

    #[test]
    fn what_is_too_long_for_a_server_is_refused_with_both_numbers() {
        let name = "x".repeat(LONGEST);
        assert_eq!(Resources::from(name.as_str()).check(0), Ok(()));
        let error = Resources::from(name.as_str()).check(4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the resource with its prefix is 65540 bytes long, 65536 is the most"
        );
        let several: Vec<_> = (0..10).map(|i| i.to_string().repeat(7_000)).collect();
        assert!(Resources::from(several).check(0).is_err());
    }

    #[test]
    fn a_key_that_stores_tokens_cannot_be_locked() {
        let error = |name: &str, prefix: &str| Resources::from(name).check_no_fence(prefix.as_bytes());
        let refused = error("a:fence:{a}", "").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot lock `a:fence:{a}`: its key is reserved for the fencing token of the key `a`"
        );
        assert_eq!(error("a:fence:{a}", "app:"), Ok(()));
        assert!(error("a:fence:{app:a}", "app:").is_err());
        assert!(error("nce:{a}", "a:fe").is_err());
        assert!(Resources::from(["b", "a:fence:{a}"]).check_no_fence(b"").is_err());
        assert_eq!(error("a:fence:{b}", ""), Ok(()));
    }
}
