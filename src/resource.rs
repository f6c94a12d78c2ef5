//! What one lock locks: a resource, or several at once.

use crate::{
    fence,
    text::{MOST_SHOWN, Shown},
};
use std::{borrow::Cow, fmt, sync::Arc};

/// The most resources that one lock can have.
const MOST: usize = 128;

/// The most bytes that all keys of a lock can have.
///
/// A server ends the connection of a client that sends an argument above its `proto-max-bulk-len`, which may be 1 MiB, and with it
/// end all other operations on that connection. So a command has far less than that. What a untrusted server reports of a key is
/// dropped above this length, too. And 100,000 operations may wait for a server.
pub(crate) const LONGEST: usize = 64 << 10;

/// The resources of one lock, or with their prefix its Redis keys: in order, and each once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Resources {
    /// Most locks have one, which is shared as it is.
    One(Arc<[u8]>),
    Many(Arc<[Arc<[u8]>]>),
}

impl Resources {
    fn new(mut names: Vec<Arc<[u8]>>) -> Self {
        names.sort_unstable();
        names.dedup();
        if names.len() == 1 {
            Self::One(names.swap_remove(0))
        } else {
            Self::Many(names.into())
        }
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
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
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
        match self {
            Self::One(name) => Self::One(prefixed(name)),
            Self::Many(names) => Self::Many(names.iter().map(prefixed).collect()),
        }
    }
}

/// Each name as it is [shown](Shown), and of many the first.
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

/// What can be locked: a name, or several names that are locked together.
///
/// A name is text or bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`, … Several are an array, a slice, or a `Vec` of
/// names: 1 to 128, in any order; a name that is there twice counts once. All of them together, each with the key prefix, have at most
/// 64 KiB. Messages and log lines show the first 8, each shortened to 80 characters.
pub trait IntoResources: several::Sealed {}

impl<T: several::Sealed> IntoResources for T {}

/// One name.
pub(crate) trait Name {
    fn bytes(&self) -> Arc<[u8]>;
}

macro_rules! names {
    ($($name:ty),*) => {$(
        impl Name for $name {
            fn bytes(&self) -> Arc<[u8]> {
                let bytes: &[u8] = AsRef::<[u8]>::as_ref(&**self);
                bytes.into()
            }
        }
    )*};
}

names!(String, Box<str>, Arc<str>, Vec<u8>, Box<[u8]>);

impl Name for str {
    fn bytes(&self) -> Arc<[u8]> {
        self.as_bytes().into()
    }
}

impl Name for [u8] {
    fn bytes(&self) -> Arc<[u8]> {
        self.into()
    }
}

impl<const N: usize> Name for [u8; N] {
    fn bytes(&self) -> Arc<[u8]> {
        self[..].into()
    }
}

impl Name for Arc<[u8]> {
    fn bytes(&self) -> Self {
        Self::clone(self)
    }
}

impl Name for Cow<'_, str> {
    fn bytes(&self) -> Arc<[u8]> {
        self.as_bytes().into()
    }
}

impl<T: Name + ?Sized> Name for &T {
    fn bytes(&self) -> Arc<[u8]> {
        (**self).bytes()
    }
}

pub(crate) mod several {
    use super::{Name, Resources};

    /// Kept from being implemented elsewhere, so that what a name is can grow.
    pub trait Sealed {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "it is called only here")]
        fn into_resources(self) -> Resources;
    }

    #[expect(private_interfaces, reason = "it is called only here")]
    impl<T: Name> Sealed for T {
        fn into_resources(self) -> Resources {
            Resources::One(self.bytes())
        }
    }

    fn all<T: Name>(names: &[T]) -> Resources {
        Resources::new(names.iter().map(Name::bytes).collect())
    }

    #[expect(private_interfaces, reason = "it is called only here")]
    impl<T: Name> Sealed for Vec<T> {
        fn into_resources(self) -> Resources {
            all(&self)
        }
    }

    #[expect(private_interfaces, reason = "it is called only here")]
    impl<T: Name, const N: usize> Sealed for [T; N] {
        fn into_resources(self) -> Resources {
            all(&self)
        }
    }

    #[expect(private_interfaces, reason = "it is called only here")]
    impl<T: Name> Sealed for &[T] {
        fn into_resources(self) -> Resources {
            all(self)
        }
    }

    #[expect(private_interfaces, reason = "it is called only here")]
    impl<T: Name> Sealed for &Vec<T> {
        fn into_resources(self) -> Resources {
            all(self)
        }
    }

    #[expect(private_interfaces, reason = "it is called only here")]
    impl<T: Name, const N: usize> Sealed for &[T; N] {
        fn into_resources(self) -> Resources {
            all(self)
        }
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
    use super::{several::Sealed, *};

    fn shown(resources: impl Sealed) -> String {
        resources.into_resources().to_string()
    }

    #[test]
    fn one_name_has_many_forms() {
        let text = String::from("a");
        assert_eq!(shown("a"), "a");
        assert_eq!(shown(&text), "a");
        assert_eq!(shown(text.as_bytes()), "a");
        assert_eq!(shown(b"a"), "a");
        assert_eq!(shown(Cow::from("a")), "a");
        assert_eq!(shown(text.clone().into_bytes()), "a");
        assert_eq!(shown(text), "a");
    }

    #[test]
    fn several_names_are_ordered_and_each_counts_once() {
        assert_eq!(shown(["b", "a", "b"]), "a, b");
        assert_eq!(shown(vec![String::from("b"), String::from("a")]), "a, b");
        assert_eq!(shown(&["b", "a"][..]), "a, b");
        assert_eq!(shown([&b"b"[..], b"a"]), "a, b");
        assert_eq!(["a", "a"].into_resources(), "a".into_resources());
    }

    #[test]
    fn none_and_too_many_are_errors_that_name_the_count() {
        let none: [&str; 0] = [];
        assert_eq!(none.into_resources().check(0), Err(InvalidResource::None));
        let names: Vec<_> = (0..129).map(|i| i.to_string()).collect();
        let error = names.clone().into_resources().check(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "129 resources are too many for one lock, 128 are the most"
        );
        assert_eq!(names[..128].into_resources().check(0), Ok(()));
    }

    #[test]
    fn of_many_names_the_first_are_shown() {
        let names: Vec<_> = (0..10).map(|i| i.to_string()).collect();
        assert_eq!(shown(&names[..8]), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(shown(&names), "0, 1, 2, 3, 4, 5, 6, 7, and 2 more");
    }

    #[test]
    fn what_is_too_long_for_a_server_is_refused_with_both_numbers() {
        let name = "x".repeat(LONGEST);
        assert_eq!(name.as_str().into_resources().check(0), Ok(()));
        let error = name.as_str().into_resources().check(4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the resource with its prefix is 65540 bytes long, 65536 is the most"
        );
        let several: Vec<_> = (0..10).map(|i| i.to_string().repeat(7_000)).collect();
        assert!(several.into_resources().check(0).is_err());
    }

    #[test]
    fn a_key_that_stores_tokens_cannot_be_locked() {
        let error = |name: &str, prefix: &str| name.into_resources().check_no_fence(prefix.as_bytes());
        let refused = error("a:fence:{a}", "").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot lock `a:fence:{a}`: its key is reserved for the fencing token of the key `a`"
        );
        assert_eq!(error("a:fence:{a}", "app:"), Ok(()));
        assert!(error("a:fence:{app:a}", "app:").is_err());
        assert!(error("nce:{a}", "a:fe").is_err());
        assert!(["b", "a:fence:{a}"].into_resources().check_no_fence(b"").is_err());
        assert_eq!(error("a:fence:{b}", ""), Ok(()));
    }
}
