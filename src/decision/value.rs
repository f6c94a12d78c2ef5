//! The unique proof of ownership that is stored under a resource: `{id}_{unix_ms}_{random}`.

use crate::text::Shown;
use rand::RngCore;
use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use uuid::{Uuid, Version};

/// How many characters of an owner's id are read.
const LONGEST_ID: usize = 256;

/// Who holds a resource and since when, as told by the value that is stored there.
///
/// Only values of the form `{id}_{unix_ms}_{random}` tell this; `since` is the wall clock of the owner's machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Owner {
    /// The id of the owner's client: its hostname, unless it was given another. Control characters are left out, and what
    /// comes after 256 characters.
    pub id: String,
    /// When the owner's winning attempt began, by the owner's clock.
    pub since: SystemTime,
}

impl Owner {
    /// Reads the owner off a value, or nothing if the value is not of our form (another library's, say).
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (rest, random) = value.rsplit_once('_')?;
        let (id, unix_ms) = rest.rsplit_once('_')?;
        if random.is_empty() || !unix_ms.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let since = Duration::from_millis(unix_ms.parse().ok()?);
        Some(Self {
            // It may be anybody's, and ends up in messages.
            id: id.chars().filter(|c| !c.is_control()).take(LONGEST_ID).collect(),
            since: UNIX_EPOCH.checked_add(since)?,
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "{} since {hours:02}:{minutes:02}:{:02} UTC", self.id, seconds % 60)
    }
}

/// What a server tells of a resource that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Who holds it, if the value tells.
    pub owner: Option<Owner>,
    /// How long the key will stand if its owner does nothing; `None` if it never expires.
    pub remaining: Option<Duration>,
    /// Tells values apart that are not kept, since whoever knows one can unlock.
    fingerprint: u64,
    /// How long its owner had waited, if the value says that.
    waited: Option<Waited>,
}

impl Holder {
    pub(crate) fn new(value: &[u8], remaining: Option<Duration>) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self {
            owner: Owner::parse(value),
            remaining,
            fingerprint: hasher.finish(),
            waited: Waited::parse(value),
        }
    }

    /// Tells two holders apart, also of one owner.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn waited(&self) -> Option<Waited> {
        self.waited
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&holder_in_words(self.owner.as_ref(), self.remaining))
    }
}

/// Who holds a resource, and for how much longer if it is neither renewed nor unlocked.
pub(crate) fn holder_in_words(owner: Option<&Owner>, remaining: Option<Duration>) -> String {
    let owner = owner.map_or_else(|| "an unknown owner".into(), Owner::to_string);
    match remaining {
        Some(left) => format!("{owner}, {:.1} s left", left.as_secs_f64()),
        None => format!("{owner}, without a ttl"),
    }
}

/// How long an owner had waited for its resource: a class of times, each of which is twice the one before.
///
/// It stands in the first digit of the value's random part, so that waiters can compare their own wait with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waited(u8);

impl Waited {
    /// The class of 16 s and more.
    const LONGEST: u32 = 15;

    pub(crate) fn new(time: Duration) -> Self {
        let bits = u128::BITS - time.as_millis().leading_zeros();
        Self(u8::try_from(bits.min(Self::LONGEST)).unwrap_or_default())
    }

    /// The shortest time of the class.
    pub(crate) fn at_least(self) -> Duration {
        Duration::from_millis(1 << self.0 >> 1)
    }

    /// How many classes this is above the other one.
    pub(crate) fn above(self, other: Self) -> i16 {
        i16::from(self.0) - i16::from(other.0)
    }

    /// Reads it off a value, or nothing if the value is not of our form.
    fn parse(value: &[u8]) -> Option<Self> {
        let random = value.rsplit(|byte| *byte == b'_').next()?;
        let uuid = Uuid::try_parse_ascii(random).ok()?;
        (uuid.get_version() == Some(Version::Custom)).then(|| Self(uuid.as_bytes()[0] >> 4))
    }
}

/// Makes a value that no other attempt, here or elsewhere, will make again.
///
/// Its random part is a UUID of version 8: 118 random bits, and 4 that say how long the owner `waited`.
pub(crate) fn fresh(id: &str, now: SystemTime, waited: Waited) -> String {
    let mut random = [0; 16];
    // A generator fit for cryptography, seeded by the system: nobody can guess the value of another's lock.
    rand::thread_rng().fill_bytes(&mut random);
    random[0] = waited.0 << 4 | random[0] & 0xf;
    let random = uuid::Builder::from_custom_bytes(random).into_uuid();
    let unix_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{id}_{unix_ms}_{}", random.simple())
}

/// A value as logs and `Debug` may show it: enough to recognise, too little to unlock with.
pub(crate) struct Shortened<'a>(pub(crate) &'a str);

impl fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('_') {
            Some((owner, random)) => write!(f, "{}_{}…", Shown(owner.as_bytes()), first(random, 4)),
            None => write!(f, "{}…", Shown(first(self.0, self.0.len() / 4).as_bytes())),
        }
    }
}

fn first(text: &str, chars: usize) -> &str {
    let end = text.char_indices().nth(chars).map_or(text.len() / 2, |(at, _)| at);
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_of_the_node_library_tells_its_owner() {
        let owner = Owner::parse(b"yourhost_1421844817874_6f554e61").unwrap();
        assert_eq!(owner.id, "yourhost");
        assert_eq!(owner.to_string(), "yourhost since 12:53:37 UTC");
    }

    #[test]
    fn another_librarys_value_has_no_known_owner() {
        for value in [
            "",
            "_",
            "__",
            "my_random_value",
            "a_1.5_b",
            "a_-1_b",
            "a_+1_b",
            "a_1_",
            "a_99999999999999999999_b",
        ] {
            assert_eq!(Owner::parse(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(Owner::parse(&[0xff, b'_', b'1', b'_', b'a']), None);
    }

    #[test]
    fn no_more_of_an_id_is_read_than_the_longest_one_has() {
        let owner = Owner::parse(format!("{}_1_a", "é".repeat(300)).as_bytes()).unwrap();
        assert_eq!(owner.id, "é".repeat(256));
    }

    #[test]
    fn holders_with_different_values_differ_though_their_owner_is_the_same() {
        let fingerprint = |value: &str, left| Holder::new(value.as_bytes(), left).fingerprint();
        assert_eq!(
            fingerprint("web_1_a", None),
            fingerprint("web_1_a", Some(Duration::ZERO))
        );
        assert_ne!(fingerprint("web_1_a", None), fingerprint("web_1_b", None));
    }

    #[test]
    fn a_shortened_value_can_be_recognized() {
        for (value, shown) in [
            ("web_1_6f554e61", "web_1_6f55…"),
            ("web_1_6f", "web_1_6…"),
            ("web_1_", "web_1_…"),
            ("another value", "ano…"),
            ("", "…"),
        ] {
            assert_eq!(format!("{:?}", Shortened(value)), shown);
        }
    }

    #[test]
    fn two_values_of_one_moment_differ() {
        let now = SystemTime::now();
        let fresh = || fresh("web", now, Waited::default());
        assert_ne!(fresh(), fresh());
    }

    #[test]
    fn a_value_says_how_long_its_owner_had_waited() {
        let of = |millis| Waited::new(Duration::from_millis(millis));
        let mut last = of(0);
        for millis in [1, 2, 4, 8, 16, 1_024, 16_384] {
            assert!(of(millis) > last, "{millis}");
            assert_eq!(of(millis), of(2 * millis - 1));
            last = of(millis);
            let value = fresh("web", SystemTime::now(), last);
            assert_eq!(Holder::new(value.as_bytes(), None).waited(), Some(last));
        }
        assert_eq!(Waited::new(Duration::MAX), last);
        assert_eq!(
            [0, 1, 7, 16_384].map(|millis| of(millis).at_least().as_millis()),
            [0, 1, 4, 16_384]
        );
        assert_eq!((of(4).above(of(1)), of(1).above(of(4))), (2, -2));
    }

    #[test]
    fn a_value_of_another_form_does_not_say_how_long_its_owner_had_waited() {
        let others = [
            "web_1421844817874_6f554e61",
            "web_1421844817874_f47ac10b58cc4372a5670e02b2c3d479",
            "f47ac10b",
            "",
        ];
        for value in others {
            assert_eq!(Holder::new(value.as_bytes(), None).waited(), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whoever_made_a_value_is_found_in_it(id in "[^\\p{Cc}]{0,256}", ms in 0_u64..1 << 43) {
            let since = UNIX_EPOCH + Duration::from_millis(ms);
            let owner = Owner::parse(fresh(&id, since, Waited::default()).as_bytes()).unwrap();
            prop_assert_eq!(owner, Owner { id, since });
        }

        #[test]
        fn an_owner_is_safe_to_print(id in "(?s).*") {
            let owner = Owner::parse(format!("{id}_1_a").as_bytes()).unwrap();
            prop_assert!(owner.id.chars().count() <= LONGEST_ID);
            prop_assert!(!owner.id.chars().any(char::is_control));
        }

        #[test]
        fn parsing_never_panics(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Owner::parse(&value);
        }

        #[test]
        fn a_shortened_value_cannot_unlock(value in ".{0,40}_[0-9a-f]{2,32}|[^_]{2,64}") {
            let shown = format!("{:?}", Shortened(&value));
            prop_assert!(!shown.contains(&value), "{shown} shows {value}");
        }
    }
}
