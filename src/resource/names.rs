//! The forms in which callers name one resource or several.

use super::{Names, Resources};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

/// The name of one resource: text or bytes.
///
/// This trait is sealed, so that later versions can accept more types. To lock by a type of your own, implement `From` for
/// [`Resources`]:
///
/// ```
/// use multiredlock::{Lock, Resources};
///
/// struct Order(u32);
///
/// impl From<Order> for Resources {
///     fn from(Order(number): Order) -> Self {
///         format!("order:{number}").into()
///     }
/// }
///
/// assert_eq!(Lock::from_parts(Order(7), "value").resource(), b"order:7");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the name of a resource",
    label = "neither text nor bytes",
    note = "a name is text or bytes, such as `&str`, `String`, `&[u8]` or `Vec<u8>`",
    note = "several names are an array, a slice, a `Vec` or a set of names, or an iterator that is collected into `Resources`"
)]
pub trait ResourceName: sealed::Bytes {}

pub(super) mod sealed {
    use std::sync::Arc;

    pub trait Bytes {
        fn bytes(&self) -> Arc<[u8]>;
    }
}

use sealed::Bytes;

macro_rules! names {
    ($($name:ty),*) => {$(
        impl Bytes for $name {
            fn bytes(&self) -> Arc<[u8]> {
                let bytes: &[u8] = AsRef::<[u8]>::as_ref(&**self);
                bytes.into()
            }
        }

        impl ResourceName for $name {}
    )*};
}

names!(String, Box<str>, Arc<str>, Cow<'_, str>, Vec<u8>, Box<[u8]>);

impl Bytes for str {
    fn bytes(&self) -> Arc<[u8]> {
        self.as_bytes().into()
    }
}

impl Bytes for [u8] {
    fn bytes(&self) -> Arc<[u8]> {
        self.into()
    }
}

impl<const N: usize> Bytes for [u8; N] {
    fn bytes(&self) -> Arc<[u8]> {
        self[..].into()
    }
}

impl Bytes for Arc<[u8]> {
    fn bytes(&self) -> Self {
        Self::clone(self)
    }
}

impl<T: Bytes + ?Sized> Bytes for &T {
    fn bytes(&self) -> Arc<[u8]> {
        (**self).bytes()
    }
}

impl ResourceName for str {}
impl ResourceName for [u8] {}
impl<const N: usize> ResourceName for [u8; N] {}
impl ResourceName for Arc<[u8]> {}
impl<T: ResourceName + ?Sized> ResourceName for &T {}

/// One name.
impl<T: ResourceName> From<T> for Resources {
    fn from(name: T) -> Self {
        Self(Names::One(name.bytes()))
    }
}

/// Several names, in any order. A name that occurs twice counts once.
impl<T: ResourceName> FromIterator<T> for Resources {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self::new(names.into_iter().map(|name| name.bytes()).collect())
    }
}

macro_rules! several {
    ($([$($parameter:tt)*] $names:ty),* $(,)?) => {$(
        impl<T: ResourceName, $($parameter)*> From<$names> for Resources {
            fn from(names: $names) -> Self {
                names.into_iter().collect()
            }
        }
    )*};
}

several!(
    [] &[T],
    [const N: usize] [T; N],
    [const N: usize] &[T; N],
    [] Vec<T>,
    [] &Vec<T>,
    [] BTreeSet<T>,
    [] &BTreeSet<T>,
    [S] HashSet<T, S>,
    [S] &HashSet<T, S>,
);

impl From<&Resources> for Resources {
    fn from(resources: &Resources) -> Self {
        resources.clone()
    }
}

#[cfg(test)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "a reference to names is a form of its own"
)]
mod tests {
    use super::*;

    fn shown(resources: impl Into<Resources>) -> String {
        resources.into().to_string()
    }

    #[test]
    fn one_name_has_many_forms() {
        let text = String::from("a");
        assert_eq!(shown("a"), "a");
        assert_eq!(shown(&text), "a");
        assert_eq!(shown(&&*text), "a");
        assert_eq!(shown(text.as_bytes()), "a");
        assert_eq!(shown(b"a"), "a");
        assert_eq!(shown(*b"abc"), "abc");
        assert_eq!(shown(Cow::from("a")), "a");
        assert_eq!(shown(text.clone().into_boxed_str()), "a");
        assert_eq!(shown(Arc::<str>::from("a")), "a");
        assert_eq!(shown(text.clone().into_bytes()), "a");
        assert_eq!(shown(b"abc".to_vec()), "abc");
        assert_eq!(shown(&b"abc".to_vec()), "abc");
        assert_eq!(shown(b"abc".to_vec().into_boxed_slice()), "abc");
        assert_eq!(shown(Arc::<[u8]>::from(*b"abc")), "abc");
        assert_eq!(shown(text), "a");
    }

    #[test]
    fn several_names_are_ordered_and_each_counts_once() {
        let texts = vec![String::from("b"), String::from("a")];
        assert_eq!(shown(["b", "a", "b"]), "a, b");
        assert_eq!(shown(&["b", "a"]), "a, b");
        assert_eq!(shown(&["b", "a"][..]), "a, b");
        assert_eq!(shown([&b"b"[..], b"a"]), "a, b");
        assert_eq!(shown(&texts), "a, b");
        assert_eq!(shown(BTreeSet::from(["b", "a"])), "a, b");
        assert_eq!(shown(&BTreeSet::from_iter(&texts)), "a, b");
        assert_eq!(shown(HashSet::from(["b", "a"])), "a, b");
        assert_eq!(shown(&HashSet::<String>::from_iter(texts.clone())), "a, b");
        assert_eq!(shown(texts.iter().rev().collect::<Resources>()), "a, b");
        assert_eq!(shown(texts), "a, b");
        assert_eq!(Resources::from(["a", "a"]), Resources::from("a"));
    }

    #[test]
    fn resources_are_shared_by_their_copies_and_with_a_name_that_is_shared() {
        let name = Arc::<[u8]>::from(*b"a");
        let resources = Resources::from(&name);
        let copies = [Resources::from(&resources), resources.clone(), resources];
        for copy in &copies {
            assert!(Arc::ptr_eq(&copy.as_slice()[0], &name));
        }
    }
}
