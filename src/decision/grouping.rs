//! Which group of servers a resource belongs to: a pure function of its name and of how many groups there are.
//!
//! Every process has to come to the same answer, on every platform and with every version of this crate, or a resource
//! could be granted twice. So the hash is SipHash-1-3 with a fixed key, over nothing but the bytes of the name.

use crate::{
    resource::{InvalidResource, Resources},
    text::Shown,
};
use jumphash::JumpHasher;
use std::hash::{Hash, Hasher};

/// Returns the group that all of these resources belong to, 0 for the first.
pub(crate) fn common_group(resources: &Resources, groups: usize) -> Result<usize, InvalidResource> {
    let names = resources.as_slice();
    let Some(first) = names.first().filter(|_| groups > 1) else {
        return Ok(0);
    };
    let first_group = group(first, groups);
    for second in &names[1..] {
        let second_group = group(second, groups);
        if second_group != first_group {
            return Err(InvalidResource::Groups {
                first: Shown(first).to_string(),
                first_group,
                second: Shown(second).to_string(),
                second_group,
            });
        }
    }
    Ok(first_group)
}

/// Jump consistent hashing: from n groups to n + 1 a resource stays where it is, or moves to the new one.
fn group(resource: &[u8], groups: usize) -> usize {
    // Nobody lists more groups than that.
    let slots = u32::try_from(groups).unwrap_or(u32::MAX);
    JumpHasher::new_with_keys(0, 0).slot(&Bytes(tag(resource)), slots) as usize
}

/// What is hashed of a resource: what stands between its first `{` and the first `}` after that, unless that is nothing.
/// Otherwise it is the whole, as in a Redis Cluster.
fn tag(resource: &[u8]) -> &[u8] {
    let tag = || {
        let start = resource.iter().position(|byte| *byte == b'{')? + 1;
        let length = resource[start..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &resource[start..start + length])
    };
    tag().unwrap_or(resource)
}

/// Bytes that are hashed without their length, which std writes with as many bytes as the platform's words have.
struct Bytes<'a>(&'a [u8]);

impl Hash for Bytes<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_resource_belongs_to_the_same_group_for_ever() {
        // The groups of two, three and five. Worked out apart from this crate, by the definitions of both algorithms.
        const GROUPS: [(&str, [usize; 3]); 30] = [
            ("console", [1, 1, 4]),
            ("invoices", [0, 2, 3]),
            ("r", [1, 2, 3]),
            ("s", [0, 2, 2]),
            ("a", [0, 0, 0]),
            ("b", [1, 1, 3]),
            ("c", [1, 1, 1]),
            ("1", [1, 1, 1]),
            ("2", [1, 2, 2]),
            ("order:1", [0, 0, 0]),
            ("order:2", [0, 0, 0]),
            ("order:3", [0, 0, 0]),
            ("order:4", [0, 2, 2]),
            ("user:1000", [0, 2, 2]),
            ("{user1000}.following", [1, 1, 4]),
            ("{user1000}.followers", [1, 1, 4]),
            ("user1000", [1, 1, 4]),
            ("foo{}{bar}", [0, 0, 4]),
            ("foo{{bar}}zap", [1, 1, 1]),
            ("foo{bar}{zap}", [0, 0, 0]),
            ("bar", [0, 0, 0]),
            ("{}", [1, 1, 1]),
            ("{", [0, 0, 4]),
            ("payments/2026-01-01", [1, 1, 4]),
            ("printer 7", [0, 0, 0]),
            ("Straße", [1, 2, 3]),
            ("鍵", [0, 0, 0]),
            ("🔒", [1, 2, 3]),
            (
                "a resource whose name is longer than a line of most of the terminals that there are",
                [0, 2, 2],
            ),
            ("trailing space ", [0, 0, 3]),
        ];
        for (resource, expected) in GROUPS {
            let found = [2, 3, 5].map(|groups| group(resource.as_bytes(), groups));
            assert_eq!(found, expected, "{resource}");
        }
    }

    #[test]
    fn the_tag_is_what_a_redis_cluster_takes() {
        for (resource, expected) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo}{bar}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("{}", "{}"),
            ("", ""),
        ] {
            let found = tag(resource.as_bytes());
            assert_eq!(String::from_utf8_lossy(found), expected, "{resource}");
        }
    }

    #[test]
    fn resources_of_two_groups_have_no_group_in_common() {
        let names = Resources::from(["order:1", "b", "a"]);
        assert_eq!(common_group(&names, 1), Ok(0));
        let error = common_group(&names, 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`a` belongs to group 0 and `b` to group 1, but one lock has one group: a common `{tag}` in their names leads to one"
        );
        let tagged = Resources::from(["order:1{b}", "b", "a{b}"]);
        assert_eq!(common_group(&tagged, 2), Ok(1));
    }

    fn names(salt: u64) -> impl Iterator<Item = String> {
        (0..20_000).map(move |i| format!("{salt:x}:{i}"))
    }

    proptest! {
        #[test]
        fn a_new_group_takes_resources_and_no_other_group_does(name in prop::collection::vec(any::<u8>(), 0..20), groups in 1_usize..100) {
            let (before, after) = (group(&name, groups), group(&name, groups + 1));
            prop_assert!(before < groups);
            prop_assert!(after == before || after == groups, "{before} -> {after}");
        }

        #[test]
        fn resources_with_one_tag_are_in_one_group(tag in "[^{}]{1,9}", before in "[^{]{0,9}", after in ".{0,9}") {
            let tagged = format!("{before}{{{tag}}}{after}");
            prop_assert_eq!(group(tagged.as_bytes(), 100), group(tag.as_bytes(), 100));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The bounds are five standard deviations away, or more.
        #[test]
        fn groups_share_the_resources_evenly_and_a_new_one_takes_its_share(salt in any::<u64>(), groups in 2_usize..8) {
            let mut counts = vec![0; groups];
            let mut moved = 0;
            for name in names(salt) {
                let now = group(name.as_bytes(), groups);
                counts[now] += 1;
                moved += usize::from(group(name.as_bytes(), groups + 1) != now);
            }
            let is_about = |count: usize, share: usize| (9 * share..=11 * share).contains(&(10 * count));
            for count in counts {
                prop_assert!(is_about(count, 20_000 / groups), "{count} of 20000 in one of {groups}");
            }
            prop_assert!(is_about(moved, 20_000 / (groups + 1)), "{moved} of 20000 moved from {groups}");
        }
    }
}
